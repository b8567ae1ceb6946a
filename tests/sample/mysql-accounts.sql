-- Accounts that the MySQL sample needs; server-wide, so loaded once by an administrator. Can be loaded again.
CREATE USER IF NOT EXISTS 'sample_owner'@'localhost' IDENTIFIED WITH auth_socket;
CREATE USER IF NOT EXISTS 'sample_reader'@'%' IDENTIFIED BY RANDOM PASSWORD;
CREATE USER IF NOT EXISTS 'sample o''dd`name'@'10.%' IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK;
CREATE ROLE IF NOT EXISTS sample_role;
CREATE ROLE IF NOT EXISTS `sample role two`;
GRANT sample_role TO 'sample_reader'@'%';
