# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clocks that jump, machines that share a name, databases that are not there, servers that say nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from apparatus.stand_ins import as_another_machine
from apparatus.table import Table
from apparatus.tool import BEGIN, Tool
from apparatus.witness import Witness
from servers import Host, Server, configured_host

RETENTION = {"daily": 2, "weekly": 1, "monthly": 0}
JUMPS = {
    "ten years forwards": timedelta(days=3653),
    "a day forwards": timedelta(days=1),
    "an hour backwards": timedelta(hours=-1),
    "three days backwards": timedelta(days=-3),
    "to before the first backup": BEGIN.replace(year=1970, month=1, day=2) - BEGIN,
}


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps(jump: str, server: Server, host: Host, tool: Tool, shop: str, table: Table) -> None:
    host.write(
        policies=[{"name": "nightly", "instances": [server.database_id], "include": [shop], "retention": RETENTION}]
    )
    with table.row(f"clock jumps {jump} and back", server.kind) as row:
        for days in (4, 3, 2, 1):
            tool.now = BEGIN - timedelta(days=days)
            assert tool.policy().code == 0
        made_last = Witness(host, server, shop).good[-1]
        tool.now = BEGIN + JUMPS[jump]
        ran = tool.policy()
        row.noticed = ran.said or "backed up; nothing removed that was made last or is due to stay"
        row.problems += Witness(host, server, shop).problems(ran, succeeded=ran.code == 0)
        if not made_last.exists():
            row.problems.append("the jump made retention remove what had been made last")
        for hours in (0, 1, 24, 48):
            tool.now = BEGIN + timedelta(hours=hours)
            before = Witness(host, server, shop)
            ran = tool.policy()
            made = [Path(result["artifact"]) for result in ran.report["results"] if result["artifact"]]
            if ran.code or not made or made[0] not in before.artifacts():
                row.problems.append(f"{hours} h after the jump back: {ran.code} {ran.said}, made {made}")
        if len(Witness(host, server, shop).good) < 2:
            row.problems.append("fewer artifacts are left than the retention keeps")


def test_a_clock_that_jumps_in_mid_run(server: Server, host: Host, tool: Tool, shop: str, table: Table) -> None:
    with table.row("clock set back by a day in mid-run", server.kind) as row:
        assert tool.backup(server, shop).code == 0
        witness = Witness(host, server, shop)
        tool.drift = timedelta(days=-1)
        ran = tool.backup(server, shop)
        tool.drift = timedelta(0)
        row.noticed = ran.said or "backed up; its time is that of its beginning"
        row.problems += witness.problems(ran, succeeded=True)
        row.problems += witness.problems_of_the_next(tool, began=False)


def test_two_machines_of_one_name(
    server: Server, servers: dict[str, Server], host: Host, tool: Tool, shop: str, table: Table, tmp_path: Path
) -> None:
    retention = {"daily": 1, "weekly": 0, "monthly": 0}
    policies = [{"name": "nightly", "instances": [server.database_id], "include": [shop], "retention": retention}]
    host.write(policies=policies)
    with table.row("two machines of one name on one storage", server.kind) as row:
        for days in (3, 2, 1):
            tool.now = BEGIN - timedelta(days=days)
            assert tool.backup(server, shop).code == 0
        witness = Witness(host, server, shop)
        (tmp_path / "second").mkdir()
        identity = tmp_path / "machine-id"
        identity.write_text(f"{2:032x}\n")

        def second() -> list[str]:
            storage = {"root": str(host.storage)}
            named_alike = configured_host(
                tmp_path / "second", servers, storage=storage, policies=policies, hostname="host1"
            )
            theirs = Tool(named_alike, tmp_path)
            runs = theirs.policy(), theirs.run("prune", server.database_id, shop)
            return [runs[0].said, *(f"the second machine is served: {ran.out}" for ran in runs if ran.code == 0)]

        row.noticed, *served = as_another_machine(identity, second)
        row.problems += served
        if host.files() != witness.files:
            row.problems.append("the second machine has changed what is stored")
        row.problems += witness.problems_of_the_next(tool, began=False)


def test_a_database_that_does_not_exist(server: Server, host: Host, tool: Tool, shop: str, table: Table) -> None:
    host.write(
        policies=[{"name": "nightly", "instances": [server.database_id], "include": [shop, "vya_gone"], "limits": {}}]
    )
    with table.row("a database that does not exist", server.kind) as row:
        witness = Witness(host, server, shop)
        for ran in (tool.backup(server, "vya_gone"), tool.policy()):
            row.noticed = row.noticed or ran.said
            row.problems += witness.problems(ran)
        if [path for path in witness.artifacts() if "gone" in path.name]:
            row.problems.append("there is an artifact of it")
        row.problems += witness.problems_of_the_next(tool, began=False)


def test_one_failing_database_among_several(
    server: Server, host: Host, tool: Tool, make_database: Callable[..., str], table: Table
) -> None:
    names = ["vya_good_1", "vya_bad", "vya_good_2"]
    for name in names:
        make_database(name, "CREATE TABLE t (id integer); CREATE VIEW v AS SELECT id FROM t;")
    if server.kind == "mysql":
        server.sql("DROP TABLE t;", "vya_bad")
    else:
        server.sql("CREATE TABLE hidden (id integer); UPDATE pg_class SET relam = 9999 WHERE relname = 't';", "vya_bad")
    with table.row("one failing database among three", server.kind) as row:
        witness = Witness(host, server, "vya_good_1")
        ran = tool.backup(server, *names)
        row.noticed = ran.said
        row.problems += witness.problems(ran)
        made = sorted({path.parent.parent.name for path in witness.artifacts()})
        if made != ["vya_good_1", "vya_good_2"]:
            row.problems.append(f"backed up were {made}")


def test_a_server_that_stops_answering(server: Server, host: Host, tool: Tool, shop: str, table: Table) -> None:
    limits = {"stall_timeout": "3s"}
    host.write(policies=[{"name": "nightly", "instances": [server.database_id], "include": [shop], "limits": limits}])
    with table.row("table locked by a transaction that does not end", server.kind) as row:
        witness = Witness(host, server, shop)
        if server.kind == "mysql":
            holder = subprocess.Popen([server.flavour, shop, "-e", "LOCK TABLES item WRITE; SELECT SLEEP(60);"])
        else:
            lock = "BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60);"
            holder = subprocess.Popen(
                ["runuser", "-u", "postgres", "--", "psql", "-q", "-d", shop, "-c", lock], cwd="/"
            )
        try:
            wait_for_lock(server)
            ran = tool.policy(patience=90)
        finally:
            os.kill(holder.pid, signal.SIGTERM)
            holder.wait()
            end_sessions(server)
        row.noticed = ran.said
        row.problems += witness.problems(ran) + witness.problems_of_the_next(tool, began=False)


def wait_for_lock(server: Server) -> None:
    """Wait until another session holds the lock."""
    query = {
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%';",
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <>"
        " pg_backend_pid() AND wait_event = 'PgSleep';",
    }[server.kind]
    for _ in range(200):
        if server.sql(query) != "0":
            return
    raise TimeoutError("the lock is not held")


def end_sessions(server: Server) -> None:
    """End the session that held the lock: its client's death alone does not wake a sleeping server."""
    if server.kind == "mysql":
        query = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%';"
        for number in server.sql(query).split():
            try:
                server.sql(f"KILL {number};")
            except RuntimeError as exc:  # it has ended meanwhile
                if "Unknown thread id" not in str(exc):
                    raise
    else:
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
            " AND pid <> pg_backend_pid();"
        )
