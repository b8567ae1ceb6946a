# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Scratch servers of PostgreSQL."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

from ..utils.processes import Child, Command
from .base import Client
from .scratch import ScratchServer

_PLACES = (
    "usr/lib/postgresql/*/bin/postgres",
    "usr/pgsql-*/bin/postgres",
    "usr/bin/postgres",
    "usr/local/bin/postgres",
)
_ROOM = 256 * 1024**2
_SECONDS_TO_END = 8  # it kills its own processes after five


class PostgreSqlScratch(ScratchServer):
    """A server of PostgreSQL. What protects data against a crash is off: it is never used after one."""

    username = "postgres"
    room = _ROOM

    @property
    def socket(self) -> Path:
        """The directory of the socket."""
        return self._directory

    def find(self) -> Client:
        """Return the server program of the same major version."""
        paths = sorted(str(path) for pattern in _PLACES for path in Path("/").glob(pattern))
        return self._fitting(paths, 1, f"postgresql-{self._number[0]}")

    def creation(self, program: Client) -> Command:
        """Make a cluster."""
        options = [f"--pgdata={self.place('data')}", f"--username={self.username}", "--auth=trust"]
        options += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        return Command((str(Path(program.path).with_name("initdb")), *options))

    def serving(self, program: Client) -> Command:
        """Serve without a network, or anything that a sandbox forbids."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._directory),
            "unix_socket_permissions": "0700",
            "max_connections": "40",
            "shared_buffers": f"{self._memory // 1024 // 2}kB",
            "maintenance_work_mem": f"{self._memory // 1024 // 4}kB",
            "dynamic_shared_memory_type": "mmap",  # in its directory, so that it is gone with that
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "jit": "off",  # makes memory executable
            "autovacuum": "off",
            "max_locks_per_transaction": "1024",
            "logging_collector": "off",
            "log_statement": "none",
            "log_min_error_statement": "panic",  # no data in messages
            "max_logical_replication_workers": "0",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Command((program.path, "-D", str(self._directory / "data"), *words))

    def end(self, child: Child) -> None:
        """Let it kill its own processes and itself."""
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGQUIT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_SECONDS_TO_END)
        child.kill()
