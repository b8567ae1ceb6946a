# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump only a part, to be restored into a database of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from .loading import Loading
from .table_filter import DumpFilter


class PartFilter(DumpFilter):
    """Lets pass named tables with what belongs to them, or everything; with its rows or without.

    A dump passes twice: :meth:`learn` first takes its definitions, then :meth:`feed` all that is wanted of it.

    Attributes:
        tables: The tables that are wanted by their names in the inventory; none where everything is.
        objects: The objects that have passed by their kinds and names in the inventory, where tables are wanted.
        left_out: What belongs to these tables and has not passed, in sentences.
    """

    def __init__(
        self, loading: Loading, inventory: Mapping[str, Collection[str]], tables: Sequence[str], rows: bool
    ) -> None:
        """Begin.

        Args:
            loading: What is known of the dump.
            inventory: The names of its objects by kind.
            tables: The tables that are wanted; everything where there are none.
            rows: Whether rows are wanted.
        """
        super().__init__(loading)
        self.tables = set(tables)
        self.objects: dict[str, set[str]] = {}
        self.left_out: list[str] = []
        self._inventory = inventory
        self._rows = rows

    def learn(self, piece: bytes) -> None:
        """Take the next bytes of the dump's definitions, before any of it is fed."""
        return

    def learned(self) -> None:
        """Take it that all definitions have been learned.

        Raises:
            ArtifactError: A wanted table is not defined in the dump.
        """
        return

    def _note(self, kind: str, name: str) -> None:
        self.objects.setdefault(kind, set()).add(name)
