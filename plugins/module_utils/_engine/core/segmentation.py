# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cutting a dump, as it passes, into segments that decompress and load by themselves.

The file stays one ordinary stream of SQL. Definitions and rows are in segments of their own; the rows of a large table
are in several, those of small tables share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..db.dump_reader import Cut

DEFINITIONS, ROWS = "definitions", "rows"
ROWS_BYTES = 16 * 1024 * 1024  # a segment of rows ends at the next row after that many
SHARED_BYTES = 1024 * 1024  # a segment that holds less takes in the next table's rows too


class Following(Protocol):
    """What follows a dump in passing, such as a :class:`~..db.dump_session.DumpSession`."""

    def feed(self, chunk: bytes) -> Sequence[Cut]:
        """Take note of the next bytes, and return where the stream may be cut."""

    @property
    def settled(self) -> int:
        """Bytes from the beginning in which no further place to cut will be found."""

    def rows_so_far(self, table: str) -> int:
        """Return how many rows of a table have passed."""

    def opening(self, table: str) -> str:
        """Return the statement that a table's rows are part of; empty where each piece of rows has its own."""


class SegmentSink(Protocol):
    """What takes the segments."""

    def begin(self, kind: str, continued: str = "") -> None:
        """Begin a segment."""

    def write(self, data: memoryview | bytes) -> None:
        """Add to the segment."""

    def end(self, tables: dict[str, int]) -> None:
        """End the segment, naming the tables whose rows it holds, and how many."""

    @property
    def segment_bytes(self) -> int:
        """Plain bytes in the segment so far."""


class Segmenter:
    """Passes a dump on to what stores it, and cuts it on the way."""

    def __init__(self, sink: SegmentSink, following: Following) -> None:
        self._sink = sink
        self._following = following
        self._passed = following.settled  # bytes handed on, also by those before us
        self._held = b""  # bytes in which a place to cut may still be found
        self._kind = ""  # of the segment that is open
        self._table: str | None = None  # whose rows are passing
        self._rows_before = 0  # rows of that table in earlier segments
        self._tables: dict[str, int] = {}

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the dump.

        Raises:
            StorageError: They could not be stored.
        """
        cuts = self._following.feed(chunk)
        data, start = self._held + chunk if self._held else chunk, self._passed
        view = memoryview(data)
        for cut in cuts:
            self._pass(view[self._passed - start : cut.offset - start])
            self._consider(cut)
        self._pass(view[self._passed - start : max(self._following.settled, self._passed) - start])
        self._held = data[self._passed - start :]

    def finish(self) -> None:
        """Take the end of the dump.

        Raises:
            StorageError: Something could not be stored.
        """
        self._pass(memoryview(self._held))
        self._held = b""
        if self._kind:
            self._end(None)

    def _pass(self, data: memoryview) -> None:
        if data:
            if not self._kind:
                self._begin(DEFINITIONS, "")
            self._sink.write(data)
            self._passed += len(data)

    def _consider(self, cut: Cut) -> None:
        if cut.table is None:
            if self._kind == ROWS:
                self._end(cut)
                self._begin(DEFINITIONS, "")
            return
        if self._kind == ROWS:
            same = cut.table == self._table
            if self._sink.segment_bytes < (ROWS_BYTES if same else SHARED_BYTES):
                if not same:
                    self._count(cut)
                return
        if self._kind:
            self._end(cut)
        self._table, self._rows_before = cut.table, cut.rows
        self._begin(ROWS, self._following.opening(cut.table) if cut.within else "")

    def _begin(self, kind: str, continued: str) -> None:
        self._sink.begin(kind, continued)
        self._kind = kind

    def _end(self, cut: Cut | None) -> None:
        self._count(cut)
        self._sink.end(self._tables)
        self._kind, self._tables = "", {}

    def _count(self, cut: Cut | None) -> None:
        """Note how many rows of the table that was passing the open segment has, and what passes from the cut on."""
        if self._table is not None:
            within = cut is not None and cut.table == self._table
            total = cut.rows if cut is not None and within else self._following.rows_so_far(self._table)
            self._tables[self._table] = total - self._rows_before
        self._table, self._rows_before = (cut.table, cut.rows) if cut is not None else (None, 0)
