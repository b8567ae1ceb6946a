-- Objects in whose definitions the server writes the database's own name: they come back whole only under that name.
-- Load after mysql.sql, into the same database.
DELIMITER ;;
CREATE FUNCTION js_with_library (a INT) RETURNS INT NO SQL COMMENT 'in JavaScript' LANGUAGE JAVASCRIPT USING (sample_library AS lib) AS $$ return lib.twice(a); $$;;
DELIMITER ;

-- Around a routine that was made when the database had another collation, a dump changes the database's own.
ALTER DATABASE CHARACTER SET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
CREATE PROCEDURE proc_of_other_collation (a VARCHAR(10)) SELECT 'x', a;
CREATE TRIGGER trg_of_other_collation BEFORE DELETE ON written_by_trigger FOR EACH ROW SET @x = 'x';
CREATE EVENT ev_of_other_collation ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DISABLE DO SELECT 'x';
ALTER DATABASE CHARACTER SET = latin1 COLLATE = latin1_german1_ci;
