# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What would spoil a backup or a restore is said before either begins, with the remedy, and the remedy works."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import ACCOUNT, PASSWORD, Host, Server

from vya_backupdb.core.manifest import seal_document
from vya_backupdb.db import clients
from vya_backupdb.errors import RestoreError
from vya_backupdb.security.credentials import open_store

POOR = "vya_poor"
POOR_PASSWORD = "Poor-1234-pw"
DATABASE = "vya_fit_1"  # the underscores are wildcards in GRANT

MYSQL_OBJECTS = """
CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));
INSERT INTO item VALUES (1, 'Bread'), (2, 'Milk');
CREATE FUNCTION more(n integer) RETURNS integer DETERMINISTIC RETURN n + 1;
CREATE PROCEDURE look() SELECT 1;
CREATE VIEW numbers AS SELECT more(id) AS n FROM item;
CREATE VIEW above AS SELECT n FROM numbers;
CREATE TRIGGER upper_label BEFORE INSERT ON item FOR EACH ROW SET NEW.label = UPPER(NEW.label);
CREATE EVENT sweep ON SCHEDULE EVERY 1 DAY DO DELETE FROM item WHERE id < 0;
"""
POSTGRESQL_OBJECTS = """
CREATE SCHEMA inner_part;
CREATE TABLE item (id integer PRIMARY KEY, label text);
INSERT INTO item VALUES (1, 'Bread'), (2, 'Milk');
CREATE TABLE inner_part.kept (id serial PRIMARY KEY);
CREATE TABLE guarded (owner text);
INSERT INTO guarded VALUES ('somebody');
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user);
SELECT lo_from_bytea(0, 'large');
"""


@pytest.fixture
def whole(server: Server) -> Iterator[str]:
    """A database with something of everything that takes a privilege of its own."""
    server.create(DATABASE, MYSQL_OBJECTS if server.kind == "mysql" else POSTGRESQL_OBJECTS)
    yield DATABASE
    server.drop(DATABASE)


@pytest.fixture
def poor(server: Server, host: Host, whole: str) -> Iterator[Callable[..., None]]:
    """Give the engine an account that holds what these statements grant to ``{account}``, and nothing else."""
    account = f"{POOR}@localhost" if server.kind == "mysql" else POOR

    def remove() -> None:
        if server.kind == "mysql":
            server.sql(f"DROP USER IF EXISTS {account}; DROP ROLE IF EXISTS vya_role;")
        elif server.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{POOR}';"):
            server.sql(f"DROP OWNED BY {POOR};", DATABASE)
            server.sql(f"DROP OWNED BY {POOR}; DROP ROLE {POOR};")

    def give(*statements: str) -> None:
        remove()
        password = f"IDENTIFIED BY '{POOR_PASSWORD}'" if server.kind == "mysql" else f"LOGIN PASSWORD '{POOR_PASSWORD}'"
        server.sql(f"CREATE {'USER' if server.kind == 'mysql' else 'ROLE'} {account} {password};")
        for statement in statements:
            server.sql(statement.format(account=account) + ";", DATABASE)
        open_store(host.engine().config).set(server.database_id, POOR, POOR_PASSWORD)

    yield give
    remove()


def check(server: Server, host: Host, *names: str) -> list[dict[str, Any]]:
    """The checks that are not well, of one database."""
    host.write(policies=[{"name": "p", "instances": [server.database_id], "include": list(names or [DATABASE])}])
    report = host.engine().check(database_id=server.database_id)
    assert POOR_PASSWORD not in json.dumps(report.to_dict())
    assert PASSWORD not in json.dumps(report.to_dict())
    return [one for one in report.checks if one["status"] != "ok"]


def failed(server: Server, host: Host, *names: str) -> list[dict[str, Any]]:
    return [one for one in check(server, host, *names) if one["status"] == "failed"]


def backup(server: Server, host: Host, name: str = DATABASE) -> Any:
    return host.engine().backup(database_id=server.database_id, databases=[name]).results[0]


def statements_in(hints: list[str]) -> list[str]:
    """The SQL that hints tell."""
    found = []
    for hint in hints:
        sql = hint.partition(": ")[2]
        told = r"DO \$\$.*\$\$;|(?:GRANT|ALTER ROLE|CREATE ROLE).*?;(?= |$)"
        found += re.findall(told, sql.partition(" or give")[0])
    return found


def content(result: Any) -> list[bytes]:
    """An artifact's SQL without comments, which hold dates, what is random, and what was granted to the account."""
    lines = gzip.decompress(Path(result.artifact).read_bytes()).splitlines()
    left_out = (b"--", b"\\restrict", b"\\unrestrict", b"GRANT", b"REVOKE", b"SET @", b"PREPARE")
    return [line for line in lines if line and not line.startswith(left_out) and POOR.encode() not in line]


def inventory(result: Any) -> dict[str, list[str]]:
    return dict(json.loads(Path(result.manifest).read_bytes())["inventory"])


def told_and_mended(server: Server, host: Host) -> None:
    """Require that check says what is missing, a backup is refused with it, and the remedy told makes all well."""
    complete = backup_by_administrator(server, host)
    found = failed(server, host)
    assert found
    refused = backup(server, host)
    assert refused.outcome == "failed"
    assert not [path for path in host.files() if path == str(refused.artifact)]
    for statement in statements_in([one["hint"] for one in found]):
        server.sql(statement, DATABASE)
    assert failed(server, host) == []
    mended = backup(server, host)
    assert mended.outcome == "success", mended.error
    assert inventory(mended) == inventory(complete)
    assert content(mended) == content(complete)
    if found[0]["check"] != "connect":  # which inspecting the database meets first
        assert all(one["detail"] in str(refused.error) for one in found)


def backup_by_administrator(server: Server, host: Host) -> Any:
    store = open_store(host.engine().config)
    store.set(server.database_id, ACCOUNT, PASSWORD)
    result = backup(server, host)
    assert result.outcome == "success", result.error
    store.set(server.database_id, POOR, POOR_PASSWORD)
    return result


ALL_OF_MYSQL = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "EXECUTE")


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
@pytest.mark.parametrize("missing", ALL_OF_MYSQL)
def test_mysql_each_missing_privilege(server: Server, host: Host, poor: Callable[..., None], missing: str) -> None:
    held = ", ".join(privilege for privilege in ALL_OF_MYSQL if privilege != missing)
    poor(f"GRANT {held} ON *.* TO {{account}}")
    if missing == "EXECUTE" and server.flavour == "mysql":
        assert failed(server, host) == []
        assert content(backup(server, host)) == content(backup_by_administrator(server, host))
        return
    told_and_mended(server, host)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_mysql_privileges_on_one_database(server: Server, host: Host, poor: Callable[..., None]) -> None:
    poor(r"GRANT SELECT, SHOW VIEW ON `vya\_fit\_1`.* TO {account}")
    told_and_mended(server, host)
    hints = [one["hint"] for one in check(server, host)]
    assert not any("GRANT SELECT ON *.*" in hint for hint in hints)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_mysql_roles_count_where_they_are_active(server: Server, host: Host, poor: Callable[..., None]) -> None:
    poor(
        "CREATE ROLE vya_role",
        "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON *.* TO vya_role",
        "GRANT vya_role TO {account}",
    )
    found = failed(server, host)
    assert [one["check"] for one in found] == ["privileges"]
    assert "role of it (vya_role)" in found[0]["hint"]
    server.sql(f"SET DEFAULT ROLE vya_role {'FOR' if server.flavour == 'mariadb' else 'TO'} {POOR}@localhost;")
    assert failed(server, host) == []
    assert content(backup(server, host)) == content(backup_by_administrator(server, host))


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_mysql_an_account_for_everything_but_restores(server: Server, host: Host, poor: Callable[..., None]) -> None:
    poor("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON *.* TO {account}")
    warned = {one["check"]: one for one in check(server, host)}
    assert warned["restore-privileges"]["status"] == "warning"
    assert backup(server, host).outcome == "success"
    with pytest.raises(RestoreError, match=r"lacks .*INSERT.*nothing was changed"):
        host.engine().restore(database_id=server.database_id, database=DATABASE, overwrite=True)
    for statement in statements_in([warned["restore-privileges"]["hint"]]):
        server.sql(statement)
    assert check(server, host) == []
    host.engine().restore(database_id=server.database_id, database=DATABASE, overwrite=True)


ALL_OF_POSTGRESQL = {
    "pg_read_all_data": "GRANT pg_read_all_data TO {account}",
    "BYPASSRLS": "ALTER ROLE {account} BYPASSRLS",
    "large objects": "GRANT SELECT ON LARGE OBJECT {object} TO {account}",
}


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
@pytest.mark.parametrize("missing", [*ALL_OF_POSTGRESQL, "CONNECT", "everything"])
def test_postgresql_each_missing_privilege(server: Server, host: Host, poor: Callable[..., None], missing: str) -> None:
    number = server.sql("SELECT oid FROM pg_largeobject_metadata;", DATABASE)
    held = [text.replace("{object}", number) for name, text in ALL_OF_POSTGRESQL.items() if name != missing]
    poor(*(held if missing != "everything" else []))
    if missing == "CONNECT":
        server.sql(f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC;")
    told_and_mended(server, host)


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_postgresql_what_only_a_superuser_can_dump(server: Server, host: Host, poor: Callable[..., None]) -> None:
    number = server.sql("SELECT oid FROM pg_largeobject_metadata;", DATABASE)
    poor(*(text.replace("{object}", number) for text in ALL_OF_POSTGRESQL.values()))
    server.sql(
        "CREATE SUBSCRIPTION feed CONNECTION 'host=none' PUBLICATION p WITH (connect = false, slot_name = NONE);"
        "CREATE FOREIGN DATA WRAPPER away; CREATE SERVER there FOREIGN DATA WRAPPER away;"
        "CREATE USER MAPPING FOR postgres SERVER there OPTIONS (secret 'one');",
        DATABASE,
    )
    assert [one["check"] for one in failed(server, host)] == ["subscriptions", "user-mappings"]
    told_and_mended(server, host)


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_postgresql_many_large_objects(server: Server, host: Host, poor: Callable[..., None]) -> None:
    server.sql("SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 30);", DATABASE)
    poor(ALL_OF_POSTGRESQL["pg_read_all_data"], ALL_OF_POSTGRESQL["BYPASSRLS"])
    told_and_mended(server, host)


def test_a_missing_client(server: Server, host: Host, whole: str, tmp_path: Path, search: Callable[..., None]) -> None:
    search()
    found = failed(server, host)
    assert [one["check"] for one in found] == ["client-present"]
    result = backup(server, host)
    assert result.outcome == "failed"
    assert found[0]["detail"] in str(result.error)
    assert "Install the package" in found[0]["hint"]


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have clients looked for in a folder that holds only programs that say a version and do nothing."""

    def only(**says: str) -> None:
        directory = tmp_path / "programs"
        directory.mkdir(exist_ok=True)
        for name, version in says.items():
            program = directory / name.replace("_", "-").replace("pg-dump", "pg_dump")
            program.write_text(f"#!/bin/sh\necho '{version}'\n")
            program.chmod(0o755)
        monkeypatch.setattr(clients, "_SEARCH_PATH", str(directory))
        monkeypatch.setattr(clients, "_POSTGRESQL_DIRECTORIES", ())

    return only


def test_clients_that_do_not_fit(server: Server, host: Host, whole: str, search: Callable[..., None]) -> None:
    if server.kind == "postgresql":
        search(pg_dump="pg_dump (PostgreSQL) 12.1", psql="psql (PostgreSQL) 12.1")
        expected = "client-age"
    elif server.flavour == "mysql":
        search(mysqldump="mysqldump from 11.8.6-MariaDB, client 10.19")
        expected = "client-make"
    else:
        search(mysqldump="mysqldump  Ver 9.7.4 for Linux on x86_64")
        expected = "client-make"
    found = failed(server, host)
    assert expected in {one["check"] for one in found}
    result = backup(server, host)
    assert result.outcome == "failed"
    assert next(one["detail"] for one in found if one["check"] == expected) in str(result.error)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_a_client_of_an_older_generation(server: Server, host: Host, whole: str, search: Callable[..., None]) -> None:
    if server.flavour == "mysql":
        search(mysqldump="mysqldump  Ver 8.4.1 for Linux on x86_64", mysql="mysql  Ver 8.4.1 for Linux")
    else:
        search(
            mariadb_dump="mariadb-dump  Ver 10.19 Distrib 10.2.44-MariaDB",
            mariadb="mariadb Ver 15.1 Distrib 10.2.44-MariaDB",
        )
    found = [one for one in failed(server, host) if one["check"] == "client-age"]
    assert len(found) == 1
    assert found[0]["detail"] in str(backup(server, host).error)


def test_an_artifact_that_the_loader_cannot_read(
    server: Server, host: Host, whole: str, search: Callable[..., None]
) -> None:
    if server.flavour == "mysql":
        pytest.skip("MySQL's clients have read each other's dumps so far")
    assert backup(server, host).outcome == "success"
    before = server.sql("SELECT count(*) FROM item;", DATABASE)
    if server.kind == "postgresql":
        major = server.sql("SHOW server_version;").partition(".")[0]
        if major == "18":
            pytest.skip("all of its releases read these lines")
        search(psql=f"psql (PostgreSQL) {major}.0")
        words = r"\\restrict lines, which .*nothing was changed"
    else:
        search(mariadb="mariadb Ver 15.1 Distrib 10.11.7-MariaDB")
        words = "sandbox mode, which .*nothing was changed"
    with pytest.raises(RestoreError, match=words):
        host.engine().restore(database_id=server.database_id, database=DATABASE, overwrite=True)
    assert server.sql("SELECT count(*) FROM item;", DATABASE) == before


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_broken_views_and_missing_definers(server: Server, host: Host, whole: str) -> None:
    server.sql(
        "CREATE USER IF NOT EXISTS vya_gone@localhost; CREATE DEFINER = vya_gone@localhost PROCEDURE alien() SELECT 1;"
        "DROP USER vya_gone@localhost;",
        DATABASE,
    )
    assert [(one["check"], one["status"]) for one in check(server, host)] == [("definers", "warning")]
    assert "vya_gone@localhost" in check(server, host)[0]["detail"]
    server.sql("CREATE TABLE t (id integer); CREATE VIEW hollow AS SELECT id FROM t; DROP TABLE t;", DATABASE)
    found = failed(server, host)
    assert [one["check"] for one in found] == ["views"]
    result = backup(server, host)
    assert found[0]["detail"] in str(result.error)
    server.sql("DROP VIEW hollow;", DATABASE)
    assert backup(server, host).outcome == "success"


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_checks_look_at_what_is_to_be_backed_up(server: Server, host: Host, whole: str) -> None:
    server.create("vya_other", "CREATE TABLE t (id integer); CREATE VIEW v AS SELECT id FROM t; DROP TABLE t;")
    try:
        assert failed(server, host, DATABASE) == []
        assert [one["database"] for one in failed(server, host, "vya_*")] == ["vya_other"]
    finally:
        server.drop("vya_other")


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
@pytest.mark.parametrize("mode", ["ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "TRADITIONAL,PAD_CHAR_TO_FULL_LENGTH", ""])
def test_any_sql_mode_of_the_server(server: Server, host: Host, whole: str, mode: str) -> None:
    old = server.sql("SELECT @@GLOBAL.sql_mode;")
    if server.flavour == "mysql":
        mode = mode.replace("PAD_CHAR_TO_FULL_LENGTH", "ANSI_QUOTES")  # warned of as deprecated
    server.sql(r"INSERT INTO item VALUES (7, 'C:\\dir ''quoted'' \"twice\"');", DATABASE)
    rows = server.sql("SELECT * FROM item ORDER BY id;", DATABASE)
    server.sql(f"SET GLOBAL sql_mode = '{mode}';")
    try:
        assert check(server, host) == []
        assert backup(server, host).outcome == "success"
        host.engine().restore(database_id=server.database_id, database=DATABASE, overwrite=True)
    finally:
        server.sql(f"SET GLOBAL sql_mode = '{old}';")
    assert server.sql("SELECT * FROM item ORDER BY id;", DATABASE) == rows


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_primary_keys_that_a_server_demands(server: Server, host: Host, whole: str) -> None:
    if server.flavour != "mysql":
        pytest.skip("MariaDB has no such setting in the versions at hand")
    server.sql("CREATE TABLE keyless (id integer);", DATABASE)
    assert backup(server, host).outcome == "success"
    server.sql("SET GLOBAL sql_require_primary_key = ON;")
    try:
        assert [(one["check"], one["status"]) for one in check(server, host)] == [("primary-keys", "warning")]
        with pytest.raises(RestoreError, match=r"1 tables? of the artifact.*nothing was changed"):
            host.engine().restore(database_id=server.database_id, database=DATABASE, overwrite=True)
    finally:
        server.sql("SET GLOBAL sql_require_primary_key = OFF;")
    host.engine().restore(database_id=server.database_id, database=DATABASE, overwrite=True)


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_roles_that_the_dump_needs(server: Server, host: Host, whole: str) -> None:
    server.sql(
        'CREATE ROLE "vya O\'wner"; CREATE ROLE vya_reader; ALTER TABLE item OWNER TO "vya O\'wner";'
        "GRANT SELECT ON guarded TO vya_reader;",
        DATABASE,
    )
    assert backup(server, host).outcome == "success"
    server.drop(DATABASE)
    server.sql('DROP ROLE "vya O\'wner"; DROP ROLE vya_reader;')
    try:
        with pytest.raises(
            RestoreError, match=r"does not have: vya O'wner, vya_reader; nothing was changed"
        ) as refused:
            host.engine().restore(database_id=server.database_id, database=DATABASE)
        assert not server.exists(DATABASE)
        for statement in statements_in([refused.value.hint]):
            server.sql(statement)
        host.engine().restore(database_id=server.database_id, database=DATABASE)
    finally:
        server.drop(DATABASE)
        server.sql('DROP ROLE IF EXISTS "vya O\'wner"; DROP ROLE IF EXISTS vya_reader;')


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_extensions_and_tablespaces_that_the_server_lacks(
    server: Server, host: Host, whole: str, tmp_path: Path
) -> None:
    server.sql("CREATE EXTENSION hstore;", DATABASE)
    made = backup(server, host)
    manifest = Path(made.manifest)
    document = json.loads(manifest.read_bytes())
    assert document["settings"]["needs"]["extensions"]["hstore"]
    document["inventory"]["extension"].append("vya_none")
    document["settings"]["needs"]["tablespaces"] = ["vya_fast"]
    manifest.write_bytes(seal_document(document))
    with pytest.raises(RestoreError, match=r"vya_none\. .*vya_fast; nothing was changed"):
        host.engine().restore(database_id=server.database_id, database=DATABASE, overwrite=True)
    assert server.sql("SELECT count(*) FROM item;", DATABASE) == "2"
