# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a dump by several clients at once: what each has to be told beside its share of the rows.

A dump is made for one session. Others can take over rows of it when they are first given the settings that its session
has at that place, and nothing else of what came before: definitions are made once.
"""

from __future__ import annotations

import abc

from .dump_reader import DumpReader


class Loading(abc.ABC):
    """How dumps of one kind of server are loaded by several clients.

    Statements are what :attr:`DumpReader.tell` is told.
    """

    @abc.abstractmethod
    def reader(self) -> DumpReader:
        """Return what follows the definitions of a dump."""

    @abc.abstractmethod
    def sets(self, statement: bytes) -> bool:
        """Tell whether a statement sets something for the rest of its session."""

    def begins_anew(self, statement: bytes) -> bool:
        """Tell whether nothing of what was set before a statement is set any longer: another dump begins with it."""
        return False

    @abc.abstractmethod
    def can_wait(self, statement: bytes) -> bool:
        """Tell whether a statement between rows may as well be run after all of the rows that follow it."""

    @abc.abstractmethod
    def beginning(self) -> bytes:
        """Return what a client that loads nothing but rows runs after the session's settings."""

    @abc.abstractmethod
    def rows(self, continues: bytes, goes_on: bool) -> tuple[bytes, bytes]:
        """Return what goes before and after a segment of rows that is loaded by itself.

        Args:
            continues: The statement that its first rows belong to, where that began in an earlier segment.
            goes_on: Whether the next segment goes on with the statement that its last rows belong to.
        """

    @property
    @abc.abstractmethod
    def interruption(self) -> bytes:
        """What ends a session in the middle of a dump without losing what it did."""
