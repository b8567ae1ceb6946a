# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The logical strategy: one portable stream of SQL in one file."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Optional

from ..db.dump_session import DumpSession
from ..errors import DumpError
from ..utils.processes import Child, Command
from .compression import AUTO, EXTENSIONS, Level
from .dump import Content, Dump, Partial, Task
from .encryption import EXTENSION, METHOD, Encryptor, find_age
from .pipeline import DumpSink, Watch, dump_segments
from .segmentation import ROWS
from .storage import PartialFile
from .writer import ArtifactWriter, Store


class LogicalDump(Dump):
    """One portable stream of SQL in one file."""

    strategy = "logical"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._partial: Optional[PartialFile] = None
        self._began: Optional[float] = None

    @property
    def extension(self) -> str:
        """As compression and encryption have it."""
        policy = self._task.policy
        return EXTENSIONS[policy.compression.algorithm] + (EXTENSION if policy.encryption else "")

    def session(self) -> AbstractContextManager[DumpSession]:
        """Watch over a dump in one stream, if it can be encrypted as it should be."""
        if self._task.policy.encryption is not None:
            find_age()
        contents = self._task.policy.verification.content_checksums
        return self._task.dbms.dump_session(self._task.database, contents)

    def begin(self, path: Path) -> Partial:
        """Make the file."""
        self._partial = PartialFile(path)
        return self._partial

    def write(self, session: DumpSession) -> Content:
        """Dump in one pass: client, segments, compression, encryption, checksum, file."""
        if self._partial is None:
            raise DumpError("There is no file to dump into.")
        self._began = time.monotonic()
        task, plan, limits = self._task, session.plan, self._task.policy.limits
        algorithm = task.policy.compression.algorithm
        store = Store(self._partial, task.policy.checksums)
        encryption = task.policy.encryption
        with contextlib.ExitStack() as stack:
            encryptor: Optional[Encryptor] = None
            if encryption is not None:
                encryptor = stack.enter_context(
                    Encryptor(task.context.processes, encryption.recipients, store.write, limits.stall_timeout)
                )
            writer = ArtifactWriter(encryptor.write if encryptor else store.write, algorithm, self._level(session))
            writer.add_text("preamble", plan.preamble)
            complaints = self._dump(writer, session)
            facts = session.conclude()
            writer.add_text("postamble", plan.postamble)
            if encryptor is not None:
                complaints.append(encryptor.finish())
        described = {
            "stored_bytes": store.stored_bytes,
            "plain_bytes": writer.plain_bytes,
            "sha256": store.checksum("sha256") or "",
            "md5": store.checksum("md5"),
            "segments": tuple(writer.segments),
            "encryption": {"method": METHOD, "recipients": list(encryption.recipients)} if encryption else None,
        }
        return Content(facts, "\n".join(complaints), described)

    def _dump(self, writer: ArtifactWriter, session: DumpSession) -> list[str]:
        """Run the clients one after the other; return what they wrote to standard error."""
        return [self._run(writer, writer, command, session) for command in session.commands()]

    def _run(
        self,
        writer: ArtifactWriter,
        sink: DumpSink,
        command: Command,
        watch: Watch,
        started: Callable[[Child], None] = lambda _child: None,
    ) -> str:
        """Run one client; return what it wrote to standard error."""
        task, limits = self._task, self._task.policy.limits
        return dump_segments(
            sink,
            task.context.processes,
            command,
            watch,
            stall_timeout=limits.stall_timeout,
            timeout=limits.timeout,
            since=self._began,
            explain=task.dbms.explain,
            pace=task.pace,
            progress=lambda: task.progress(writer.plain_bytes),
            started=started,
        )

    def _level(self, session: DumpSession) -> Level:
        compression = self._task.policy.compression
        return Level(compression.algorithm, compression.level, session.inspection.size_bytes, self._earlier_level)

    @functools.cached_property
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
