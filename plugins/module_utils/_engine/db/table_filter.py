# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump only what is wanted of it."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass

from .loading import Loading

_COPY = b"COPY "


@dataclass(frozen=True)
class _Mark:
    """A place in the stream.

    Attributes:
        offset: Where.
        passes: Whether the statement passes that ends there; None where rows, or what follows them, begin.
        copies: Whether rows follow that statement.
        key: Whose rows begin.
    """

    offset: int
    passes: bool | None
    copies: bool = False
    key: str | None = None


class DumpFilter(abc.ABC):
    """Lets pass some of the statements of a dump, and the rows of some tables."""

    def __init__(self, loading: Loading) -> None:
        self.loading = loading
        self.reader = loading.reader()
        self.reader.tell = self._heard
        self._ends: list[_Mark] = []  # of statements
        self._buffer = b""
        self._start = 0  # of the buffer, in the stream
        self._in_rows = False
        self._passes = False  # whether these rows do

    @abc.abstractmethod
    def is_key(self, key: str) -> bool:
        """Tell whether the rows pass of a table that :attr:`DumpReader.rows` names so."""

    @abc.abstractmethod
    def _is_statement(self, statement: bytes) -> bool:
        """Tell whether a statement is to pass, by its beginning."""

    def _edited(self, text: bytes) -> bytes:
        """Return what is to pass of a statement that may; comments and blanks stand before it. None of it: nothing."""
        return text

    def _heard(self, statement: bytes) -> None:
        self._ends.append(_Mark(self.reader.told, self._is_statement(statement), statement.startswith(_COPY)))

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes of the dump, and yield what passes."""
        cuts = self.reader.feed(piece)
        self._buffer += piece
        marks = [*self._ends, *(_Mark(cut.offset, None, key=cut.table) for cut in cuts if not cut.within)]
        self._ends = []
        for mark in sorted(marks, key=lambda each: each.offset):
            text = self._taken(mark.offset)
            if mark.passes is None:
                if self._in_rows and self._passes:
                    yield text
                self._in_rows = mark.key is not None and not self._buffer.startswith(_COPY)
                self._passes = self._in_rows and mark.key is not None and self.is_key(mark.key)
                continue
            text = self._edited(text) if mark.passes else b""
            if text:
                yield text if mark.copies or text.endswith(b"\n") else text + b"\n"
            if mark.copies:  # its rows follow
                self._in_rows, self._passes = True, bool(text)
        if self._in_rows:
            text = self._taken(self.reader.settled)
            if self._passes and text:
                yield text

    def _taken(self, offset: int) -> bytes:
        """Return what stands before a place of the stream, and forget it."""
        length = max(0, offset - self._start)
        text, self._buffer = self._buffer[:length], self._buffer[length:]
        self._start += length
        return text

    def finish(self) -> Iterator[bytes]:
        """Yield what passes of the rest."""
        if self._in_rows and self._passes and self._buffer:
            yield self._buffer


class TableFilter(DumpFilter):
    """Lets pass what belongs to one table, and the settings of the session.

    Attributes:
        defined: Whether the table's definition has passed.
    """

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        self.defined = False
