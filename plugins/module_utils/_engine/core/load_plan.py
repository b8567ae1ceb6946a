# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""In which steps an artifact is loaded: one client for definitions, several for the rows and for their indexes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from ..db.loading import Loading
from .build_plan import BuildFinder, BuildStatement, Stretch, rounds
from .key_plan import KeyFinder
from .manifest import Segment
from .segmentation import DEFINITIONS, ROWS
from .statements import StatementFollower

PARALLEL_BYTES = 8 * 1024 * 1024  # rows that are less are not worth the start of further clients


@dataclass(frozen=True)
class Step:
    """A part of an artifact that is loaded before the next is begun.

    Attributes:
        segments: Its segments by their numbers, in the order in which they may be taken.
        shared: Whether several clients take them, each a segment at a time. Otherwise one client takes all.
        settings: What sets up the session of each client.
        parts: From where to where they are taken of segments that are not taken whole, in bytes.
        builds: What several clients make instead, of rows that have been loaded; there are no segments then.
    """

    segments: tuple[int, ...]
    shared: bool
    settings: bytes
    parts: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)
    builds: Sequence[BuildStatement] = ()


class LoadPlanner:
    """Reads an artifact's definitions in passing, and plans in which steps it is loaded.

    Rows are shared where enough of them follow each other. Statements between the rows of two tables that do as well
    after all of those rows are moved there; any others part the rows before from those after. Keys that are defined
    with their tables are made after the rows that are shared.
    """

    def __init__(self, segments: Sequence[Segment], loading: Loading, *, keys_later: bool = True) -> None:
        """Begin.

        Args:
            segments: Of the artifact, in their order.
            loading: What is known of its kind of dump.
            keys_later: Whether keys may be made after the rows that are defined before.
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
        self._finder = BuildFinder(loading)
        later = loading.later(self._reader) if keys_later else None
        self._keys = KeyFinder(loading, later) if later is not None else None
        self._read = 0  # bytes of definitions

    def skip(self) -> None:
        """Take it that a segment of rows has passed, of which nothing need be seen."""
        self._begin(self._segments[self._number].kind)
        self._number += 1

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the artifact's plain content; they belong to one segment."""
        segment = self._segments[self._number]
        if self._passed == 0:
            self._begin(segment.kind)
        if segment.kind == DEFINITIONS:
            for follower in self._followers:
                follower.feed(piece)
            self._reader.feed(piece)
            self._read += len(piece)
        self._passed += len(piece)
        if self._passed >= segment.plain_length:
            self._number, self._passed = self._number + 1, 0

    @property
    def _followers(self) -> Sequence[StatementFollower]:
        return (self._finder,) if self._keys is None else (self._finder, self._keys)

    def _begin(self, kind: str) -> None:
        before = self._number - 1
        if kind == DEFINITIONS:
            for follower in self._followers:
                follower.begin(self._number, self._read)
        if kind not in (ROWS, DEFINITIONS):
            self._parting.add(self._number)
        elif kind == DEFINITIONS or self._segments[before].kind == ROWS:
            return
        elif not (self._known and self._reader.between_statements):
            self._parting.add(before)
        elif before in self._parting:
            self._settings_at[self._number] = (self._settings, len(self._settings), self._framing)

    def _heard(self, statement: bytes) -> None:
        for follower in self._followers:
            follower.heard(statement, self._reader.told)
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
        shared = False
        parted: list[Step] = []
        for step in steps:
            parted += self._parted(step) if shared and not step.shared else [step]
            shared = shared or step.shared
        return self._with_keys_later(parted)

    @property
    def rows(self) -> Mapping[str, int]:
        """How many rows each table has, by the names that builds have for them."""
        found: Counter[str] = Counter()
        for segment in self._segments:
            for name, count in segment.tables.items():
                found[self._loading.table_of(name)] += count
        return found

    def _parted(self, step: Step) -> list[Step]:
        """Take builds out of a step that comes after rows, to be made by several clients where they stood."""
        steps: list[Step] = []
        numbers: list[int] = []
        parts: dict[int, list[tuple[int, int]]] = {}
        settings = step.settings
        for number in step.segments:
            numbers.append(number)
            begun: Optional[Stretch] = None
            for stretch in self._finder.stretches.get(number, []):
                if len(stretch.builds) < 2:
                    continue
                parts[number] = _without(begun, stretch.start)
                steps.append(Step(tuple(numbers), False, settings, parts))
                steps += [Step((), False, stretch.settings, builds=each) for each in rounds(stretch.builds)]
                numbers, parts, settings, begun = [number], {}, stretch.settings, stretch
            if begun is not None:
                parts[number] = _without(begun, self._segments[number].plain_length)
        return [*steps, Step(tuple(numbers), False, settings, parts)]

    def _with_keys_later(self, steps: list[Step]) -> list[Step]:
        """Leave keys out of the definitions before the rows that are shared, and make them after those."""
        shared = [place for place, step in enumerate(steps) if step.shared]
        if self._keys is None or not shared:
            return steps
        builds: list[BuildStatement] = []
        holes: dict[int, list[tuple[int, int]]] = {}
        for each in self._keys.left_out(self.rows, steps[shared[0]].segments[0]):
            builds.append(each.build)
            holes.setdefault(each.number, []).append((each.start, each.end))
        if not builds:
            return steps
        parts = {number: _between(found, 0, self._segments[number].plain_length) for number, found in holes.items()}
        before = [replace(step, parts=parts) if not step.shared else step for step in steps[: shared[0]]]
        made = Step((), False, b"", builds=builds)
        return [*before, *steps[shared[0] : shared[-1] + 1], made, *steps[shared[-1] + 1 :]]

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


def _without(stretch: Optional[Stretch], end: int) -> list[tuple[int, int]]:
    """Return where there is something else than builds, from the beginning of a stretch, or of all, to an end."""
    return _between(stretch.holes, stretch.start, end) if stretch else _between((), 0, end)


def _between(holes: Iterable[tuple[int, int]], begin: int, end: int) -> list[tuple[int, int]]:
    """Return what is between holes, in their order, from a beginning to an end."""
    parts = []
    for start, after in holes:
        parts.append((begin, start))
        begin = after
    return [part for part in (*parts, (begin, end)) if part[0] < part[1]]


def rows_statement(segments: Sequence[Segment], number: int) -> tuple[bytes, bool]:
    """Return what :meth:`~..db.loading.Loading.rows` asks of a segment.

    Args:
        segments: Of the artifact.
        number: Of the segment.
    """
    following: Optional[Segment] = segments[number + 1] if number + 1 < len(segments) else None
    return segments[number].continues.encode("latin-1"), bool(following and following.continues)
