# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a dump by several clients at once: what each has to be told beside its share of the rows.

A dump is made for one session. Others can take over rows of it when they are first given the settings that its session
has at that place, and nothing else of what came before: definitions are made once.
"""

from __future__ import annotations

import abc
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


class Loading(abc.ABC):
    """How dumps of one kind of server are loaded by several clients.

    Statements are what :attr:`DumpReader.tell` is told.

    Attributes:
        session: What each client that loads is told before all else.
    """

    session = b""

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

    def build(self, statement: bytes) -> Optional[Build]:
        """Tell what a statement after the rows makes of them, where others can be made at the same time."""
        return None

    def follows_builds(self, statement: bytes) -> bool:
        """Tell whether a statement between builds may as well be run after all of them."""
        return False

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
