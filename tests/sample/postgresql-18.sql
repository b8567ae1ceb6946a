-- What PostgreSQL 18 has beyond the samples in postgresql.sql and postgresql-17.sql. Load after them, into the same database.
SET client_min_messages = error;
SET timezone = 'UTC';

CREATE TABLE virtual_columns (
  a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL, c text GENERATED ALWAYS AS ('x' || a::text) STORED, d int GENERATED ALWAYS AS (a + 1) CHECK (d > 0));
INSERT INTO virtual_columns VALUES (1), (NULL), (1000000000);
CREATE TABLE virtual_partitioned (k int, v int GENERATED ALWAYS AS (k + 1) VIRTUAL) PARTITION BY LIST (k);
CREATE TABLE virtual_partition PARTITION OF virtual_partitioned FOR VALUES IN (1);
INSERT INTO virtual_partitioned VALUES (1);

CREATE TABLE temporal_parent (id int, valid daterange, price numeric, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
CREATE TABLE temporal_child (
  id int, parent_id int, valid daterange, UNIQUE (id, valid WITHOUT OVERLAPS),
  CONSTRAINT temporal_fk FOREIGN KEY (parent_id, PERIOD valid) REFERENCES temporal_parent (id, PERIOD valid));
INSERT INTO temporal_parent VALUES (1, '[2020-01-01,2021-01-01)', 9.99), (1, '[2021-01-01,)', 19.99);
INSERT INTO temporal_child VALUES (10, 1, '[2020-06-01,2022-01-01)');

CREATE TABLE constraints_18 (
  a int, b int CONSTRAINT named_not_null NOT NULL, c int CONSTRAINT "not null 'no inherit'" NOT NULL NO INHERIT,
  CONSTRAINT not_enforced CHECK (a > 0) NOT ENFORCED, fk int);
INSERT INTO constraints_18 VALUES (-1, 1, 1, 12345), (NULL, 2, 2, NULL);
ALTER TABLE constraints_18 ADD CONSTRAINT not_valid_null NOT NULL a NOT VALID;
ALTER TABLE constraints_18 ADD CONSTRAINT fk_not_enforced FOREIGN KEY (fk) REFERENCES fk_person NOT ENFORCED;
COMMENT ON CONSTRAINT named_not_null ON constraints_18 IS 'a not-null constraint';
CREATE TABLE constraints_parent (a int CONSTRAINT inherited NOT NULL, b int);
CREATE TABLE constraints_child (b int CONSTRAINT own_not_null NOT NULL) INHERITS (constraints_parent);
CREATE TABLE not_valid_fk (k int, p int) PARTITION BY LIST (k);
CREATE TABLE not_valid_fk_1 PARTITION OF not_valid_fk FOR VALUES IN (1);
INSERT INTO not_valid_fk VALUES (1, 777);
ALTER TABLE not_valid_fk ADD CONSTRAINT not_valid_fk FOREIGN KEY (p) REFERENCES fk_person NOT VALID;

CREATE TABLE uuids (id uuid DEFAULT uuidv7(), v text COLLATE pg_unicode_fast);
INSERT INTO uuids VALUES ('019535d9-3df7-79fb-b466-fa907fa17f9e', 'ß');
CREATE PUBLICATION publishes_generated FOR TABLE virtual_columns WITH (publish_generated_columns = stored);
CREATE INDEX gin_parallel ON types_all USING gin (jb);
