# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The drivers without a server: which client, which options, which SQL."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.config import Instance
from vya_backupdb.core.comparison import inventory_differences, row_differences
from vya_backupdb.db import clients
from vya_backupdb.db.base import Server, version_number
from vya_backupdb.db.clients import examine_client, mysql_client, postgresql_client
from vya_backupdb.db.connection import postgresql_host, postgresql_tls
from vya_backupdb.db.end_markers import END_MARKERS
from vya_backupdb.db.factory import DBMS, create_dbms
from vya_backupdb.db.mysql import MySql
from vya_backupdb.db.mysql_calls import _option_value
from vya_backupdb.db.mysql_grants import quote_name as mysql_name
from vya_backupdb.db.mysql_grants import quote_text as mysql_text
from vya_backupdb.db.postgresql import PostgreSql
from vya_backupdb.db.postgresql_settings import create_clauses, preamble_statements, quote_text, settings_statements
from vya_backupdb.errors import ClientError
from vya_backupdb.security.credentials import Credential
from vya_backupdb.utils.processes import ProcessTable


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched for clients instead of the machine's own."""
    monkeypatch.setattr(clients, "_SEARCH_PATH", str(tmp_path))
    monkeypatch.setattr(clients, "_POSTGRESQL_DIRECTORIES", (f"{tmp_path}/pg/*/bin",))
    return tmp_path


def install(path: Path, says: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("says", "flavour", "version"),
    [
        ("mariadb-dump from 11.8.3-MariaDB, client 10.19 for debian-linux-gnu (x86_64)", "mariadb", "11.8.3"),
        ("mysqldump  Ver 10.19 Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)", "mariadb", "10.11.14"),
        ("mysqldump  Ver 9.7.4 for Linux on x86_64 (Debian)", "mysql", "9.7.4"),
        ("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)", "mysql", "5.7.44"),
        ("pg_dump (PostgreSQL) 17.5 (Debian 17.5-1)", "postgresql", "17.5"),
    ],
)
def test_clients_say_their_version_in_many_ways(programs: Path, says: str, flavour: str, version: str) -> None:
    install(programs / "client", says)
    found = examine_client(str(programs / "client"), ProcessTable())
    assert (found.flavour, found.version) == (flavour, version)


def test_a_client_of_the_other_make_does_not_serve(programs: Path) -> None:
    install(programs / "mysqldump", "mysqldump from 11.8.3-MariaDB")
    with pytest.raises(ClientError, match="Install the package mysql-client"):
        mysql_client("mysql", "mariadb-dump", "mysqldump", ProcessTable())
    assert mysql_client("mariadb", "mariadb-dump", "mysqldump", ProcessTable()).version == "11.8.3"
    install(programs / "mariadb-dump", "mariadb-dump from 11.8.4-MariaDB")
    assert mysql_client("mariadb", "mariadb-dump", "mysqldump", ProcessTable()).version == "11.8.4"


def test_the_oldest_postgresql_client_that_is_not_too_old_serves(programs: Path) -> None:
    for major in (15, 17, 18):
        install(programs / "pg" / str(major) / "bin" / "pg_dump", f"pg_dump (PostgreSQL) {major}.2")
    assert postgresql_client("pg_dump", 16, ProcessTable()).number == (17, 2)
    assert postgresql_client("pg_dump", 15, ProcessTable()).number == (15, 2)
    with pytest.raises(
        ClientError, match=r"PostgreSQL 19 or later is installed; the newest installed is 18\.2.*client-19"
    ):
        postgresql_client("pg_dump", 19, ProcessTable())
    with pytest.raises(ClientError, match="No psql"):
        postgresql_client("psql", 15, ProcessTable())


def test_a_client_that_cannot_be_asked_is_said(programs: Path) -> None:
    install(programs / "mute", "nothing of interest")
    with pytest.raises(ClientError, match="does not say its version"):
        examine_client(str(programs / "mute"), ProcessTable())
    with pytest.raises(ClientError, match="cannot be run"):
        examine_client(str(programs / "none"), ProcessTable())


def test_version_numbers() -> None:
    assert version_number("11.8.3-MariaDB-log") == (11, 8, 3)
    assert version_number("18beta1") == (18,)
    assert version_number("none") == ()
    assert Server("mysql", "9.7.4", (9, 7, 4)).description == "MySQL 9.7.4"


@pytest.mark.parametrize(
    ("flavour", "tail", "whole"),
    [
        ("mariadb", b"x;\n-- Dump completed on 2026-11-23  5:09:13\n", True),
        ("mariadb", b"x;\n\n-- Dump completed\n", True),
        ("mariadb", b"INSERT INTO t VALUES ('\\n-- Dump completed on 2026-11-23  5:09:13\\n", False),
        ("mariadb", b"x;\n-- Dump completed on 2026-11-23  5:09:13\n');\n", False),
        ("mysql", b"x;\n-- Dump compl", False),
        ("postgresql", b"x;\n--\n-- PostgreSQL database dump complete\n--\n\n", True),
        ("postgresql", b"x;\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict aB3\n\n", True),
        ("postgresql", b"x;\n--\n-- PostgreSQL database dump complete\n--\n\n\\.\n", False),
        ("postgresql", b"1\t-- PostgreSQL database dump complete\n", False),
    ],
)
def test_end_markers(flavour: str, tail: bytes, whole: bool) -> None:
    assert bool(END_MARKERS[flavour].search(tail)) is whole


def test_every_dbms_of_the_configuration_has_a_driver() -> None:
    kinds = Instance.model_fields["dbms"].annotation.__args__  # type: ignore[union-attr]
    assert set(kinds) == set(DBMS) == set(END_MARKERS)
    made = create_dbms(Instance(database_id="x", dbms="postgresql"), Credential("x", "u", "p"), ProcessTable())
    assert isinstance(made, PostgreSql)
    assert made.can_rename


def test_option_values_hold_any_password() -> None:
    assert _option_value('p"a\\s\n#') == '"p\\"a\\\\s\\n#"'


def test_quoting() -> None:
    assert mysql_name("a`b") == "`a``b`"
    assert mysql_text("it's \\") == "'it''s \\\\'"
    assert quote_text("it's") == "'it''s'"
    assert quote_text("a\\b'") == " E'a\\\\b'''"


def mysql_driver(flavour: str = "mariadb", **changes: object) -> MySql:
    driver = MySql(
        Instance.model_validate({"database_id": "x", "dbms": "mariadb", **changes}),
        Credential("x", "backup", 'p"w'),
        ProcessTable(),
    )
    driver.__dict__["_server"] = Server(flavour, "11.8.3", (11, 8, 3))
    return driver


def test_a_mysql_call_tells_no_secret() -> None:
    command = mysql_driver(host="db.example.com", tls={"ca_file": "/ca.pem"})._calls.command(
        "/d", (11, 8), ["--", "shop"]
    )
    assert command.arguments[1] == "--defaults-file={secret}"
    assert b'password="p\\"w"' in command.secret_file
    assert b'protocol="TCP"' in command.secret_file
    assert 'p"w' not in repr(command)
    assert command.arguments[2:5] == ("--ssl", "--ssl-verify-server-cert", "--ssl-ca=/ca.pem")


@pytest.mark.parametrize(
    ("flavour", "changes", "expected"),
    [
        ("mariadb", {}, ["--skip-ssl"]),
        ("mariadb", {"host": "h", "tls": {"mode": "encrypt"}}, ["--ssl", "--disable-ssl-verify-server-cert"]),
        ("mysql", {}, ["--ssl-mode=DISABLED"]),
        ("mysql", {"host": "127.0.0.1"}, ["--ssl-mode=DISABLED", "--get-server-public-key"]),
        ("mysql", {"host": "h", "tls": {"mode": "encrypt"}}, ["--ssl-mode=REQUIRED"]),
        (
            "mysql",
            {"host": "h"},
            ["--ssl-mode=VERIFY_IDENTITY", "--ssl-ca=/etc/ssl/certs/ca-certificates.crt"],
        ),
    ],
)
def test_transport_security_of_mysql_clients(flavour: str, changes: dict[str, object], expected: list[str]) -> None:
    assert mysql_driver(flavour, **changes)._calls._tls_arguments((11, 8)) == expected


def test_transport_security_and_places_of_postgresql() -> None:
    def made(**changes: object) -> Instance:
        return Instance.model_validate({"database_id": "x", "dbms": "postgresql", **changes})

    assert postgresql_tls(made()) == {"sslmode": "disable"}
    assert postgresql_tls(made(host="h")) == {"sslmode": "verify-full", "sslrootcert": "system"}
    assert postgresql_tls(made(host="h", tls={"mode": "encrypt"})) == {"sslmode": "require"}
    assert postgresql_host(made()) == "/run/postgresql"
    assert postgresql_host(made(socket="/run/postgresql/.s.PGSQL.5432")) == "/run/postgresql"
    assert postgresql_host(made(socket="/tmp")) == "/tmp"
    assert postgresql_host(made(host="h")) == "h"


def test_what_clients_say_is_sorted_into_errors_and_chatter() -> None:
    mysql = mysql_driver()
    assert mysql.real_errors(
        "mysqldump: [Warning] A password\n-- Warning: skipped\n\nmysqldump: Error: gone (2013)"
    ) == ["mysqldump: Error: gone (2013)"]
    shown = (
        "--------------\nINSERT INTO t VALUES ('private')\n--------------\n\nERROR 1100 (HY000) at line 7: Not locked"
    )
    assert mysql.real_errors(shown) == ["ERROR 1100 (HY000) at line 7: Not locked"]
    postgresql = PostgreSql(
        Instance(database_id="x", dbms="postgresql"), Credential("x", "u", "hunter2"), ProcessTable()
    )
    assert postgresql.explain("pg_dump: warning: circular foreign keys") == ""
    left_out = "pg_dump: warning: subscriptions not dumped because current user is not a superuser"
    assert postgresql.explain(left_out) == left_out
    said = "pg_dump: error: query failed: hunter2\nDETAIL:  why"
    assert postgresql.explain(said) == "pg_dump: error: query failed: ******** / DETAIL: why"


@given(st.lists(st.integers(0, 400), max_size=5))
def test_a_copy_does_not_touch_the_original(cuts: list[int]) -> None:
    dump = (
        b"CREATE TABLE t (a int);\nALTER DATABASE `a``b` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n"
        b"INSERT INTO t VALUES ('\\nALTER DATABASE `a``b` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;');\n"
        b"ALTER DATABASE `other` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n"
        b"ALTER DATABASE `a``b` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;\n-- end"
    )
    edges = sorted({0, len(dump), *(min(cut, len(dump)) for cut in cuts)})
    chunks = [dump[begin:end] for begin, end in itertools.pairwise(edges)]
    driver = mysql_driver()

    assert b"".join(driver.renamed(iter(chunks), "a`b", "a`b")) == dump
    lines = b"".join(driver.renamed(iter(chunks), "a`b", "c\\1")).split(b"\n")

    assert lines[1] == b"ALTER DATABASE `c\\1` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;"
    assert lines[4] == b"ALTER DATABASE `c\\1` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;"
    assert lines[2:4] == dump.split(b"\n")[2:4]
    assert (lines[0], lines[5]) == (b"CREATE TABLE t (a int);", b"-- end")


def test_lines_of_any_length_pass_in_constant_memory() -> None:
    driver = mysql_driver()
    chunks = [b"x" * 1_000_000] * 3 + [b"\ny\n"]
    passed = list(driver.renamed(iter(chunks), "a", "b"))
    assert b"".join(passed) == b"".join(chunks)
    assert max(map(len, passed)) < 1_100_000


SETTINGS = {
    "owner": "o'wner",
    "encoding": "UTF8",
    "collate": "C",
    "ctype": "C",
    "locale_provider": "icu",
    "locale": "de-DE",
    "connection_limit": 5,
    "comment": "100% \\ done",
    "acl": [["reader", "CONNECT", True], [None, "TEMPORARY", False]],
    "configuration": [[None, ['search_path="$user", public', "work_mem=4MB"]], ["reader", ["my.setting=a b"]]],
    "extension_owners": {"hstore": "postgres", "citext": "postgres", "ltree": "other"},
}


def test_settings_of_a_postgresql_database() -> None:
    assert create_clauses(SETTINGS).endswith("LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'")
    text = settings_statements(SETTINGS)
    assert "CONNECTION LIMIT 5" in text
    assert 'SET "search_path" TO "$user", public' in text
    assert 'GRANT CONNECT ON DATABASE %1$I TO "reader" WITH GRANT OPTION' in text
    assert "GRANT TEMPORARY ON DATABASE %1$I TO PUBLIC" in text
    assert "100%% " in text
    assert 'SET ROLE "postgres"' in preamble_statements(SETTINGS)
    assert "SET ROLE" not in preamble_statements({**SETTINGS, "extension_owners": None})


def test_inventories_differ_in_words() -> None:
    expected = {"table": ["a", "b"], "event_trigger": [], "only_here": ["x"]}
    found = {"table": ["b", "c"], "event_trigger": ["e"], "only_there": ["y"]}
    assert inventory_differences(expected, found) == [
        "event trigger e is unexpected",
        "table a is missing",
        "table c is unexpected",
    ]


def test_row_counts_differ_in_words() -> None:
    expected, found = {"a": 1, "b": 2, "only_here": 3}, {"a": 1, "b": 0, "only_there": 4}
    assert row_differences(expected, found) == ["table b has 0 rows instead of 2"]
