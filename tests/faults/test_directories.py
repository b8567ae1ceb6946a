# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine killed with SIGKILL before every system call that changes the disk, where artifacts are directories."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from apparatus.table import Table
from apparatus.tool import BEGIN, Tool
from apparatus.witness import Snapshot, Witness
from servers import Host, Server
from test_engine_killed import kill_everywhere, note

pytestmark = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


@pytest.fixture
def aged(host: Host, tool: Tool, server: Server, shop: str) -> Witness:
    """A host whose policy asks for directories, with three of them, two of which its retention will not keep."""
    policy = {"name": "nightly", "instances": [server.database_id], "include": [shop], "strategy": "parallel"}
    host.write(policies=[{**policy, "retention": {"daily": 2, "weekly": 0, "monthly": 0}}])
    for days in (3, 2, 1):
        tool.now = BEGIN - timedelta(days=days)
        assert tool.backup(server, shop).code == 0
    tool.now = BEGIN
    witness = Witness(host, server, shop)
    assert len(witness.good) == 3
    assert all(path.is_dir() for path in witness.good)
    return witness


def test_in_a_backup_with_retention(
    server: Server, host: Host, tool: Tool, shop: str, table: Table, aged: Witness, tmp_path: Path
) -> None:
    before = Snapshot(host, tmp_path / "before")
    assert tool.policy().code == 0
    removable = set(aged.good) - set(aged.artifacts())
    assert len(removable) == 2
    with table.row("engine SIGKILLed anywhere in a backup of directories with retention", server.kind) as row:
        points = 0
        for ran in kill_everywhere(lambda n: tool.policy(kill_before=n, merged=True), before):
            points += 1
            note(row, ran, aged.problems(ran, removable=removable))
            began = aged.is_running()
            note(row, ran, aged.problems_of_the_next(tool, began=began, policy=True))
            note(row, ran, [f"half removed: {path}" for path in aged.halves()])
        row.noticed, row.runs = "nothing lost that retention keeps; next run finishes its work", str(points)
