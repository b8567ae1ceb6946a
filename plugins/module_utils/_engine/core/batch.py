# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The backups of one command: chosen, made side by side, and tried again where a schedule says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Optional

from ..config import Policy
from .backup import BackupJob, BackupResult, BackupRunner, ProgressCallback
from .catalog import ALL_DATABASES, FAILED, RunRecord
from .context import Context
from .recovery import explain_unfinished, unfinished_restores
from .selection import select_jobs
from .verification import prove_new

EndedBackups = list[tuple[BackupResult, Optional[RunRecord]]]


def make_backups(
    context: Context, jobs: Sequence[BackupJob], policy: Optional[Policy], progress: Optional[ProgressCallback]
) -> EndedBackups:
    """Make the backups of one command and return how each ended, with its record where one could be made.

    Args:
        context: What to work with.
        jobs: What to back up.
        policy: The policy that asked for it; by its timer, what fails is tried again as often as its schedule says.
        progress: Told how far each is; called from several threads.
    """
    asked = [policy] if policy else [job.policy for job in jobs]
    parallel = min((each.limits.parallel for each in asked), default=1)
    ended = BackupRunner(context, prove_new).run(jobs, parallel=parallel, progress=progress)
    if policy is not None and context.trigger == "timer":
        ended = _retry_failed(context, policy, ended, progress)
    doubtful = {(run.database_id, run.database): run for run in unfinished_restores(context.catalog)}
    return [
        (_with_doubt(result, doubtful.get((result.database_id, result.database))), record) for result, record in ended
    ]


def _retry_failed(
    context: Context, policy: Policy, ended: EndedBackups, progress: Optional[ProgressCallback]
) -> EndedBackups:
    """Try what failed again, as often as the schedule says, and only that."""
    schedule = policy.schedule
    for _attempt in range(schedule.retries if schedule else 0):
        failed = {(result.database_id, result.database) for result, _record in ended if result.outcome == FAILED}
        if not failed or schedule is None or context.processes.cancelled.wait(schedule.retry_delay.total_seconds()):
            break
        # Chosen anew: an instance that could not be reached may now say what databases it has.
        again = [
            job
            for job in select_jobs(context.config, context.connect, policy.name)
            if {(job.database_id, job.database), (job.database_id, ALL_DATABASES)} & failed
        ]
        retried = BackupRunner(context, prove_new).run(again, parallel=policy.limits.parallel, progress=progress)
        ended = [pair for pair in ended if (pair[0].database_id, pair[0].database) not in failed] + retried
    return ended


def _with_doubt(result: BackupResult, restore: Optional[RunRecord]) -> BackupResult:
    """Say with the backup of a database that a restore may have left it incomplete."""
    if restore is None:
        return result
    return dataclasses.replace(result, warnings=(*result.warnings, explain_unfinished(restore)))
