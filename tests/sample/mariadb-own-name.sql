-- Objects in whose definitions the server writes the database's own name: they come back whole only under that name.
-- Load after mariadb.sql, into the same database.
CREATE TABLE default_from_sequence (id BIGINT NOT NULL DEFAULT nextval(seq_plain) PRIMARY KEY, prev BIGINT DEFAULT lastval(seq_plain), v VARCHAR(10));
INSERT INTO default_from_sequence (v) VALUES ('a'), ('b');
