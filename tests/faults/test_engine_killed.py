# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine killed with SIGKILL before every system call that changes the disk: backup and retention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from apparatus.table import Row, Table
from apparatus.tool import BEGIN, KILLED, Ran, Tool
from apparatus.witness import Snapshot, Witness
from servers import Host, Server

RETENTION = {"daily": 2, "weekly": 0, "monthly": 0}


def kill_everywhere(run: Callable[[int], Ran], snapshot: Snapshot) -> Iterator[Ran]:
    """Yield a run killed at each point, the host put back before each; ends with the run that was not killed."""
    point = 0
    while True:
        snapshot.put_back()
        ran = run(point)
        if ran.code != KILLED:
            assert ran.code == 0, ran.said
            return
        yield ran
        point += 1


def note(row: Row, ran: Ran, found: list[str]) -> None:
    """Add what was found after a run, with where it was killed."""
    row.problems += [f"killed before {ran.calls[-1]} (call {len(ran.calls)}): {problem}" for problem in found]


def test_in_the_first_backup_of_a_host(
    server: Server, host: Host, tool: Tool, shop: str, table: Table, tmp_path: Path
) -> None:
    nothing = Snapshot(host, tmp_path / "nothing")
    merged = server.kind != "mysql"  # the catalog is the same for both; its inner states need to be seen once only
    with table.row("engine SIGKILLed anywhere in a host's first backup", server.kind) as row:
        points = 0
        for ran in kill_everywhere(lambda n: tool.backup(server, shop, kill_before=n, merged=merged), nothing):
            points += 1
            witness = Witness(host, server, shop)
            began = witness.is_running()
            note(row, ran, witness.problems(ran) + witness.problems_of_the_next(tool, began=began))
        row.noticed, row.runs = "no backup claimed; next run cleans up, records it as vanished", str(points)


@pytest.fixture
def aged(host: Host, tool: Tool, server: Server, shop: str) -> Witness:
    """A host with a policy and four old artifacts, three of which its retention will not keep."""
    host.write(
        policies=[{"name": "nightly", "instances": [server.database_id], "include": [shop], "retention": RETENTION}]
    )
    for days in (4, 3, 2, 1):
        tool.now = BEGIN - timedelta(days=days)
        assert tool.backup(server, shop).code == 0
    tool.now = BEGIN
    return Witness(host, server, shop)


# Retention and catalog are the same for both.
@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_in_a_backup_with_retention(
    server: Server, host: Host, tool: Tool, shop: str, table: Table, aged: Witness, tmp_path: Path
) -> None:
    before = Snapshot(host, tmp_path / "before")
    assert tool.policy().code == 0
    removable = set(aged.good) - set(aged.artifacts())
    assert len(removable) == 3
    with table.row("engine SIGKILLed anywhere in a backup with retention", server.kind) as row:
        points = 0
        for ran in kill_everywhere(lambda n: tool.policy(kill_before=n, merged=True), before):
            points += 1
            note(row, ran, aged.problems(ran, removable=removable))
            began = aged.is_running()
            note(row, ran, aged.problems_of_the_next(tool, began=began, policy=True))
            note(row, ran, [f"half removed: {path}" for path in aged.halves()])
        row.noticed, row.runs = "nothing lost that retention keeps; next run finishes its work", str(points)
