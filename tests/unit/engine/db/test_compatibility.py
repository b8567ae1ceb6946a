# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What fits together: versions of clients, servers and dumps, and which options a client knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from vya_backupdb.db import clients
from vya_backupdb.db.base import Check, Client, Server, version_number
from vya_backupdb.db.clients import known_options, mysql_client, postgresql_client
from vya_backupdb.db.compatibility import (
    Clients,
    client_login,
    client_present,
    dump_settings,
    knows_restrict_lines,
    knows_sandbox_comment,
    listed,
    restrict_lines,
    sandbox_comment,
)
from vya_backupdb.errors import ClientError
from vya_backupdb.utils.processes import ProcessTable

MYSQL_OPTIONS = [
    "--set-gtid-purged=OFF",
    "--column-statistics=0",
    "--get-server-public-key",
    "--skip-masking-policies",
]


def client(flavour: str, version: str, path: str = "/usr/bin/client") -> Client:
    return Client(path, flavour, version, version_number(version))


def statuses(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.check, check.status) for check in checks]


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        ("10.5.24", False),
        ("10.5.25", True),
        ("10.6.17", False),
        ("10.6.18", True),
        ("10.10.99", False),
        ("10.11.7", False),
        ("10.11.8", True),
        ("11.0.5", False),
        ("11.0.6", True),
        ("11.3.2", False),
        ("11.4.1", False),
        ("11.4.2", True),
        ("11.5.1", True),
        ("11.8.6", True),
        ("12.0.2", True),
        ("10.4.34", False),
    ],
)
def test_who_knows_the_sandbox_comment(version: str, knows: bool) -> None:
    assert knows_sandbox_comment(version_number(version)) is knows


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        ("12.22", False),
        ("13.21", False),
        ("13.22", True),
        ("14.18", False),
        ("14.19", True),
        ("15.13", False),
        ("15.14", True),
        ("16.9", False),
        ("16.10", True),
        ("17.5", False),
        ("17.6", True),
        ("18.0", True),
        ("19.1", True),
    ],
)
def test_who_knows_restrict_lines(version: str, knows: bool) -> None:
    assert knows_restrict_lines(version_number(version)) is knows


@pytest.mark.parametrize(
    ("writer", "loader", "fits"),
    [
        ("10.11.14", "10.11.14", True),
        ("10.11.14", "10.11.7", False),
        ("10.11.7", "10.5.1", True),
        ("10.5.25", "11.4.1", False),
    ],
)
def test_a_loader_that_cannot_read_the_sandbox_comment(writer: str, loader: str, fits: bool) -> None:
    found = sandbox_comment(version_number(writer), client("mariadb", loader), "failed", "The artifact")
    assert statuses(found) == [("sandbox-comment", "ok" if fits else "failed")]
    if not fits:
        assert loader in found[0].detail
        assert found[0].hint.startswith("Install a mariadb-client")


@pytest.mark.parametrize(
    ("writer", "loader", "fits"),
    [("17.6", "17.6", True), ("17.6", "17.5", False), ("15.13", "15.2", True), ("13.22", "16.9", False)],
)
def test_a_psql_that_cannot_read_restrict_lines(writer: str, loader: str, fits: bool) -> None:
    found = restrict_lines(version_number(writer), client("postgresql", loader), "warning", "It")
    assert statuses(found) == [("restrict-lines", "ok" if fits else "warning")]
    assert fits or "Upgrade postgresql-client" in found[0].hint


@pytest.mark.parametrize(
    ("writer", "server", "fits"),
    [("17.1", "16.2", False), ("18.0", "13.4", False), ("17.1", "17.1", True), ("16.9", "15.2", True)],
)
def test_a_dump_that_sets_what_its_server_does_not_know(writer: str, server: str, fits: bool) -> None:
    target = Server("postgresql", server, version_number(server))
    found = dump_settings(version_number(writer), target, "warning", "It")
    assert statuses(found) == [("dump-settings", "ok" if fits else "warning")]
    assert fits or f"postgresql-client-{version_number(server)[0]}" in found[0].hint


@pytest.mark.parametrize(
    ("flavour", "version", "known"),
    [
        ("mysql", "5.6.8", []),
        ("mysql", "5.7.44", ["--set-gtid-purged=OFF", "--get-server-public-key"]),
        ("mysql", "8.0.1", ["--set-gtid-purged=OFF", "--get-server-public-key"]),
        ("mysql", "8.0.36", ["--set-gtid-purged=OFF", "--column-statistics=0", "--get-server-public-key"]),
        ("mysql", "8.4.0", ["--set-gtid-purged=OFF", "--column-statistics=0", "--get-server-public-key"]),
        ("mysql", "9.1.0", ["--set-gtid-purged=OFF", "--column-statistics=0", "--get-server-public-key"]),
        ("mysql", "9.7.4", [*MYSQL_OPTIONS]),
        ("mariadb", "10.5.29", []),
        ("mariadb", "10.6.22", []),
        ("mariadb", "10.11.14", ["--dump-history"]),
        ("mariadb", "11.8.6", ["--dump-history"]),
    ],
)
def test_options_go_only_to_clients_that_know_them(flavour: str, version: str, known: list[str]) -> None:
    own = {
        "mysql": MYSQL_OPTIONS,
        "mariadb": ["--dump-history"],
    }[flavour]
    everywhere = ["--no-tablespaces", "--single-transaction"]
    assert known_options(client(flavour, version), [*everywhere, *own]) == [*everywhere, *known]


def test_clients_that_are_there_are_named() -> None:
    both = Clients(client("mysql", "9.7.4", "/d"), client("mysql", "9.7.4", "/l"))
    assert client_present(both) == [Check("client-present", "ok", "/d 9.7.4, /l 9.7.4")]


def test_a_missing_loader_stops_no_backup_but_a_missing_dumper_does() -> None:
    missing = ClientError("No mysql of MySQL is installed.", "Install it.", check="client-make")
    there = client("mysql", "9.7.4")
    assert statuses(client_present(Clients(there, missing))) == [("client-make", "warning"), ("client-present", "ok")]
    assert statuses(client_present(Clients(missing, there))) == [("client-make", "failed"), ("client-present", "ok")]
    neither = client_present(Clients(missing, missing))
    assert statuses(neither) == [("client-make", "failed"), ("client-make", "warning")]
    assert neither[0].hint == "Install it."


def test_a_client_that_cannot_log_in_is_a_failure() -> None:
    server, there = Server("mysql", "9.7.4", (9, 7, 4)), client("mysql", "9.7.4")
    assert client_login(Clients(there, there), server) == []
    assert statuses(client_login(Clients(there, there, ""), server)) == [("client-login", "ok")]
    failed = client_login(Clients(there, there, "ERROR 2059: Authentication plugin"), server)
    assert statuses(failed) == [("client-login", "failed")]
    assert "2059" in failed[0].detail


def test_long_lists_are_cut() -> None:
    assert listed(["b", "a", "a"]) == "a, b"
    assert listed("gfedcba") == "a, b, c, d, e and 2 more"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders that are searched for clients instead of the machine's own."""
    monkeypatch.setattr(clients, "_SEARCH_PATH", f"{tmp_path}/one:{tmp_path}/two")
    monkeypatch.setattr(clients, "_POSTGRESQL_DIRECTORIES", (f"{tmp_path}/pg/*/bin",))
    return tmp_path


def install(path: Path, says: str, counter: Path | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    counting = f"echo >> {counter}\n" if counter else ""
    path.write_text(f"#!/bin/sh\n{counting}echo '{says}'\n")
    path.chmod(0o755)


def test_a_client_is_asked_once_until_it_changes(programs: Path) -> None:
    counter, program, processes = programs / "asked", programs / "one" / "mysqldump", ProcessTable()
    install(program, "mysqldump  Ver 8.0.36 for Linux", counter)
    found = {mysql_client("mysql", "mariadb-dump", "mysqldump", processes).version for _ in range(3)}
    assert found == {"8.0.36"}
    assert counter.read_text() == "\n"
    program.unlink()
    install(program, "mysqldump  Ver 8.4.0 for Linux", counter)
    assert mysql_client("mysql", "mariadb-dump", "mysqldump", processes).version == "8.4.0"


def test_the_client_that_fits_the_version_is_chosen_wherever_it_is(programs: Path) -> None:
    install(programs / "one" / "mysqldump", "mysqldump  Ver 8.0.36 for Linux")
    install(programs / "two" / "mysqldump", "mysqldump  Ver 9.7.4 for Linux")

    def chosen(*server: int) -> str:
        return mysql_client("mysql", "mariadb-dump", "mysqldump", ProcessTable(), server).version

    assert chosen(8, 0, 40) == "8.0.36"
    assert chosen(8, 4, 0) == "9.7.4"
    assert chosen(9, 9, 0) == "9.7.4"


def test_another_makes_client_is_named_with_why_it_does_not_serve(programs: Path) -> None:
    install(programs / "one" / "mysqldump", "mysqldump from 11.8.6-MariaDB, client 10.19")
    with pytest.raises(ClientError, match=r"one/mysqldump is MariaDB's \(11\.8\.6\), whose dumps of MySQL") as refused:
        mysql_client("mysql", "mariadb-dump", "mysqldump", ProcessTable())
    assert refused.value.check == "client-make"
    install(programs / "one" / "mysqldump", "mysqldump  Ver 9.7.4 for Linux")
    with pytest.raises(ClientError, match=r"is MySQL's \(9\.7\.4\), whose dumps of MariaDB lack"):
        mysql_client("mariadb", "mariadb-dump", "mysqldump", ProcessTable())


def test_missing_and_old_clients_are_told_apart(programs: Path) -> None:
    with pytest.raises(ClientError) as missing:
        mysql_client("mysql", "mariadb-dump", "mysqldump", ProcessTable())
    assert missing.value.check == "client-present"
    with pytest.raises(ClientError) as missing:
        postgresql_client("pg_dump", 17, ProcessTable())
    assert missing.value.check == "client-present"
    install(programs / "pg" / "15" / "bin" / "pg_dump", "pg_dump (PostgreSQL) 15.2")
    with pytest.raises(ClientError) as old:
        postgresql_client("pg_dump", 17, ProcessTable())
    assert old.value.check == "client-age"


def test_a_broken_client_hides_no_whole_one(programs: Path) -> None:
    install(programs / "pg" / "16" / "bin" / "pg_dump", "cannot load a library")
    with pytest.raises(ClientError, match="does not say its version"):
        postgresql_client("pg_dump", 15, ProcessTable())
    install(programs / "pg" / "17" / "bin" / "pg_dump", "pg_dump (PostgreSQL) 17.5")
    assert postgresql_client("pg_dump", 15, ProcessTable()).version == "17.5"
