# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The strategies by which the content of an artifact comes about; what becomes of it then is the same for all.

The static table is the factory: a policy names its strategy.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

from ..config import Policy
from ..db.base import Dbms
from ..db.dump_session import DumpFacts, DumpSession
from ..errors import DumpError
from .compression import AUTO, EXTENSIONS, Level
from .context import Context
from .pipeline import ArtifactWriter, dump_segments
from .segmentation import ROWS
from .storage import PartialFile


@dataclass(frozen=True)
class Task:
    """What is to be dumped, and with what.

    Attributes:
        context: What all operations share.
        dbms: The server.
        database: The database.
        policy: The policy to follow.
        progress: Called with the bytes of SQL so far.
    """

    context: Context
    dbms: Dbms
    database: str
    policy: Policy
    progress: Callable[[int], None]


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
    """One dump of one database, by one strategy. Its methods are called in their order."""

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


class LogicalDump(Dump):
    """One portable stream of SQL in one file."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._partial: Optional[PartialFile] = None

    @property
    def extension(self) -> str:
        """As the compression has it."""
        return EXTENSIONS[self._task.policy.compression.algorithm]

    def session(self) -> AbstractContextManager[DumpSession]:
        """Watch over a dump in one stream."""
        return self._task.dbms.dump_session(self._task.database)

    def begin(self, path: Path) -> Partial:
        """Make the file."""
        self._partial = PartialFile(path)
        return self._partial

    def write(self, session: DumpSession) -> Content:
        """Dump in one pass: client, segments, compression, checksum, file."""
        if self._partial is None:
            raise DumpError("There is no file to dump into.")
        task, plan, limits = self._task, session.plan, self._task.policy.limits
        algorithm, level = task.policy.compression.algorithm, task.policy.compression.level
        levels = Level(algorithm, level, session.inspection.size_bytes, self._earlier_level())
        writer = ArtifactWriter(self._partial, algorithm, levels, task.policy.checksums)
        writer.add_text("preamble", plan.preamble)
        complaints = [
            dump_segments(
                writer,
                task.context.processes,
                command,
                session,
                stall_timeout=limits.stall_timeout,
                timeout=limits.timeout,
                explain=task.dbms.explain,
                progress=lambda: task.progress(writer.plain_bytes),
            )
            for command in session.commands()
        ]
        facts = session.conclude()
        writer.add_text("postamble", plan.postamble)
        described = {
            "stored_bytes": writer.stored_bytes,
            "plain_bytes": writer.plain_bytes,
            "sha256": writer.checksum("sha256") or "",
            "md5": writer.checksum("md5"),
            "segments": tuple(writer.segments),
        }
        return Content(facts, "\n".join(complaints), described)

    def _earlier_level(self) -> Optional[int]:
        """Return the level at which the newest artifact of this database ended, where it was chosen likewise."""
        task, compression = self._task, self._task.policy.compression
        if compression.level != AUTO:
            return None
        for stored in task.context.storage.artifacts(task.dbms.instance.database_id, task.database)[:1]:
            manifest = stored.manifest
            if manifest.compression == {"algorithm": compression.algorithm, "level": AUTO}:
                return next((part.level for part in reversed(manifest.segments) if part.kind == ROWS), None)
        return None


DUMPS: dict[str, type[Dump]] = {"logical": LogicalDump}
