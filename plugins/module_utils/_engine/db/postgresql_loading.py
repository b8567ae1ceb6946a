# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a dump of PostgreSQL by several clients at once."""

from __future__ import annotations

import re
from typing import Optional

from .dump_reader import DumpReader
from .loading import Build, Loading
from .postgresql_dump import PostgreSqlDumpReader

_SETTING = re.compile(rb"SET (?!LOCAL|TRANSACTION)|SELECT pg_catalog\.set_config\(|\\restrict ")
_NAME = rb'(?:"(?:[^"]|"")*"|[^\s"().]+)'
_QUALIFIED = rb"(" + _NAME + rb")\.(" + _NAME + rb")"
_INDEX = re.compile(rb"CREATE (?:UNIQUE )?INDEX " + _NAME + rb" ON (?:ONLY )?" + _QUALIFIED + rb" USING ")
_KEY = re.compile(
    rb"ALTER TABLE ONLY " + _QUALIFIED + rb"\s+ADD CONSTRAINT " + _NAME + rb" (?:PRIMARY KEY|UNIQUE|EXCLUDE) "
)
# What pg_dump writes right after an index, and of it: only the index must be there.
_OF_INDEXES = re.compile(
    rb"COMMENT ON (?:INDEX|CONSTRAINT) |ALTER INDEX |ALTER TABLE (?:ONLY )?"
    + _QUALIFIED
    + rb"\s+(?:CLUSTER ON |REPLICA IDENTITY USING INDEX )"
)
_ROWS = re.compile(r"(.*?); Type: [A-Z ]+; Schema: (.*); Owner: ", re.DOTALL)


class PostgreSqlLoading(Loading):
    """Rows come by COPY, which a segment may begin or end within.

    No client waits for its commits to reach the disk: the database is not in its place yet, and the commit that puts it
    there takes all earlier ones to the disk with it (manual of PostgreSQL, section 28.4).
    """

    interruption = b""
    session = b"SET synchronous_commit = off;\n"

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

    def build(self, statement: bytes) -> Optional[Build]:
        """Tell what a statement after the rows makes of them: an index, or a key, which locks its table."""
        index, key = _INDEX.match(statement), _KEY.match(statement)
        found = index or key
        return Build(".".join(_unquoted(name) for name in found.groups()), key is not None) if found else None

    def follows_builds(self, statement: bytes) -> bool:
        """Tell whether a statement between indexes is about one of those that have been made."""
        return _OF_INDEXES.match(statement) is not None

    def table_of(self, rows: str) -> str:
        """Return the table that ``pg_dump`` names in the comment before its rows."""
        found = _ROWS.match(rows)
        return f"{found.group(2)}.{found.group(1)}" if found else rows

    def beginning(self) -> bytes:
        """Return what a client that loads nothing but rows runs after the session's settings."""
        return b""

    def rows(self, continues: bytes, goes_on: bool) -> tuple[bytes, bytes]:
        """Return what goes before and after a segment of rows that is loaded by itself."""
        return continues + b"\n" if continues else b"", b"\\.\n" if goes_on else b""


def _unquoted(name: bytes) -> str:
    text = name.decode("latin-1")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
