# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The statements of an artifact's definitions: where each stands, and what was set for it."""

from __future__ import annotations

import abc
from collections.abc import Iterable

from ..db.loading import Loading


class StatementFollower(abc.ABC):
    """Follows the statements of segments of definitions."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._number = 0  # of the segment
        self._begin = 0  # of the segment, in bytes from the reader's beginning
        self._position = 0  # where the statement before ended
        self._text = bytearray()  # what has passed since then
        self._settings: dict[bytes, bytes] = {}  # the last statement for each of them
        self._sure = True  # whether all settings could be seen whole

    def begin(self, number: int, position: int) -> None:
        """Expect a segment.

        Args:
            number: Its number.
            position: Where it begins, in bytes from the reader's beginning.
        """
        self._number, self._begin, self._position = number, position, position
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
        if self._loading.begins_anew(statement):
            self._settings.clear()
        if self._loading.sets(statement):
            self._set(statement)
        self._take(statement, bytes(self._text[:length]) if len(self._text) >= length else b"", start - self._begin)
        del self._text[:length]
        self._position = end

    @abc.abstractmethod
    def _take(self, statement: bytes, text: bytes, start: int) -> None:
        """Take note of a statement that stands somewhere in a segment.

        Args:
            statement: As it is told.
            text: All of it, with what stands before it; empty where that is not known.
            start: Where that begins, in bytes from the segment's beginning.
        """

    def _set(self, statement: bytes) -> None:
        if not statement.endswith((b";", b"\n")):
            self._sure = False
            return
        name = self._loading.setting(statement)
        self._settings.pop(name, None)
        self._settings[name] = statement


def as_lines(statements: Iterable[bytes]) -> bytes:
    """Return statements one after the other, each with an end of line."""
    return b"".join(each + b"\n" for each in statements)
