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
from zoneinfo import ZoneInfo

from ..config import Retention
from ..utils.files import fsync_directory
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


def _day(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d")


def _week(moment: datetime, zone: tzinfo) -> str:
    year, week, _ = moment.astimezone(zone).isocalendar()
    return f"{year}-W{week:02d}"


def _month(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m")
