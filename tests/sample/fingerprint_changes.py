"""What can go wrong in a restore, done to the samples one by one: the fingerprint has to notice every one of them."""

from __future__ import annotations

# What happened, the SQL that does it, and what the report has to name. They are done one after the other.
Change = tuple[str, str, str]

MYSQL_FAMILY: tuple[Change, ...] = (
    ("a row is missing", "DELETE FROM types_text WHERE id = 6", "contents / types_text / rows"),
    ("a row is doubled", "INSERT INTO a_child VALUES (2, 'y')", "contents / a_child / rows"),
    ("a number changed", "UPDATE `select` SET `where` = 3", "contents / select / checksum"),
    (
        "two rows swapped a value",
        "UPDATE fk_department SET head_id = 5 - head_id WHERE id < 3",
        "contents / fk_department / checksum",
    ),
    (
        "a byte of a blob changed",
        "UPDATE types_binary SET lb = INSERT(lb, 200, 1, 0x00) WHERE id = 3",
        "contents / types_binary / checksum",
    ),
    (
        "a byte deep in a long text changed",
        "UPDATE big_values SET txt = INSERT(txt, 1048570, 1, 'b') WHERE id = 3",
        "contents / big_values / checksum",
    ),
    (
        "a blank at the end",
        "UPDATE types_text SET vc = CONCAT(vc, ' ') WHERE id = 3",
        "contents / types_text / checksum",
    ),
    ("NULL became empty", "UPDATE types_text SET vc = '' WHERE id = 1", "contents / types_text / checksum"),
    (
        "NULL moved to another column",
        "UPDATE types_text SET vc = NULL, tt = '' WHERE id = 1",
        "contents / types_text / checksum",
    ),
    (
        "a capital became small",
        "UPDATE columns_special SET first_name = 'ada' WHERE id = 1",
        "contents / columns_special / checksum",
    ),
    (
        "an invisible column changed",
        "UPDATE columns_special SET hidden = 2 WHERE id = 1",
        "contents / columns_special / checksum",
    ),
    (
        "the last digit of a float",
        "UPDATE types_number SET f = 1024.0001 WHERE id = 5",
        "contents / types_number / checksum",
    ),
    (
        "a microsecond",
        "UPDATE types_time SET dt6 = '9999-12-31 23:59:59.999998' WHERE id = 3",
        "contents / types_time / checksum",
    ),
    (
        "auto_increment set back",
        "ALTER TABLE columns_special AUTO_INCREMENT = 500",
        "auto_increment / columns_special: was",
    ),
    ("a trigger is missing", "DROP TRIGGER trg_au", "triggers / `trg_au`: missing"),
    (
        "a trigger came later",
        "DROP TRIGGER trg_bi1; CREATE TRIGGER trg_bi1 BEFORE INSERT ON `trg table` FOR EACH ROW SET NEW.n = 1",
        "triggers / `trg_bi1` / ACTION_ORDER",
    ),
    (
        "a routine changed",
        "DROP FUNCTION fn_cp1251; CREATE FUNCTION fn_cp1251 () RETURNS VARCHAR(50) DETERMINISTIC RETURN 'x'",
        "definitions / FUNCTION `fn_cp1251`",
    ),
    ("a view is missing", "DROP VIEW view_window", "views / `view_window`: missing"),
    ("an event was enabled", "ALTER EVENT ev_disabled ENABLE", "events / `ev_disabled` / STATUS"),
    (
        "a grant is missing",
        "REVOKE SELECT ON `100%_wild` FROM 'sample_reader'@'%'",
        "on tables_priv: 100%_wild: missing",
    ),
    (
        "a grant on a column is missing",
        "REVOKE UPDATE (`it's`) ON columns_special FROM 'sample_reader'@'%'",
        "columns_special it's: missing",
    ),
    (
        "a grant on the database is missing",
        "REVOKE INSERT ON * FROM 'sample_owner'@'localhost'",
        "`localhost` on db:  / Insert_priv: missing",
    ),
    ("a comment changed", "ALTER TABLE types_text COMMENT = 'other'", "tables / `types_text` / TABLE_COMMENT"),
    (
        "an index is missing",
        "DROP INDEX desc_idx ON columns_special",
        "indexes / `columns_special` `desc_idx` `1`: missing",
    ),
    (
        "a foreign key is missing",
        "ALTER TABLE fk_person DROP FOREIGN KEY fk_boss",
        "foreign keys / `fk_person` `fk_boss`: missing",
    ),
    (
        "a check is missing",
        "ALTER TABLE columns_special DROP CONSTRAINT `positive length`",
        "definitions / TABLE `columns_special` / Create Table",
    ),
    (
        "a default changed",
        "ALTER TABLE columns_special ALTER hidden SET DEFAULT 8",
        "columns / `columns_special` `hidden` / COLUMN_DEFAULT",
    ),
    (
        "one partition more",
        "ALTER TABLE part_list_columns ADD PARTITION (PARTITION more VALUES IN ('x'))",
        "partitions / `part_list_columns` `more`",
    ),
    ("another default collation", "ALTER DATABASE COLLATE latin1_bin", "settings /  / DEFAULT_COLLATION_NAME"),
)
MARIADB: tuple[Change, ...] = (
    ("a sequence is set back", "ALTER SEQUENCE seq_plain RESTART 500", "sequences / seq_plain / next_not_cached_value"),
    (
        "history is missing",
        "DELETE HISTORY FROM versioned_limit BEFORE SYSTEM_TIME '2021-12-31'",
        "contents / versioned_limit / rows",
    ),
    (
        "history says another time",
        """SET system_versioning_insert_history = 1; INSERT INTO versioned_limit (id, v, row_start, row_end)
        VALUES (1, 'first', '2020-01-01 00:00:00', '2021-06-01 12:34:56.654322')""",
        "contents / versioned_limit / rows",
    ),
    (
        "a package is missing",
        "SET sql_mode = ORACLE; DROP PACKAGE BODY pkg",
        "routines / `PACKAGE BODY` `pkg`: missing",
    ),
    ("the database's comment is missing", "ALTER DATABASE COMMENT ''", "settings /  / SCHEMA_COMMENT"),
)
MYSQL: tuple[Change, ...] = (
    ("a library is missing", "DROP LIBRARY sample_library", "libraries / `sample_library`: missing"),
    (
        "a generated key changed",
        "UPDATE generated_key SET my_row_id = 99 WHERE my_row_id = 3",
        "contents / generated_key / checksum",
    ),
    (
        "a JSON number became a string",
        "UPDATE types_text SET j = '\"1\"' WHERE id = 2",
        "contents / types_text / checksum",
    ),
)
POSTGRESQL: tuple[Change, ...] = (
    (
        "a row is missing",
        "DELETE FROM no_columns WHERE ctid = (SELECT max(ctid) FROM no_columns)",
        "contents / public.no_columns / rows",
    ),
    (
        "a byte of a bytea changed",
        "UPDATE types_all SET by = set_byte(by, 200, 0) WHERE id = 5",
        "contents / public.types_all / checksum",
    ),
    (
        "a byte deep in a long text changed",
        "UPDATE big_values SET txt = overlay(txt placing 'X' from 2000000) WHERE id = 1",
        "contents / public.big_values / checksum",
    ),
    ("the last bit of a float", "UPDATE types_all SET d = 0.3 WHERE id = 5", "contents / public.types_all / checksum"),
    (
        "a zero at the end of a number",
        "UPDATE types_all SET n = 1.1 WHERE id = 6",
        "contents / public.types_all / checksum",
    ),
    ("NULL became empty", "UPDATE types_all SET t = '' WHERE id = 1", "contents / public.types_all / checksum"),
    (
        "a row behind row-level security is missing",
        "DELETE FROM secured WHERE id = 2",
        "contents / public.secured / rows",
    ),
    (
        "a row went to the parent",
        "INSERT INTO parent SELECT 77, v FROM ONLY child; DELETE FROM child WHERE own = 3",
        "contents / public.child / rows",
    ),
    (
        "a byte of a large object changed",
        "SELECT lo_put(500001, 70000, 'X')",
        "pg_largeobject_metadata / 500001 / content",
    ),
    (
        "a large object's grant is missing",
        "REVOKE SELECT ON LARGE OBJECT 500001 FROM sample_reader",
        "pg_largeobject_metadata / 500001 / lomacl",
    ),
    ("a sequence is set back", "SELECT setval('seq_set', 1, false)", "positions / public.seq_set / last_value"),
    (
        "a sequence's value counts as used",
        "SELECT setval('seq_set', 1, true)",
        "positions / public.seq_set / is_called",
    ),
    (
        "a trigger is missing",
        'DROP TRIGGER truncated ON "trg table"',
        'trigger truncated on public."trg table": missing',
    ),
    (
        "a trigger is disabled",
        'ALTER TABLE "trg table" DISABLE TRIGGER late',
        'trigger late on public."trg table" / tgenabled',
    ),
    (
        "a routine changed",
        "CREATE OR REPLACE FUNCTION mood_to_int (mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
        "public.mood_to_int(public.mood) / definition",
    ),
    ("a grant is missing", "REVOKE INSERT ON fk_person FROM sample_reader", "table public.fk_person / relacl"),
    (
        "a grant option is missing",
        "REVOKE GRANT OPTION FOR SELECT ON fk_person FROM sample_reader",
        "table public.fk_person / relacl",
    ),
    (
        "a grant on a column is missing",
        "REVOKE UPDATE (t) ON types_all FROM sample_reader",
        "columns / public.types_all.t / privileges",
    ),
    (
        "default privileges are missing",
        """ALTER DEFAULT PRIVILEGES FOR ROLE sample_owner IN SCHEMA "odd schema"
        REVOKE SELECT ON TABLES FROM sample_reader""",
        "pg_default_acl",
    ),
    ("a comment changed", "COMMENT ON VIEW z_base IS 'other'", "comments / view public.z_base"),
    (
        "a comment is missing",
        "COMMENT ON COLUMN z_base.boss IS NULL",
        "comments / view column public.z_base.boss: missing",
    ),
    ("an owner changed", "ALTER TYPE base42 OWNER TO sample_writer", "type public.base42 / typowner"),
    ("a policy changed", "ALTER POLICY reading ON secured USING (id > 1)", "reading on public.secured / using"),
    ("a default changed", "ALTER TABLE ONLY parent ALTER v SET DEFAULT 'other'", "columns / public.parent.v / default"),
    ("foreign keys are switched off", "ALTER TABLE fk_to_pair DISABLE TRIGGER ALL", "disabled foreign keys"),
    ("an enum has one more label", "ALTER TYPE mood ADD VALUE 'more'", "type public.mood / labels"),
    (
        "a materialized view is empty",
        "REFRESH MATERIALIZED VIEW mat_on_mat WITH NO DATA",
        "contents / public.mat_on_mat: missing",
    ),
    ("an index is missing", 'DROP INDEX "odd schema".gin_doc', 'pg_index / "odd schema".gin_doc: missing'),
    ("an extension is missing", "DROP EXTENSION tablefunc", "pg_extension / extension tablefunc: missing"),
    ("a setting of the database", "ALTER DATABASE {database} SET work_mem = '13MB'", "settings / every role"),
    (
        "a setting of a role in it",
        "ALTER ROLE sample_reader IN DATABASE {database} RESET ALL",
        "settings / sample_reader: missing",
    ),
    (
        "a privilege on the database",
        "REVOKE CREATE ON DATABASE {database} FROM sample_owner",
        "database / database / privileges",
    ),
)
