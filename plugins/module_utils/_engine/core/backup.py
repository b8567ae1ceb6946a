# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Backups: several databases side by side, each by itself sealed or failed, and on record either way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from .. import __version__
from ..config import Policy
from ..db.base import Dbms
from ..db.dump_session import DumpSession
from ..errors import BackupDbError, DumpError
from .accounts import read_accounts
from .catalog import FAILED, SUCCESS, RunRecord
from .compression import UNPACKERS
from .context import Context
from .dead_partials import remove_dead_partials
from .dump import Dump, Task
from .encryption import UNPACKER, find_age
from .locks import database_lock
from .manifest import SUFFIX, Manifest
from .pace import Pace
from .space import estimate
from .storage import storage_error
from .strategies import dump_of
from .turns import Turns

_AWAKE_SECONDS = 0.2


@dataclass(frozen=True)
class Progress:
    """How far one database is.

    Attributes:
        database_id: The instance.
        database: The database.
        phase: ``dumping``, ``verifying``, ``loading``, ``done`` or ``failed``, or what is waited for.
        done_bytes: Bytes of SQL so far.
        total_bytes: Bytes of SQL in all, where known.
    """

    database_id: str
    database: str
    phase: str
    done_bytes: int = 0
    total_bytes: Optional[int] = None


ProgressCallback = Callable[[Progress], None]
Prove = Callable[[Context, Path, ProgressCallback], Manifest]


@dataclass(frozen=True)
class BackupJob:
    """One database to back up.

    Attributes:
        database_id: The instance.
        database: The database.
        policy: The policy to follow.
        dbms: The server.
        size_bytes: The server's figure for the size of the database.
        error: Why it fails at once (its instance cannot be reached).
        at_once: Whether it waits neither for a place nor for a busy server: a restore depends on it.
    """

    database_id: str
    database: str
    policy: Policy
    dbms: Optional[Dbms] = None
    size_bytes: int = 0
    error: Optional[BackupDbError] = None
    at_once: bool = False


@dataclass(frozen=True)
class BackupResult:
    """How the backup of one database ended. Sizes are bytes, ``duration`` seconds."""

    database_id: str
    database: str
    outcome: str
    artifact: Optional[str] = None
    manifest: Optional[str] = None
    stored_bytes: Optional[int] = None
    plain_bytes: Optional[int] = None
    duration: Optional[float] = None
    proof: Optional[str] = None
    error: Optional[str] = None
    run_id: Optional[str] = None
    warnings: tuple[str, ...] = ()


class BackupRunner:
    """Makes backups; everything it works with is handed to it."""

    def __init__(self, context: Context, prove: Prove) -> None:
        """Take what to work with.

        Args:
            context: What all operations share.
            prove: Reads a new artifact back, where the policy asks for that.
        """
        self._context = context
        self._prove = prove
        pause = context.processes.cancelled.wait
        self._turns = Turns(context.config, context.lock_directory, pause)
        self._paces = {
            policy.name: Pace(policy.limits.bytes_per_second, pause)
            for policy in context.config.policies
            if policy.limits.bytes_per_second is not None
        }

    def run(
        self, jobs: Sequence[BackupJob], *, parallel: int, progress: Optional[ProgressCallback] = None
    ) -> list[tuple[BackupResult, Optional[RunRecord]]]:
        """Back up databases side by side, the largest first; the failure of one stops no other.

        Args:
            jobs: What to back up.
            parallel: How many at a time.
            progress: Told how far each is; called from several threads.

        Returns:
            A result and its record for each job, in the order of the jobs.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._context.catalog.kept_open())
            for dbms in {id(job.dbms): job.dbms for job in jobs if job.dbms is not None}.values():
                stack.enter_context(dbms.kept_open())
            workers = stack.enter_context(ThreadPoolExecutor(parallel))
            largest_first = sorted(jobs, key=lambda job: -job.size_bytes)
            ended = {id(job): workers.submit(self.backup, job, progress) for job in largest_first}
            # A signal may reach another thread, and its handler waits until this one, the main thread, is awake.
            while wait(ended.values(), timeout=_AWAKE_SECONDS).not_done:
                pass
            return [ended[id(job)].result() for job in jobs]

    def backup(
        self, job: BackupJob, progress: Optional[ProgressCallback] = None, locked: bool = False
    ) -> tuple[BackupResult, Optional[RunRecord]]:
        """Back up one database and put it on record; what goes wrong is in the result.

        Args:
            job: What to back up.
            progress: Told how far it is.
            locked: The caller holds the database's lock already.

        Returns:
            The result, and the run's record where one could be made.
        """
        tell = progress or (lambda _progress: None)
        lock = database_lock(self._context.lock_directory, job.database_id, job.database, "a backup")
        try:
            with contextlib.nullcontext() if locked else lock:
                result, record = self._recorded(job, tell)
        except BackupDbError as exc:  # the lock is held, or the catalog cannot be written
            result, record = BackupResult(job.database_id, job.database, FAILED, error=str(exc)), None
        tell(Progress(job.database_id, job.database, "done" if result.outcome == SUCCESS else "failed"))
        return result, record

    def _recorded(self, job: BackupJob, tell: ProgressCallback) -> tuple[BackupResult, RunRecord]:
        run = self._context.start("backup", job.database_id, job.database, job.policy.name)
        try:
            if job.dbms is None:
                raise job.error or BackupDbError("The instance cannot be reached.")
            path, manifest, size = self._make_artifact(job, job.dbms, run, tell)
            if job.policy.verification.after_backup:
                manifest = self._prove(self._context, path, tell)
        except Exception as exc:  # whatever it is, it is this database's failure: the others go on, and it is on record
            error = str(exc) if isinstance(exc, BackupDbError) else f"Internal error ({type(exc).__name__}): {exc}"
            record = self._context.finish(run, error)
            return BackupResult(job.database_id, job.database, FAILED, error=error, run_id=run.run_id), record
        record = self._context.finish(
            run,
            artifact=str(path),
            stored_bytes=manifest.stored_bytes,
            plain_bytes=manifest.plain_bytes,
            server_bytes=size,
        )
        result = BackupResult(
            job.database_id,
            job.database,
            SUCCESS,
            artifact=str(path),
            manifest=str(path.with_name(path.name + SUFFIX)),
            stored_bytes=manifest.stored_bytes,
            plain_bytes=manifest.plain_bytes,
            duration=round(manifest.duration, 3),
            proof=manifest.proof,
            run_id=run.run_id,
            warnings=manifest.warnings,
        )
        return result, record

    def _make_artifact(
        self, job: BackupJob, dbms: Dbms, run: RunRecord, tell: ProgressCallback
    ) -> tuple[Path, Manifest, int]:
        """Dump one database into a sealed artifact with its manifest, or leave nothing behind.

        Returns:
            The artifact, its manifest, and the server's own figure for the size of the database.
        """
        if self._context.processes.cancelled.is_set():
            raise DumpError("The run was stopped before this database was begun.")
        self._context.ownership.refuse_others()

        def progress(done: int) -> None:
            tell(Progress(job.database_id, job.database, "dumping", done, size or None))

        size = 0
        pace = self._paces.get(job.policy.name)
        task = Task(self._context, dbms, job.database, job.policy, progress, pace.take if pace else lambda _count: None)
        dump = dump_of(task)

        def waiting(phase: str) -> None:
            tell(Progress(job.database_id, job.database, phase))

        turn = contextlib.nullcontext() if job.at_once else self._turns.taken(dbms, job.policy.limits, waiting)
        with turn as busy, dump.session() as session:
            size = session.inspection.size_bytes
            expected = estimate(self._context.catalog, job.database_id, job.database, size)
            with self._context.room.promised(job.database, expected):
                return *self._seal_dump(job, dbms, dump, session, run, busy), size

    def _seal_dump(
        self, job: BackupJob, dbms: Dbms, dump: Dump, session: DumpSession, run: RunRecord, busy: Optional[str]
    ) -> tuple[Path, Manifest]:
        remove_dead_partials(self._context.storage.directory_of(job.database_id, job.database))
        created_at, path = self._free_path(job, dump.extension)
        partial = dump.begin(path)
        try:
            content = dump.write(session)
            complaints = (dbms.redactor.text(line) for line in content.complaints.splitlines() if line.strip())
            self._context.ownership.claim()
            settings, processes = session.inspection.settings, self._context.processes
            accounts, unread = read_accounts(dbms, job.database, settings, job.policy.encryption, processes)
            partial.seal()
            manifest = Manifest(
                artifact=path.name,
                hostname=self._context.storage.hostname,
                database_id=job.database_id,
                database=job.database,
                created_at=created_at,
                finished_at=self._context.clock(),
                compression=job.policy.compression.model_dump(),
                warnings=(*([busy] if busy else []), *session.inspection.warnings, *complaints, *unread),
                policy=job.policy.name,
                run_id=run.run_id,
                inventory=content.facts.inventory,
                rows=content.facts.rows,
                row_counts=content.facts.row_counts,
                position=content.facts.position,
                server_bytes=session.inspection.size_bytes,
                figures=content.facts.figures.to_document(),
                accounts=accounts,
                format=dump.extension.removeprefix("."),
                strategy=dump.strategy,
                **content.described,
                **self._described(dbms, session, path, job.policy),
            )
            self._write_manifest(manifest, path)
        except BaseException:
            partial.discard()
            raise
        partial.settle()
        return path, manifest

    def _free_path(self, job: BackupJob, extension: str) -> tuple[datetime, Path]:
        """Return the moment of a dump that begins now, and where its artifact goes."""
        while True:
            moment = self._context.clock()
            path = self._context.storage.artifact_path(job.database_id, job.database, moment, extension)
            if not path.exists():
                return moment, path
            time.sleep(0.1)  # two runs within one second: names carry seconds

    @staticmethod
    def _described(dbms: Dbms, session: DumpSession, path: Path, policy: Policy) -> dict[str, Any]:
        server, plan = dbms.server(), session.plan
        unpack = UNPACKERS[policy.compression.algorithm]
        unpacked = f"{UNPACKER} {path.name} | {unpack}" if policy.encryption else f"{unpack} {path.name}"
        return {
            "dbms": {"flavour": server.flavour, "version": server.version, "description": server.description},
            "tool": {
                "name": plan.commands[0].program,
                "version": plan.client_version,
                "calls": [list(command.arguments[1:]) for command in plan.commands],
                **({"clients": session.clients} if session.clients > 1 else {}),
            },
            "settings": session.inspection.settings,
            "engine_version": __version__,
            "restore_by_hand": plan.restore_by_hand.format(artifact=path.name, unpacked=unpacked),
        }

    @staticmethod
    def _write_manifest(manifest: Manifest, path: Path) -> None:
        try:
            manifest.write(path.parent)
        except OSError as exc:
            raise storage_error(exc, path.parent) from None


def planned(jobs: Sequence[BackupJob]) -> list[BackupResult]:
    """Return what :meth:`BackupRunner.run` would do, for dry runs: each job's existence is looked up, nothing more."""
    return [_planned(job) for job in jobs]


def _planned(job: BackupJob) -> BackupResult:
    try:
        if job.dbms is None:
            raise job.error or BackupDbError("The instance cannot be reached.")
        inspection = job.dbms.inspect(job.database)
        job.dbms.plan_dump(job.database, inspection)
        if job.policy.encryption is not None:
            find_age()
    except BackupDbError as exc:
        return BackupResult(job.database_id, job.database, FAILED, error=str(exc))
    return BackupResult(job.database_id, job.database, "planned", warnings=inspection.warnings)
