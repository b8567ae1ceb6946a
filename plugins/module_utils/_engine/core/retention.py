# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Retention, the deed: removes what the plan lets go, one artifact at a time, each on record with its reason."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Optional, Union

from ..errors import ArtifactError, StorageError
from ..reports import RetentionReport
from ..utils.clock import to_text
from ..utils.files import fsync_directory
from .candidates import Candidate, LaterSchemaError, read_candidate
from .catalog import FAILED, LOST, SUCCESS, VANISHED, RunRecord
from .context import Context
from .dead_partials import remove_dead_partials
from .forms import form_of
from .listing import Entry, Orphan
from .locks import artifact_for_removal, database_lock
from .manifest import SUFFIX
from .marks import damage_path, hold_path, read_mark
from .recovery import CHANGES, recoveries_that_left
from .retention_plan import Decision, plan_retention, removal_order, shrink_of
from .storage import find_artifact, storage_error
from .verification import verify_and_record

INTERRUPTED = "its removal had been interrupted"


@dataclass(frozen=True)
class Survey:
    """What there is of one database.

    Attributes:
        candidates: Artifacts that retention may decide on.
        unrecognised: Artifacts that it does not touch, each with the reason.
        later: Whether one of these is of a later engine, of which we do not know what it needs.
    """

    candidates: list[Candidate]
    unrecognised: list[tuple[Entry, str]]
    later: bool = False


def survey_database(context: Context, database_id: str, database: str) -> Survey:
    """Read what retention has to know of each artifact of a database.

    Raises:
        StorageError: A directory cannot be read.
    """
    candidates, unrecognised, later = [], [], False
    for entry in context.storage.names(database_id, database)[0]:
        try:
            candidates.append(read_candidate(entry, context.storage.hostname))
        except ArtifactError as exc:
            unrecognised.append((entry, exc.message))
            later = later or isinstance(exc, LaterSchemaError)
    return Survey(candidates, unrecognised, later)


def prune_database(context: Context, database_id: str, database: str, dry_run: bool) -> RetentionReport:
    """Apply its retention to one database.

    Args:
        context: What to work with.
        database_id: The instance.
        database: The database.
        dry_run: Only say what would be removed.

    Raises:
        LockedError: Another run is at work on the database.
        StorageError: The storage cannot be read, or is another machine's.
    """
    context.ownership.refuse_others()
    lock = database_lock(context.lock_directory, database_id, database, "retention")
    with contextlib.nullcontext() if dry_run else lock:
        return _prune_locked(context, database_id, database, dry_run)


def _prune_locked(context: Context, database_id: str, database: str, dry_run: bool) -> RetentionReport:
    finished, missing = _settle_orphans(context, database_id, database, dry_run)
    if not dry_run:
        remove_dead_partials(context.storage.directory_of(database_id, database))
    survey = survey_database(context, database_id, database)
    policy = context.config.policy_of(database_id, database)
    retention, now, last = policy.retention, context.clock(), _made_last(context, database_id, database)
    decisions = plan_retention(survey.candidates, retention, now, last)
    reason = _reason_to_hold(context, database_id, database, survey, retention.shrink_threshold, now)
    if policy.verification.before_retention and not dry_run and not reason:
        decisions, reason = _proven(context, decisions, lambda known: plan_retention(known, retention, now, last))
    spent = removal_order(decisions)
    kept = [_described(decision) for decision in decisions if decision.keep]
    kept += [_left_alone(entry, reason) for entry, reason in survey.unrecognised]
    if spent and reason:
        held = {"database_id": database_id, "database": database, "reason": reason}
        left = [*kept, *map(_described, spent)]
        return RetentionReport(bool(finished), tuple(left), tuple(finished), (held,), tuple(missing))
    removed, failed, needed = list(finished), [], set[str]()
    for decision in spent:
        candidate = decision.candidate
        try:
            obstacle = "needed by one that stays" if candidate.path.name in needed else None
            if not dry_run and obstacle is None:
                obstacle = _remove_and_record(context, decision)
        except StorageError as exc:
            obstacle = str(exc)
            failed.append({"database_id": database_id, "database": database, "error": obstacle})
        if obstacle is None:
            removed.append(_described(decision))
        else:
            needed |= set(candidate.needs)
            kept.append({**_described(decision), "reasons": [obstacle]})
        if failed:  # the disk wants to be looked at before anything else is removed from it
            break
    return RetentionReport(bool(removed), tuple(kept), tuple(removed), (), tuple(missing), tuple(failed))


def _proven(
    context: Context, decisions: list[Decision], plan: Callable[[list[Candidate]], list[Decision]]
) -> tuple[list[Decision], Optional[str]]:
    """Read back what is to stay and has not been read yet, before anything else goes.

    What is found damaged takes no place any more, so that another artifact stays instead and is read too.

    Returns:
        The plan as it is now, and why nothing may be removed, if that is so.
    """
    while any(not decision.keep for decision in decisions):
        kept = (decision.candidate for decision in decisions if decision.keep)
        unread = next((each for each in kept if each.proof == "sealed" and not each.damaged), None)
        if unread is None:
            break
        if context.processes.cancelled.is_set():
            return decisions, "It was stopped before all that is to stay had been read back."
        result, _record = verify_and_record(context, find_artifact(unread.path))
        damaged = read_mark(damage_path(unread.path)) is not None
        if result.error and not damaged:
            return decisions, f"What is to stay could not be read back: {result.error}"
        read = dataclasses.replace(unread, proof=result.proof or "sealed", damaged=damaged)
        decisions = plan([read if d.candidate is unread else d.candidate for d in decisions])
    return decisions, None


def _reason_to_hold(
    context: Context, database_id: str, database: str, survey: Survey, threshold: float, now: datetime
) -> Optional[str]:
    """Return why nothing may be removed now, in a sentence."""
    backups = context.catalog.runs("backup", database_id, database, limit=1)
    if backups and backups[0].outcome in (FAILED, VANISHED):
        return f"The newest backup run {backups[0].outcome}; nothing is removed until one succeeds."
    changes = context.catalog.runs(CHANGES, database_id, database, limit=1)
    if changes and changes[0].outcome in (LOST, VANISHED):
        return (
            "The last restore may have lost the database, so that newer backups may hold less than older ones; nothing"
            " is removed until a restore succeeds, or somebody says that the database is as it should be:"
            f" vya-backupdb accept {database_id} {database}"
        )
    if survey.later:
        return (
            "There are artifacts of a later engine, and nobody here knows which others they need; nothing is removed"
            " until the engine is upgraded by the role vya.backupdb.runtime."
        )
    return shrink_of(survey.candidates, threshold, now, _accepted_at(context, database_id, database, survey))


def _accepted_at(context: Context, database_id: str, database: str, survey: Survey) -> Optional[datetime]:
    """Return when the artifact was made that was the newest when somebody accepted the database as it is."""
    accepted = context.catalog.runs("acceptance", database_id, database, limit=1)
    if not accepted or accepted[0].artifact is None:
        return None
    made = {str(candidate.path): candidate.created_at for candidate in survey.candidates}
    return made.get(accepted[0].artifact)


def accept_database(context: Context, database_id: str, database: str, reason: str, dry_run: bool) -> bool:
    """Put on record that a database is meant to be as its newest artifact has it, so that retention goes on.

    Args:
        context: What to work with.
        database_id: The instance.
        database: The database.
        reason: Why, in the words of whoever says so.
        dry_run: Only say whether there is anything to accept.

    Returns:
        Whether anything held retention back that has been, or would be, accepted.

    Raises:
        ArtifactError: The database has no artifact.
    """
    survey = survey_database(context, database_id, database)
    now = context.clock()
    past = [each for each in survey.candidates if each.created_at <= now and not each.damaged]
    if not past:
        raise ArtifactError(f"There is no artifact of {database_id}/{database} that could be accepted.")
    threshold = context.config.policy_of(database_id, database).retention.shrink_threshold
    changes = context.catalog.runs(CHANGES, database_id, database, limit=1)
    lost = bool(changes) and changes[0].outcome in (LOST, VANISHED)
    lost = lost or bool(recoveries_that_left(context.catalog, database_id, database))
    if not lost and not shrink_of(past, threshold, now, _accepted_at(context, database_id, database, survey)):
        return False
    if not dry_run:
        newest = max(past, key=lambda each: (each.created_at, each.path.name))
        run = context.start(
            "acceptance",
            database_id,
            database,
            artifact=str(newest.path),
            reason=reason or "The database is meant to be as it is.",
        )
        context.finish(run)
    return True


def _made_last(context: Context, database_id: str, database: str) -> Optional[str]:
    backups = context.catalog.runs("backup", database_id, database, limit=1, outcome=SUCCESS)
    return backups[0].artifact if backups else None


def _remove_and_record(context: Context, decision: Decision) -> Optional[str]:
    """Remove an artifact, its manifest last, so that after a crash what is left explains itself.

    Returns:
        What stands against it, in a few words; None if it was removed.

    Raises:
        StorageError: It could not be removed; that is on record.
    """
    candidate = decision.candidate
    try:
        with artifact_for_removal(candidate.path) as alone:
            if not alone:
                return "in use: it is just being verified or restored"
            if read_mark(hold_path(candidate.path)) is not None:
                return "held: since a moment ago"
            run = _start(context, candidate, "; ".join(decision.reasons))
            error: Optional[StorageError] = None
            try:
                form_of(candidate.path).remove(candidate.path)
                _remove_rest(candidate.path)
            except OSError as exc:
                error = storage_error(exc, candidate.path)
            context.finish(run, str(error) if error else None, stored_bytes=candidate.stored_bytes)
            if error is not None:
                raise error
    except ArtifactError as exc:
        return exc.message
    return None


def _start(context: Context, what: Union[Candidate, Orphan], reason: str) -> RunRecord:
    return context.start("retention", what.database_id, what.database, artifact=str(what.path), reason=reason)


def _remove_rest(artifact: Path) -> None:
    """Remove what is beside an artifact that is gone: the manifest after everything else."""
    form_of(artifact).finish_removal(artifact)
    for path in (damage_path(artifact), artifact.with_name(artifact.name + SUFFIX)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    fsync_directory(artifact.parent)
    with contextlib.suppress(OSError):  # other artifacts of that day
        artifact.parent.rmdir()


def _settle_orphans(
    context: Context, database_id: str, database: str, dry_run: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Finish removals of ours that were interrupted, and return them, with the artifacts that are otherwise missing."""
    finished, missing = [], []
    for orphan in context.storage.names(database_id, database)[1]:
        began = context.catalog.runs("retention", database_id, database, artifact=str(orphan.path), limit=1)
        if orphan.held or not began:
            missing.append(str(orphan.path))
            continue
        if not dry_run:
            _finish_removal(context, orphan)
        finished.append(
            {
                "database_id": database_id,
                "database": database,
                "artifact": str(orphan.path),
                "created_at": to_text(began[0].started_at),
                "reasons": [INTERRUPTED, *([began[0].reason] if began[0].reason else [])],
            }
        )
    return finished, missing


def _finish_removal(context: Context, orphan: Orphan) -> None:
    run = _start(context, orphan, INTERRUPTED)
    try:
        _remove_rest(orphan.path)
    except OSError as exc:
        error = storage_error(exc, orphan.path)
        context.finish(run, str(error))
        raise error from None
    context.finish(run)


def _described(decision: Decision) -> dict[str, Any]:
    candidate = decision.candidate
    return {
        "database_id": candidate.database_id,
        "database": candidate.database,
        "artifact": str(candidate.path),
        "created_at": to_text(candidate.created_at),
        "reasons": list(decision.reasons),
    }


def _left_alone(entry: Entry, reason: str) -> dict[str, Any]:
    return {
        "database_id": entry.database_id,
        "database": entry.database,
        "artifact": str(entry.path),
        "created_at": to_text(entry.moment),
        "reasons": [f"left alone: {reason}"],
    }


def databases_of(entries: Sequence[Entry], orphans: Sequence[Orphan]) -> list[tuple[str, str]]:
    """Return the databases that have something in the storage, in their order."""
    found = {(entry.database_id, entry.database) for entry in entries}
    return sorted(found | {(orphan.database_id, orphan.database) for orphan in orphans})
