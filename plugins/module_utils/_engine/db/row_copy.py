# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Adding the rows of one database to the tables of another, which has them already, and empty."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import ClassVar

from ..errors import RestoreError

Columns = Mapping[str, Mapping[str, str]]  # by table and name the types of those columns that take values

_NAMED = 5  # how many a sentence spells out


class RowCopy(abc.ABC):
    """Copies the rows of a database beside into a database of the same server, all of them or none."""

    NOT_COPIED: ClassVar[Mapping[str, str]]  # by kinds of objects with contents of their own, a sentence for each

    def __init__(self, target: str, tables: Collection[str]) -> None:
        """Begin.

        Args:
            target: The database that gets them.
            tables: Its tables, by their names in inventories.
        """
        self._target = target
        self._tables = set(tables)

    @abc.abstractmethod
    def refuse_impossible(self) -> None:
        """Refuse tables that are not there, not empty, or would not take the rows as they are.

        Raises:
            RestoreError: With all the reasons; nothing has been changed.
            ServerError: The server cannot be asked.
        """

    @abc.abstractmethod
    def statements(self, source: str) -> Iterator[bytes]:
        """Yield the SQL that copies all rows of a database into the target, in one transaction.

        Args:
            source: The database beside; it has no tables but those that are wanted, with their partitions.

        Raises:
            RestoreError: The tables have other columns there, or rows would refer to rows that are nowhere.
            ServerError: The server cannot be asked.
        """

    def left_out(self, inventory: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Return in sentences what of an artifact is contents, and is copied with none of its tables."""
        return tuple(
            sentence.format(names=_listed(sorted(inventory[kind])))
            for kind, sentence in self.NOT_COPIED.items()
            if inventory.get(kind)
        )

    def _refuse(self, reasons: Sequence[str], hint: str) -> None:
        if reasons:
            raise RestoreError(f"No rows can be added to {self._target!r}: {_listed(reasons, '; ')}.", hint)

    def _refuse_unlike(self, source: Columns, target: Columns) -> None:
        """Refuse tables that are not there, and columns that are not there, or are of another type."""
        reasons = []
        for table, columns in source.items():
            there = target.get(table)
            if there is None:
                reasons.append(f"there is no table {table}")
                continue
            for name, kind in columns.items():
                if name not in there:
                    reasons.append(f"the table {table} has no column {name} that takes values")
                elif there[name] != kind:
                    reasons.append(f"the column {name} of {table} is {there[name]}, and was {kind}")
        self._refuse(reasons, "Restore into a new database instead, and copy what fits with the server's own means.")


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return separator.join(names[:_NAMED]) + more


EMPTY_FIRST = (
    "Rows are only added to empty tables that take them as they are: restore definitions first (content schema), or"
    " restore into a new database and copy what you need."
)
