# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Scratch servers of MySQL and MariaDB."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import NotPossibleError
from ..utils.processes import Child, Command
from .base import Client
from .mysql_calls import MAX_PACKET
from .scratch import ScratchServer

_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/usr/libexec:/usr/local/mysql/bin"
_ROOM = 512 * 1024**2


class MySqlScratch(ScratchServer):
    """A server of MySQL or MariaDB. What protects data against a crash is off: it is never used after one."""

    username = "root"
    room = _ROOM

    @property
    def socket(self) -> Path:
        """In its directory."""
        return self._directory / "socket"

    def find(self) -> Client:
        """Return the server program of the same make and series (``11.8``)."""
        names = ("mariadbd", "mysqld") if self._flavour == "mariadb" else ("mysqld",)
        package = "mariadb-server" if self._flavour == "mariadb" else "mysql-server"
        return self._fitting(_programs(*names), 2, package)

    def creation(self, program: Client) -> Command:
        """Make the system tables."""
        data = f"--datadir={self._data}"
        if self._flavour == "mysql":
            return Command((program.path, "--no-defaults", "--initialize-insecure", data))
        installers = _programs("mariadb-install-db", "mysql_install_db")
        if not installers:
            raise NotPossibleError(
                "No mariadb-install-db is installed on this host.", "Install the package mariadb-server."
            )
        options = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        return Command((installers[0], *options, data))

    def serving(self, program: Client) -> Command:
        """Serve without a network, a binary log, or anything that acts by itself."""
        options = [
            "--no-defaults",
            f"--datadir={self._data}",
            f"--tmpdir={self._directory}",
            f"--socket={self.socket}",
            f"--pid-file={self._directory / 'pid'}",
            "--skip-networking",
            "--skip-log-bin",
            "--event-scheduler=OFF",
            "--performance-schema=OFF",
            "--local-infile=OFF",
            f"--innodb-buffer-pool-size={self._memory}",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-use-native-aio=0",  # sandboxes forbid it
            f"--max-allowed-packet={MAX_PACKET}",
        ]
        if self._flavour == "mysql":
            options.append("--mysqlx=OFF")
        return Command((program.path, *options))

    def end(self, child: Child) -> None:
        """Kill it."""
        child.kill()

    @property
    def _data(self) -> Path:
        path = self._directory / "data"
        if not path.exists():
            self.place("data")
        return path


def _programs(*names: str) -> list[str]:
    paths = [os.path.join(directory, name) for name in names for directory in _SEARCH_PATH.split(":")]
    return [path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)]
