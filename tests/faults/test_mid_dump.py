# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to servers, connections, clients, disks and the engine itself while a dump is under way.

The engine is stopped (SIGSTOP) as soon as the dump flows; then nothing takes what the client writes, so that the client
is in mid-dump for sure when the fault strikes. Then the engine goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apparatus.servers_down import bring_back, kill_connections, kill_server, process_ids, wait_until
from apparatus.stand_ins import dumper
from apparatus.table import Table
from apparatus.tool import Ran, Tool
from apparatus.witness import Witness
from servers import Host, Server

DATABASE = "vya_big"
ROWS = 320  # of some 64 kB: more than all buffers between server and engine hold together, and some time to read
FLOWING = 200_000  # bytes stored: more than all that comes before the rows


@pytest.fixture(scope="module")
def filled(servers: dict[str, Server]) -> Iterator[set[str]]:
    """The kinds of servers that have the large database; it is dropped in the end."""
    kinds: set[str] = set()
    yield kinds
    for kind in kinds:
        servers[kind].drop(DATABASE)


@pytest.fixture
def big(server: Server, filled: set[str]) -> str:
    """A database of 20 MB, made once on each server."""
    if server.kind not in filled:
        filled.add(server.kind)
        numbers = f"WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) SELECT n FROM s"
        random_bytes = f"CONCAT({', '.join(['RANDOM_BYTES(1024)'] * 64)})"
        hashes = "(SELECT string_agg(md5(x::text || n), '') FROM generate_series(1, 2000) x)"
        blob, noise = ("text", hashes) if server.kind == "postgresql" else ("longblob", random_bytes)
        table = f"CREATE TABLE big (n integer PRIMARY KEY, t {blob});"
        server.create(DATABASE, f"{table} INSERT INTO big SELECT n, {noise} FROM ({numbers}) s;")
    return DATABASE


@pytest.fixture
def strike(host: Host, server: Server, tool: Tool, big: str) -> Callable[[Callable[[int], None]], Ran]:
    """Back up the large database, and do something when its dump is under way."""
    policy = {
        "name": "nightly",
        "instances": [server.database_id],
        "include": [big],
        "limits": {"stall_timeout": "3s"},
        "compression": {"level": 9},  # slow, so that a busy machine finds it in mid-dump too
    }
    host.write(policies=[policy])

    def flows() -> bool:
        return any(path.stat().st_size > FLOWING for path in host.storage.rglob(".*.sql.gz.partial"))

    def run(fault: Callable[[int], None]) -> Ran:
        def meanwhile(engine: int) -> None:
            wait_until(flows, "the dump does not begin to flow")
            os.kill(engine, signal.SIGSTOP)
            try:
                fault(engine)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(engine, signal.SIGCONT)

        return tool.policy(meanwhile=meanwhile)

    return run


def signal_client(server: Server, number: int) -> None:
    for process in process_ids(dumper(server)):
        os.kill(process, number)


FAULTS: dict[str, Callable[[Server, int], None]] = {
    "client SIGKILLed in mid-dump": lambda server, _engine: signal_client(server, signal.SIGKILL),
    "client SIGTERMed in mid-dump": lambda server, _engine: signal_client(server, signal.SIGTERM),
    "client SIGSTOPped in mid-dump (stalls)": lambda server, _engine: signal_client(server, signal.SIGSTOP),
    "connection killed by the administrator": lambda server, _engine: kill_connections(server),
    "server SIGKILLed in mid-dump": lambda server, _engine: kill_server(server),
    "engine SIGTERMed in mid-dump": lambda _server, engine: os.kill(engine, signal.SIGTERM),
    "engine SIGINTed in mid-dump": lambda _server, engine: os.kill(engine, signal.SIGINT),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_dump_that_is_struck(
    name: str, server: Server, host: Host, tool: Tool, big: str, strike: Callable[..., Ran], table: Table
) -> None:
    assert tool.policy().code == 0
    witness = Witness(host, server, big)
    with table.row(name, server.kind) as row:
        ran = strike(lambda engine: FAULTS[name](server, engine))
        row.noticed = ran.said
        if "SIGKILLed" in name and "server" in name:
            bring_back(server)
        row.problems += witness.problems(ran)
        if set(witness.artifacts()) != set(witness.good):
            row.problems.append("the artifacts are not those of before")
        row.problems += witness.problems_of_the_next(tool, began=False)


def test_an_engine_killed_while_its_client_waits(
    server: Server, host: Host, tool: Tool, big: str, strike: Callable[..., Ran], table: Table
) -> None:
    witness = Witness(host, server, big)
    with table.row("engine SIGKILLed while its client is stopped", server.kind) as row:

        def fault(engine: int) -> None:
            signal_client(server, signal.SIGSTOP)
            os.kill(engine, signal.SIGKILL)

        ran = strike(fault)
        row.noticed = "the client ends too; the next run records it as vanished"
        row.problems += witness.problems(ran) + witness.problems_of_the_next(tool, began=True)


def test_a_disk_that_fills_in_mid_dump(
    server: Server, host: Host, tool: Tool, big: str, strike: Callable[..., Ran], table: Table, tmp_path: Path
) -> None:
    host.storage.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", host.storage], check=True)
    filler = host.storage / "filler"
    try:
        assert tool.policy().code == 0
        witness = Witness(host, server, big)
        with table.row("disk filled by others in mid-dump", server.kind) as row:

            def fault(_engine: int) -> None:
                free = os.statvfs(host.storage)
                with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                    file.write(b"x" * (free.f_bavail * free.f_frsize))

            ran = strike(fault)
            filler.unlink()
            row.noticed = ran.said
            row.problems += witness.problems(ran) + witness.problems_of_the_next(tool, began=False)
    finally:
        subprocess.run(["umount", host.storage], check=True)


def test_two_runs_at_once(
    server: Server, host: Host, tool: Tool, big: str, strike: Callable[..., Ran], table: Table
) -> None:
    witness = Witness(host, server, big)
    with table.row("two runs at once on one database", server.kind) as row:
        second: list[Ran] = []

        def fault(_engine: int) -> None:
            second.append(tool.apart("backup", "--instance", server.database_id, big, "--json"))

        first = strike(fault)
        row.noticed = second[0].said
        if second[0].code == 0:
            row.problems.append("both claim success")
        row.problems += witness.problems(first, succeeded=True) + witness.problems_of_the_next(tool, began=False)
