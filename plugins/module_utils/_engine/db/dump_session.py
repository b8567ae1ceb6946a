# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""One database while it is dumped: what the server says of it, what the dump says of itself, and whether they agree."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from ..errors import DumpError
from ..utils.processes import Command
from .base import DumpPlan, Inspection
from .dump_reader import DumpReader
from .dump_share import OneMoment
from .dump_watch import DumpWatch
from .figures import Figures

COUNTED = "counted in the dump while it was written"
_NAMED = 10  # how many objects a message spells out


@dataclass(frozen=True)
class DumpFacts:
    """What is known of a dump that has ended and agrees with the server.

    Attributes:
        inventory: Names of the objects that it holds, by kind.
        rows: How many rows it holds of each table.
        row_counts: How that was found (``method``), whether it may be off (``approximate``, then with a ``reason``),
            and the tables of which a dump carries no rows (``left_out``, with the reason of each).
        position: Where in the server's log the content stands: the ``type`` of log (``binlog``, ``lsn``, or None with
            a ``reason``); the content is not before ``from`` and not after ``to``; ``approximate`` where they differ.
        figures: What the server says of the content.
    """

    inventory: dict[str, list[str]]
    rows: dict[str, int]
    row_counts: dict[str, Any]
    position: dict[str, Any]
    figures: Figures = field(default_factory=Figures)


class DumpSession(DumpWatch, abc.ABC):
    """Watches over one dump.

    Attributes:
        inspection: What the server said of the database before.
        plan: How it is dumped.
        remarks: What is to be known of how it was made, in sentences.
        clients: How many clients dump rows at once.
    """

    def __init__(self, inspection: Inspection, plan: DumpPlan, reader: DumpReader) -> None:
        super().__init__(reader)
        self.inspection = inspection
        self.plan = plan
        self.remarks: list[str] = []
        self.clients = 1

    def commands(self) -> Iterator[Command]:
        """Yield the calls that make the dump, each after the one before has ended."""
        yield from self.plan.commands

    def split(self, command: Command, jobs: int) -> AbstractContextManager[OneMoment | None]:
        """Have several clients do what one call asks for, where that can be.

        Args:
            command: One of :meth:`commands`.
            jobs: How many clients at most.

        Returns:
            What keeps the database as it is until they have begun; None where one client is to do it.
        """
        return nullcontext()

    @abc.abstractmethod
    def conclude(self) -> DumpFacts:
        """Compare the dump, which has ended, with the server.

        Raises:
            DumpError: They disagree; the message names the objects.
            ServerError: The server cannot be asked.
        """

    def _refuse(self, missing: Sequence[str], unexpected: Sequence[str]) -> None:
        """Refuse a dump that lacks something, or has something that the server does not have.

        Raises:
            DumpError: Either list holds something.
        """
        program = self.plan.commands[0].program
        if missing:
            raise DumpError(
                f"{program} left out what the server has: {_listed(missing)}.",
                "Such a backup would not bring it back, so none was kept. Run it again; if that does not help, see"
                " whether the account may see and read all of it: vya-backupdb check.",
            )
        if unexpected:
            raise DumpError(
                f"{program} wrote what the server does not have: {_listed(unexpected)}.",
                "Definitions may have changed meanwhile; run the backup again.",
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
