# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server of which there is nothing but its client, and that is a shell script."""

from __future__ import annotations

from collections.abc import Iterator

from vya_backupdb.db.loading import Loading
from vya_backupdb.utils.processes import Command


class ShellClients:
    """What loads an artifact by a script, which is given the SQL, and the database's name as its argument."""

    def __init__(self, loading: Loading, script: str) -> None:
        """Take what is known of the kind of dump, and the script."""
        self.loading = loading
        self.script = script

    def load_command(self, database: str) -> Command:
        """Return the script's call."""
        return Command(("/bin/sh", "-c", self.script, "client", database))

    def renamed(self, chunks: Iterator[bytes], old: str, new: str) -> Iterator[bytes]:
        """Return the SQL as it is."""
        return chunks

    def explain(self, stderr: str) -> str:
        """Return what the script wrote to standard error as it is."""
        return stderr

    def is_working(self, database: str) -> bool:
        """Say that nothing is at work for a client that takes nothing."""
        return False
