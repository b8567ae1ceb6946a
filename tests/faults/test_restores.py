# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Restores that are struck, or that must not be made: the old database is untouched or comes back, and that is said."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from apparatus.servers_down import bring_back, kill_connections, kill_server, wait_until
from apparatus.stand_ins import in_place_of, loader
from apparatus.table import Row, Table
from apparatus.tool import Ran, Tool
from apparatus.witness import Witness
from servers import Host, Server

READ = "SELECT id, label FROM item ORDER BY id;"


@pytest.fixture
def changed(server: Server, host: Host, tool: Tool, shop: str) -> Witness:
    """A host with an artifact of the shop, which has changed since."""
    limits = {"stall_timeout": "10s"}
    host.write(policies=[{"name": "nightly", "instances": [server.database_id], "include": [shop], "limits": limits}])
    assert tool.policy().code == 0
    server.sql("UPDATE item SET label = 'Cake' WHERE id = 1;", shop)
    return Witness(host, server, shop)


def judge(row: Row, ran: Ran, witness: Witness, server: Server, shop: str, old: str, tool: Tool) -> None:
    """See that a restore failed in words, that the old database is there, and that the next restore succeeds."""
    row.noticed = ran.said
    row.problems += [problem for problem in witness.problems(ran) if "ended with 143" not in problem]
    if server.sql(READ, shop) != old:
        row.problems.append(f"the old database is not there as it was: {ran.said}")
    if not re.search(r"untouched|brought back|back in its place|nothing was\s+changed|not\s+dropped|in use", ran.said):
        row.problems.append(f"it does not say what state the database is in: {ran.said}")
    again = tool.restore(server, shop, "--overwrite", "--artifact", str(witness.good[0]))
    if again.code or "Cake" in server.sql(READ, shop):
        row.problems.append(f"the next restore fails: {again.said}")
    side = [name for name in server.sql(LIST[server.kind]).splitlines() if re.match(rf"{shop}_(old|restore)", name)]
    if side:
        row.problems.append(f"left in the server: {side}")


LIST = {"mysql": "SHOW DATABASES;", "postgresql": "SELECT datname FROM pg_database;"}

# What stands in for the loading client. The old database is brought back by that client too, so it fails only once.
ONCE = """if [ ! -e {mark} ]; then touch {mark}; {fault}; fi; exec "$real" "$@" """
# The client waits in mid-load, with an open connection, so that the fault finds it there.
SLOW = """{{ dd bs=1 count=300 2> /dev/null; touch {mark}; sleep 2; cat; }} | "$real" "$@"; exit ${{PIPESTATUS[1]}}"""
FAULTS = {
    "load client exits with 1 at once": "exit 1",
    "load client killed after the first bytes": "head -c 300 > /dev/null; kill -KILL $$",
    "load client reads nothing and does not end": "sleep 1000",
    "load client reads all and does not end": "cat > /dev/null; sleep 1000",
    "load client swallows all, exit code 0": "cat > /dev/null; exit 0",
    "load client loads half, exit code 0": 'head -n 25 | "$real" "$@" 2> /dev/null; cat > /dev/null; exit 0',
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_load_client_that_fails(
    name: str, server: Server, host: Host, tool: Tool, shop: str, changed: Witness, table: Table, public: Path
) -> None:
    old = server.sql(READ, shop)
    script = ONCE.format(mark=public / "mark", fault=FAULTS[name])
    with table.row(name, server.kind) as row:
        with in_place_of(loader(server), script, public) as calls:
            ran = tool.restore(server, shop, "--overwrite")
        if ran.code == 0:
            row.problems.append(f"calls of the client: {calls.read_text()}")
        judge(row, ran, changed, server, shop, old, tool)


STRIKES: dict[str, Callable[[Server, int], object]] = {
    "load: connection killed by the administrator": lambda server, _engine: kill_connections(server),
    "load: engine SIGTERMed": lambda _server, engine: os.kill(engine, signal.SIGTERM),
    "load: server SIGKILLed": lambda server, _engine: (kill_server(server), bring_back(server)),
}


@pytest.mark.parametrize("name", STRIKES)
def test_a_load_that_is_struck(
    name: str, server: Server, host: Host, tool: Tool, shop: str, changed: Witness, table: Table, public: Path
) -> None:
    old = server.sql(READ, shop)
    mark = public / "mark"
    slow = SLOW.format(mark=f"{mark}.waits")

    def meanwhile(engine: int) -> None:
        wait_until(lambda: Path(f"{mark}.waits").exists(), "the load does not begin")
        STRIKES[name](server, engine)

    with table.row(name, server.kind) as row:
        with in_place_of(loader(server), ONCE.format(mark=mark, fault=slow), public):
            ran = tool.restore(server, shop, "--overwrite", meanwhile=meanwhile)
        judge(row, ran, changed, server, shop, old, tool)


def test_what_must_not_be_overwritten(
    server: Server, host: Host, tool: Tool, shop: str, changed: Witness, table: Table
) -> None:
    old = server.sql(READ, shop)
    with table.row("restore over a database, not asked to overwrite", server.kind) as row:
        judge(row, tool.restore(server, shop), changed, server, shop, old, tool)


def test_two_restores_at_once(
    server: Server, host: Host, tool: Tool, shop: str, changed: Witness, table: Table, public: Path
) -> None:
    waits, ended = public / "waits", public / "ended"
    slow = f'touch {waits}; while [ ! -e {ended} ]; do sleep 0.1; done; exec "$real" "$@"'
    second: list[Ran] = []
    host.write(policies=[])  # no short limits: the first waits for as long as the second takes

    def meanwhile(_engine: int) -> None:
        wait_until(waits.exists, "the load does not begin")
        try:
            second.append(tool.apart("restore", server.database_id, shop, "--overwrite", "--yes", "--json"))
        finally:
            ended.touch()

    with table.row("two restores at once of one database", server.kind) as row:
        with in_place_of(loader(server), slow, public):
            first = tool.restore(server, shop, "--overwrite", meanwhile=meanwhile)
        row.noticed = second[0].said
        row.problems += changed.problems(first, succeeded=True)
        if second[0].code == 0 or "Cake" in server.sql(READ, shop):
            row.problems.append(f"the second: {second[0].code} {second[0].said}")


def test_an_owner_that_is_gone(
    server: Server, host: Host, tool: Tool, make_database: Callable[..., str], table: Table
) -> None:
    if server.kind == "mysql":
        server.sql("DROP USER IF EXISTS vya_gone@localhost; CREATE USER vya_gone@localhost;")
        definer = "CREATE DEFINER = vya_gone@localhost VIEW labels AS SELECT label FROM item;"
    else:
        server.sql("DROP ROLE IF EXISTS vya_gone; CREATE ROLE vya_gone;")
        definer = "ALTER TABLE item OWNER TO vya_gone;"
    name = make_database(
        "vya_owned",
        f"CREATE TABLE item (id integer, label text); INSERT INTO item VALUES (1, 'Bread'); {definer}",
    )
    with table.row("restore of objects whose owner is gone", server.kind) as row:
        assert tool.backup(server, name).code == 0
        server.drop(name)
        server.sql("DROP USER vya_gone@localhost;" if server.kind == "mysql" else "DROP ROLE vya_gone;")
        ran = tool.restore(server, name)
        row.noticed = ran.said or " ".join(ran.report.get("warnings", ())) or "restored as it was"
        if ran.code == 0 and server.kind == "postgresql":
            row.problems.append("restored with another owner, and called a success")
        if ran.code and server.exists(name):
            row.problems.append("an incomplete database was left")


def test_awkward_columns_come_back(
    server: Server, host: Host, tool: Tool, make_database: Callable[..., str], table: Table
) -> None:
    columns = {
        "mysql": "b varbinary(20) DEFAULT 0x00ff, g integer GENERATED ALWAYS AS (id * 2) STORED,"
        " d varchar(50) DEFAULT (concat('a', 'b')), t timestamp DEFAULT CURRENT_TIMESTAMP, j json",
        "postgresql": "b bytea DEFAULT '\\x00ff', g integer GENERATED ALWAYS AS (id * 2) STORED,"
        " d text DEFAULT concat('a', 'b'), t timestamptz DEFAULT now(), j jsonb",
    }
    name = make_database(
        "vya_awkward",
        f"CREATE TABLE item (id integer PRIMARY KEY, {columns[server.kind]});"
        "INSERT INTO item (id) VALUES (1), (2); INSERT INTO item (id, d, j) VALUES (3, NULL, '{\"a\": [1]}');",
    )
    with table.row("binary, generated and defaulted columns", server.kind) as row:
        before = server.fingerprint(name)
        assert tool.backup(server, name).code == 0
        ran = tool.restore(server, name, "--overwrite")
        row.noticed = "they come back, all of them"
        if ran.code or server.fingerprint(name) != before:
            row.problems.append(f"something is different: {ran.said}")
