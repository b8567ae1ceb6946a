# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows without definitions: all of them come into tables that are there and empty, as they were, or none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers import Host, Server

from vya_backupdb.core import restore
from vya_backupdb.errors import BackupDbError, ConfigError, RestoreError

NAME = "vya_rows"
SIDE = "vya_rows_side"
ODD = 'it\'s a "t`a.b%sle";'
TABLES = {
    "mysql": """
CREATE TABLE parent (id integer PRIMARY KEY, label varchar(100) CHARACTER SET latin1 UNIQUE);
CREATE TABLE child (
    id integer AUTO_INCREMENT PRIMARY KEY, parent_id integer, self_id integer, label varchar(200),
    amount decimal(10, 2), ratio double, made timestamp(6) NULL, day date, raw blob, feels enum('good', 'bad'),
    doubled decimal(12, 2) AS (amount * 2), bits bit(5), doc json,
    CONSTRAINT to_parent FOREIGN KEY (parent_id) REFERENCES parent (id),
    CONSTRAINT to_self FOREIGN KEY (self_id) REFERENCES child (id)
);
CREATE TABLE ODD (a integer, `b``c` varchar(20));
CREATE VIEW labels AS SELECT label FROM child;
""",
    "postgresql": """
CREATE SCHEMA "other schema";
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE pair AS (feels mood, at timestamptz);
CREATE SEQUENCE shared;
CREATE TABLE parent (id integer PRIMARY KEY, label text) PARTITION BY RANGE (id);
CREATE TABLE parent_low PARTITION OF parent FOR VALUES FROM (0) TO (2);
CREATE TABLE parent_high PARTITION OF parent FOR VALUES FROM (2) TO (100);
CREATE TABLE child (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_id integer CONSTRAINT to_parent REFERENCES parent, self_id integer CONSTRAINT to_self REFERENCES child,
    label text, amount numeric(10, 2), ratio double precision, made timestamptz, day date, raw bytea, feels mood,
    doubled numeric GENERATED ALWAYS AS (amount * 2) STORED, bits bit(5), doc jsonb, span interval, price money,
    pairs pair[]
);
CREATE TABLE "other schema".ODD (a integer DEFAULT nextval('shared'), "b`c" text);
CREATE TABLE nothing ();
CREATE VIEW labels AS SELECT label FROM child;
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.label = upper(NEW.label); RETURN NEW; END $$;
""",
}
ROWS = {
    "mysql": r"""
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0;
INSERT INTO parent VALUES (1, 'one'), (2, 'Käse'), (0, '');
INSERT INTO child (id, parent_id, self_id, label, amount, ratio, made, day, raw, feels, bits, doc) VALUES
    (1, 1, 3, 'a\\b\tc\nd\0', 1.25, 0.1, '2026-03-29 01:30:00.123456', '0000-00-00', x'00ff0a5c', 'good', b'10101',
     '{"a": [1, "é"]}'),
    (2, 2, NULL, '\\.', -99999999.99, 1e300, NULL, '2024-02-29', NULL, NULL, NULL, NULL),
    (3, NULL, 3, '🧀 INSERT INTO `parent` VALUES (9);', 0, -0.3333333333333333, NULL, NULL, '', 'bad', b'0', '[]');
INSERT INTO child (id) VALUES (40); DELETE FROM child WHERE id = 40;
INSERT INTO ODD VALUES (0, 'x'), (NULL, NULL);
""",
    "postgresql": r"""
INSERT INTO parent VALUES (1, 'one'), (2, 'Käse'), (0, '');
INSERT INTO child
    (parent_id, self_id, label, amount, ratio, made, day, raw, feels, bits, doc, span, price, pairs)
VALUES
    (1, 3, E'a\\b\tc\nd', 1.25, 0.1, '2026-03-29 01:30:00.123456+02', '4000-01-01 BC', '\x00ff0a5c', 'good', '10101',
     '{"a": [1, "é"]}', '-1 year 3 days', '12.34', ARRAY[('good', now())::pair]),
    (2, NULL, E'\\.', -99999999.99, 1e300, 'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (NULL, 3, '🧀 COPY parent FROM stdin;', 0, 'NaN', NULL, NULL, '', 'bad', '00000', '[]', '0', '-1', '{}');
INSERT INTO child DEFAULT VALUES; DELETE FROM child WHERE id = 4;
INSERT INTO "other schema".ODD ("b`c") VALUES ('x'), (NULL);
INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
""",
}
READ = {
    "mysql": "SELECT * FROM parent ORDER BY id; SELECT * FROM ODD ORDER BY a; SELECT id, parent_id, self_id, label,"
    " amount, ratio, made, day, HEX(raw), feels, doubled, HEX(bits), doc FROM child ORDER BY id;",
    "postgresql": 'SELECT * FROM parent ORDER BY id; SELECT * FROM child ORDER BY id; SELECT * FROM "other schema".ODD'
    " ORDER BY a; SELECT count(*) FROM nothing;",
}
NEXT = {
    "mysql": "INSERT INTO child (label) VALUES ('new'); SELECT LAST_INSERT_ID();",
    "postgresql": "INSERT INTO child (label) VALUES ('new') RETURNING id; SELECT nextval('shared');",
}


def written(server: Server, statements: str) -> str:
    return statements.replace("ODD", server.quoted(ODD))


def table(server: Server, name: str) -> str:
    return name if server.kind == "mysql" else f"public.{name}"


@pytest.fixture
def rows(server: Server, make_database: Callable[..., str]) -> Iterator[str]:
    """A database with values of many types, rows that refer to later ones, and numbers that are used up."""
    name = make_database(NAME, written(server, TABLES[server.kind]))
    make_database(SIDE)
    server.drop(SIDE)
    server.sql(written(server, ROWS[server.kind]), name)
    yield name
    server.drop(NAME)
    server.drop(SIDE)


def back_up(host: Host, server: Server, **policy: Any) -> None:
    if policy:
        host.write(policies=[{"name": "nightly", "instances": [server.database_id], **policy}])
    report = host.engine().backup(database_id=server.database_id, databases=[NAME])
    assert report.ok, report.to_dict()


def restored(host: Host, server: Server, **more: Any) -> dict[str, Any]:
    more = {"target": SIDE, "content": "data", **more}
    return host.engine().restore(database_id=server.database_id, database=NAME, **more).to_dict()


def refused(host: Host, server: Server, match: str, **more: Any) -> None:
    before = counted(server, "parent"), counted(server, "child")
    with pytest.raises(RestoreError, match=match):
        restored(host, server, **more)
    assert (counted(server, "parent"), counted(server, "child")) == before
    assert beside(host, server) == []


def beside(host: Host, server: Server) -> list[str]:
    dbms = host.engine()._context.connect(host.engine().config.instance(server.database_id))
    return [name for name in dbms.all_databases() if name.startswith(f"{NAME}_") and name != SIDE]


def counted(server: Server, name: str) -> str:
    return server.sql(f"SELECT COUNT(*) FROM {name};", SIDE)


@pytest.mark.parametrize("policy", [{}, {"strategy": "parallel"}], ids=["stream", "directory"])
def test_rows_come_as_they_were_into_tables_that_are_there(
    server: Server, host: Host, rows: str, policy: dict[str, Any]
) -> None:
    if policy and server.kind == "mysql":
        policy = {"compression": {"algorithm": "zstd"}}  # there are no directories
    back_up(host, server, **policy)
    restored(host, server, content="schema")
    if server.kind == "postgresql":  # whose triggers do not act, and formats do not matter
        for name in ("origin", "always", "replica"):
            server.sql(f"CREATE TRIGGER {name} BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION shout();", SIDE)
        server.sql("ALTER TABLE child ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica;", SIDE)
        server.sql(
            f"ALTER DATABASE {SIDE} SET datestyle = 'SQL, DMY'; ALTER DATABASE {SIDE} SET bytea_output = 'escape';"
        )
    empty = server.sql(written(server, READ[server.kind]), SIDE)
    planned = restored(host, server, dry_run=True)
    assert planned["overwritten"] is False
    assert server.sql(written(server, READ[server.kind]), SIDE) == empty
    report = restored(host, server)
    if server.kind == "postgresql":
        server.sql(f"ALTER DATABASE {SIDE} RESET ALL;")
    read = written(server, READ[server.kind])
    assert server.sql(read, SIDE) == server.sql(read, rows) != empty
    assert (report["content"], report["differences"], report["warnings"]) == ("data", [], [])
    assert beside(host, server) == []
    if server.kind == "postgresql":
        enabled = "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1;"
        assert server.sql(enabled, SIDE).split() == ["always|A", "origin|O", "replica|R"]
    assert server.sql(NEXT[server.kind], SIDE) == server.sql(NEXT[server.kind], rows)


def test_rows_come_back_into_the_database_that_lost_them(server: Server, host: Host, rows: str) -> None:
    back_up(host, server)
    read = written(server, READ[server.kind])
    before = server.sql(read, rows)
    emptied = "SET foreign_key_checks = 0; DELETE FROM child; DELETE FROM parent; DELETE FROM ODD;"
    if server.kind == "postgresql":
        emptied = 'TRUNCATE parent, child, "other schema".ODD, nothing;'
    server.sql(written(server, emptied), rows)
    restored(host, server, target=None)
    assert server.sql(read, rows) == before


def test_rows_of_one_table(server: Server, host: Host, rows: str) -> None:
    back_up(host, server)
    restored(host, server, content="schema")
    refused(host, server, "to_parent.*No rows were added", tables=[table(server, "child")])
    restored(host, server, tables=[table(server, "parent")])
    assert (counted(server, "parent"), counted(server, "child")) == ("3", "0")
    restored(host, server, tables=[table(server, "child")])
    assert server.sql("SELECT id, label FROM child ORDER BY id;", SIDE) == server.sql(
        "SELECT id, label FROM child ORDER BY id;", rows
    )


CHANGED = {
    "there is no table .*child": "DROP VIEW labels; DROP TABLE child;",
    "the table .*parent has rows": "INSERT INTO parent VALUES (1, 'here');",
    "the table .*child has no column day": "ALTER TABLE child DROP COLUMN day;",
    "the column amount of .*child is": "ALTER TABLE child ADD COLUMN was integer;",  # and what stands in OTHER_TYPE
    "No rows were added": "ALTER TABLE child ADD CONSTRAINT small CHECK (amount < 1);",
}
OTHER_TYPE = {
    "mysql": "ALTER TABLE child DROP COLUMN doubled, MODIFY COLUMN amount decimal(10, 1);",
    "postgresql": "ALTER TABLE child DROP COLUMN doubled; ALTER TABLE child ALTER COLUMN amount TYPE numeric(10, 1);",
}


@pytest.mark.parametrize("reason", CHANGED)
def test_tables_that_do_not_fit_get_no_rows(server: Server, host: Host, rows: str, reason: str) -> None:
    back_up(host, server)
    restored(host, server, content="schema")
    server.sql(OTHER_TYPE[server.kind] if "amount of" in reason else CHANGED[reason], SIDE)
    if "no table" in reason:
        with pytest.raises(RestoreError, match=reason):
            restored(host, server)
        return
    refused(host, server, reason)


def test_a_client_that_is_ended_once_the_rows_are_in_is_not_said_to_have_added_none(
    server: Server, host: Host, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(host, server)
    restored(host, server, content="schema")
    load = restore.load_chunks

    def ended(*arguments: Any, **more: Any) -> str:
        load(*arguments, **more)
        raise RestoreError("The restore was stopped.")

    monkeypatch.setattr(restore, "load_chunks", ended)
    with pytest.raises(RestoreError, match=r"Whether the rows were added to 'vya_rows_side', .*parent has rows"):
        restored(host, server)
    assert counted(server, "parent") == "3"
    assert beside(host, server) == []


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_triggers_that_cannot_be_kept_from_acting_are_a_reason(server: Server, host: Host, rows: str) -> None:
    back_up(host, server)
    restored(host, server, content="schema")
    server.sql("CREATE TRIGGER loud BEFORE INSERT ON child FOR EACH ROW SET NEW.label = UPPER(NEW.label);", SIDE)
    refused(host, server, "the trigger loud of .*child")
    restored(host, server, tables=[table(server, "parent")])


def test_rows_need_a_database_and_overwrite_nothing(server: Server, host: Host, rows: str) -> None:
    back_up(host, server)
    with pytest.raises(RestoreError, match="There is no database 'vya_rows_side'"):
        restored(host, server)
    with pytest.raises(ConfigError, match="nothing to overwrite"):
        restored(host, server, overwrite=True)
    with pytest.raises(RestoreError, match="has rows"):
        restored(host, server, target=None)
    with pytest.raises(BackupDbError, match="no table"):
        restored(host, server, tables=["nowhere"])


def test_what_no_table_holds_is_told(server: Server, host: Host, rows: str) -> None:
    if server.kind == "postgresql":
        server.sql("CREATE MATERIALIZED VIEW kept AS SELECT label FROM child; SELECT lo_create(0);", rows)
        expected = {"Materialized views were not refreshed: public.kept.", "Large objects are no rows"}
    elif server.flavour == "mariadb":
        server.sql("CREATE SEQUENCE numbers;", rows)
        expected = {"Sequences stay where they stand: numbers."}
    else:
        expected = set()
    back_up(host, server)
    restored(host, server, content="schema")
    said = " ".join(restored(host, server)["warnings"])
    assert all(sentence in said for sentence in expected)
    assert bool(said) == bool(expected)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_rows_of_the_past_stay_rows_of_the_past(server: Server, host: Host, rows: str) -> None:
    if server.flavour != "mariadb":
        pytest.skip("MySQL has no system-versioned tables")
    explicit = (
        "CREATE TABLE named (a integer, s timestamp(6) GENERATED ALWAYS AS ROW START,"
        " e timestamp(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;"
    )
    server.sql(f"CREATE TABLE past (a integer) WITH SYSTEM VERSIONING; {explicit}", rows)
    for name in ("past", "named"):
        server.sql(f"INSERT INTO {name} (a) VALUES (1), (2); UPDATE {name} SET a = 3 WHERE a = 1;", rows)
    back_up(host, server)
    restored(host, server, content="schema")
    restored(host, server)
    for read in (
        "SELECT *, row_start, row_end FROM past FOR SYSTEM_TIME ALL ORDER BY a;",
        "SELECT * FROM named FOR SYSTEM_TIME ALL ORDER BY a;",
    ):
        assert server.sql(read, SIDE) == server.sql(read, rows)
        assert len(server.sql(read, SIDE).splitlines()) == 3


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_the_sample(server: Server, host: Host, make_database: Callable[..., str]) -> None:
    """All kinds of values of all kinds of tables; the sample's own triggers do not act."""
    make_database(SIDE)
    server.drop(SIDE)
    server.drop(NAME)
    server.load_sample(NAME)
    try:
        back_up(host, server)
        restored(host, server, content="schema")
        report = restored(host, server)
        assert report["differences"] == []
        expected, found = server.fingerprint(NAME), server.fingerprint(SIDE)
        assert found["positions"] == expected["positions"]
        filled = {name: sums for name, sums in expected["contents"].items() if ".mat_" not in name}
        assert len(filled) > 10
        assert {name: found["contents"].get(name) for name in filled} == filled
    finally:
        server.drop(NAME)
