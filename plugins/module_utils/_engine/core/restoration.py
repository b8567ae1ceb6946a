# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A restore as a command runs it: examined, locked, on record whatever becomes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Optional

from ..config import Encryption
from ..errors import BackupDbError, DatabaseLostError
from ..reports import RestoreReport
from ..utils.clock import to_text
from .accounts import NONE
from .artifact_choice import choose_artifact
from .backup import BackupJob, BackupResult, BackupRunner, ProgressCallback
from .catalog import SUCCESS
from .context import Context
from .encryption import refuse_unopenable
from .locks import artifact_in_use, database_lock
from .part import WHOLE, Part
from .recovery import recover_restores
from .restore import RestoreOutcome, Restorer
from .restore_plan import RestorePlan, RestorePlanner
from .stopping import stopped_by_signals
from .verification import prove_new


@dataclasses.dataclass(frozen=True)
class RestoreRequest:
    """What is to be restored.

    Attributes:
        database_id: The instance that takes it.
        database: The database that the artifact is of.
        artifact: The artifact's path; the newest of the database when None.
        before: Take the newest artifact made at or before this moment.
        target: The name to restore into; the database's own when None.
        overwrite: Whether an existing target may be replaced.
        jobs: How many clients may load at a time; what the policy says when None.
        part: Which part of the artifact.
        accounts: Which accounts of the artifact are made: ``missing`` or ``none``.
        owners: By what accounts are called in the artifact, what they are to be called.
    """

    database_id: str
    database: str
    artifact: Optional[Path] = None
    before: Optional[datetime] = None
    target: Optional[str] = None
    overwrite: bool = False
    jobs: Optional[int] = None
    part: Part = WHOLE
    accounts: str = NONE
    owners: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name to restore into."""
        return self.target or self.database


def restore_database(
    context: Context,
    request: RestoreRequest,
    dry_run: bool,
    progress: Optional[ProgressCallback] = None,
) -> RestoreReport:
    """Carry out a restore, or examine whether it can be.

    Args:
        context: What to work with.
        request: What is to be restored.
        dry_run: Only examine.
        progress: Told how far it is.

    Raises:
        BackupDbError: Refused or failed; the message says in what state the database is.
    """
    if dry_run:
        return _planned(request, _plan(context, request))
    with stopped_by_signals(context.processes):
        context.close_vanished()
        recover_restores(context)
        plan = _plan(context, request)
        lock = database_lock(context.lock_directory, request.database_id, request.name, "a restore")
        with lock, artifact_in_use(plan.stored.path):
            done, seconds = _recorded(context, request, plan, progress)
    return dataclasses.replace(
        _planned(request, plan),
        outcome=SUCCESS,
        duration=round(seconds, 3),
        safety_backup=done.safety_backup,
        differences=done.differences,
        warnings=done.warnings,
    )


def _plan(context: Context, request: RestoreRequest) -> RestorePlan:
    instance = context.config.instance(request.database_id)
    request.part.refuse_impossible(request.database, request.target, request.overwrite)
    stored = choose_artifact(context.storage, request.database_id, request.database, request.artifact, request.before)
    policy = context.config.policy_of(request.database_id, request.database)
    dbms = context.connect(instance)
    plan = RestorePlanner(context.processes, context.decryption).plan(
        stored,
        dbms,
        request.name,
        request.overwrite,
        policy.limits,
        jobs=request.jobs,
        part=request.part,
        accounts=request.accounts,
        owners=request.owners,
    )
    if plan.exists and not dbms.can_rename and policy.encryption is not None:
        _refuse_lost_state(context, request, policy.encryption)
    return plan


def _refuse_lost_state(context: Context, request: RestoreRequest, encryption: Encryption) -> None:
    """Refuse to replace a database in place if its safety backup could not be decrypted to bring it back."""
    try:
        refuse_unopenable(encryption.recipients, context.decryption, f"A safety backup of {request.name!r}")
    except BackupDbError as exc:
        raise type(exc)(
            f"The database {request.name!r} would be replaced, and could not be brought back if that failed:"
            f" {exc.message} Nothing was changed.",
            "Name the identity (--identity, identity_file), or restore into another name.",
        ) from None


def _planned(request: RestoreRequest, plan: RestorePlan) -> RestoreReport:
    return RestoreReport(
        changed=True,
        database_id=request.database_id,
        database=request.database,
        target=request.name,
        artifact=str(plan.stored.path),
        created_at=to_text(plan.stored.manifest.created_at),
        outcome="planned",
        overwritten=plan.exists,
        tables=plan.part.tables,
        content=plan.part.content,
        accounts=plan.accounts,
        owners=dict(plan.owners),
        warnings=plan.warnings,
    )


def _recorded(
    context: Context, request: RestoreRequest, plan: RestorePlan, progress: Optional[ProgressCallback]
) -> tuple[RestoreOutcome, float]:
    """Restore and put it on record either way; return what was done, and the seconds that it took."""
    policy = context.config.policy_of(request.database_id, request.database)

    def safety_backup() -> BackupResult:
        job = BackupJob(request.database_id, request.name, policy, plan.dbms, at_once=True)
        return BackupRunner(context, prove_new).backup(job, progress, locked=True)[0]

    manifest = plan.stored.manifest
    run = context.start("restore", request.database_id, request.name, policy.name, artifact=str(plan.stored.path))
    error: Optional[str] = "Internal error."  # what the record says unless one of the next lines knows better
    lost = False
    try:
        done = Restorer(context.processes, context.clock, context.decryption).restore(
            plan, safety_backup, lambda traces: context.catalog.note(run.run_id, traces), progress
        )
        error = None
    except BackupDbError as exc:
        error, lost = str(exc), isinstance(exc, DatabaseLostError)
        raise
    finally:
        record = context.finish(
            run, error, lost=lost, stored_bytes=manifest.stored_bytes, plain_bytes=manifest.plain_bytes
        )
        context.finish_batch("restore", policy.name, [record])
    return done, record.duration or 0.0
