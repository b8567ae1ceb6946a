# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a dump of PostgreSQL by several clients at once."""

from __future__ import annotations

import re

from .dump_reader import DumpReader
from .loading import Loading
from .postgresql_dump import PostgreSqlDumpReader

_SETTING = re.compile(rb"SET (?!LOCAL|TRANSACTION)|SELECT pg_catalog\.set_config\(|\\restrict ")


class PostgreSqlLoading(Loading):
    """Rows come by COPY, which a segment may begin or end within."""

    interruption = b""

    def reader(self) -> DumpReader:
        """Return what follows the definitions of a dump."""
        return PostgreSqlDumpReader()

    def sets(self, statement: bytes) -> bool:
        r"""Tell whether a statement sets something for the rest of its session.

        That the client's own commands are barred (``\restrict``) holds for the sessions of other clients too.
        """
        return _SETTING.match(statement) is not None

    def can_wait(self, statement: bytes) -> bool:
        """Tell whether a statement between rows may as well be run after all of the rows that follow it: none may."""
        return False

    def beginning(self) -> bytes:
        """Return what a client that loads nothing but rows runs after the session's settings."""
        return b""

    def rows(self, continues: bytes, goes_on: bool) -> tuple[bytes, bytes]:
        """Return what goes before and after a segment of rows that is loaded by itself."""
        return continues + b"\n" if continues else b"", b"\\.\n" if goes_on else b""
