# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a strategy does: it brings the content of an artifact about. What becomes of it then is the same for all."""

from __future__ import annotations

import abc
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..config import Policy
from ..db.base import Dbms
from ..db.dump_session import DumpFacts, DumpSession
from .context import Context


@dataclass(frozen=True)
class Task:
    """What is to be dumped, and with what.

    Attributes:
        context: What all operations share.
        dbms: The server.
        database: The database.
        policy: The policy to follow.
        progress: Called with the bytes of SQL so far.
        pace: Called with the number of bytes that have been read from a client; waits as long as they were too fast.
    """

    context: Context
    dbms: Dbms
    database: str
    policy: Policy
    progress: Callable[[int], None]
    pace: Callable[[int], None]


@dataclass(frozen=True)
class Content:
    """What has been dumped and agrees with the server.

    Attributes:
        facts: What is known of the dump.
        complaints: What the clients wrote to standard error: warnings, as errors are refused.
        described: The fields of the manifest that tell its sizes, checksums and parts.
    """

    facts: DumpFacts
    complaints: str
    described: dict[str, Any]


class Partial(Protocol):
    """An artifact that does not have its final name yet."""

    def seal(self) -> None:
        """Make the content durable and give it its final name."""

    def settle(self) -> None:
        """Give up the first name, now that the manifest is there."""

    def discard(self) -> None:
        """Remove whatever there is of it."""


class Dump(abc.ABC):
    """One dump of one database, by one strategy. Its methods are called in their order.

    Attributes:
        strategy: What the manifest calls it: how the artifact is read.
    """

    strategy: str

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    @abc.abstractmethod
    def extension(self) -> str:
        """How the name of its artifact ends."""

    @abc.abstractmethod
    def session(self) -> AbstractContextManager[DumpSession]:
        """Look at the database and watch over it; the dump is to be made while the context lasts."""

    @abc.abstractmethod
    def begin(self, path: Path) -> Partial:
        """Make room for an artifact that is to have this path.

        Raises:
            StorageError: It cannot be made, or exists already.
        """

    @abc.abstractmethod
    def write(self, session: DumpSession) -> Content:
        """Dump, and compare the dump with the server.

        Raises:
            DumpError: The dump is not whole; the message says why.
            StorageError: The disk is full or failing.
        """
