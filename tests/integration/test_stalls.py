# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server whose processes are stopped: it still takes connections, and never answers."""

from __future__ import annotations

import subprocess
import threading
import time

import pytest
from servers import Host, Server

from vya_backupdb.db import connection, deadlines
from vya_backupdb.errors import ServerError


def send(server: Server, signal: str) -> None:
    """Send a signal to all processes of the server."""
    subprocess.run(["systemctl", "kill", f"--signal={signal}", server.unit], check=True)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 3)
    monkeypatch.setattr(connection, "STATEMENT_SECONDS", 3)
    monkeypatch.setattr(connection, "GRACE_SECONDS", 1)
    monkeypatch.setattr(deadlines, "GRACE_SECONDS", 1)


def test_a_stopped_server_is_a_clear_failure(
    server: Server, host: Host, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    send(server, "SIGSTOP")
    try:
        (result,) = host.engine().backup(database_id=server.database_id, databases=[shop]).results
    finally:
        send(server, "SIGCONT")
    assert result.outcome == "failed"
    assert "cannot be reached" in str(result.error)
    assert time.monotonic() - began < 60
    monkeypatch.undo()  # a server that is busy may well take longer
    assert host.engine().backup(database_id=server.database_id, databases=[shop]).ok


def test_one_that_stops_in_the_midst_of_a_statement_is_a_clear_failure(server: Server, host: Host) -> None:
    engine = host.engine()
    dbms = engine._connect(engine.config.instance(server.database_id))
    dbms.server()
    sleeping = "SELECT SLEEP(2)" if server.kind == "mysql" else "SELECT pg_sleep(2)"
    timer = threading.Timer(0.7, send, (server, "SIGSTOP"))
    began = time.monotonic()
    timer.start()
    try:
        with pytest.raises(ServerError, match="cannot be reached"):
            dbms._rows(sleeping)  # type: ignore[attr-defined]
    finally:
        timer.join()
        send(server, "SIGCONT")
    assert time.monotonic() - began < 30
