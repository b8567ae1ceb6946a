# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Artifacts and manifests that are no longer what they were: never restored, never counted as good, never a reason to
remove what is."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from apparatus.table import Row, Table
from apparatus.tool import BEGIN, Tool
from apparatus.witness import Snapshot, Witness
from servers import Host, Server

BITS = 16


@dataclass
class Shelf:
    """A database with three artifacts, of which the newest is going to be damaged.

    Attributes:
        newest: The newest artifact.
        others: The older ones.
        rows: What the database held when they were made.
    """

    newest: Path
    others: list[Path]
    rows: str


@pytest.fixture
def shelf(host: Host, tool: Tool, server: Server, shop: str) -> Shelf:
    """Three artifacts of three days; the database has changed since."""
    retention = {"daily": 1, "weekly": 0, "monthly": 0}
    host.write(policies=[{"name": "nightly", "instances": [server.database_id], "retention": retention}])
    for days in (3, 2, 1):
        tool.now = BEGIN - timedelta(days=days)
        server.sql(f"INSERT INTO item VALUES ({100 - days}, 'new');", shop)  # else two artifacts may be the same
        assert tool.backup(server, shop).code == 0
    tool.now = BEGIN
    *others, newest = Witness(host, server, shop).artifacts()
    rows = content(server, shop)
    server.sql("DELETE FROM item WHERE id = 1;", shop)
    return Shelf(newest, others, rows)


def content(server: Server, database: str) -> str:
    return server.sql("SELECT * FROM item ORDER BY id;", database)


def manifest_of(artifact: Path) -> Path:
    return artifact.with_name(f"{artifact.name}.manifest.json")


def judge(row: Row, where: str, server: Server, shop: str, tool: Tool, shelf: Shelf, witness: Witness) -> None:
    """See that the damaged artifact is refused, by name and as the newest, and that retention removes no good one."""
    before = content(server, shop)
    verified = tool.run("verify", "--artifact", str(shelf.newest))
    restored = tool.restore(server, shop, "--overwrite", "--artifact", str(shelf.newest))
    pruned = tool.run("prune", server.database_id, shop, "--json")
    row.noticed = verified.said or verified.out.splitlines()[-1]
    found = []
    if verified.code == 0:
        found.append("verification did not notice it")
    if restored.code == 0 or content(server, shop) != before:
        found.append(f"it was restored ({restored.code})")
    missing = [path.name for path in shelf.others[-1:] if not path.exists() or not manifest_of(path).exists()]
    if missing:
        found.append(f"retention removed the newest whole artifact: {missing} {pruned.out}")
    if not restored.said or not verified.said + verified.out:
        found.append("refused without a word")
    row.problems += [f"{where}: {problem}" for problem in found]


def flipped(path: Path, chance: random.Random) -> str:
    """Flip one bit of a file and say which."""
    data = bytearray(path.read_bytes())
    place, bit = chance.randrange(len(data)), chance.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {place} ({data[max(0, place - 20):place + 20]!r})"


@pytest.mark.parametrize("part", ["artifact", "manifest"])
def test_flipped_bits(
    part: str,
    server: Server,
    host: Host,
    tool: Tool,
    shop: str,
    shelf: Shelf,
    table: Table,
    chance: random.Random,
    tmp_path: Path,
) -> None:
    whole = Snapshot(host, tmp_path / "whole")
    witness = Witness(host, server, shop)
    with table.row(f"one bit of the {part} flipped", server.kind) as row:
        for _ in range(BITS):
            where = flipped(shelf.newest if part == "artifact" else manifest_of(shelf.newest), chance)
            judge(row, where, server, shop, tool, shelf, witness)
            whole.put_back()
        row.runs = str(BITS)


def cut(share: float) -> Callable[[Path, list[Path]], None]:
    def damage(newest: Path, _others: list[Path]) -> None:
        newest.write_bytes(newest.read_bytes()[: int(newest.stat().st_size * share)])

    return damage


def swapped(newest: Path, others: list[Path]) -> None:
    aside = newest.with_name("aside")
    newest.rename(aside)
    others[0].rename(newest)
    aside.rename(others[0])
    others.clear()


def manifest_of_another(newest: Path, others: list[Path]) -> None:
    shutil.copy(manifest_of(others[0]), manifest_of(newest))


def another_under_its_name(newest: Path, others: list[Path]) -> None:
    shutil.copy(others[0], newest)
    shutil.copy(manifest_of(others[0]), manifest_of(newest))


DAMAGES: dict[str, Callable[[Path, list[Path]], object]] = {
    "artifact emptied": cut(0),
    "artifact cut in half": cut(0.5),
    "artifact lacks its last byte": lambda newest, _: newest.write_bytes(newest.read_bytes()[:-1]),
    "artifact with a byte appended": lambda newest, _: newest.write_bytes(newest.read_bytes() + b"\0"),
    "artifact gone, its manifest there": lambda newest, _: newest.unlink(),
    "manifest gone, its artifact there": lambda newest, _: manifest_of(newest).unlink(),
    "manifest emptied": lambda newest, _: manifest_of(newest).write_bytes(b""),
    "manifest cut in half": lambda newest, _: manifest_of(newest).write_bytes(manifest_of(newest).read_bytes()[:900]),
    "two artifacts swapped": swapped,
    "manifest of another artifact": manifest_of_another,
    "another artifact with its manifest under this name": another_under_its_name,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage(name: str, server: Server, host: Host, tool: Tool, shop: str, shelf: Shelf, table: Table) -> None:
    witness = Witness(host, server, shop)
    with table.row(name, server.kind) as row:
        DAMAGES[name](shelf.newest, shelf.others)
        judge(row, name, server, shop, tool, shelf, witness)
        if "gone" in name and shelf.newest in witness.listed():
            row.problems.append("a half of a backup is listed as one")


def test_an_artifact_of_another_database(
    server: Server, host: Host, tool: Tool, shop: str, shelf: Shelf, make_database: Callable[..., str], table: Table
) -> None:
    other = make_database("vya_other", "CREATE TABLE item (id integer);")
    assert tool.backup(server, other).code == 0
    theirs = Witness(host, server, other).listed()[0]
    with table.row("artifact of another database in this one's folder", server.kind) as row:
        moved = shelf.newest.with_name(theirs.name)
        theirs.rename(moved)
        manifest_of(theirs).rename(manifest_of(moved))
        ran = tool.restore(server, shop, "--overwrite")
        row.noticed = "not taken for one of this database; its own newest is restored"
        if ran.code or content(server, shop) != shelf.rows:
            row.problems.append(f"its own newest was not restored: {ran.said}")
        ran = tool.restore(server, shop, "--overwrite", "--artifact", str(moved))
        if ran.code == 0 or content(server, shop) != shelf.rows:
            row.problems.append("the other's was restored")
