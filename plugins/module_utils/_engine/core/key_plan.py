# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which keys are left out of the definitions of tables, and made after the rows have been loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..db.loading import Build, LaterFinder, Loading
from .build_plan import BuildStatement
from .statements import StatementFollower, as_lines

KEYS_ROWS = 10_000  # with fewer rows, a statement more takes longer than it saves


@dataclass(frozen=True)
class LeftOut:
    """What is left out of a segment, to be made of the rows of a table.

    Attributes:
        number: The segment's number.
        start: Where it begins, in bytes from the segment's beginning.
        end: Where it ends.
        build: What makes it.
    """

    number: int
    start: int
    end: int
    build: BuildStatement


@dataclass(frozen=True)
class _Place:
    number: int
    start: int
    settings: bytes


class KeyFinder(StatementFollower):
    """Follows the definitions of tables."""

    def __init__(self, loading: Loading, finder: LaterFinder) -> None:
        """Begin.

        Args:
            loading: What is known of the kind of dump.
            finder: What knows the definitions.
        """
        super().__init__(loading)
        self._finder = finder
        self._places: list[_Place] = []

    def _take(self, statement: bytes, text: bytes, start: int) -> None:
        if self._finder.heard(statement, text):
            begin = start + len(text) - len(statement)
            self._places.append(_Place(self._number, begin, as_lines(self._settings.values())))

    def left_out(self, rows: Mapping[str, int], end: int) -> Iterator[LeftOut]:
        """Yield, after all has passed, what can be left out of definitions, in their order.

        Args:
            rows: How many rows each table has.
            end: The number of the first segment that is loaded after those definitions.
        """
        if not self._sure:
            return
        for place, later in zip(self._places, self._finder.found(), strict=True):
            if later is not None and place.number < end and rows.get(later.table, 0) >= KEYS_ROWS:
                build = BuildStatement(
                    Build(later.table, alone=True), later.statement, place.settings, later.end - later.start
                )
                yield LeftOut(place.number, place.start + later.start, place.start + later.end, build)
