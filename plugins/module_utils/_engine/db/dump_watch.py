# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What whoever stores a dump asks of what follows it: where it may be cut, and whether its end was the true one."""

from __future__ import annotations

from collections.abc import Sequence

from .dump_reader import Cut, DumpReader


class DumpWatch:
    """Follows a dump in passing.

    Attributes:
        reader: Understands it.
    """

    def __init__(self, reader: DumpReader) -> None:
        self.reader = reader

    def begin(self) -> None:
        """Expect a dump, after the one before has ended."""
        self.reader.begin()

    def feed(self, chunk: bytes) -> Sequence[Cut]:
        """Take note of the next bytes of the dump, and return where the stream may be cut."""
        return self.reader.feed(chunk)

    @property
    def settled(self) -> int:
        """Bytes from the beginning in which no further place to cut will be found."""
        return self.reader.settled

    def rows_so_far(self, table: str) -> int:
        """Return how many rows of a table have passed."""
        return self.reader.rows[table]

    def opening(self, table: str) -> str:
        """Return the statement that a table's rows are part of; empty where each piece of rows has its own."""
        return self.reader.opening(table)

    def unfinished(self) -> str:
        """Return where the dump stopped short, for the end of a sentence; empty if its end was the true one."""
        return self.reader.unfinished()
