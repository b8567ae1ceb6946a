-- Accounts that the MariaDB sample needs; server-wide, so loaded once by an administrator. Can be loaded again.
CREATE USER IF NOT EXISTS 'sample_owner'@'localhost' IDENTIFIED VIA unix_socket;
CREATE USER IF NOT EXISTS 'sample_reader'@'%' IDENTIFIED VIA mysql_native_password USING '*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9';
CREATE USER IF NOT EXISTS 'sample o''dd`name'@'10.%' ACCOUNT LOCK;
CREATE ROLE IF NOT EXISTS sample_role;
CREATE ROLE IF NOT EXISTS `sample role two`;
GRANT sample_role TO 'sample_reader'@'%';
