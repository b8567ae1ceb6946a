# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that is full, at the beginning or from some point on: that of the artifacts, and that of the catalog."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apparatus.table import Table
from apparatus.tool import Tool
from apparatus.witness import Witness
from servers import Host, Server

PAGE = 4096  # what tmpfs gives and takes


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, host: Host) -> Iterator[Path]:
    """A disk of 64 MB, mounted where the parameter says below the host's root."""
    place = host.root / request.param
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def free_pages(disk: Path) -> int:
    """The pages that are free on a disk."""
    return os.statvfs(disk).f_bavail


def fill(disk: Path, left: int) -> None:
    """Leave so many pages free."""
    pages = free_pages(disk) - left
    if pages > 0:
        with (disk / "filler").open("wb", buffering=0) as file:
            file.write(b"x" * (pages * PAGE))


def fill_at(call: str, disk: Path, left: int) -> None:
    """Fill the disk when the artifact is begun, after the engine has made sure that there is room."""
    if call.startswith("create") and call.endswith(".sql.gz.partial"):
        fill(disk, left)


@pytest.fixture
def noisy(server: Server, make_database: Callable[..., str]) -> str:
    """A database whose artifact takes some twenty pages."""
    rows = ", ".join(f"({n}, '{os.urandom(2000).hex()}')" for n in range(20))
    return make_database(
        "vya_noisy", f"CREATE TABLE item (id integer PRIMARY KEY, t text); INSERT INTO item VALUES {rows};"
    )


@pytest.mark.parametrize("small_disk", ["backups"], indirect=True)
def test_the_disk_of_the_artifacts(
    server: Server, host: Host, tool: Tool, noisy: str, small_disk: Path, table: Table, tmp_path: Path
) -> None:
    assert tool.backup(server, noisy).code == 0
    witness = Witness(host, server, noisy)
    begin = free_pages(small_disk)
    assert tool.backup(server, noisy).code == 0
    needed = begin - free_pages(small_disk)
    second = set(witness.artifacts()) - set(witness.good)
    for path in second:
        path.with_name(f"{path.name}.manifest.json").unlink()
        path.unlink()
    with table.row("disk of the artifacts full from some point on", server.kind) as row:
        offsets = [*range(0, needed, max(1, needed // 6)), needed - 2, needed - 1]
        for left in offsets:
            ran = tool.backup(server, noisy, on_call=lambda call, left=left: fill_at(call, small_disk, left))
            (small_disk / "filler").unlink(missing_ok=True)
            found = witness.problems(ran, removable=second)
            if set(witness.artifacts()) != set(witness.good) or witness.unfinished():
                found.append("something of the failed backup was left")
            row.problems += [f"{left} pages free of {needed} needed: {problem}" for problem in found]
            row.noticed = ran.said
        fill(small_disk, 1)
        ran = tool.backup(server, noisy)
        (small_disk / "filler").unlink()
        row.problems += [f"full before it begins: {problem}" for problem in witness.problems(ran, removable=second)]
        row.runs = str(len(offsets) + 1)
        row.problems += witness.problems_of_the_next(tool, began=False)


@pytest.mark.parametrize("small_disk", ["state"], indirect=True)
def test_the_disk_of_the_catalog(
    server: Server, host: Host, tool: Tool, shop: str, small_disk: Path, table: Table, tmp_path: Path
) -> None:
    assert tool.backup(server, shop).code == 0
    witness = Witness(host, server, shop)
    with table.row("disk of the catalog full from some point on", server.kind) as row:
        for left in range(6):
            fill(small_disk, left)
            ran = tool.backup(server, shop)
            (small_disk / "filler").unlink(missing_ok=True)
            found = witness.problems(ran, succeeded=ran.code == 0)
            row.problems += [f"{left} pages free: {problem}" for problem in found]
            row.noticed = ran.said or row.noticed
        row.runs = "6"
        row.problems += witness.problems_of_the_next(tool, began=False)
