# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How pg_dump and pg_restore are called for directories; what they do then is tested against real servers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.config import Instance
from vya_backupdb.db import postgresql
from vya_backupdb.db.base import Client, Origin, Server
from vya_backupdb.db.compatibility import Clients
from vya_backupdb.db.directory import DirectoryOptions
from vya_backupdb.db.postgresql import PostgreSql
from vya_backupdb.db.postgresql_directory import (
    LISTS,
    PostgreSqlDirectory,
    by_hand,
    check_directory_dump,
    dump_options,
    load_options,
)
from vya_backupdb.errors import ArtifactError, ClientError, DamageError
from vya_backupdb.security.credentials import Credential
from vya_backupdb.utils.processes import ProcessTable

OLD = Client("/usr/lib/postgresql/15/bin/pg_dump", "postgresql", "15.14", (15, 14))
NEW = Client("/usr/lib/postgresql/17/bin/pg_dump", "postgresql", "17.6", (17, 6))
MISSING = ClientError("No pg_restore of PostgreSQL 17 or later is installed.", "Install it.")


@pytest.mark.parametrize(
    ("algorithm", "level", "compress"),
    [
        ("gzip", 6, "6"),
        ("gzip", "auto", "1"),
        ("zstd", 7, "zstd:7"),
        ("zstd", "auto", "zstd:3"),
        ("none", 1, "0"),
        ("none", "auto", "0"),
    ],
)
def test_levels_are_said_as_all_versions_understand_them(algorithm: str, level: Any, compress: str) -> None:
    options = dump_options(DirectoryOptions(4, algorithm, level))
    assert f"--compress={compress}" in options
    assert "--jobs=4" in options


@pytest.mark.parametrize(
    ("dumper", "restorer", "algorithm", "status"),
    [
        (NEW, NEW, "zstd", "ok"),
        (OLD, OLD, "gzip", "ok"),
        (OLD, OLD, "zstd", "failed"),
        (NEW, MISSING, "gzip", "failed"),
        (MISSING, NEW, "gzip", "failed"),
    ],
)
def test_clients_that_cannot_do_it_are_named(dumper: Any, restorer: Any, algorithm: str, status: str) -> None:
    check = check_directory_dump(Clients(dumper, restorer), algorithm)
    assert (check.check, check.status) == ("parallel", status)
    assert bool(check.hint) == (status == "failed")


def test_the_command_by_hand_survives_hostile_names() -> None:
    owner = "it's {artifact}; $(id)"
    command = by_hand({"extension_owners": {"hstore": owner}}).format(artifact="x.dump.d")
    calls = [shlex.split(call) for call in command.split(" && ")]
    assert [call[0] for call in calls] == ["createdb", *["pg_restore"] * 4, "psql"]
    assert all(f"--role={owner}" in call and call[-1] == "x.dump.d" for call in calls[1:5])
    assert "--jobs=2" in calls[1]
    assert not any("--role" in word for options in load_options("d", 2, None) for word in options)


def test_no_process_that_loads_waits_for_its_commits_to_reach_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "postgresql_client", lambda *_arguments: NEW)
    driver = PostgreSql(Instance(database_id="x", dbms="postgresql"), Credential("x", "u", "p"), ProcessTable())
    driver.__dict__["_server"] = Server("postgresql", "17.6", (17, 6))
    *archives, settings = driver.directory_load("shop", Path("/a"), Origin({}, {"version": "17.6"}, {}, {}), 2)
    assert [call.environment.get("PGOPTIONS") for call in archives] == ["-c synchronous_commit=off"] * len(LISTS)
    assert settings.environment["PGDATABASE"] == "shop"


def listing(tmp_path: Path, script: str, processes: ProcessTable) -> PostgreSqlDirectory:
    """What understands directories by a client that is a script."""
    client = tmp_path / "pg_restore"
    client.write_text(f"#!/bin/sh\n{script}\n")
    client.chmod(0o755)
    return PostgreSqlDirectory(Client(str(client), "postgresql", "17.6", (17, 6)), processes)


def test_a_client_that_was_ended_says_nothing_of_the_directory(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="was not read to its end") as killed:
        listing(tmp_path, "kill -TERM $$", ProcessTable()).contents(tmp_path)
    stopped = ProcessTable()
    stopped.cancel()
    with pytest.raises(ArtifactError, match="was not read to its end") as cancelled:
        listing(tmp_path, "sleep 600", stopped).contents(tmp_path)
    assert not isinstance(killed.value, DamageError)
    assert not isinstance(cancelled.value, DamageError)
    with pytest.raises(DamageError, match="cannot be read: no reason given"):
        listing(tmp_path, "exit 1", ProcessTable()).contents(tmp_path)
