-- Objects in whose definitions the server writes the database's own name: they come back whole only under that name.
-- Load after mysql.sql, into the same database.
DELIMITER ;;
CREATE FUNCTION js_with_library (a INT) RETURNS INT NO SQL COMMENT 'in JavaScript' LANGUAGE JAVASCRIPT USING (sample_library AS lib) AS $$ return lib.twice(a); $$;;
DELIMITER ;
