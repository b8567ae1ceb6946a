# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Retention: grandfather-father-son by calendar, for each database by itself.

Of each of the newest ``daily`` days, ``weekly`` ISO weeks (ISO 8601: from Monday) and ``monthly`` months that have an
artifact, the newest artifact is kept. Periods without one do not count, so that a host that was off for a month loses
nothing by that alone. The rest is removed, except what is never removed: the newest artifact, whatever the figures say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from ..config import Retention
from ..errors import BackupDbError
from ..reports import RetentionReport
from ..utils.clock import to_text
from ..utils.files import fsync_directory
from .catalog import FAILED, LOST, VANISHED
from .context import Context
from .locks import database_lock
from .storage import StoredArtifact, storage_error


@dataclass(frozen=True)
class Decision:
    """What becomes of one artifact, and why."""

    stored: StoredArtifact
    keep: bool
    reasons: tuple[str, ...]


def plan_retention(artifacts: Sequence[StoredArtifact], retention: Retention) -> list[Decision]:
    """Decide what becomes of the artifacts of one database; deletes nothing.

    Args:
        artifacts: All artifacts of one database.
        retention: The figures and the time zone of its days.

    Returns:
        One decision for each artifact, newest first.
    """
    zone = ZoneInfo(retention.timezone)
    newest_first = sorted(artifacts, key=lambda s: (s.manifest.created_at, s.path.name), reverse=True)
    reasons: dict[int, list[str]] = {index: [] for index in range(len(newest_first))}
    if newest_first:
        reasons[0].append("newest")
    for name, count, period in (
        ("daily", retention.daily, _day),
        ("weekly", retention.weekly, _week),
        ("monthly", retention.monthly, _month),
    ):
        seen: set[str] = set()
        for index, stored in enumerate(newest_first):
            label = period(stored.manifest.created_at, zone)
            if label not in seen and len(seen) < count:
                seen.add(label)
                reasons[index].append(f"{name} {label}")
    spent = f"beyond {retention.daily} days, {retention.weekly} weeks and {retention.monthly} months"
    return [
        Decision(stored, bool(reasons[index]), tuple(reasons[index]) or (spent,))
        for index, stored in enumerate(newest_first)
    ]


def remove_artifact(stored: StoredArtifact) -> None:
    """Remove an artifact, its manifest last, so that after a crash what is left explains itself.

    Raises:
        StorageError: It could not be removed.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            stored.path.unlink()
        with contextlib.suppress(FileNotFoundError):
            stored.manifest_path.unlink()
        fsync_directory(stored.path.parent)
        with contextlib.suppress(OSError):  # other artifacts of that day
            stored.path.parent.rmdir()
    except OSError as exc:
        raise storage_error(exc, stored.path) from None


def prune_database(context: Context, database_id: str, database: str, dry_run: bool) -> RetentionReport:
    """Apply its retention to one database.

    Nothing is removed while the newest backup run of the database is a failed one, or a restore has lost the database:
    what is there may be all there is.

    Args:
        context: What to work with.
        database_id: The instance.
        database: The database.
        dry_run: Only say what would be removed.

    Raises:
        LockedError: Another run is at work on the database.
        StorageError: An artifact could not be removed.
    """
    retention = context.config.policy_of(database_id, database).retention
    decisions = plan_retention(context.storage.artifacts(database_id, database), retention)
    spent = [decision for decision in decisions if not decision.keep]
    reason = _reason_to_hold(context, database_id, database)
    if spent and reason:
        held = {"database_id": database_id, "database": database, "reason": reason}
        return RetentionReport(False, tuple(map(_described, decisions)), (), (held,))
    if spent and not dry_run:
        with database_lock(context.lock_directory, database_id, database, "retention"):
            for decision in spent:
                _remove_and_record(context, decision.stored)
    kept = tuple(_described(decision) for decision in decisions if decision.keep)
    return RetentionReport(bool(spent), kept, tuple(map(_described, spent)), ())


def _reason_to_hold(context: Context, database_id: str, database: str) -> str | None:
    """Return why nothing may be removed now, in a sentence."""
    backups = context.catalog.runs("backup", database_id, database, limit=1)
    if backups and backups[0].outcome in (FAILED, VANISHED):
        return f"The newest backup run {backups[0].outcome}; nothing is removed until one succeeds."
    restores = context.catalog.runs("restore", database_id, database, limit=1)
    if restores and restores[0].outcome in (LOST, VANISHED):
        return (
            "The last restore may have lost the database, so that newer backups may hold less than older ones;"
            " nothing is removed until a restore succeeds."
        )
    return None


def _remove_and_record(context: Context, stored: StoredArtifact) -> None:
    manifest = stored.manifest
    run = context.start("retention", manifest.database_id, manifest.database)
    error: BackupDbError | None = None
    try:
        remove_artifact(stored)
    except BackupDbError as exc:
        error = exc
    context.finish(run, str(error) if error else None, artifact=str(stored.path), stored_bytes=manifest.stored_bytes)
    if error:
        raise error


def _described(decision: Decision) -> dict[str, Any]:
    manifest = decision.stored.manifest
    return {
        "database_id": manifest.database_id,
        "database": manifest.database,
        "artifact": str(decision.stored.path),
        "created_at": to_text(manifest.created_at),
        "reasons": list(decision.reasons),
    }


def _day(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d")


def _week(moment: datetime, zone: tzinfo) -> str:
    calendar = moment.astimezone(zone).isocalendar()
    return f"{calendar.year}-W{calendar.week:02d}"


def _month(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m")
