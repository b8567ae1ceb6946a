# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump of PostgreSQL only what belongs to one table."""

from __future__ import annotations

import re

from .postgresql_dump import PostgreSqlDumpReader
from .postgresql_loading import PostgreSqlLoading
from .postgresql_statements import codec_of, named_in_comments
from .table_filter import TableFilter

_ENTRY = re.compile(r"(.*); Type: ([A-Z ]+); Schema: (.*); Owner: .*\Z", re.DOTALL)
_IDENTIFIER = rb"(?:\"[^\"]*(?:\"\"[^\"]*)*\"|[^\s\"(.]+)"
_CREATE = re.compile(rb"CREATE (?:UNLOGGED )?TABLE (" + _IDENTIFIER + rb"\." + _IDENTIFIER + rb") ")


class PostgreSqlTableFilter(TableFilter):
    """Lets pass a table's definition, its rows, its indexes, primary key, and unique and other constraints.

    What refers to other objects stays behind: foreign keys, triggers, defaults that a sequence gives.
    """

    reader: PostgreSqlDumpReader

    def __init__(self, table: str, loading: PostgreSqlLoading, encoding: str = "UTF8") -> None:
        """Begin.

        Args:
            table: Schema and name, joined by a dot.
            loading: What is known of the dump.
            encoding: That of the dump, by the server's name.
        """
        super().__init__(loading)
        self._table = named_in_comments(table, codec_of(encoding))
        self._belongs: re.Pattern[bytes] | None = None

    def is_key(self, key: str) -> bool:
        """Tell whether this is what the dump says before the table's rows."""
        return self._is_entry(key, "TABLE DATA")

    def _is_entry(self, entry: str, kind: str) -> bool:
        found = _ENTRY.match(entry)
        return found is not None and found.group(2) == kind and f"{found.group(3)}.{found.group(1)}" == self._table

    def _is_statement(self, statement: bytes) -> bool:
        if self.loading.sets(statement) or statement.startswith(b"\\unrestrict "):
            return True
        entry = self.reader.entries[-1] if self.reader.entries else ""
        if self._is_entry(entry, "TABLE") and statement.startswith((b"CREATE ", b"ALTER ")):
            created = _CREATE.match(statement)
            if created:
                self.defined = True
                self._belongs = re.compile(
                    rb"(?:COPY |CREATE (?:UNIQUE )?INDEX "
                    + _IDENTIFIER
                    + rb" ON (?:ONLY )?|ALTER TABLE (?:ONLY )?)"
                    + re.escape(created.group(1))
                    + rb"(?: \(| FROM| USING|\s+ADD CONSTRAINT)"
                )
            return True
        foreign = "; Type: FK CONSTRAINT;" in entry
        return self._belongs is not None and not foreign and self._belongs.match(statement) is not None
