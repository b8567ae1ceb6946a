# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A database that several clients dump at once, each some of its tables, all of them in one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from ..errors import DumpError
from ..utils.processes import Command
from .dump_reader import Cut, DumpReader
from .dump_watch import DumpWatch


class DumpShare(DumpWatch):
    """Follows what one of the clients writes: settings, the rows of its tables with what frames each, settings again.

    Attributes:
        begun: Set once a row may have come: the client has its snapshot then.
        opening_statements: Those before all rows and frames: they set up the session that loads them.
        opening_end: Where the last of them ends, in bytes from the beginning.
        closing_statements: Those after all rows and frames: they set back what the first ones have set.
        framed_end: Where the last statement ends that frames the rows of a table.
    """

    def __init__(self, reader: DumpReader, frames: Callable[[bytes], bool]) -> None:
        """Begin.

        Args:
            reader: Understands the dump.
            frames: Tells whether a statement frames the rows of a table, and sets nothing for those of others.
        """
        super().__init__(reader)
        self.begun = threading.Event()
        self.opening_statements: list[bytes] = []
        self.opening_end = 0
        self.closing_statements: list[bytes] = []
        self.framed_end = 0
        self._frames = frames
        self._closing_from = 0
        reader.tell = self._heard

    def feed(self, chunk: bytes) -> Sequence[Cut]:
        """Take note of the next bytes, and return where they may be cut.

        Raises:
            DumpError: They are in an order that lets nobody put other clients' rows between them.
        """
        cuts = super().feed(chunk)
        if self.reader.rows:
            self.begun.set()
        if self.closing_statements and any(cut.table and cut.offset >= self._closing_from for cut in cuts):
            raise self._refusal()
        return cuts

    def _heard(self, statement: bytes) -> None:
        if self._frames(statement):
            if self.closing_statements:
                raise self._refusal()
            self.framed_end = self.reader.told
        elif self.framed_end or self.reader.rows:
            self._closing_from = self._closing_from or self.reader.told
            self.closing_statements.append(statement)
        else:
            self.opening_statements.append(statement)
            self.opening_end = self.reader.told

    @staticmethod
    def _refusal() -> DumpError:
        return DumpError(
            "The dump client sets something between the rows of two tables, so that several of them cannot write one"
            " file.",
            "Set the policy's strategy to logical.",
        )


class OneMoment(Protocol):
    """Keeps a database as it is until several clients have begun to dump it.

    Attributes:
        parts: The call of each client, and what follows it.
    """

    parts: Sequence[tuple[Command, DumpShare]]

    def pass_on(self, failed: Callable[[], bool]) -> None:
        """Wait until each client has its snapshot, and let the database change again.

        Args:
            failed: Whether a client has failed, so that there is nothing to wait for.

        Raises:
            DumpError: They took too long, or the database may have changed meanwhile.
        """

    def conclude(self) -> None:
        """Take note of what the clients wrote, now that all of them have ended well."""
