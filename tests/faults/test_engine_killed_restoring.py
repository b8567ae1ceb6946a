# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine killed with SIGKILL before every step of a restore that changes the disk or the server.

What follows (does the tool say what is wrong, does it come back) is tried once for each state that was found.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from apparatus.table import Table
from apparatus.tool import KILLED, Ran, Tool
from apparatus.witness import Snapshot, Witness
from servers import ACCOUNT, Host, Server

CLOSED, INCOMPLETE, COPY = "closed", "incomplete", "vya_shop_copy"
READ = "SELECT id, label FROM item ORDER BY id;"


@dataclass(frozen=True)
class State:
    """What there is after a kill.

    Attributes:
        databases: What each database holds: rows, ``closed`` or ``incomplete``; digits in names are blurred.
        records: The runs on record, with their outcomes.
        artifacts: How many artifacts there are.
    """

    databases: tuple[tuple[str, str], ...]
    records: tuple[str, ...]
    artifacts: int


class Scene:
    """A database that has changed since its artifact was made."""

    def __init__(self, server: Server, host: Host, tool: Tool, shop: str, keep: Path) -> None:
        self.server, self.shop = server, shop
        assert tool.backup(server, shop).code == 0
        self.restored = server.sql(READ, shop)
        server.sql("UPDATE item SET label = 'Cake' WHERE id = 1;", shop)
        self.old = server.sql(READ, shop)
        self.witness = Witness(host, server, shop)
        self.snapshot = Snapshot(host, keep)
        self._untouched = self.databases()

    def names(self) -> list[str]:
        """The database and all that carry its name in theirs."""
        query = "SHOW DATABASES;" if self.server.kind == "mysql" else "SELECT datname FROM pg_database ORDER BY 1;"
        return [name for name in self.server.sql(query).splitlines() if name.startswith(self.shop)]

    def databases(self) -> dict[str, str]:
        """What each of them holds, once nothing of the engine is at work in the server any more."""
        users = {
            "mysql": f"SELECT count(*) FROM information_schema.processlist WHERE user = '{ACCOUNT}';",
            "postgresql": f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ACCOUNT}';",
        }
        for _ in range(200):
            if self.server.sql(users[self.server.kind]) == "0":
                break
            time.sleep(0.05)
        return {name: self._content(name) for name in self.names()}

    def _content(self, name: str) -> str:
        try:
            return self.server.sql(READ, name)
        except RuntimeError as exc:
            return CLOSED if "accepting connections" in str(exc) else INCOMPLETE

    def state(self, databases: dict[str, str]) -> State:
        """The state for comparisons."""
        blurred = tuple((re.sub(r"\d+", "N", name), content) for name, content in databases.items())
        records = tuple(f"{record['kind']} {record['outcome']}" for record in self.witness.records())
        return State(blurred, records, len(self.witness.artifacts()))

    def put_back(self) -> None:
        """Let host and server be as they were."""
        self.snapshot.put_back()
        if self.databases() != self._untouched:
            for name in self.names():
                if name != self.shop:
                    self.server.drop(name)
            rows = self.old.replace("|", "\t").splitlines()
            values = ", ".join("({}, '{}')".format(*row.split("\t")) for row in rows)
            self.server.create(
                self.shop,
                "CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));"
                f"INSERT INTO item VALUES {values}; CREATE VIEW labels AS SELECT label FROM item;",
            )

    def problems(self, databases: dict[str, str], safety: list[Path]) -> Iterator[str]:
        """Yield what must not be: the old content is to be found, whatever has become of the restore."""
        there = databases.get(self.shop)
        if there in (self.old, self.restored):
            return
        if self.server.kind == "postgresql":
            # A database that was closed for the moment of its renaming has lost nothing.
            if not {self.old, CLOSED} & set(databases.values()):
                yield f"the old database is nowhere: {databases}"
        elif not safety:
            yield f"the old database is gone, and there is no safety backup: {databases}"

    def aftermath(self, tool: Tool, databases: dict[str, str], safety: list[Path]) -> Iterator[str]:
        """Yield what must not be when people go on from here."""
        whole = databases.get(self.shop) in (self.old, self.restored)
        told = tool.run("status", "--json").out + tool.run("check", "--json").out
        if not whole and not re.search(r"restore .*died", " ".join(told.split())):
            yield f"status and check do not say that the restore died: {told}"
        if not whole and self.server.kind == "mysql":
            if safety[0].name not in told:
                yield "status and check do not name the safety backup"
            ran = tool.restore(self.server, self.shop, "--overwrite", "--artifact", str(safety[0]))
            if ran.code or self.databases().get(self.shop) != self.old:
                yield f"the safety backup did not bring the old database back: {ran.said}"
        elif tool.backup(self.server, self.shop).code:
            yield "the next backup fails"
        elif self.databases().get(self.shop) not in (self.old, self.restored):
            yield f"after the next run the database is not there as a whole: {self.databases()}"
        ran = tool.restore(self.server, self.shop, "--overwrite", "--artifact", str(self.witness.good[0]))
        if ran.code or self.databases().get(self.shop) != self.restored:
            yield f"the next restore does not succeed: {ran.said}"
        # The copy that was asked for is no leftover, if it is whole.
        whole_copy = (COPY, self.restored)
        left = [name for name, rows in self.databases().items() if name != self.shop and (name, rows) != whole_copy]
        told = tool.run("status", "--json").out
        yield from (f"{name} is left over and nobody says so" for name in left if name not in told)
        if self.witness.unfinished() or self.witness.is_running():
            yield f"not cleaned up: {self.witness.unfinished()}"


@pytest.fixture
def scene(server: Server, host: Host, tool: Tool, shop: str, tmp_path: Path) -> Iterator[Scene]:
    """A database that has changed since its artifact was made; databases made beside it are dropped."""
    made = Scene(server, host, tool, shop, tmp_path / "before")
    yield made
    for name in made.names():
        server.drop(name)


@pytest.mark.parametrize("way", ["in place", "beside"])
def test_in_a_restore(way: str, server: Server, host: Host, tool: Tool, shop: str, scene: Scene, table: Table) -> None:
    options = ["--overwrite"] if way == "in place" else ["--target", COPY]

    def restore(point: int) -> Ran:
        return tool.restore(server, shop, *options, kill_before=point, sends=True, merged=True)

    with table.row(f"engine SIGKILLed anywhere in a restore {way}", server.kind) as row:
        seen: set[State] = set()
        point = 0
        while (ran := restore(point)).code == KILLED:
            databases = scene.databases()
            state = scene.state(databases)
            safety = [path for path in scene.witness.listed() if path not in scene.witness.good]
            found = [*scene.witness.problems(ran), *scene.problems(databases, safety)]
            if state not in seen:
                seen.add(state)
                found += scene.aftermath(tool, databases, safety)
            row.problems += [f"killed before {ran.calls[-1]} (call {len(ran.calls)}): {problem}" for problem in found]
            scene.put_back()
            point += 1
        assert ran.code == 0, ran.said
        row.noticed = f"old or restored database there, or brought back as told ({len(seen)} states)"
        row.runs = str(point)


def test_in_a_restore_of_rows_alone(
    server: Server, host: Host, tool: Tool, shop: str, scene: Scene, table: Table
) -> None:
    options = ["--data-only", "--target", COPY, "--artifact", str(scene.witness.good[0])]

    def restore(point: int | None) -> Ran:
        return tool.restore(server, shop, *options, kill_before=point, sends=point is not None, merged=True)

    def problems(databases: dict[str, str], afterwards: bool) -> Iterator[str]:
        if databases.get(shop) != scene.old:
            yield f"the database that the artifact is of has changed: {databases}"
        if databases.get(COPY) not in ("", scene.restored):
            yield f"the target has rows in part: {databases}"
        if not afterwards:
            return
        if tool.backup(server, shop).code:
            yield "the next backup fails"
        left = sorted(scene.databases().keys() - {shop, COPY})
        told = tool.run("status", "--json").out
        yield from (f"{name} is left over and nobody says so" for name in left if name not in told)
        if databases.get(COPY) == "":
            ran = restore(None)
            if ran.code or scene.databases().get(COPY) != scene.restored:
                yield f"the next restore does not succeed: {ran.said}"

    with table.row("engine SIGKILLed anywhere in a restore of rows alone", server.kind) as row:
        seen: set[State] = set()
        point = 0
        while True:
            server.create(COPY, "CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));")
            ran = restore(point)
            databases = scene.databases()
            if ran.code != KILLED:
                break
            state = scene.state(databases)
            found = list(problems(databases, state not in seen))
            seen.add(state)
            row.problems += [f"killed before {ran.calls[-1]} (call {len(ran.calls)}): {problem}" for problem in found]
            scene.put_back()
            point += 1
        assert ran.code == 0, ran.said
        assert databases[COPY] == scene.restored
        row.noticed = f"no rows or all of them there ({len(seen)} states)"
        row.runs = str(point)
