# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a dump says of itself while it passes: its statements, its rows, its true end.

A reader follows the SQL as the vendor's own loading client does, so that text in rows, names, comments and bodies that
looks like SQL does not mislead it. It keeps no more than the piece that it cannot judge yet.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """A place where the stream may be cut: a statement begins there, or a row of a table whose rows are lines.

    Attributes:
        offset: Where, in bytes from the stream's beginning.
        table: Whose rows follow, as in :attr:`DumpReader.rows`; None where anything but rows follows.
        rows: How many rows of that table came before.
        within: Whether it is in the middle of the statement that those rows are part of.
    """

    offset: int
    table: str | None
    rows: int = 0
    within: bool = False


class DumpReader(abc.ABC):
    """Reads a dump in passing, in pieces of any size.

    Attributes:
        rows: The tables whose rows the dump carries, by the names that the dump has for them, and how many rows so far.
        doubt: Why rows may have been miscounted; empty where they were not.
        tell: Told of each statement or command of the client but rows: its beginning, or all of it where it is short.
        told: Where that statement ended, in bytes from the stream's beginning.
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.doubt = ""
        self.told = 0
        self.tell: Callable[[bytes], None] = lambda _statement: None
        self._read = 0
        self._rest = b""
        self._base = 0
        self._cuts: list[Cut] = []

    def feed(self, chunk: bytes) -> list[Cut]:
        """Read on.

        Args:
            chunk: The next bytes of the dump.

        Returns:
            Where the stream may be cut, in order, never before what :attr:`settled` was before this call: before each
            statement with rows, before the first of another sort after rows, and near the end of what was read of long
            lists of rows.
        """
        data = self._rest + chunk if self._rest else chunk
        self._base = self._read - len(self._rest)
        self._read += len(chunk)
        self._cuts = []
        position, length = 0, len(data)
        while position < length:
            following = self._step(data, position)
            if following == position:
                break
            position = following
        self._rest = data[position:]
        return self._cuts

    @property
    def settled(self) -> int:
        """Bytes from the beginning in which no further cut will be found; the few after them are still undecided."""
        return self._read - len(self._rest)

    @abc.abstractmethod
    def _step(self, data: bytes, position: int) -> int:
        """Understand something at a position and return what follows it; the same position if more is needed."""

    @abc.abstractmethod
    def unfinished(self) -> str:
        """Return where the stream stopped short, for the end of a sentence; empty if it ended as a whole dump does."""

    @property
    @abc.abstractmethod
    def between_statements(self) -> bool:
        """Whether all that was read are whole statements."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Expect a dump, after the one before has ended: a database may be dumped by several calls."""

    def opening(self, table: str) -> str:
        """Return the statement that the rows of a table are part of; empty where each piece of rows has its own."""
        return ""

    def _cut(self, position: int, table: str | None, within: bool = False) -> None:
        rows = self.rows[table] if table is not None else 0
        self._cuts.append(Cut(self._base + position, table, rows, within))
