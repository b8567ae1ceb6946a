-- What PostgreSQL 17 has beyond the sample in postgresql.sql (and 16 had). Load after it, into the same database.
SET client_min_messages = error;
SET timezone = 'UTC';

CREATE TABLE identity_partitioned (id bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 10), k int) PARTITION BY LIST (k);
CREATE TABLE identity_partition PARTITION OF identity_partitioned FOR VALUES IN (1);
INSERT INTO identity_partitioned (k) VALUES (1), (1);
CREATE TABLE exclusion_partitioned (k int, r int4range, EXCLUDE USING gist (k WITH =, r WITH &&)) PARTITION BY LIST (k);
CREATE TABLE exclusion_partition PARTITION OF exclusion_partitioned FOR VALUES IN (1);
INSERT INTO exclusion_partitioned VALUES (1, '[1,2)'), (1, '[2,3)');

CREATE COLLATION builtin_c (provider = builtin, locale = 'C.UTF-8');
CREATE COLLATION with_rules (provider = icu, locale = 'und', rules = '& V << w <<< W');
CREATE TABLE collated_17 (a text COLLATE builtin_c, b text COLLATE with_rules);
INSERT INTO collated_17 VALUES ('x', 'w'), (NULL, 'V');

CREATE TABLE storage_at_creation (a text STORAGE EXTERNAL COMPRESSION pglz, b int, c interval);
ALTER TABLE storage_at_creation ALTER COLUMN b SET STATISTICS DEFAULT;
INSERT INTO storage_at_creation VALUES ('x', 1, 'infinity'), ('y', 2, '-infinity');
CREATE VIEW json_view AS SELECT jt.* FROM types_all, JSON_TABLE(jb, '$.b[*]' COLUMNS (v text PATH '$', n FOR ORDINALITY)) AS jt;
CREATE VIEW json_functions AS SELECT JSON_VALUE(jb, '$.a' RETURNING numeric DEFAULT 0 ON ERROR) AS v, JSON_ARRAY(id, t ABSENT ON NULL) AS a, jb IS JSON OBJECT AS o FROM types_all;
CREATE FUNCTION login_trigger () RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION login_trigger();
ALTER EVENT TRIGGER at_login DISABLE;
CREATE SUBSCRIPTION failover_subscription CONNECTION 'host=nowhere.invalid dbname=x' PUBLICATION p
  WITH (connect = false, slot_name = NONE, failover = true, origin = 'none', password_required = false, run_as_owner = true, streaming = parallel);
GRANT MAINTAIN ON fk_pair TO sample_reader;
CREATE TABLE other_method_partitioned (id int) PARTITION BY RANGE (id) USING heap2;
CREATE INDEX parallel_brin ON fk_pair USING brin (a int4_minmax_multi_ops(values_per_range = 16));
