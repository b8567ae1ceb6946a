# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""In which steps an artifact is loaded: one client for definitions, several for the rows between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..db.loading import Loading
from .manifest import Segment
from .segmentation import DEFINITIONS, ROWS

PARALLEL_BYTES = 8 * 1024 * 1024  # rows that are less are not worth the start of further clients


@dataclass(frozen=True)
class Step:
    """A part of an artifact that is loaded before the next is begun.

    Attributes:
        segments: Its segments by their numbers, in the order in which they may be taken.
        shared: Whether several clients take them, each a segment at a time. Otherwise one client takes all.
        settings: What sets up the session of each client.
    """

    segments: tuple[int, ...]
    shared: bool
    settings: bytes


class LoadPlanner:
    """Reads an artifact's definitions in passing, and plans in which steps it is loaded.

    Rows are shared where enough of them follow each other. Statements between the rows of two tables that do as well
    after all of those rows are moved there; any others part the rows before from those after.
    """

    def __init__(self, segments: Sequence[Segment], loading: Loading) -> None:
        """Begin.

        Args:
            segments: Of the artifact, in their order.
            loading: What is known of its kind of dump.
        """
        self._segments = segments
        self._loading = loading
        self._reader = loading.reader()
        self._reader.tell = self._heard
        self._number = 0  # of the segment that is passing
        self._passed = 0  # bytes of it
        self._settings: list[bytes] = []
        self._framing: list[bytes] = []  # settings that come and go with the rows of each table
        self._known = True  # whether these are all that there are
        self._settings_at: dict[int, tuple[list[bytes], int, list[bytes]]] = {}  # where rows may be shared from
        self._parting: set[int] = set()  # segments that part rows

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the artifact's plain content; they belong to one segment."""
        segment = self._segments[self._number]
        if self._passed == 0:
            self._begin(segment.kind)
        if segment.kind == DEFINITIONS:
            self._reader.feed(piece)
        self._passed += len(piece)
        if self._passed >= segment.plain_length:
            self._number, self._passed = self._number + 1, 0

    def _begin(self, kind: str) -> None:
        before = self._number - 1
        if kind not in (ROWS, DEFINITIONS):
            self._parting.add(self._number)
        elif kind == DEFINITIONS or self._segments[before].kind == ROWS:
            return
        elif not (self._known and self._reader.between_statements):
            self._parting.add(before)
        elif before in self._parting:
            self._settings_at[self._number] = (self._settings, len(self._settings), self._framing)

    def _heard(self, statement: bytes) -> None:
        frames = self._loading.can_wait(statement)
        if not frames:
            self._parting.add(self._number)
        if self._loading.begins_anew(statement):
            self._settings, self._framing = [], []
        if not self._loading.sets(statement):
            return
        if frames:
            self._framing = [*([] if statement in self._framing else self._framing), statement]
        else:
            self._settings.append(statement)
            self._known = self._known and statement.endswith((b";", b"\n"))

    def steps(self) -> list[Step]:
        """Return the steps, after all has passed."""
        steps: list[Step] = []
        alone: list[int] = []  # for the client that runs what is not shared
        settings = b""
        number = 0
        while number < len(self._segments):
            end, rows = self._stretch(number)
            found = self._settings_at.get(number)
            if found is None or not self._worth_sharing(rows):
                alone += range(number, max(end, number + 1))
                number = max(end, number + 1)
                continue
            if alone:
                steps.append(Step(tuple(alone), False, settings))
            known, length, framing = found
            settings = b"".join(statement + b"\n" for statement in (*known[:length], *framing))
            steps.append(Step(tuple(rows), True, settings))
            alone = [each for each in range(number, end) if self._segments[each].kind != ROWS]
            number = end
        if alone:
            steps.append(Step(tuple(alone), False, settings))
        return steps

    def _stretch(self, number: int) -> tuple[int, list[int]]:
        """Return the end of the rows that begin with a segment and of all between them, and which of it are rows."""
        rows: list[int] = []
        end = number
        while end < len(self._segments):
            if self._segments[end].kind == ROWS:
                rows.append(end)
            elif end in self._parting or not rows:
                break
            end += 1
        return end, rows

    def _worth_sharing(self, rows: Sequence[int]) -> bool:
        return len(rows) > 1 and sum(self._segments[number].plain_length for number in rows) >= PARALLEL_BYTES


def rows_statement(segments: Sequence[Segment], number: int) -> tuple[bytes, bool]:
    """Return what :meth:`~..db.loading.Loading.rows` asks of a segment.

    Args:
        segments: Of the artifact.
        number: Of the segment.
    """
    following: Optional[Segment] = segments[number + 1] if number + 1 < len(segments) else None
    return segments[number].continues.encode("latin-1"), bool(following and following.continues)
