# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk of the server is full, before or in a restore: the server stays up, the old database can be had again."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apparatus.data_disk import MEGABYTE, DataDisk, on_its_own_disk
from apparatus.servers_down import bring_back, wait_until
from apparatus.stand_ins import in_place_of, loader
from apparatus.table import Row, Table
from apparatus.tool import Ran, Tool
from apparatus.witness import Witness
from servers import Host, Server

READ = "SELECT id, t FROM item ORDER BY id;"
LIST = {"mysql": "SHOW DATABASES;", "postgresql": "SELECT datname FROM pg_database;"}
# The first client waits in mid-load; a second one, which brings the old database back, until there may be room again.
SLOW = """if [ ! -e {mark} ]; then
    touch {mark}
    {{ dd bs=1 count=300 2> /dev/null; touch {mark}.loads; sleep 2; cat; }} | "$real" "$@"; exit ${{PIPESTATUS[1]}}
fi
touch {mark}.again; until [ -e {mark}.room ]; do sleep 0.1; done; exec "$real" "$@"
"""
LITTLE = MEGABYTE // 4
ROWS = 1500  # some 6 MB


@pytest.fixture
def disk(server: Server, tmp_path: Path) -> Iterator[DataDisk]:
    """The disk that the server has its data on."""
    place = tmp_path / "disk"
    place.mkdir()
    with on_its_own_disk(server, place) as found:
        yield found


def rows(count: int) -> str:
    """A table with rows that no server stores in less room, as SQL."""
    values = ", ".join(f"({n}, '{os.urandom(2000).hex()}')" for n in range(count))
    return f"CREATE TABLE item (id integer PRIMARY KEY, t text); INSERT INTO item VALUES {values};"


@pytest.fixture
def prepare(
    disk: DataDisk, server: Server, host: Host, tool: Tool, make_database: Callable[..., str]
) -> Callable[[int], Witness]:
    """Make an artifact of a database, which then becomes another one of so many rows."""

    def prepared(count: int) -> Witness:
        name = make_database("vya_noisy", rows(ROWS))
        limits = {"stall_timeout": "10s"}
        policy = {"name": "nightly", "instances": [server.database_id], "include": [name], "limits": limits}
        host.write(policies=[policy])
        assert tool.policy().code == 0
        make_database(name, rows(count))
        return Witness(host, server, name)

    return prepared


def judge(row: Row, ran: Ran, witness: Witness, server: Server, disk: DataDisk, old: str, tool: Tool) -> None:
    """See what a restore has left of the server and of the old database, and that the next one succeeds."""
    row.noticed = ran.said
    row.problems += witness.problems(ran)
    up = server.answers()
    disk.widen()
    if server.kind == "mysql":  # InnoDB gives up, again and again, where it has no room to roll back
        bring_back(server)
    elif not up:
        row.problems.append("the server is down")
        bring_back(server)
    if "COULD NOT BE BROUGHT BACK" in ran.said:
        found = re.search(r"vya-backupdb (restore .* --overwrite)\.", ran.said)
        words = shlex.split(found.group(1)) if found else ["none"]
        again = tool.run(*words, "--yes", "--json")
        if again.code:
            row.problems.append(f"what is told to be done ({words}) fails: {again.said}")
    elif not re.search(r"untouched|brought back|[Nn]othing was\s+changed", ran.said):
        row.problems.append(f"it does not say what state the database is in: {ran.said}")
    if server.sql(READ, "vya_noisy") != old:
        row.problems.append(f"the old database is not there as it was: {ran.said}")
    side = [name for name in server.sql(LIST[server.kind]).splitlines() if name.startswith("vya_noisy_")]
    if not all(f"DROP DATABASE {server.quoted(name)};" in ran.said for name in side):
        row.problems.append(f"left in the server, and not told: {side}: {ran.said}")
    again = tool.restore(server, "vya_noisy", "--overwrite", "--artifact", str(witness.good[0]))
    if again.code or server.sql("SELECT count(*) FROM item;", "vya_noisy") != str(ROWS):
        row.problems.append(f"the next restore fails: {again.said}")
    for name in side:
        server.drop(name)


def test_full_before_a_restore(
    disk: DataDisk, server: Server, tool: Tool, prepare: Callable[[int], Witness], table: Table
) -> None:
    witness = prepare(5)
    old = server.sql(READ, "vya_noisy")
    with table.row("server's disk full before a restore", server.kind) as row:
        disk.leave(LITTLE)
        ran = tool.restore(server, "vya_noisy", "--overwrite")
        judge(row, ran, witness, server, disk, old, tool)


# How much room is left, and of how many rows the old database is, which the clients of MySQL and MariaDB drop first.
FILLED = {
    "server's disk filled by the load itself": (5, 5 * MEGABYTE),
    "server's disk filled by others in mid-load": (900, LITTLE),
    "server's disk filled to the last byte in mid-load": (900, 0),
}


@pytest.mark.parametrize("name", FILLED)
def test_filled_in_a_restore(
    name: str,
    disk: DataDisk,
    server: Server,
    tool: Tool,
    prepare: Callable[[int], Witness],
    table: Table,
    public: Path,
) -> None:
    count, left = FILLED[name]
    witness = prepare(count)
    old = server.sql(READ, "vya_noisy")
    mark = public / "mark"
    Path(f"{mark}.room").touch()

    def meanwhile(_engine: int) -> None:
        wait_until(Path(f"{mark}.loads").exists, "the load does not begin")
        disk.leave(left)

    with table.row(name, server.kind) as row:
        with in_place_of(loader(server), SLOW.format(mark=mark), public):
            ran = tool.restore(server, "vya_noisy", "--overwrite", meanwhile=meanwhile, patience=500)
        if not re.search(r"The disk of /var/lib/\S+ is full: \S+ \S+ are free", ran.said):
            row.problems.append(f"it does not say that the disk is full: {ran.said}")
        judge(row, ran, witness, server, disk, old, tool)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_room_again_before_the_old_database_is_brought_back(
    disk: DataDisk, server: Server, tool: Tool, prepare: Callable[[int], Witness], table: Table, public: Path
) -> None:
    witness = prepare(900)
    old = server.sql(READ, "vya_noisy")
    mark = public / "mark"

    def meanwhile(_engine: int) -> None:
        wait_until(Path(f"{mark}.loads").exists, "the load does not begin")
        disk.leave(LITTLE)
        wait_until(Path(f"{mark}.again").exists, "the old database is not brought back")
        disk.widen()
        Path(f"{mark}.room").touch()

    with table.row("server's disk filled in mid-load, for a while", server.kind) as row:
        with in_place_of(loader(server), SLOW.format(mark=mark), public):
            ran = tool.restore(server, "vya_noisy", "--overwrite", meanwhile=meanwhile)
        if "was brought back" not in ran.said:
            row.problems.append(f"the old database was not brought back: {ran.said}")
        judge(row, ran, witness, server, disk, old, tool)
