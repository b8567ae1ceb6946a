# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which keys and indexes several clients can make at a time, after the rows have been loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..db.loading import Build, Loading
from .statements import StatementFollower, as_lines


@dataclass(frozen=True)
class BuildStatement:
    """A statement that makes something of the rows of one table.

    Attributes:
        build: What it makes.
        text: The statement, and the comments before it.
        settings: What a session must have been told before, beside the client's own commands, which are not repeated.
        length: Bytes of the artifact that it stands for.
    """

    build: Build
    text: bytes
    settings: bytes
    length: int


@dataclass
class Stretch:
    """Statements of one segment among which builds can be made in any order, and before all of the others.

    Attributes:
        start: Bytes from the segment's beginning to the first of them.
        settings: What sets up a session that begins there.
        builds: The builds.
        holes: Where in the segment they are.
    """

    start: int
    settings: bytes
    builds: list[BuildStatement] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)


class BuildFinder(StatementFollower):
    """Follows the definitions after rows.

    Attributes:
        stretches: What was found, for each segment by its number.
    """

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        self._open: Optional[Stretch] = None
        self.stretches: dict[int, list[Stretch]] = {}

    def begin(self, number: int, position: int) -> None:
        """Expect a segment; the arguments are those of :meth:`StatementFollower.begin`."""
        super().begin(number, position)
        self._open = None

    def _take(self, statement: bytes, text: bytes, start: int) -> None:
        build = self._loading.build(statement) if self._sure else None
        if build is not None and text:
            self._add(build, text, start)
        elif not self._sure or not (self._loading.sets(statement) or self._loading.follows_builds(statement)):
            self._open = None

    def _add(self, build: Build, text: bytes, start: int) -> None:
        if self._open is None:
            self._open = Stretch(start, as_lines(self._settings.values()))
            self.stretches.setdefault(self._number, []).append(self._open)
        own = (each for each in self._settings.values() if not each.startswith(b"\\"))
        self._open.builds.append(BuildStatement(build, text, as_lines(own), len(text)))
        self._open.holes.append((start, start + len(text)))


def rounds(builds: Sequence[BuildStatement]) -> list[list[BuildStatement]]:
    """Return what is made at a time: first what locks its table, as keys do, then the rest."""
    parted = [[each for each in builds if each.build.alone is alone] for alone in (True, False)]
    return [each for each in parted if each]


def shares(builds: Sequence[BuildStatement], rows: Mapping[str, int], clients: int) -> list[list[BuildStatement]]:
    """Share builds among clients, so that all have about as many rows to work through; no share is empty.

    Args:
        builds: What one round makes.
        rows: How many rows each table has.
        clients: How many clients there may be.
    """
    units: dict[object, list[BuildStatement]] = {}
    for number, each in enumerate(builds):
        units.setdefault(each.build.table if each.build.alone else number, []).append(each)
    found: list[list[BuildStatement]] = [[] for _client in range(max(1, min(clients, len(units))))]
    loads = [0] * len(found)

    def work(unit: Sequence[BuildStatement]) -> int:
        return sum(1 + rows.get(each.build.table, 0) for each in unit)

    for unit in sorted(units.values(), key=work, reverse=True):
        least = loads.index(min(loads))
        found[least] += unit
        loads[least] += work(unit)
    return found
