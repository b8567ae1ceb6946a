# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the content of an artifact gets into a server: by the strategy that it was made with."""

from __future__ import annotations

import abc
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Optional

from ..db.base import Dbms, Origin
from ..errors import RestoreError
from ..utils.processes import Command, ProcessTable, describe_exit
from .directory import verify_directory
from .encryption import Decryption
from .segment_load import Loader, Survey, survey_artifact
from .storage import StoredArtifact
from .verification import refuse_unknown
from .watching import StalledError, at_work, watch


@dataclass(frozen=True)
class LoadTask:
    """What is to be loaded, and with what.

    Attributes:
        processes: What starts and ends children.
        dbms: The server.
        stored: The artifact.
        jobs: How many processes may load at a time.
        stall_timeout: Longest time without progress.
        decryption: What to decrypt it with, where it is encrypted.
        owners: By what accounts are called in it, what they are to be called.
        keys_later: Whether keys may be made after the rows where they are defined before: that is faster.
    """

    processes: ProcessTable
    dbms: Dbms
    stored: StoredArtifact
    jobs: int
    stall_timeout: timedelta
    decryption: Decryption
    owners: Mapping[str, str] = field(default_factory=dict)
    keys_later: bool = True


class Load(abc.ABC):
    """One load of one artifact."""

    def __init__(self, task: LoadTask) -> None:
        self._task = task
        self.stored = task.stored

    @property
    def inventory(self) -> Mapping[str, list[str]]:
        """The names of the objects that are there once it is loaded, by kind."""
        return self.stored.manifest.inventory

    @property
    def rows(self) -> Optional[Mapping[str, int]]:
        """How many rows each table has then; None where that is not known exactly."""
        manifest = self.stored.manifest
        return None if manifest.row_counts.get("approximate") else manifest.rows

    @property
    def left_out(self) -> tuple[str, ...]:
        """What of the artifact was not loaded, in sentences."""
        return ()

    @abc.abstractmethod
    def examine(self, progress: Callable[[int], None], thorough: bool) -> None:
        """Read the artifact as a whole before anything is changed for it.

        Args:
            progress: Called with the bytes of SQL read so far.
            thorough: Whether it would be too late to find only while it is loaded that it was sealed damaged. That it
                is what was sealed is proven in any case.

        Raises:
            DamageError: It is damaged, cut off or exchanged.
            ArtifactError: It cannot be read.
            CredentialsError: It cannot be decrypted.
        """

    @abc.abstractmethod
    def load(self, database: str, progress: Callable[[int], None]) -> str:
        """Load it into an empty database, and return what the clients wrote to standard error.

        Raises:
            RestoreError: A client failed or did nothing for too long; all have ended.
            DamageError: What is read now is not what it was.
        """

    def _loader(
        self,
        survey: Survey,
        database: str,
        progress: Callable[[int], None],
        owners: Optional[Mapping[str, str]] = None,
    ) -> Loader:
        """Return what loads an artifact that is one stream; the arguments are those of :class:`Loader`."""
        task = self._task
        return Loader(
            task.processes,
            task.dbms,
            survey,
            database,
            jobs=task.jobs,
            stall_timeout=task.stall_timeout,
            progress=progress,
            owners=owners,
        )


class LogicalLoad(Load):
    """One stream, of which several clients may load rows."""

    _survey: Optional[Survey] = None

    def examine(self, progress: Callable[[int], None], thorough: bool) -> None:
        """Read the file as a whole, and see in which steps it can be loaded."""
        self._survey = self._read(progress, thorough)

    def load(self, database: str, progress: Callable[[int], None]) -> str:
        """Feed the clients."""
        survey = self._survey or self._read()
        return self._loader(survey, database, progress, self._task.owners).load()

    def _read(self, progress: Callable[[int], None] = lambda _done: None, thorough: bool = False) -> Survey:
        task = self._task
        return survey_artifact(
            task.stored,
            task.dbms.loading,
            task.jobs,
            task.decryption,
            progress,
            thorough=thorough,
            keys_later=task.keys_later,
        )


class ParallelLoad(Load):
    """A directory that the vendor's client loads with several processes."""

    def examine(self, progress: Callable[[int], None], thorough: bool) -> None:
        """See that all files are what they were when they were sealed."""
        verify_directory(self._task.stored, self._task.processes, progress, jobs=self._task.jobs, unpacked=False)

    def load(self, database: str, progress: Callable[[int], None]) -> str:
        """Run the clients one after the other; while the server builds an index, they have nothing to read."""
        stored, manifest = self._task.stored, self._task.stored.manifest
        origin = Origin(manifest.dbms, manifest.tool, manifest.settings, manifest.inventory)
        commands = self._task.dbms.directory_load(database, stored.path, origin, self._task.jobs)
        return "\n".join(filter(None, [self._run(command, database, progress) for command in commands]))

    def _run(self, command: Command, database: str, progress: Callable[[int], None]) -> str:
        task, most = self._task, 0

        def read() -> int:
            nonlocal most
            seen = child.bytes_read()
            most = max(most, min(seen, task.stored.manifest.stored_bytes))
            progress(most)
            return seen

        with task.processes.start(command, stdout=subprocess.DEVNULL) as child:
            try:
                code = watch(
                    child, read, stall_timeout=task.stall_timeout, excused=lambda: at_work(task.dbms, database)
                )
            except StalledError as exc:
                raise RestoreError(f"{command.program} {exc.message} and has been ended.", exc.hint) from None
        if task.processes.cancelled.is_set():
            raise RestoreError("The restore was stopped.")
        if code != 0:
            reason = task.dbms.explain(child.stderr) or "it gave no reason"
            raise RestoreError(f"{command.program} failed ({describe_exit(code)}): {reason}")
        return child.stderr


LOADS: dict[str, type[Load]] = {"logical": LogicalLoad, "parallel": ParallelLoad}


def load_of(task: LoadTask) -> Load:
    """Return the load that fits an artifact.

    Raises:
        ArtifactError: It was made by a strategy of which this engine knows nothing.
    """
    refuse_unknown(task.stored)
    return LOADS[task.stored.manifest.strategy](task)
