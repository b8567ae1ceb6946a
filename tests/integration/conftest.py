# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests against real servers.

They run as root inside a host of the test fleet, whose MySQL or MariaDB and PostgreSQL they use.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Host, Server, configured_host, prepared_servers


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


@pytest.fixture(scope="session")
def servers() -> dict[str, Server]:
    """The host's servers with an account for the engine, by kind."""
    return prepared_servers()


@pytest.fixture(params=["mysql", "postgresql"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    """Each of the host's servers in turn."""
    return servers[request.param]


@pytest.fixture
def host(tmp_path: Path, servers: dict[str, Server]) -> Host:
    """A host with both servers configured and the credentials in place."""
    return configured_host(tmp_path, servers)


@pytest.fixture
def shop(server: Server) -> Iterator[str]:
    """A small database with rows, on the server of this test."""
    server.create(
        "vya_shop",
        "CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));"
        "INSERT INTO item VALUES (1, 'Bread'), (2, '-- Dump completed'), (3, 'Käse 🧀');"
        "CREATE VIEW labels AS SELECT label FROM item;",
    )
    yield "vya_shop"
    server.drop("vya_shop")


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
