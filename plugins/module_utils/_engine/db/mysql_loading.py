# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a dump of MySQL or MariaDB by several clients at once."""

from __future__ import annotations

import re
from typing import Optional

from .dump_reader import DumpReader
from .loading import Loading
from .mysql_dump import MySqlDumpReader
from .mysql_keys import MySqlKeys
from .mysql_statements import COMMENTS

_SETTING = re.compile(
    COMMENTS + rb"(?:/\*M?!\d+ )?SET\s+(?!GLOBAL|PERSIST|PASSWORD|DEFAULT|@@GLOBAL|@@PERSIST)", re.IGNORECASE
)
_SET = re.compile(rb"(?:(?:SESSION|LOCAL)\s+)?[^\s=]+", re.IGNORECASE)
_FIRST_SETTING = re.compile(COMMENTS + rb"(?:/\*M?!\d+ )?SET @OLD_CHARACTER_SET_CLIENT\s*=", re.IGNORECASE)
# What surrounds the rows of each table. Keys that are disabled only now are made anew from what has been loaded.
_CAN_WAIT = re.compile(
    COMMENTS + rb"(?:/\*!40000 ALTER TABLE `[^`]*(?:``[^`]*)*` (?:DIS|EN)ABLE KEYS \*/|COMMIT"
    rb"|SET (?:@OLD_AUTOCOMMIT\s*=\s*@@AUTOCOMMIT\s*,\s*)?(?:@@)?AUTOCOMMIT\s*=\s*(?:[01]|@OLD_AUTOCOMMIT));\Z",
    re.IGNORECASE,
)


class MySqlLoading(Loading):
    """Each client commits after each segment. Unique keys are checked at once.

    Without the check, InnoDB would have the clients wait for each other (MariaDB fills an empty table in bulk, under a
    lock on all of it), and the rows that it defers come in a worse order.
    """

    interruption = b"COMMIT;\n"
    builds_hint = (
        "For the keys of large tables the server needs room in its directory for temporary files (tmpdir; MySQL's"
        " innodb_tmpdir too). A restore with one job has it make them with the rows instead, which takes longer."
    )

    def __init__(self, *, dollar_quotes: bool) -> None:
        """Begin.

        Args:
            dollar_quotes: As for :class:`~.mysql_dump.MySqlDumpReader`.
        """
        self._dollar_quotes = dollar_quotes

    def reader(self) -> DumpReader:
        """Return what follows the definitions of a dump."""
        return MySqlDumpReader(dollar_quotes=self._dollar_quotes)

    def sets(self, statement: bytes) -> bool:
        """Tell whether a statement sets something for the rest of its session."""
        return _SETTING.match(statement) is not None

    def setting(self, statement: bytes) -> bytes:
        """Return what a statement sets; of one that sets several things, the first."""
        start = _SETTING.match(statement)
        name = _SET.match(statement, start.end()) if start else None
        return name.group().upper() if name else statement

    def begins_anew(self, statement: bytes) -> bool:
        """Tell whether another dump begins with a statement: each ends by setting back what it has set."""
        return _FIRST_SETTING.match(statement) is not None

    def can_wait(self, statement: bytes) -> bool:
        """Tell whether a statement between rows may as well be run after all of the rows that follow it."""
        return _CAN_WAIT.match(statement) is not None

    def later(self, reader: DumpReader) -> Optional[MySqlKeys]:
        """Return what finds keys that can be made after the rows."""
        return MySqlKeys(reader) if isinstance(reader, MySqlDumpReader) else None

    def beginning(self) -> bytes:
        """Return what a client that loads nothing but rows runs after the session's settings."""
        return b"SET autocommit=0, unique_checks=1;\n"

    def rows(self, continues: bytes, goes_on: bool) -> tuple[bytes, bytes]:
        """Return what goes before and after a segment of rows that is loaded by itself: it has whole statements."""
        return b"", b"COMMIT;\n"
