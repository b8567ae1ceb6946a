# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers and connections that are killed, and what waits for such moments."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

from servers import ACCOUNT, Server


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait for something that is bound to come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)


def process_ids(program: str) -> list[int]:
    """The processes that run a program."""
    done = subprocess.run(["pidof", program], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def kill_connections(server: Server) -> None:
    """End the engine's connections as an administrator does."""
    if server.kind == "mysql":
        query = f"SELECT id FROM information_schema.processlist WHERE user = '{ACCOUNT}';"
        for number in server.sql(query).split():
            with contextlib.suppress(RuntimeError):  # it has just ended
                server.sql(f"KILL {number};")
    else:
        server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ACCOUNT}';")


def kill_server(server: Server) -> None:
    """Kill a server's main process."""
    subprocess.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", server.unit], check=True)


def bring_back(server: Server) -> None:
    """Start a server that was killed, at once rather than when systemd would."""
    subprocess.run(["systemctl", "reset-failed", server.unit], check=False)  # it may have been tried too often
    subprocess.run(["systemctl", "restart", server.unit], check=True)
    wait_until(server.answers, "the server does not come back", 90)
