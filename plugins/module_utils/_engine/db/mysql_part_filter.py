# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump of MySQL or MariaDB only a part, to be restored into a database of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from ..errors import RestoreError
from .mysql_dump import MySqlDumpReader
from .mysql_loading import MySqlLoading
from .mysql_statements import defined_object, trigger_table
from .part_filter import PartFilter

_DELIMITER = b"DELIMITER "
# Of the database itself, or around a trigger that was made when it had another collation.
_ALTER_DATABASE = re.compile(rb"ALTER DATABASE (?:`[^`]*(?:``[^`]*)*` )?CHARACTER SET ")
# What mysql_grants writes: a grant on a table or its columns, for the account if it exists.
_MAKES_GRANT = b"SET @vya_grant = "
_TABLE_GRANT = re.compile(
    rb"SET @vya_grant = \(SELECT IF\(COUNT\(\*\) > 0, CONCAT\('(?:[^']|'')* ON ',"
    rb" CONCAT\('`', REPLACE\(DATABASE\(\), '`', '``'\), '`'\), '\.`((?:[^`']|``|'')*)` TO "
)
_USES_GRANT = (b"PREPARE vya_statement ", b"EXECUTE vya_statement", b"DEALLOCATE PREPARE vya_statement")
_NAME = rb"`((?:[^`]|``)*)`"
# The server writes each key on a line of its own.
_FOREIGN_KEY = re.compile(
    rb"^ *CONSTRAINT " + _NAME + rb" FOREIGN KEY \((?:[^`)]|`(?:[^`]|``)*`)*\) REFERENCES " + _NAME, re.MULTILINE
)
_KINDS = ("table", "view", "sequence", "trigger", "routine", "event", "library")


class MySqlPartFilter(PartFilter):
    """Lets pass tables with their rows, keys, triggers and grants, or everything.

    Foreign keys are part of a table's definition, also those that point to a table that is not there. What tables and
    triggers call (functions, sequences) stays behind.
    """

    reader: MySqlDumpReader

    def __init__(
        self, loading: MySqlLoading, inventory: Mapping[str, Collection[str]], tables: Sequence[str], rows: bool
    ) -> None:
        """Begin; the arguments are those of :class:`.PartFilter`."""
        super().__init__(loading, inventory, tables, rows)
        self._granting = False
        self.objects = {kind: set() for kind in _KINDS if kind in inventory} if tables else {}

    def is_key(self, key: str) -> bool:
        """Tell whether the rows pass of the table of that name."""
        return self._rows and (not self.tables or key in self.tables)

    def _is_statement(self, statement: bytes) -> bool:
        if not self.tables or statement[: len(_DELIMITER)].upper() == _DELIMITER:
            return True
        if statement.startswith(_MAKES_GRANT):
            grant = _TABLE_GRANT.match(statement)
            name = grant.group(1).replace(b"''", b"'").replace(b"\\\\", b"\\") if grant else b""
            self._granting = _unquoted(name) in self.tables
            return self._granting
        if statement.startswith(_USES_GRANT):
            return self._granting
        if self.loading.can_wait(statement):
            return False
        if self.loading.sets(statement) or _ALTER_DATABASE.match(statement):
            return True
        return self._is_definition(statement)

    def _is_definition(self, statement: bytes) -> bool:
        defined = defined_object(statement)
        if defined is None or defined[0] not in ("table", "trigger"):
            return False
        kind, _type, raw = defined
        name = self._known(kind, raw)
        if kind == "trigger":
            table = self._known("table", trigger_table(statement))
            if table not in self._inventory.get("table", ()) and table not in self._inventory.get("view", ()):
                raise RestoreError(f"The trigger {name!r} is of the table {table!r}, which the manifest does not name.")
        else:
            table = name
            if name in self.tables:
                self._find_foreign_keys(name, statement)
        if table in self.tables:
            self._note(kind, name)
        return table in self.tables

    def _find_foreign_keys(self, table: str, statement: bytes) -> None:
        for key, parent in ((_unquoted(key), _unquoted(parent)) for key, parent in _FOREIGN_KEY.findall(statement)):
            if parent not in self.tables:
                self.left_out.append(
                    f"The foreign key {key} of {table} points to {parent}, which was not restored: rows that refer to"
                    " it cannot be added or changed until there is such a table."
                )

    def _known(self, kind: str, raw: bytes) -> str:
        """Return a name as the inventory has it; bodies may be in the character set of the client that made them."""
        for charset in ("utf-8", self.reader.charset):
            try:
                name = raw.decode(charset)
            except (UnicodeDecodeError, LookupError):
                continue
            if name in self._inventory.get(kind, ()):
                return name
        return raw.decode("utf-8", errors="replace")


def _unquoted(name: bytes) -> str:
    return name.replace(b"``", b"`").decode("utf-8", errors="replace")
