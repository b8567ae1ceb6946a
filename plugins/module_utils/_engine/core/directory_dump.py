# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The parallel logical strategy: several processes of the vendor's client dump a database into a directory.

The vendor's client writes the files, so they are read when it has ended: that they decompress, that each file of rows
has its end, that the table of contents names these files and no other, and how many rows there are. Definitions are
compared with the server as those of a single stream are.
"""

from __future__ import annotations

import dataclasses
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Optional

from ..db.directory import DirectoryOptions, DirectorySession
from ..db.dump_session import DumpSession
from ..errors import DamageError, DumpError
from ..utils.processes import Command
from .directory import DirectoryReader, Reading, directory_checksum
from .dump import Content, Dump, Partial, Task
from .forms import DIRECTORY_EXTENSION
from .partial_directory import PartialDirectory
from .pipeline import read_child, refuse_bad_end
from .watching import StalledError, watch


class DirectoryDump(Dump):
    """Several processes, one directory."""

    strategy = "parallel"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._partial: Optional[PartialDirectory] = None

    @property
    def extension(self) -> str:
        """That of directories."""
        return DIRECTORY_EXTENSION

    def session(self) -> AbstractContextManager[DumpSession]:
        """Watch over a dump into a directory."""
        compression, jobs = self._task.policy.compression, self._task.policy.limits.jobs
        contents = self._task.policy.verification.content_checksums
        options = DirectoryOptions(jobs, compression.algorithm, compression.level, contents)
        return self._task.dbms.directory_session(self._task.database, options)

    def begin(self, path: Path) -> Partial:
        """Make the directory."""
        self._partial = PartialDirectory(path)
        return self._partial

    def write(self, session: DumpSession) -> Content:
        """Dump, read all of it back, and compare it with the server."""
        if self._partial is None or not isinstance(session, DirectorySession):
            raise DumpError("There is no directory to dump into.")
        command = _placed(session.plan.commands[0], self._partial.path)
        complaints = self._dump(command, self._partial.path)
        try:
            for name, content in session.additions(self._partial.path).items():
                self._partial.add(name, content)
            with ThreadPoolExecutor(1) as waiting:  # the disk is waited for while what it is given is read
                synced = waiting.submit(self._partial.sync)
                readings = self._read(session, self._partial.path)
                synced.result()
        except DamageError as exc:
            raise DumpError(f"What {command.program} wrote is not whole. {exc.message}", "Run it again.") from None
        facts = session.conclude()
        files = [each.stored_file(session.table_of(each.part) if each.part.ending else None) for each in readings]
        described = {
            "stored_bytes": sum(each.length for each in files),
            "plain_bytes": sum(each.plain_length for each in files),
            "sha256": directory_checksum((each.name, each.sha256) for each in files),
            "segments": (),
            "files": tuple(files),
        }
        return Content(facts, complaints, described)

    def _dump(self, command: Command, directory: Path) -> str:
        task, limits = self._task, self._task.policy.limits

        def written() -> int:
            done = sum(path.stat().st_size for path in directory.iterdir())
            task.progress(done)
            return done

        with task.context.processes.start(command, stdout=subprocess.DEVNULL) as child:
            try:
                code = watch(child, written, stall_timeout=limits.stall_timeout, timeout=limits.timeout)
            except StalledError as exc:
                raise DumpError(f"{command.program} {exc.message} and has been ended.", exc.hint) from None
        refuse_bad_end(task.context.processes, command, code, task.dbms.explain(child.stderr))
        return child.stderr

    def _read(self, session: DirectorySession, directory: Path) -> list[Reading]:
        """Read back what was dumped, telling the session of definitions and rows."""
        task, limits = self._task, self._task.policy.limits
        processes = task.context.processes
        parts = session.parts(directory)
        definitions = session.definitions(directory)
        with processes.start(definitions) as child:
            session.begin()
            for chunk in read_child(child, stall_timeout=limits.stall_timeout, timeout=limits.timeout):
                session.feed(chunk)
            code = child.wait()
        refuse_bad_end(processes, definitions, code, task.dbms.explain(child.stderr))
        stopped = session.unfinished()
        if stopped:
            raise DumpError(f"The definitions in the directory do not end as a whole dump does: they stop {stopped}.")
        reader = DirectoryReader(
            directory, limits.jobs, task.policy.checksums, task.progress, processes.cancelled.is_set
        )
        readings = reader.read_all(parts)
        for each in readings:
            if each.rows is not None:
                session.count(each.part, each.rows)
        return readings


def _placed(command: Command, directory: Path) -> Command:
    """Return the call of a plan with the directory in its place."""
    arguments = tuple(argument.replace("{directory}", str(directory)) for argument in command.arguments)
    return dataclasses.replace(command, arguments=arguments)
