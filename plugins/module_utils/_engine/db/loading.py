# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a dump by several clients at once: what each has to be told beside its share of the rows.

A dump is made for one session. Others can take over rows of it when they are first given the settings that its session
has at that place, and nothing else of what came before: definitions are made once.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from .dump_reader import DumpReader


@dataclass(frozen=True)
class Build:
    """What a statement after the rows makes of them, and others need not be made before.

    Attributes:
        table: Of which table, as :meth:`Loading.table_of` names it.
        alone: Whether nothing else can be made of that table meanwhile.
    """

    table: str
    alone: bool


@dataclass(frozen=True)
class Later:
    """A part of a definition that can be left out of it, and be made of the rows instead, once they are there.

    Attributes:
        table: Of which table, as :meth:`Loading.table_of` names it.
        start: Where it begins, in bytes from the definition's beginning.
        end: Where it ends.
        statement: What makes it.
    """

    table: str
    start: int
    end: int
    statement: bytes


class LaterFinder(abc.ABC):
    """Follows the definitions of a dump to find what of them can be made after the rows."""

    @abc.abstractmethod
    def heard(self, statement: bytes, text: bytes) -> bool:
        """Take note of a statement, and tell whether it is a definition of which parts may be made later.

        Args:
            statement: As :attr:`DumpReader.tell` is told.
            text: All of it, with what stands before it; empty where that is not known.
        """

    @abc.abstractmethod
    def found(self) -> Sequence[Optional[Later]]:
        """Return, after all has been heard, what can be made later of each definition that may have such parts."""


class Loading(abc.ABC):
    """How dumps of one kind of server are loaded by several clients.

    Statements are what :attr:`DumpReader.tell` is told.

    Attributes:
        session: What each client that loads is told before all else.
        builds_hint: What helps where something could not be made of the rows, in a sentence.
    """

    session = b""
    builds_hint = ""

    @abc.abstractmethod
    def reader(self) -> DumpReader:
        """Return what follows the definitions of a dump."""

    @abc.abstractmethod
    def sets(self, statement: bytes) -> bool:
        """Tell whether a statement sets something for the rest of its session."""

    def setting(self, statement: bytes) -> bytes:
        """Return what a statement sets, where it sets something; the later of two that set the same stays in force."""
        return b" ".join(statement.split()[:2])

    def begins_anew(self, statement: bytes) -> bool:
        """Tell whether nothing of what was set before a statement is set any longer: another dump begins with it."""
        return False

    @abc.abstractmethod
    def can_wait(self, statement: bytes) -> bool:
        """Tell whether a statement between rows may as well be run after all of the rows that follow it."""

    def build(self, statement: bytes) -> Optional[Build]:
        """Tell what a statement after the rows makes of them, where others can be made at the same time."""
        return None

    def follows_builds(self, statement: bytes) -> bool:
        """Tell whether a statement between builds may as well be run after all of them."""
        return False

    def later(self, reader: DumpReader) -> Optional[LaterFinder]:
        """Return what finds parts of definitions that can be made after the rows; None where they already are.

        Args:
            reader: What follows the dump; each statement is heard while it is the last that the reader has read.
        """
        return None

    def table_of(self, rows: str) -> str:
        """Return the table of rows as :attr:`Build.table` names it.

        Args:
            rows: A key of :attr:`DumpReader.rows`.
        """
        return rows

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
