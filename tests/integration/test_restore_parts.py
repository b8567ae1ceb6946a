# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of an artifact, restored into a database of their own: what was asked for is as it was, and alone there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Host, Server

from vya_backupdb.core import key_plan, load_plan, segmentation
from vya_backupdb.db.mysql import MySql
from vya_backupdb.db.postgresql import PostgreSql
from vya_backupdb.errors import ArtifactError, BackupDbError, ConfigError, RestoreError

SIDE = "vya_side"
NAME = "vya_parts"
ODD = 'it\'s a "t`a.ble"; -- Dump completed'
FAMILY = {
    "mysql": """
CREATE TABLE before_it (id integer PRIMARY KEY, label varchar(100));
CREATE TABLE parent (id integer PRIMARY KEY, label varchar(100) UNIQUE);
CREATE TABLE child (
    id integer AUTO_INCREMENT PRIMARY KEY, parent_id integer, label varchar(100),
    KEY by_label (label), CONSTRAINT to_parent FOREIGN KEY (parent_id) REFERENCES parent (id)
);
CREATE TABLE ODD (id integer PRIMARY KEY, label varchar(100));
CREATE TRIGGER of_child BEFORE INSERT ON child FOR EACH ROW SET NEW.label = UPPER(NEW.label);
CREATE TRIGGER of_parent BEFORE INSERT ON parent FOR EACH ROW SET NEW.label = UPPER(NEW.label);
CREATE VIEW of_both AS SELECT c.id FROM child c JOIN parent p ON p.id = c.parent_id;
CREATE PROCEDURE routine () SELECT 1;
""",
    "postgresql": """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 100);
CREATE SEQUENCE shared START 500;
CREATE TABLE before_it (id serial PRIMARY KEY, label text);
CREATE TABLE parent (id integer PRIMARY KEY, label text UNIQUE);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.label = upper(NEW.label); RETURN NEW; END $$;
CREATE FUNCTION needs_parent(p parent) RETURNS text LANGUAGE sql AS $$ SELECT p.label $$;
CREATE TABLE child (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, old_id serial, number integer DEFAULT nextval('shared'),
    parent_id integer CONSTRAINT to_parent REFERENCES parent, label short, feels mood DEFAULT 'good',
    CONSTRAINT not_odd CHECK (label <> 'odd')
);
CREATE INDEX by_label ON child (label);
CREATE STATISTICS both_columns ON parent_id, label FROM child;
CREATE TABLE ODD (id integer PRIMARY KEY, label text);
CREATE TABLE parted (id integer PRIMARY KEY, label text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (100);
CREATE INDEX parted_label ON parted (label);
INSERT INTO parted VALUES (1, 'low'), (11, 'high'), (12, 'high');
CREATE TRIGGER of_child BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER of_parent BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION shout();
CREATE VIEW of_both AS SELECT c.id FROM child c JOIN parent p ON p.id = c.parent_id;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM parent;
ALTER TABLE child ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON child USING (label <> 'hidden');
COMMENT ON COLUMN child.label IS 'it''s a label';
COMMENT ON INDEX by_label IS 'an index';
GRANT SELECT ON child TO vya_reader;
GRANT UPDATE (label) ON child TO vya_reader;
GRANT SELECT ON parent TO vya_reader;
""",
}
HOSTILE = "INSERT INTO `child` VALUES (1);\nCOPY public.child (id) FROM stdin;\nCREATE TABLE x (id int);"


def named(server: Server, *tables: str) -> list[str]:
    return [table if server.kind == "mysql" else f"public.{table}" for table in tables]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


only_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


@pytest.fixture
def family(server: Server, make_database: Callable[..., str]) -> Iterator[str]:
    """A database of tables that belong together, in which names and rows look like something else."""
    if server.kind == "postgresql":
        server.sql("DROP ROLE IF EXISTS vya_reader; CREATE ROLE vya_reader;")
    else:
        server.sql("CREATE USER IF NOT EXISTS vya_reader@localhost;")
    name = make_database(NAME, FAMILY[server.kind].replace("ODD", server.quoted(ODD)))
    make_database(SIDE)
    server.drop(SIDE)
    rows = ",".join(f"({number},{quoted(f'parent {number}')})" for number in range(1, 300))
    server.sql(f"INSERT INTO parent (id, label) VALUES {rows};", name)
    rows = ",".join(f"({number},{quoted(HOSTILE + 'x')})" for number in range(1, 300))
    server.sql(f"INSERT INTO child (parent_id, label) VALUES {rows};", name)
    for table in ("before_it", ODD):
        server.sql(f"INSERT INTO {server.quoted(table)} (id, label) VALUES (1, {quoted(HOSTILE)}), (2, 'b');", name)
    if server.kind == "mysql":
        server.sql(
            f"GRANT SELECT ON {NAME}.child TO vya_reader@localhost;"
            f"GRANT UPDATE (label) ON {NAME}.child TO vya_reader@localhost;"
            f"GRANT SELECT ON {NAME}.parent TO vya_reader@localhost;"
        )
    yield name
    server.drop(name)
    server.drop(SIDE)
    server.sql("DROP ROLE vya_reader;" if server.kind == "postgresql" else "DROP USER vya_reader@localhost;")


LARGE = 16_000_000


@pytest.fixture(
    params=[(1, 20_000, 0), (2_000, 5_000, 0), (LARGE, LARGE, LARGE)],  # encrypted ones are loaded by one client always
    ids=["several clients", "several clients, some segments of several tables", "few segments"],
)
def segments(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, rows, worth_sharing = request.param
    monkeypatch.setattr(segmentation, "SHARED_BYTES", shared)
    monkeypatch.setattr(segmentation, "ROWS_BYTES", rows)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", worth_sharing)
    monkeypatch.setattr(key_plan, "KEYS_ROWS", worth_sharing)


def restored(host: Host, server: Server, *tables: str, **more: Any) -> dict[str, Any]:
    return (
        host.engine()
        .restore(database_id=server.database_id, database=NAME, target=SIDE, tables=named(server, *tables), **more)
        .to_dict()
    )


def back_up(host: Host, server: Server) -> None:
    report = host.engine().backup(database_id=server.database_id, databases=[NAME])
    assert report.ok, report.to_dict()


def in_directories(server: Server) -> dict[str, Any]:
    if server.kind == "mysql":
        pytest.skip("there are no directories")
    return {"instances": [server.database_id], "strategy": "parallel"}


DEFINED = {
    "mysql": [
        "SHOW CREATE TABLE child;",
        (
            "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, SQL_MODE, DEFINER"
            " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = 'child';"
        ),
        (
            "SELECT TABLE_NAME, PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_NAME = 'child';"
        ),
        (
            "SELECT COLUMN_NAME, PRIVILEGE_TYPE FROM information_schema.COLUMN_PRIVILEGES"
            " WHERE TABLE_SCHEMA = DATABASE();"
        ),
    ],
    "postgresql": [
        (
            "SELECT attname, format_type(atttypid, atttypmod), attidentity, col_description(attrelid, attnum), attacl"
            " FROM pg_attribute WHERE attrelid = 'child'::regclass AND attnum > 0 ORDER BY 1;"
        ),
        (
            "SELECT indexdef, obj_description(quote_ident(indexname)::regclass) FROM pg_indexes"
            " WHERE tablename = 'child' ORDER BY 1;"
        ),
        (
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'child'::regclass"
            " AND contype IN ('p', 'u', 'c') ORDER BY 1;"
        ),
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'child'::regclass AND NOT tgisinternal;",
        "SELECT relacl, relrowsecurity, pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'child'::regclass;",
        "SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy;",
        "SELECT stxname FROM pg_statistic_ext;",
        "SELECT last_value FROM child_id_seq; SELECT last_value FROM child_old_id_seq; SELECT last_value FROM shared;",
    ],
}
TABLES = {
    "mysql": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1;",
    "postgresql": "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " AND relkind IN ('r', 'p', 'v', 'm') ORDER BY relname COLLATE \"C\";",
}


@pytest.mark.usefixtures("segments")
def test_a_table_comes_with_what_belongs_to_it_and_alone(server: Server, host: Host, family: str) -> None:
    back_up(host, server)
    report = restored(host, server, "child")
    assert server.sql(TABLES[server.kind], SIDE) == "child"
    rows = "SELECT * FROM child ORDER BY id;"
    assert server.sql(rows, SIDE) == server.sql(rows, family)
    for query in DEFINED[server.kind]:
        before, after = server.sql(query, family), server.sql(query, SIDE)
        assert after == before.replace(NAME, SIDE), query
        assert after
    assert report["tables"] == named(server, "child")
    assert report["differences"] == []
    said = " ".join(report["warnings"])
    assert "to_parent" in said
    assert "of_both" in said
    assert named(server, "before_it")[0] in said
    if server.kind == "postgresql":
        assert "needs_parent" in said
        assert "shout" not in said


@pytest.mark.usefixtures("segments")
def test_tables_that_refer_to_each_other_and_odd_names(server: Server, host: Host, family: str) -> None:
    back_up(host, server)
    report = restored(host, server, "child", "parent", ODD)
    for table in ("child", "parent", ODD):
        rows = f"SELECT * FROM {server.quoted(table)} ORDER BY id;"
        assert server.sql(rows, SIDE) == server.sql(rows, family)
        assert server.sql(rows, SIDE)
    assert "to_parent" not in " ".join(report["warnings"])
    query = {
        "mysql": "SELECT CONSTRAINT_NAME, REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"
        " WHERE CONSTRAINT_SCHEMA = DATABASE();",
        "postgresql": "SELECT conname, confrelid::regclass FROM pg_constraint WHERE contype = 'f';",
    }[server.kind]
    assert server.sql(query, SIDE) == server.sql(query, family)
    assert server.sql(query, SIDE)


@pytest.mark.usefixtures("segments")
@pytest.mark.parametrize("form", ["zstd", "none", "encrypted", "directory"])
def test_forms_of_artifacts(server: Server, host: Host, family: str, form: str, tmp_path: Path) -> None:
    identity = tmp_path / "identity"
    more: dict[str, Any] = {"compression": {"algorithm": form}}
    if form == "encrypted":
        subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
        public = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True).stdout
        more = {"encryption": {"recipients": [public.strip()]}}
    if form == "directory":
        more = in_directories(server)
    host.write(policies=[{"name": "nightly", **more}])
    back_up(host, server)
    engine = host.engine()
    if form == "encrypted":
        engine.use_identity(identity)
    for tables, content in ((named(server, "child", ODD), "all"), ([], "schema")):
        server.drop(SIDE)
        engine.restore(
            database_id=server.database_id, database=NAME, target=SIDE, tables=tables, content=content, jobs=3
        )
        rows = f"SELECT * FROM {server.quoted(ODD)} ORDER BY id;"
        assert server.sql(rows, SIDE) == (server.sql(rows, family) if tables else "")


@only_postgresql  # elsewhere partitions are no tables
def test_a_partitioned_table_comes_with_its_partitions(
    servers: dict[str, Server], host: Host, family: str, server: Server
) -> None:
    back_up(host, server)
    restored(host, server, "parted")
    assert server.sql(TABLES["postgresql"], SIDE).split() == ["parted", "parted_high", "parted_low"]
    for query in (
        "SELECT * FROM parted ORDER BY id;",
        (
            "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid::regclass::text ~ '^parted'"
            " ORDER BY 1;"
        ),
    ):
        assert server.sql(query, SIDE) == server.sql(query, family)


@pytest.mark.parametrize("tables", [[], ["child"]], ids=["all", "one table"])
def test_definitions_without_rows(server: Server, host: Host, family: str, tables: list[str]) -> None:
    back_up(host, server)
    report = restored(host, server, *tables, content="schema")
    assert report["content"] == "schema"
    assert server.sql("SELECT count(*) FROM child;", SIDE) == "0"
    expected = tables or server.sql(TABLES[server.kind], family).splitlines()
    assert server.sql(TABLES[server.kind], SIDE).splitlines() == expected
    if server.kind == "postgresql":
        assert server.sql("SELECT last_value FROM child_id_seq;", SIDE) == "1"


@pytest.fixture(params=["stream", "directory"])
def sample(
    request: pytest.FixtureRequest, server: Server, host: Host, make_database: Callable[..., str]
) -> Iterator[None]:
    """An artifact of the sample database; what is restored of it is dropped in the end."""
    if request.param == "directory":
        host.write(policies=[{"name": "nightly", **in_directories(server)}])
    make_database(SIDE)
    server.drop(SIDE)
    server.load_sample(NAME)
    try:
        back_up(host, server)
        yield
    finally:
        server.drop(NAME)


def test_the_sample_without_rows(server: Server, host: Host, sample: None) -> None:
    """All kinds of objects, compared with the manifest by the restore itself."""
    report = restored(host, server, content="schema")
    assert report["differences"] == []


def test_each_table_of_the_sample(server: Server, host: Host, sample: None) -> None:
    """All tables at once: what belongs to tables is understood, whatever its name."""
    contents = host.engine().contents(database_id=server.database_id, database=NAME).to_dict()
    tables = contents["objects"]["table"]
    report = host.engine().restore(database_id=server.database_id, database=NAME, target=SIDE, tables=tables).to_dict()
    assert report["differences"] == []
    side = host.engine().backup(database_id=server.database_id, databases=[SIDE])
    assert side.ok, side.to_dict()
    there = host.engine().contents(database_id=server.database_id, database=SIDE).to_dict()
    for kind in ("table", "index", "trigger", "policy"):
        missing = set(contents["objects"].get(kind, [])) - set(there["objects"].get(kind, []))
        # Those of views do not come.
        assert [name for name in missing if not re.search("view|mat_|z_base", name)] == []
    assert there["rows"] == contents["rows"]


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"tables": ["nowhere"]}, ArtifactError, "holds no table 'nowhere'"),
        ({"target": None}, ConfigError, "only restored into a database of its own"),
        ({"target": NAME}, ConfigError, "only restored into a database of its own"),
        ({"overwrite": True}, ConfigError, "only restored into a database of its own"),
        ({"content": "nothing"}, ConfigError, "no content 'nothing'"),
        ({"target": "vya_present"}, RestoreError, "exists"),
    ],
)
def test_what_cannot_be_is_refused(
    server: Server,
    host: Host,
    family: str,
    make_database: Callable[..., str],
    more: dict[str, Any],
    error: type[BackupDbError],
    words: str,
) -> None:
    make_database("vya_present")
    back_up(host, server)
    arguments = {"target": SIDE, "tables": named(server, "child"), **more}
    for dry_run in (True, False):
        with pytest.raises(error, match=words):
            host.engine().restore(database_id=server.database_id, database=NAME, dry_run=dry_run, **arguments)
    assert not server.exists(SIDE)


def test_a_database_that_somebody_makes_meanwhile_is_left_alone(
    server: Server, host: Host, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(host, server)
    driver = MySql if server.kind == "mysql" else PostgreSql
    create = driver.create_database

    def too_late(dbms: Any, database: str, settings: Any) -> None:
        server.create(SIDE, "CREATE TABLE of_somebody (id integer);")
        create(dbms, database, settings)

    monkeypatch.setattr(driver, "create_database", too_late)
    with pytest.raises(BackupDbError, match=r"Nothing was (loaded|left behind)\."):
        restored(host, server, "child")
    assert server.sql(TABLES[server.kind], SIDE) == "of_somebody"


@only_postgresql  # elsewhere all names are in UTF-8
def test_names_in_the_encoding_of_the_database(server: Server, host: Host) -> None:
    server.drop(SIDE)
    server.drop(NAME)
    server.sql(f"CREATE DATABASE {NAME} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C';")
    try:
        server.sql(
            "SET client_encoding = 'UTF8'; CREATE TABLE café (id serial PRIMARY KEY, naïve text);"
            "CREATE INDEX ïndex ON café (naïve); CREATE TABLE thé (id integer REFERENCES café);"
            "CREATE FUNCTION crème(t thé) RETURNS text LANGUAGE sql AS $$ SELECT 'é'::text $$;"
            "INSERT INTO café (naïve) VALUES ('à'), ('b'); INSERT INTO thé VALUES (1);",
            NAME,
        )
        back_up(host, server)
        report = restored(host, server, "café")
        assert report["differences"] == []
        rows = "SET client_encoding = 'UTF8'; SELECT * FROM café ORDER BY id;"
        assert server.sql(rows, SIDE) == server.sql(rows, NAME) == "1|à\n2|b"
        restored_tables = host.engine().restore(
            database_id=server.database_id, database=NAME, target=SIDE + "2", tables=["public.café", "public.thé"]
        )
        assert "thé_id_fkey" not in " ".join(restored_tables.warnings)
    finally:
        for name in (NAME, SIDE, SIDE + "2"):
            server.drop(name)


@only_postgresql  # elsewhere a table can be made without those that it refers to
def test_a_part_that_needs_more_leaves_nothing(
    servers: dict[str, Server], server: Server, host: Host, family: str
) -> None:
    server.sql("CREATE TABLE heir (more text) INHERITS (parent);", family)
    back_up(host, server)
    with pytest.raises(RestoreError, match=r"public\.parent.*Nothing was left behind"):
        restored(host, server, "heir")
    assert not server.exists(SIDE)
