# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A restore whose process is killed at its worst moments: the next command puts right or says what is left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Host, Server

import vya_backupdb

# Dies in front of or behind the n-th call of a method of the driver.
KILLED = """
import os, signal, sys
from pathlib import Path
package, config, instance, database, method, number, where, artifact = sys.argv[1:]
sys.path.insert(0, package)
from vya_backupdb.engine import Engine
from vya_backupdb.db import mysql, postgresql
driver = postgresql.PostgreSql if "postgresql" in instance else mysql.MySql
original = getattr(driver, method)
calls = 0
def dying(self, *arguments):
    global calls
    calls += 1
    if calls == int(number) and where == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(self, *arguments)
    if calls == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(driver, method, dying)
Engine.open(config).restore(
    database_id=instance, database=database, artifact=Path(artifact), overwrite=True
)
"""


@pytest.fixture
def killed(host: Host, server: Server, shop: str, tmp_path: Path) -> Iterator[Callable[[str, int, str], None]]:
    """Kill a restore that would replace a shop with two items by one with three."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "vya_backupdb").symlink_to(Path(str(vya_backupdb.__file__)).parent)
    made = host.engine().backup(database_id=server.database_id, databases=[shop]).results[0]
    server.sql("DELETE FROM item WHERE id = 2;", shop)

    def kill(method: str, number: int, where: str) -> None:
        words = [str(package), str(host.config_path), server.database_id, shop, method, str(number), where]
        done = subprocess.run(
            [sys.executable, "-c", KILLED, *words, str(made.artifact)], capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr

    yield kill
    for name in server.sql("SELECT datname FROM pg_database;").splitlines() if server.kind == "postgresql" else []:
        if name.startswith(f"{shop}_"):
            server.drop(name)


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("method", "number", "where", "rows", "left"),
    [
        ("create_database", 1, "before", "2", 0),
        ("create_database", 1, "after", "2", 1),  # not on record to be ours, so it is named and left
        ("inspect", 1, "after", "2", 0),
        ("rename_database", 1, "before", "2", 0),
        ("rename_database", 1, "after", "2", 0),  # the target is absent: the old one comes back
        ("let_in", 1, "before", "2", 0),  # renamed, and closed to connections
        ("let_in", 2, "before", "3", 1),  # in its place, and closed to connections
        ("rename_database", 2, "after", "3", 1),
        ("drop_database", 1, "after", "3", 0),
    ],
)
def test_the_next_backup_finds_a_complete_database(
    host: Host,
    server: Server,
    shop: str,
    killed: Callable[[str, int, str], None],
    method: str,
    number: int,
    where: str,
    rows: str,
    left: int,
) -> None:
    killed(method, number, where)
    assert host.engine().status().problems, "also what only looks says so"

    report = host.engine().backup(database_id=server.database_id)

    assert shop in [result.database for result in report.results if result.outcome == "success"]
    assert server.sql("SELECT count(*) FROM item;", shop) == rows
    names = server.sql("SELECT datname FROM pg_database;").splitlines()
    assert len([name for name in names if name.startswith(f"{shop}_")]) == left
    outcomes = [(run.kind, run.outcome) for run in host.engine().catalog.runs() if run.kind != "backup"]
    assert outcomes == [("recovery", "success"), ("restore", "vanished")]
    assert len(host.engine().status().problems) == left
    assert host.engine().restore(database_id=server.database_id, database=shop, overwrite=True).outcome == "success"
    assert len(host.engine().status().problems) == left, "until somebody says that it is gone"
    assert host.engine().accept(database_id=server.database_id, database=shop).changed is bool(left)
    assert host.engine().status().problems == ()


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
@pytest.mark.parametrize(
    ("method", "number", "where"),
    [("drop_database", 1, "after"), ("create_database", 1, "after"), ("load_command", 2, "after")],
)
def test_where_it_cannot_be_put_right_it_is_said(
    host: Host,
    server: Server,
    shop: str,
    killed: Callable[[str, int, str], None],
    method: str,
    number: int,
    where: str,
) -> None:
    killed(method, number, where)

    report = host.engine().backup(database_id=server.database_id)
    (problem,) = host.engine().status().problems
    assert "THE DATABASE MAY BE MISSING OR INCOMPLETE" in problem
    assert not host.engine().check(database_id=server.database_id).ok
    if server.exists(shop):
        (result,) = [result for result in report.results if result.database == shop]
        assert problem in result.warnings
    pruned = host.engine().prune(database_id=server.database_id, database=shop)
    assert pruned.removed == ()

    # As it says.
    safety = Path(problem.partition("--artifact ")[2].partition(" --overwrite")[0])
    done = host.engine().restore(database_id=server.database_id, database=shop, artifact=safety, overwrite=True)
    assert done.outcome == "success"
    assert server.sql("SELECT count(*) FROM item;", shop) == "2"
    assert host.engine().status().problems == ()


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_before_anything_was_changed_nothing_is_said_for_long(
    host: Host, server: Server, shop: str, killed: Callable[[str, int, str], None]
) -> None:
    killed("dump_session", 1, "before")  # the safety backup
    host.engine().backup(database_id=server.database_id, databases=[shop])
    assert host.engine().status().problems == ()
    assert server.sql("SELECT count(*) FROM item;", shop) == "2"
