-- Sample schema for PostgreSQL 15 and later: everything that the server offers and a plain dump can carry.
-- Load with: psql -v ON_ERROR_STOP=1 -d DATABASE -f postgresql.sql   (after postgresql-accounts.sql, by an administrator)
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET timezone = 'UTC';
SET client_min_messages = error;

-- ---------------------------------------------------------------- settings and comment of the database itself
SELECT current_database() AS db \gset
COMMENT ON DATABASE :"db" IS 'the sample: it''s "odd"; -- PostgreSQL database dump complete';
ALTER DATABASE :"db" SET work_mem = '12MB';
ALTER DATABASE :"db" SET search_path = public, "odd schema", pg_catalog;
ALTER DATABASE :"db" SET "sample.custom" = 'it''s custom';
ALTER DATABASE :"db" CONNECTION LIMIT 50;
ALTER ROLE sample_reader IN DATABASE :"db" SET statement_timeout = '1min';
REVOKE TEMPORARY ON DATABASE :"db" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"db" TO sample_reader WITH GRANT OPTION;
GRANT CREATE ON DATABASE :"db" TO sample_owner;

-- ---------------------------------------------------------------- schemas and extensions
CREATE SCHEMA "odd schema" AUTHORIZATION sample_owner;
CREATE SCHEMA ext;
CREATE SCHEMA "--help; DROP";
CREATE SCHEMA empty_schema AUTHORIZATION "Sample ""odd"" role";
COMMENT ON SCHEMA "odd schema" IS 'a schema''s comment';
COMMENT ON SCHEMA public IS 'public, with a comment of our own';
GRANT USAGE, CREATE ON SCHEMA "odd schema" TO sample_group;
GRANT CREATE ON SCHEMA public TO sample_writer;
GRANT USAGE ON SCHEMA ext TO PUBLIC;
CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION citext SCHEMA public;
CREATE EXTENSION pg_trgm SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE EXTENSION btree_gin SCHEMA ext;
CREATE EXTENSION "uuid-ossp" SCHEMA ext;
CREATE EXTENSION ltree SCHEMA ext;
CREATE EXTENSION intarray SCHEMA ext;
CREATE EXTENSION cube SCHEMA ext;
CREATE EXTENSION isn SCHEMA ext;
CREATE EXTENSION seg SCHEMA ext;
CREATE EXTENSION pgcrypto SCHEMA public;
CREATE EXTENSION unaccent SCHEMA public;
CREATE EXTENSION tablefunc SCHEMA ext;
CREATE EXTENSION file_fdw SCHEMA public;
CREATE EXTENSION postgres_fdw SCHEMA public;
CREATE EXTENSION lo SCHEMA public;
COMMENT ON EXTENSION citext IS 'our own words';
REVOKE EXECUTE ON FUNCTION public.digest(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.digest(text, text) TO sample_reader;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC;

-- ---------------------------------------------------------------- types
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "happy"', '');
ALTER TYPE mood ADD VALUE 'between, {braces}' BEFORE 'ok';
ALTER TYPE mood ADD VALUE 'zzz' AFTER 'sad';
COMMENT ON TYPE mood IS 'an enum';
CREATE TYPE empty_enum AS ENUM ();
CREATE TYPE "odd schema"."comp ""type""" AS (a int, "b c" text COLLATE "C", d mood[]);
COMMENT ON COLUMN "odd schema"."comp ""type"""."b c" IS 'an attribute';
CREATE TYPE nested AS (x "odd schema"."comp ""type""", y int[]);
CREATE DOMAIN positive AS int DEFAULT 1 CONSTRAINT is_positive CHECK (VALUE > 0);
CREATE DOMAIN email AS public.citext NOT NULL CONSTRAINT "looks like 'one'" CHECK (VALUE ~ '^[^@]+@[^@]+$');
CREATE DOMAIN later AS text;
ALTER DOMAIN later ADD CONSTRAINT later_check CHECK (VALUE <> 'never') NOT VALID;
CREATE DOMAIN positive_list AS positive[] CHECK (cardinality(VALUE) < 10);
COMMENT ON DOMAIN positive IS 'a domain';
COMMENT ON CONSTRAINT is_positive ON DOMAIN positive IS 'a domain''s constraint';
GRANT USAGE ON TYPE mood TO sample_reader;
REVOKE USAGE ON DOMAIN positive FROM PUBLIC;
CREATE FUNCTION float8mi_range(double precision, double precision) RETURNS double precision IMMUTABLE LANGUAGE sql AS 'SELECT $1 - $2';
CREATE TYPE floatrange AS RANGE (subtype = double precision, subtype_diff = float8mi_range, multirange_type_name = "float multi");
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE TYPE shell_type;
CREATE TYPE base42;
CREATE FUNCTION base42_in(cstring) RETURNS base42 AS 'int4in' LANGUAGE internal STRICT IMMUTABLE;
CREATE FUNCTION base42_out(base42) RETURNS cstring AS 'int4out' LANGUAGE internal STRICT IMMUTABLE;
CREATE TYPE base42 (INPUT = base42_in, OUTPUT = base42_out, LIKE = int4, CATEGORY = 'N', DEFAULT = '42', DELIMITER = '|');
ALTER TYPE base42 OWNER TO sample_owner;

CREATE TABLE types_all (
  id int PRIMARY KEY, si smallint, i int, b bigint, n numeric, n2 numeric(1000,900), neg numeric(5,-2), r real, d double precision,
  m money, bo boolean, c char(5), c1 "char", vc varchar(20), t text, na name, by bytea, ts timestamp, ts0 timestamp(0),
  tz timestamptz, da date, ti time, tt timetz, iv interval, ivy interval year to month, bi bit(5), vb bit varying(70), u uuid,
  ip inet, ci cidr, ma macaddr, m8 macaddr8, x xml, j json, jb jsonb, jp jsonpath, po point, li line, ls lseg, bx box,
  pa path, pg polygon, cr circle, tv tsvector, tq tsquery, sn pg_snapshot, ls2 pg_lsn, oi oid, rc regclass, rt regtype,
  i4r int4range, nr numrange, tr tstzrange, dr daterange, i8m int8multirange, dm datemultirange,
  ia int[], ta text[][], mo mood, moa mood[], co "odd schema"."comp ""type""", ne nested, po1 positive, em email DEFAULT 'a@b',
  pl positive_list, fr floatrange, fm "float multi", tx textrange, b42 base42, hs ext.hstore, lt ext.ltree, ct citext, cu ext.cube,
  isbn ext.isbn13, sg ext.seg, la later
);
INSERT INTO types_all (id) VALUES (1);
INSERT INTO types_all VALUES (2, -32768, -2147483648, -9223372036854775808, 'NaN', -1e-900, -12345, '-Infinity', '-Infinity',
  '-92233720368547758.08', false, '', '', '', '', '', '', '-infinity', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', '4713-01-01 BC',
  '00:00:00', '00:00:00+15:59', '-178000000 years', '-1 year', B'00000', '', '00000000-0000-0000-0000-000000000000',
  '0.0.0.0/0', '::/0', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', '', '{}', '{}', '$', '(-1e300,1e-300)', '{1,-1,0}', '[(0,0),(1,1)]',
  '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),0>', '', '', '10:20:10,14,15', '0/0', 0, 'pg_class', 'int4',
  'empty', '(,)', '[,)', '(-infinity,infinity)', '{}', '{(,)}', '{}', '{}', 'sad', '{}', '(,,)', '(,)', 1, 'x@y', '{}', 'empty', '{}', 'empty',
  '-5', '', '', '', '(1)', '978-0-393-04002-9', '1', 'whatever');
INSERT INTO types_all VALUES (3, 32767, 2147483647, 9223372036854775807, 'Infinity', 1.5e-20, 99900, 'NaN', 'NaN',
  '92233720368547758.07', true, 'abc', 'x', E'tab\there \\ back', E'it''s\nmulti\r\nline "q" 🐘 \\. \\N $$ $1', 'name', '\x00ff5c27220a0d',
  'infinity', '294276-12-31 23:59:59', '294276-12-31 23:59:59.999999+00', '5874897-12-31', '24:00:00', '24:00:00-15:59', '178000000 years',
  '178000000 years', B'10101', B'1111111111111111111111111111111111111111111111111111111111111111111111', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
  'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127', '192.168.0.0/16', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff',
  '<?xml version="1.0"?><a b="c">&amp;é</a>', ' {"b": 1, "a": 2,  "b": 3.10, "u": "\u00e9\n"} ', '{"b": [1, 2.50, null, "\u00e9 🐘"], "a": 1e400}',
  '$.a[*] ? (@ > 1)', '(Infinity,NaN)', '{0,1,1}', '[(-1,-1),(1e10,2)]', '(2,2),(1,1)', '((0,0),(1,1),(2,0))', '((0,0),(5,0),(5,5))', '<(1,2),3>',
  '''a b'':1A fat:2B,4C', 'fat & (rat | !cat) <-> dog:*', '1:1:', 'FFFFFFFF/FFFFFFFF', 4294967295, 'types_all', 'mood[]',
  '[-2147483648,2147483647)', '[1.10,2.20]', '["2020-01-01 00:00:00+00",infinity]', '[2020-01-01,2020-01-02)', '{[1,2),[5,6)}', '{[2020-01-01,2020-02-01),[2021-01-01,)}',
  '[-1:1]={1,NULL,3}', '{{"a","b,c"},{"NULL",NULL}}', 'it''s "happy"', '{"between, {braces}",zzz,""}',
  '(1,"a ""q"" (b), c","{sad,""it''s \\""happy\\""""}")', '("(1,x,{})","{1,2}")', 2147483647, 'Ünï@例え.jp', '{1,2,3}', '[-Infinity,Infinity]',
  '{[1.5,2.5),[3,4)}', '["a,b","c)")', '2147483647', '"a \"q\"=>x"=>"NULL", b=>NULL', 'Top.Science.Astronomy', 'MixedCase', '(1,2,3),(4,5,6)', '9780393040029',
  '1.0 .. 2.50', 'x');
INSERT INTO types_all (id, r, d, n, t, by) VALUES
 (4, 1.17549435e-38, 4.9406564584124654e-324, 123456789012345678901234567890.123456789012345678901234567890, E'\\.', decode(repeat('00', 100), 'hex')),
 (5, 3.4028235e38, 1.7976931348623157e308, -0.0000000000000000000000001, E'\n\\.\n-- PostgreSQL database dump complete\n--\n\\connect template1\nCOPY x FROM stdin;\n',
  (SELECT string_agg(decode(lpad(to_hex(n), 2, '0'), 'hex'), '' ORDER BY n) FROM generate_series(0, 255) AS n)),
 (6, 0.1, 0.30000000000000004, 1.10, '-- Dump completed on 2001-01-01  0:00:00', 'text'),
 (7, '-0', '-0', 0.000, '\N', '\\'), (8, 16777217, 0.1::real, 1e131071::numeric, 'NULL', NULL);
UPDATE types_all SET t = (SELECT string_agg(chr(n), '') FROM generate_series(1, 2000) AS n WHERE n NOT BETWEEN 128 AND 159) WHERE id = 8;

CREATE TABLE big_values (id int PRIMARY KEY, txt text, bin bytea, plain text, lz text COMPRESSION pglz);
ALTER TABLE big_values ALTER COLUMN plain SET STORAGE EXTERNAL;
INSERT INTO big_values VALUES
 (1, repeat(E'very long text with a ''quote'', a \\ and 🐘\n', 100000), NULL, repeat('x', 1000000), repeat('lz', 100000)),
 (2, NULL, (SELECT string_agg(sha512(n::text::bytea), '' ORDER BY n) FROM generate_series(1, 50000) AS n), NULL, NULL);

-- ---------------------------------------------------------------- columns, constraints, storage
CREATE TABLE "odd schema"."Table with ""everything""" (
  id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 7 MINVALUE -5 MAXVALUE 900000 CACHE 3 CYCLE) PRIMARY KEY,
  by_default int GENERATED BY DEFAULT AS IDENTITY, ser serial, bigser bigserial,
  first_name text NOT NULL DEFAULT 'Jane; -- ''quoted''', last_name varchar(50) COLLATE "C" DEFAULT upper('doe'),
  full_name text GENERATED ALWAYS AS (first_name || ' ' || coalesce(last_name, '')) STORED,
  created timestamptz DEFAULT now() NOT NULL, tags text[] DEFAULT ARRAY['a', 'b,c']::text[], doc jsonb DEFAULT '{"a": "it''s"}',
  amount numeric(12,2) DEFAULT 0 CONSTRAINT "not 'negative'" CHECK (amount >= 0) NO INHERIT,
  u uuid DEFAULT gen_random_uuid(), "select" int, "a b" int, "A B" int, "quote""d" int, "100%" int, "back\slash" int, "ünï 🐘" int,
  "$1" int, "dot.ted" int, "--" int, ";" int, dropped_one int,
  UNIQUE (first_name, last_name) INCLUDE (amount), CONSTRAINT nulls_equal UNIQUE NULLS NOT DISTINCT ("a b"),
  CONSTRAINT deferred UNIQUE (amount) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT multi CHECK ("a b" IS NULL OR "a b" < "A B" OR "quote""d" IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false, parallel_workers = 2);
ALTER TABLE "odd schema"."Table with ""everything""" DROP COLUMN dropped_one, ADD COLUMN after_drop int DEFAULT 5;
ALTER TABLE "odd schema"."Table with ""everything""" ADD CONSTRAINT not_checked CHECK ("A B" > 100) NOT VALID;
ALTER TABLE "odd schema"."Table with ""everything"""
  ALTER COLUMN first_name SET STATISTICS 500, ALTER COLUMN first_name SET (n_distinct = -0.5), ALTER COLUMN doc SET STORAGE EXTERNAL,
  ALTER COLUMN tags SET COMPRESSION pglz, OWNER TO sample_owner, REPLICA IDENTITY FULL;
INSERT INTO "odd schema"."Table with ""everything""" (first_name, created, u, "A B", amount, "a b") VALUES
 ('Ada', '2024-01-01 00:00:00+00', '11111111-1111-1111-1111-111111111111', 101, 1, 1), ('Zoë 🐘', '2024-01-02 00:00:00.000001+00', NULL, NULL, 2.50, NULL);
INSERT INTO "odd schema"."Table with ""everything""" (id, first_name, last_name, created, u, "A B", amount, "a b") OVERRIDING SYSTEM VALUE
 VALUES (-5, '', NULL, 'infinity', NULL, 102, 3, 2);
COMMENT ON TABLE "odd schema"."Table with ""everything""" IS E'multi\nline; it''s -- PostgreSQL database dump complete\n\\.\n$$';
COMMENT ON COLUMN "odd schema"."Table with ""everything"""."ünï 🐘" IS 'column 🐘';
COMMENT ON CONSTRAINT multi ON "odd schema"."Table with ""everything""" IS 'constraint';
CREATE INDEX partial ON "odd schema"."Table with ""everything""" (first_name text_pattern_ops) WHERE amount > 0 AND first_name <> 'it''s';
CREATE INDEX "expr 'idx'" ON "odd schema"."Table with ""everything""" (lower(first_name) DESC NULLS LAST, (amount + 1)) WITH (fillfactor = 50);
ALTER INDEX "odd schema"."expr 'idx'" ALTER COLUMN 1 SET STATISTICS 333;
CREATE INDEX covering ON "odd schema"."Table with ""everything""" USING btree (created) INCLUDE (first_name, last_name);
CREATE INDEX gin_doc ON "odd schema"."Table with ""everything""" USING gin (doc jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX gin_trgm ON "odd schema"."Table with ""everything""" USING gin (first_name ext.gin_trgm_ops);
CREATE INDEX brin_created ON "odd schema"."Table with ""everything""" USING brin (created) WITH (pages_per_range = 4);
CREATE INDEX hash_u ON "odd schema"."Table with ""everything""" USING hash (u);
CREATE INDEX collated ON "odd schema"."Table with ""everything""" (first_name COLLATE "C");
COMMENT ON INDEX "odd schema".partial IS 'an index';
ALTER TABLE "odd schema"."Table with ""everything""" CLUSTER ON covering;
CREATE STATISTICS "odd schema"."stat s" (ndistinct, dependencies, mcv) ON first_name, last_name FROM "odd schema"."Table with ""everything""";
CREATE STATISTICS stat_expr ON (lower(first_name)), (amount * 2) FROM "odd schema"."Table with ""everything""";
ALTER STATISTICS "odd schema"."stat s" SET STATISTICS 44;
COMMENT ON STATISTICS "odd schema"."stat s" IS 'statistics';

CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE all_dropped (a int);
INSERT INTO all_dropped VALUES (1);
ALTER TABLE all_dropped DROP COLUMN a;
CREATE UNLOGGED TABLE unlogged (id int GENERATED BY DEFAULT AS IDENTITY, v text);
INSERT INTO unlogged (v) VALUES ('kept'), ('too');
CREATE TABLE typed OF nested (PRIMARY KEY (x), y WITH OPTIONS DEFAULT '{7}');
INSERT INTO typed VALUES (ROW(1, 'b', '{sad}'), '{1}');
CREATE TABLE replica_nothing (id int PRIMARY KEY, k int NOT NULL);
CREATE UNIQUE INDEX replica_key ON replica_nothing (k);
ALTER TABLE replica_nothing REPLICA IDENTITY USING INDEX replica_key;
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE ACCESS METHOD btree2 TYPE INDEX HANDLER bthandler;
COMMENT ON ACCESS METHOD heap2 IS 'an access method';
CREATE TABLE other_method (id int) USING heap2;
INSERT INTO other_method VALUES (1);
CREATE TABLE "-t" ("--" int); INSERT INTO "-t" VALUES (1);
CREATE TABLE "Mixed.Case;Name" ("a.b" int); INSERT INTO "Mixed.Case;Name" VALUES (1);
CREATE TABLE "new
line" ("col
umn" text DEFAULT 'x
y'); INSERT INTO "new
line" VALUES (E'\n');
CREATE TABLE "таблица 🐘 表" ("столбец" text); INSERT INTO "таблица 🐘 表" VALUES ('значение');
CREATE TABLE "--help; DROP"."back\slash %s $(id) `id` ${x} {{ y }}" (id int); INSERT INTO "--help; DROP"."back\slash %s $(id) `id` ${x} {{ y }}" VALUES (1);
CREATE TABLE "a_name_of_sixty_three_characters_the_longest_that_there_is_here" (id int);

-- ---------------------------------------------------------------- foreign keys: cycles, self references, all actions
CREATE TABLE fk_person (id int PRIMARY KEY, boss int REFERENCES fk_person ON DELETE SET NULL ON UPDATE CASCADE, department int);
CREATE TABLE fk_department (id int PRIMARY KEY, head int REFERENCES fk_person (id) MATCH FULL ON DELETE RESTRICT DEFERRABLE);
ALTER TABLE fk_person ADD CONSTRAINT "fk 'odd'" FOREIGN KEY (department) REFERENCES fk_department ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO fk_person VALUES (1, 1, 1), (2, 1, 2), (3, NULL, NULL);
INSERT INTO fk_department VALUES (1, 2), (2, 1), (3, NULL);
COMMIT;
CREATE TABLE fk_pair (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE fk_to_pair (x int, y int DEFAULT 0, FOREIGN KEY (x, y) REFERENCES fk_pair ON DELETE SET NULL (y));
INSERT INTO fk_pair VALUES (1, 0), (1, 2);
INSERT INTO fk_to_pair VALUES (1, 2), (1, NULL);
CREATE TABLE fk_broken (id int);
INSERT INTO fk_broken VALUES (99);
ALTER TABLE fk_broken ADD CONSTRAINT never_checked FOREIGN KEY (id) REFERENCES fk_person NOT VALID;
CREATE TABLE exclusion (
  room int, during tstzrange, c circle, EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room > 0),
  CONSTRAINT circles EXCLUDE USING gist (c WITH &&) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO exclusion VALUES (1, '[2024-01-01,2024-01-02)', '<(0,0),1>'), (1, '[2024-01-02,2024-01-03)', '<(9,9),1>');

-- ---------------------------------------------------------------- inheritance and partitions
CREATE TABLE parent (id int PRIMARY KEY, v text DEFAULT 'parent', CONSTRAINT v_check CHECK (v <> ''));
CREATE TABLE other_parent (v text, extra int);
CREATE TABLE child (own int, v text DEFAULT 'child', CONSTRAINT v_check CHECK (v <> '')) INHERITS (parent, other_parent);
CREATE TABLE grandchild () INHERITS (child);
ALTER TABLE grandchild ALTER COLUMN extra SET DEFAULT 9;
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (1, 'c', 2, 3);
INSERT INTO grandchild (id) VALUES (1);
CREATE TABLE part (id int NOT NULL, region text, created date NOT NULL DEFAULT '2024-01-01', v text) PARTITION BY LIST (region);
CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('de', 'it''s', NULL) PARTITION BY RANGE (created, id);
CREATE TABLE part_eu_old PARTITION OF part_eu FOR VALUES FROM (MINVALUE, MINVALUE) TO ('2020-01-01', 0);
CREATE TABLE part_eu_new PARTITION OF part_eu (v DEFAULT 'new', CONSTRAINT part_check CHECK (id < 1000)) FOR VALUES FROM ('2020-01-01', 0) TO (MAXVALUE, MAXVALUE);
CREATE TABLE "part default" PARTITION OF part DEFAULT PARTITION BY HASH (lower(v), id);
CREATE TABLE part_h0 PARTITION OF "part default" FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE part_h1 PARTITION OF "part default" FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE part_h2 (v text, created date NOT NULL, dropped int, id int NOT NULL, region text);
ALTER TABLE part_h2 DROP COLUMN dropped;
ALTER TABLE "part default" ATTACH PARTITION part_h2 FOR VALUES WITH (MODULUS 3, REMAINDER 2);
CREATE INDEX part_idx ON part (created);
CREATE INDEX part_only ON ONLY part (v);
ALTER TABLE part_eu ADD CONSTRAINT eu_pk PRIMARY KEY (created, id);
CREATE TABLE references_part (c date, i int, FOREIGN KEY (c, i) REFERENCES part_eu);
INSERT INTO part (id, region, created, v) VALUES (1, 'de', '2019-01-01', 'a'), (2, NULL, '2024-01-01', 'b'), (3, 'us', '2024-01-01', 'c'), (4, 'jp', '2024-01-01', NULL), (5, 'x', '2000-01-01', '🐘');
INSERT INTO references_part VALUES ('2019-01-01', 1);

-- ---------------------------------------------------------------- sequences
CREATE SEQUENCE seq_unused START 77;
CREATE SEQUENCE "odd schema"."seq 'odd'" AS smallint INCREMENT -3 MINVALUE -1000 MAXVALUE 5 START 5 CACHE 4 CYCLE;
SELECT nextval('"odd schema"."seq ''odd''"');
CREATE SEQUENCE seq_set MAXVALUE 100000 OWNED BY fk_person.id;
SELECT setval('seq_set', 4242, false);
CREATE UNLOGGED SEQUENCE seq_unlogged;
SELECT nextval('seq_unlogged'), nextval('seq_unlogged');
COMMENT ON SEQUENCE seq_set IS 'a sequence';
GRANT USAGE, SELECT ON SEQUENCE seq_set TO sample_reader;

-- ---------------------------------------------------------------- functions, procedures, aggregates, casts, operators
CREATE FUNCTION "fn 'odd' ""name""" (IN a int DEFAULT 5, INOUT b text DEFAULT 'it''s', VARIADIC c numeric[] DEFAULT '{1}') RETURNS text
  LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER PARALLEL RESTRICTED LEAKPROOF COST 7
  SET search_path = public, "odd schema" SET work_mem = '1MB' AS $body$
BEGIN
-- PostgreSQL database dump complete
--

  /* $$ */
  b := $q$ dollar
\.
COPY x FROM stdin;
-- Dump completed on 2001-01-01  0:00:00
$q$ || E'\\' || a || '🐘';
END $body$;
COMMENT ON FUNCTION "fn 'odd' ""name"""(int, text, numeric[]) IS 'a function';
ALTER FUNCTION "fn 'odd' ""name"""(int, text, numeric[]) OWNER TO sample_owner;
CREATE FUNCTION sql_standard (x int, y int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x + y;
CREATE FUNCTION sql_atomic () RETURNS SETOF fk_person LANGUAGE sql BEGIN ATOMIC SELECT * FROM fk_person WHERE id > 0; SELECT * FROM fk_person; END;
CREATE FUNCTION returns_table (n int) RETURNS TABLE (a int, "b c" text) ROWS 7 LANGUAGE sql WINDOW AS 'SELECT $1, ''x''';
CREATE FUNCTION set_from_current () RETURNS void LANGUAGE sql SET timezone FROM CURRENT AS '';
CREATE PROCEDURE proc (INOUT a int, OUT b text) LANGUAGE plpgsql AS 'BEGIN a := a + 1; b := ''x''; COMMIT; END';
CREATE PROCEDURE proc_atomic (x int) BEGIN ATOMIC INSERT INTO fk_broken VALUES (x); END;
COMMENT ON PROCEDURE proc(int) IS 'a procedure';
CREATE FUNCTION uses_rowtype (t types_all) RETURNS mood LANGUAGE sql AS 'SELECT t.mo';
CREATE FUNCTION poly (anyelement, anyarray) RETURNS anyelement LANGUAGE sql SUPPORT text_starts_with_support AS 'SELECT $1';
REVOKE EXECUTE ON FUNCTION sql_standard(int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sql_standard(int, int) TO sample_reader WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE proc(int) TO "Sample ""odd"" role";
CREATE AGGREGATE my_sum (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', COMBINEFUNC = int4pl, PARALLEL = SAFE, MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int);
CREATE AGGREGATE "my ordered" (ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = mode_final, FINALFUNC_EXTRA);
CREATE AGGREGATE "my hypo" (VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi, STYPE = internal, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
COMMENT ON AGGREGATE my_sum(int) IS 'an aggregate';
CREATE FUNCTION mood_lt (mood, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT length($1::text) < $2';
CREATE FUNCTION mood_gt (int, mood) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT length($2::text) < $1';
CREATE OPERATOR "odd schema".<#> (FUNCTION = mood_lt, LEFTARG = mood, RIGHTARG = int, COMMUTATOR = OPERATOR("odd schema".>#<), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR "odd schema".>#< (FUNCTION = mood_gt, LEFTARG = int, RIGHTARG = mood, COMMUTATOR = OPERATOR("odd schema".<#>));
CREATE FUNCTION not_mood (mood) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR !! (FUNCTION = not_mood, RIGHTARG = mood);
COMMENT ON OPERATOR "odd schema".<#> (mood, int) IS 'an operator';
CREATE OPERATOR FAMILY odd_family USING btree;
CREATE FUNCTION base42_cmp (base42, base42) RETURNS int AS 'btint4cmp' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION base42_lt (base42, base42) RETURNS boolean AS 'int4lt' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION base42_eq (base42, base42) RETURNS boolean AS 'int4eq' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION base42_gt (base42, base42) RETURNS boolean AS 'int4gt' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION base42_le (base42, base42) RETURNS boolean AS 'int4le' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION base42_ge (base42, base42) RETURNS boolean AS 'int4ge' LANGUAGE internal IMMUTABLE STRICT;
CREATE OPERATOR < (FUNCTION = base42_lt, LEFTARG = base42, RIGHTARG = base42, COMMUTATOR = >, NEGATOR = >=);
CREATE OPERATOR <= (FUNCTION = base42_le, LEFTARG = base42, RIGHTARG = base42);
CREATE OPERATOR = (FUNCTION = base42_eq, LEFTARG = base42, RIGHTARG = base42, MERGES, HASHES);
CREATE OPERATOR >= (FUNCTION = base42_ge, LEFTARG = base42, RIGHTARG = base42);
CREATE OPERATOR > (FUNCTION = base42_gt, LEFTARG = base42, RIGHTARG = base42);
CREATE OPERATOR CLASS base42_ops DEFAULT FOR TYPE base42 USING btree FAMILY odd_family AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 base42_cmp (base42, base42);
ALTER OPERATOR FAMILY odd_family USING btree ADD FUNCTION 4 (base42, base42) btequalimage (oid);
CREATE INDEX base42_idx ON types_all (b42);
COMMENT ON OPERATOR CLASS base42_ops USING btree IS 'an operator class';
COMMENT ON OPERATOR FAMILY odd_family USING btree IS 'an operator family';
CREATE FUNCTION mood_to_int (mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT length($1::text)';
CREATE CAST (mood AS int) WITH FUNCTION mood_to_int(mood) AS ASSIGNMENT;
CREATE CAST (base42 AS int) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (nested AS text) WITH INOUT;
COMMENT ON CAST (mood AS int) IS 'a cast';
CREATE FUNCTION sample_handler () RETURNS language_handler AS '$libdir/plpgsql', 'plpgsql_call_handler' LANGUAGE c;
CREATE FUNCTION sample_inline (internal) RETURNS void AS '$libdir/plpgsql', 'plpgsql_inline_handler' LANGUAGE c STRICT;
CREATE FUNCTION sample_validator (oid) RETURNS void AS '$libdir/plpgsql', 'plpgsql_validator' LANGUAGE c STRICT;
CREATE LANGUAGE sample_lang HANDLER sample_handler INLINE sample_inline VALIDATOR sample_validator;
CREATE TRUSTED LANGUAGE "sample trusted" HANDLER sample_handler;
COMMENT ON LANGUAGE sample_lang IS 'a language';
GRANT USAGE ON LANGUAGE "sample trusted" TO sample_reader;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO sample_owner, sample_writer;
CREATE FUNCTION in_sample_lang () RETURNS int LANGUAGE sample_lang AS 'BEGIN RETURN 1; END';
CREATE TRANSFORM FOR int LANGUAGE sample_lang (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
CREATE DEFAULT CONVERSION sample_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION sample_conversion IS 'a conversion';

-- ---------------------------------------------------------------- collations and text search
CREATE COLLATION "german ""phone""" (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION case_insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION libc_c (provider = libc, lc_collate = 'C', lc_ctype = 'C.UTF-8');
COMMENT ON COLLATION case_insensitive IS 'a collation';
CREATE TABLE collated_table (a text COLLATE case_insensitive UNIQUE, b text COLLATE "german ""phone""", c text COLLATE libc_c);
INSERT INTO collated_table VALUES ('Abc', 'Ärger', 'x'), ('äbc', 'Azur', NULL);
CREATE INDEX collated_expr ON collated_table ((b || c) COLLATE "C");
CREATE TEXT SEARCH DICTIONARY sample_dict (TEMPLATE = simple, stopwords = english, accept = false);
CREATE TEXT SEARCH DICTIONARY "odd schema".snow (TEMPLATE = snowball, language = german);
CREATE TEXT SEARCH PARSER sample_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE sample_template (LEXIZE = dsimple_lexize, INIT = dsimple_init);
CREATE TEXT SEARCH CONFIGURATION "sample config" (PARSER = "default");
ALTER TEXT SEARCH CONFIGURATION "sample config" ADD MAPPING FOR asciiword, word WITH unaccent, sample_dict, "odd schema".snow;
COMMENT ON TEXT SEARCH CONFIGURATION "sample config" IS 'a configuration';
COMMENT ON TEXT SEARCH DICTIONARY sample_dict IS 'a dictionary';
COMMENT ON TEXT SEARCH PARSER sample_parser IS 'a parser';
COMMENT ON TEXT SEARCH TEMPLATE sample_template IS 'a template';
CREATE INDEX fts ON fk_person USING gin (to_tsvector('"sample config"', department::text));

-- ---------------------------------------------------------------- views and rules
CREATE VIEW z_base AS SELECT id, boss, 'it''s; -- PostgreSQL database dump complete'::text AS "txt ""q""" FROM fk_person;
CREATE VIEW m_on_view WITH (security_barrier, security_invoker = true) AS SELECT v.*, row_number() OVER (ORDER BY id) AS rn FROM z_base v;
CREATE VIEW a_on_view_on_view AS SELECT * FROM m_on_view WHERE id > 0;
CREATE VIEW checked WITH (check_option = cascaded) AS SELECT * FROM fk_person WHERE id > 0;
CREATE VIEW checked_local AS SELECT * FROM checked WHERE boss > 0 WITH LOCAL CHECK OPTION;
ALTER VIEW checked ALTER COLUMN boss SET DEFAULT 1;
CREATE RECURSIVE VIEW recursive_view (id, lvl) AS SELECT id, 1 FROM fk_person WHERE boss = id UNION ALL SELECT p.id, r.lvl + 1 FROM fk_person p JOIN recursive_view r ON p.boss = r.id WHERE r.lvl < 5;
CREATE VIEW view_with_group AS SELECT p.id, p.boss, count(*) FROM fk_person p JOIN fk_department d ON d.head = p.id GROUP BY p.id;
CREATE VIEW view_types AS SELECT id, (co).a AS comp_a, (ne).x AS comp_x, t COLLATE "C" AS tc, jb -> 'a' AS j, ts AT TIME ZONE 'Europe/Berlin' AS z FROM types_all;
COMMENT ON VIEW z_base IS 'a view';
COMMENT ON COLUMN z_base.boss IS 'a view''s column';
ALTER VIEW z_base OWNER TO sample_owner;
GRANT SELECT ON fk_person TO sample_owner;
CREATE MATERIALIZED VIEW mat_populated WITH (fillfactor = 80) AS SELECT id, "txt ""q""" FROM z_base WITH DATA;
CREATE UNIQUE INDEX mat_idx ON mat_populated (id);
CREATE MATERIALIZED VIEW mat_on_mat AS SELECT count(*) AS n FROM mat_populated;
CREATE MATERIALIZED VIEW mat_empty AS SELECT * FROM mat_on_mat WITH NO DATA;
COMMENT ON MATERIALIZED VIEW mat_populated IS 'a materialized view';
GRANT SELECT ON mat_populated TO sample_reader;
CREATE TABLE rule_log (msg text);
CREATE TABLE ruled (id int, v text);
INSERT INTO ruled VALUES (1, 'x');
CREATE RULE "log 'it'" AS ON INSERT TO ruled DO ALSO INSERT INTO rule_log VALUES ('insert; ' || NEW.v);
CREATE RULE no_delete AS ON DELETE TO ruled WHERE OLD.id = 1 DO INSTEAD NOTHING;
CREATE RULE notify_rule AS ON UPDATE TO ruled DO ALSO NOTIFY sample_channel, 'payload';
CREATE RULE view_insert AS ON INSERT TO z_base DO INSTEAD (INSERT INTO fk_person VALUES (NEW.id, NEW.boss) RETURNING id, boss, ''::text);
ALTER TABLE ruled DISABLE RULE no_delete, ENABLE ALWAYS RULE "log 'it'";
COMMENT ON RULE no_delete ON ruled IS 'a rule';

-- ---------------------------------------------------------------- triggers
CREATE FUNCTION trg () RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TABLE "trg table" (id int PRIMARY KEY, v text, n int);
INSERT INTO "trg table" VALUES (1, 'a', 1);
CREATE TRIGGER b_insert BEFORE INSERT ON "trg table" FOR EACH ROW EXECUTE FUNCTION trg('arg', 'it''s', E'\\ \n');
CREATE TRIGGER "a 'odd'" BEFORE INSERT OR UPDATE OF v, n OR DELETE ON "trg table" FOR EACH ROW WHEN (pg_trigger_depth() < 5) EXECUTE FUNCTION trg();
CREATE TRIGGER transition AFTER UPDATE ON "trg table" REFERENCING OLD TABLE AS old_rows NEW TABLE AS "new rows" FOR EACH STATEMENT EXECUTE FUNCTION trg();
CREATE TRIGGER truncated BEFORE TRUNCATE ON "trg table" FOR EACH STATEMENT EXECUTE FUNCTION trg();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON "trg table" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.n > 5) EXECUTE FUNCTION trg();
CREATE TRIGGER instead INSTEAD OF UPDATE ON z_base FOR EACH ROW EXECUTE FUNCTION trg();
CREATE TRIGGER on_part AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION trg();
CREATE TRIGGER disabled_one AFTER INSERT ON "trg table" FOR EACH ROW EXECUTE FUNCTION trg();
CREATE TRIGGER replica_one AFTER INSERT ON "trg table" FOR EACH ROW EXECUTE FUNCTION trg();
CREATE TRIGGER always_one AFTER INSERT ON "trg table" FOR EACH ROW EXECUTE FUNCTION trg();
ALTER TABLE "trg table" DISABLE TRIGGER disabled_one, ENABLE REPLICA TRIGGER replica_one, ENABLE ALWAYS TRIGGER always_one;
ALTER TABLE part_eu_old DISABLE TRIGGER on_part;
COMMENT ON TRIGGER b_insert ON "trg table" IS 'a trigger';

-- ---------------------------------------------------------------- row-level security
CREATE TABLE secured (id int PRIMARY KEY, owner name DEFAULT current_user, v text);
INSERT INTO secured VALUES (1, 'sample_reader', 'mine'), (2, 'nobody', 'not mine');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY "own 'rows'" ON secured USING (owner = current_user) WITH CHECK (v <> 'it''s');
CREATE POLICY reading ON secured AS RESTRICTIVE FOR SELECT TO sample_reader, sample_group USING (id > 0);
COMMENT ON POLICY reading ON secured IS 'a policy';
CREATE TABLE secured_without_policy (id int);
ALTER TABLE secured_without_policy ENABLE ROW LEVEL SECURITY;

-- ---------------------------------------------------------------- foreign data, publications, subscriptions
CREATE FOREIGN DATA WRAPPER sample_fdw NO HANDLER OPTIONS (a 'it''s', "B" 'x');
CREATE SERVER file_server FOREIGN DATA WRAPPER file_fdw;
CREATE SERVER "remote 'server'" TYPE 'pg' VERSION '15' FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.invalid', dbname 'x', port '1');
CREATE USER MAPPING FOR sample_reader SERVER "remote 'server'" OPTIONS (user 'someone', password 'not a real one');
CREATE USER MAPPING FOR PUBLIC SERVER "remote 'server'" OPTIONS (user 'public');
CREATE FOREIGN TABLE foreign_file (line text OPTIONS (force_not_null 'true'), n int NOT NULL) SERVER file_server OPTIONS (filename '/etc/hostname', format 'csv');
CREATE FOREIGN TABLE foreign_remote (id int OPTIONS (column_name 'Id'), v text DEFAULT 'x', CHECK (id > 0)) SERVER "remote 'server'" OPTIONS (schema_name 's', table_name 't');
CREATE FOREIGN TABLE foreign_child () INHERITS (other_parent) SERVER "remote 'server'";
ALTER FOREIGN TABLE foreign_child NO INHERIT other_parent;
COMMENT ON SERVER file_server IS 'a server';
COMMENT ON FOREIGN DATA WRAPPER sample_fdw IS 'a wrapper';
COMMENT ON FOREIGN TABLE foreign_file IS 'a foreign table';
GRANT USAGE ON FOREIGN SERVER file_server TO sample_reader;
GRANT USAGE ON FOREIGN DATA WRAPPER file_fdw TO sample_owner;
GRANT SELECT ON foreign_file TO sample_reader;
CREATE PUBLICATION pub_all FOR ALL TABLES WITH (publish = 'insert, truncate');
CREATE PUBLICATION "pub 'some'" FOR TABLE fk_pair (a, b), ONLY parent, secured WHERE (id > 5) WITH (publish_via_partition_root = true);
CREATE PUBLICATION pub_schema FOR TABLE ruled, TABLES IN SCHEMA empty_schema, "odd schema";
CREATE PUBLICATION pub_empty;
COMMENT ON PUBLICATION pub_all IS 'a publication';
CREATE SUBSCRIPTION "sub 'odd'" CONNECTION 'host=nowhere.invalid dbname=x' PUBLICATION "p 1", p2
  WITH (connect = false, slot_name = NONE, binary = true, streaming = true, synchronous_commit = 'remote_apply');
COMMENT ON SUBSCRIPTION "sub 'odd'" IS 'a subscription';

-- ---------------------------------------------------------------- large objects
SELECT lo_create(500001), lo_create(500002), lo_create(500003);
SELECT lo_put(500001, 0, (SELECT string_agg(decode(lpad(to_hex(n % 256), 2, '0'), 'hex'), '' ORDER BY n) FROM generate_series(0, 99999) AS n));
SELECT lo_put(500002, 5000, 'after a hole'::bytea);
COMMENT ON LARGE OBJECT 500001 IS 'a large object''s comment';
ALTER LARGE OBJECT 500001 OWNER TO sample_owner;
GRANT SELECT, UPDATE ON LARGE OBJECT 500001 TO sample_reader;
CREATE TABLE with_lo (id int, content lo);
INSERT INTO with_lo VALUES (1, 500001);
CREATE TRIGGER lo_cleanup BEFORE UPDATE OR DELETE ON with_lo FOR EACH ROW EXECUTE FUNCTION lo_manage(content);

-- ---------------------------------------------------------------- grants and default privileges
GRANT SELECT, INSERT ON fk_person TO sample_reader WITH GRANT OPTION;
GRANT SELECT ON ALL TABLES IN SCHEMA "odd schema" TO "Sample ""odd"" role";
GRANT SELECT (id, t), UPDATE (t), REFERENCES (id) ON types_all TO sample_reader;
GRANT ALL ON fk_department TO PUBLIC;
GRANT SELECT ON pg_catalog.pg_authid TO sample_reader;
REVOKE ALL ON fk_pair FROM postgres;
SET ROLE sample_owner;
GRANT SELECT ON "odd schema"."Table with ""everything""" TO sample_writer;
RESET ROLE;
ALTER DEFAULT PRIVILEGES FOR ROLE sample_owner IN SCHEMA "odd schema" GRANT SELECT ON TABLES TO sample_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE sample_owner GRANT USAGE ON SEQUENCES TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE sample_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE sample_owner REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE sample_owner GRANT CREATE ON SCHEMAS TO sample_writer;

-- ---------------------------------------------------------------- event triggers (last: they fire on what follows)
CREATE FUNCTION ev_trg () RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER ev_end ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION ev_trg();
CREATE EVENT TRIGGER "ev 'odd'" ON sql_drop EXECUTE FUNCTION ev_trg();
ALTER EVENT TRIGGER "ev 'odd'" DISABLE;
COMMENT ON EVENT TRIGGER ev_end IS 'an event trigger';
