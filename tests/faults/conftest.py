# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the fault suite, and the table at its end.

It runs as root inside a host of the test fleet, like the tests in ``tests/integration``, whose servers it shares.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from apparatus.table import Table
from apparatus.tool import Tool
from servers import Host, Server, configured_host, prepared_servers

SEED = 20260109
_table = Table()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the suite run twice at once, for one kind of server each."""
    parser.addoption("--server", choices=("mysql", "postgresql"), help="only faults of this kind of server")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is of another kind of server."""
    kind = config.getoption("--server")
    others = [item for item in items if kind and item.callspec.params["server"] != kind]  # type: ignore[attr-defined]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def pytest_configure(config: pytest.Config) -> None:
    """Let pass that PyMySQL leaves the socket of a refused connection to the garbage collector."""
    config.addinivalue_line(
        "filterwarnings", "ignore:Exception ignored.*socket:pytest.PytestUnraisableExceptionWarning"
    )
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")


def pytest_sessionfinish() -> None:
    """Collect such sockets before pytest looks for them a last time, with its own filters only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the table of faults."""
    if _table.rows:
        terminalreporter.section(f"faults (seed {SEED})")
        for line in _table.lines():
            terminalreporter.write_line(line)


@pytest.fixture
def table() -> Table:
    """The table that the suite prints."""
    return _table


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chance that repeats itself: the same for a test in every run."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def servers() -> dict[str, Server]:
    """The host's servers with an account for the engine, by kind.

    They themselves need not survive a power cut, so that they are spared the waiting for the disk.
    """
    found = prepared_servers()
    found["mysql"].sql("SET GLOBAL innodb_flush_log_at_trx_commit = 0;")
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        found["postgresql"].sql(f"ALTER SYSTEM SET {setting} = off;")
    found["postgresql"].sql("SELECT pg_reload_conf();")
    return found


@pytest.fixture(scope="session", autouse=True)
def loaded(servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Do everything once in this process, so that those forked from it find all libraries loaded."""
    root = tmp_path_factory.mktemp("loaded")
    host = configured_host(root, servers, metrics={"textfile_directory": str(root)})
    name = f"vya_loaded_{os.getpid()}"  # the suite may run twice at once, for one kind of server each
    for server in servers.values():
        server.create(name, "CREATE TABLE t (id integer);")
        engine = host.engine()
        assert engine.backup(database_id=server.database_id, databases=[name]).ok
        engine.restore(database_id=server.database_id, database=name, overwrite=True)
        assert engine.verify().ok
        server.drop(name)


@pytest.fixture(params=["mysql", "postgresql"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    """Each of the host's servers in turn."""
    return servers[request.param]


@pytest.fixture
def host(tmp_path: Path, servers: dict[str, Server]) -> Host:
    """A host with both servers configured, and with metrics."""
    root = tmp_path / "host"
    (root / "metrics").mkdir(parents=True)
    return configured_host(root, servers, metrics={"textfile_directory": str(root / "metrics")})


@pytest.fixture
def tool(host: Host, tmp_path: Path) -> Tool:
    """The command ``vya-backupdb`` of that host."""
    return Tool(host, tmp_path)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user of the host may look into, unlike pytest's own; for what stands in for clients."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def make_database(server: Server) -> Iterator[Callable[..., str]]:
    """Make databases that are dropped after the test."""
    made: list[str] = []

    def make(name: str, statements: str = "") -> str:
        made.append(name)
        server.create(name, statements)
        return name

    yield make
    for name in made:
        server.drop(name)


@pytest.fixture
def shop(make_database: Callable[..., str]) -> str:
    """A small database with rows, on the server of this test."""
    return make_database(
        "vya_shop",
        "CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));"
        "INSERT INTO item VALUES (1, 'Bread'), (2, '-- Dump completed'), (3, 'Käse 🧀');"
        "CREATE VIEW labels AS SELECT label FROM item;",
    )
