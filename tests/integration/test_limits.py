# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits on real servers: how busy they say they are, and what a run does about it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from servers import Host, Server

POLICY = {"name": "all", "include": ["vya_shop"]}
SLEEPERS = 3


def policy(**limits: Any) -> dict[str, Any]:
    return {**POLICY, "limits": limits}


@pytest.fixture
def busy(server: Server) -> Iterator[None]:
    """Statements at work in the server."""
    sleep = "SELECT SLEEP(600);" if server.kind == "mysql" else "SELECT pg_sleep(600);"

    def work() -> None:
        with contextlib.suppress(RuntimeError):  # it is ended
            server.sql(sleep)

    threads = [threading.Thread(target=work) for _number in range(SLEEPERS)]
    for thread in threads:
        thread.start()
    while len(sleepers(server)) < SLEEPERS:
        time.sleep(0.1)
    yield
    for number in sleepers(server):
        server.sql(f"KILL {number};" if server.kind == "mysql" else f"SELECT pg_terminate_backend({number});")
    for thread in threads:
        thread.join()


def sleepers(server: Server) -> list[str]:
    if server.kind == "mysql":
        query = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%';"
    else:
        query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active';"
    return server.sql(query).split()


def backup(host: Host, server: Server) -> Any:
    [result] = host.engine().backup(policy="all", database_id=server.database_id, databases=["vya_shop"]).results
    return result


@pytest.mark.usefixtures("busy")
def test_a_busy_server_is_held_back_from(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy(hold_back={"running": 2, "wait": "0s"})])
    result = backup(host, server)
    assert result.outcome == "failed"
    assert "statements are at work, more than 2" in result.error
    assert not host.files()


@pytest.mark.usefixtures("busy")
def test_or_dumped_with_a_warning(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy(hold_back={"running": 2, "wait": "0s", "then": "proceed"})])
    result = backup(host, server)
    assert result.outcome == "success"
    assert any("statements are at work" in warning for warning in result.warnings)


def test_a_server_without_much_to_do_is_not(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy(hold_back={"running": 60, "replication_lag": "1h", "wait": "0s"})])
    result = backup(host, server)
    assert (result.outcome, result.error, result.warnings) == ("success", None, ())


def test_a_dump_goes_no_faster_than_its_bandwidth(host: Host, server: Server, make_database: Any) -> None:
    rows = ",".join(f"({number}, '{'x' * 1000}')" for number in range(300))
    make_database("vya_shop", f"CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES {rows};")
    host.write(policies=[policy(bandwidth="150KiB")])
    began = time.monotonic()
    result = backup(host, server)
    taken = time.monotonic() - began
    assert result.outcome == "success"
    assert taken >= (result.plain_bytes - 16384) / (150 * 1024) - 0.5


def test_a_place_that_another_process_holds_is_waited_for(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy()], max_dumps=1)
    assert backup(host, server).outcome == "success"
    [place] = (host.root / "state" / "locks").glob("host.*")
    with subprocess.Popen(["flock", "--no-fork", str(place), "sleep", "600"]) as holder:
        while subprocess.run(["flock", "--nonblock", str(place), "true"], check=False).returncode == 0:
            time.sleep(0.1)
        host.write(policies=[policy(timeout="1s")], max_dumps=1)
        refused = backup(host, server)
        holder.kill()
    host.write(policies=[policy()], max_dumps=1)
    assert "held all places of host" in refused.error
    assert backup(host, server).outcome == "success"
