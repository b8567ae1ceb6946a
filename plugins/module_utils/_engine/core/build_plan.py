# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which keys and indexes several clients can make at a time, after the rows have been loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..db.loading import Build, Loading


@dataclass(frozen=True)
class BuildStatement:
    """A statement that makes something of the rows of one table.

    Attributes:
        build: What it makes.
        text: The statement, and the comments before it.
        settings: What a session must have been told before, beside the client's own commands, which are not repeated.
    """

    build: Build
    text: bytes
    settings: bytes


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


class BuildFinder:
    """Follows the definitions after rows.

    Attributes:
        stretches: What was found, for each segment by its number.
    """

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._number = 0
        self._begin = 0  # of the segment, in bytes from the reader's beginning
        self._position = 0  # where the statement before ended
        self._text = bytearray()  # what has passed since then
        self._settings: dict[bytes, bytes] = {}  # the last statement for each name
        self._open: Optional[Stretch] = None
        self._sure = True  # whether all settings could be seen whole
        self.stretches: dict[int, list[Stretch]] = {}

    def begin(self, number: int, position: int) -> None:
        """Expect a segment.

        Args:
            number: Its number.
            position: Where it begins, in bytes from the reader's beginning.
        """
        self._number, self._begin, self._position, self._open = number, position, position, None
        self._text.clear()

    def feed(self, piece: bytes) -> None:
        """Take the segment's next bytes, before the reader does."""
        self._text += piece

    def heard(self, statement: bytes, end: int) -> None:
        """Take note of a statement.

        Args:
            statement: As :attr:`~..db.dump_reader.DumpReader.tell` is told.
            end: Where it ends, in bytes from the reader's beginning.
        """
        start, length = self._position, end - self._position
        build = self._loading.build(statement) if self._sure else None
        if build is not None and len(self._text) >= length:
            self._add(build, bytes(self._text[:length]), start - self._begin)
        elif self._loading.sets(statement):
            self._set(statement)
        elif not self._loading.follows_builds(statement):
            self._open = None
        del self._text[:length]
        self._position = end

    def _add(self, build: Build, text: bytes, start: int) -> None:
        if self._open is None:
            self._open = Stretch(start, _lines(self._settings.values()))
            self.stretches.setdefault(self._number, []).append(self._open)
        own = (each for each in self._settings.values() if not each.startswith(b"\\"))
        self._open.builds.append(BuildStatement(build, text, _lines(own)))
        self._open.holes.append((start, start + len(text)))

    def _set(self, statement: bytes) -> None:
        if not statement.endswith((b";", b"\n")):
            self._sure, self._open = False, None
            return
        name = b" ".join(statement.split()[:2])
        self._settings.pop(name, None)
        self._settings[name] = statement


def _lines(statements: Iterable[bytes]) -> bytes:
    return b"".join(each + b"\n" for each in statements)


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
