# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump of MySQL or MariaDB only what belongs to one table."""

from __future__ import annotations

from .mysql_loading import MySqlLoading
from .mysql_statements import defined_object, trigger_table
from .table_filter import TableFilter

_DELIMITER = b"DELIMITER "


class MySqlTableFilter(TableFilter):
    """Lets pass a table's definition without ``DROP TABLE``, its rows, and its triggers."""

    def __init__(self, table: str, loading: MySqlLoading) -> None:
        """Begin.

        Args:
            table: The table's name.
            loading: What is known of the dump.
        """
        super().__init__(loading)
        self._table = table
        self._name = table.encode("utf-8")

    def is_key(self, key: str) -> bool:
        """Tell whether this is the table's name in the dump."""
        return key == self._table

    def _is_statement(self, statement: bytes) -> bool:
        if statement[: len(_DELIMITER)].upper() == _DELIMITER:
            return True
        if self.loading.can_wait(statement):
            return False
        if self.loading.sets(statement):
            return True
        defined = defined_object(statement)
        if defined is None:
            return False
        kind, _type, name = defined
        self.defined = self.defined or (kind == "table" and name == self._name)
        return (kind == "table" and name == self._name) or (
            kind == "trigger" and trigger_table(statement) == self._name
        )
