# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Retention, the plan: which artifacts of one database stay, and why. Nothing here touches a disk.

Grandfather-father-son by calendar. Of each of the newest ``daily`` days, ``weekly`` ISO weeks (ISO 8601: from Monday;
a week across the turn of the year is one week) and ``monthly`` months that have an artifact, the newest artifact is
kept. Days begin at midnight of the policy's time zone, also those with 23 or 25 hours. Periods without an artifact do
not count, so that a host that was off for a month loses nothing by that alone.

Whatever the figures say, these stay: the newest artifact that is not known to be damaged, the one that was made last,
what is under a hold, what another one needs that stays, and what is dated later than now, because the clock must have
been wrong. What is dated later neither counts in the calendar nor as the newest, so that it displaces nothing. A
damaged artifact displaces nothing either, and stays for as long as a whole one in its place would, and where there is
no whole one at all.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Optional
from zoneinfo import ZoneInfo

from ..config import Retention
from .candidates import Candidate

_COMPARED = 7  # how many artifacts say what size is normal


@dataclass(frozen=True)
class Decision:
    """What becomes of one artifact, and why."""

    candidate: Candidate
    keep: bool
    reasons: tuple[str, ...]


def plan_retention(
    candidates: Iterable[Candidate], retention: Retention, now: datetime, made_last: Optional[str] = None
) -> list[Decision]:
    """Decide what becomes of the artifacts of one database.

    Args:
        candidates: All artifacts of one database.
        retention: The figures and the time zone of its days.
        now: The present; what is dated later has a wrong date.
        made_last: Path of the artifact that was made last, by the order of the records, whatever its date.

    Returns:
        One decision for each artifact, newest first.
    """
    newest_first = sorted(candidates, key=lambda c: (c.created_at, c.path.name), reverse=True)
    reasons: dict[str, list[str]] = {str(each.path): [] for each in newest_first}
    past = [each for each in newest_first if each.created_at <= now]
    good = [each for each in past if not each.damaged]

    if good:
        reasons[str(good[0].path)].append("newest")
    if made_last is not None and made_last in reasons:
        reasons[made_last].append("made last")
    for path, reason in _calendar(good, retention):
        reasons[path].append(reason)
    if len(good) < len(past):
        damaged = {str(each.path) for each in past if each.damaged}
        for path, reason in _calendar(past, retention):
            if path in damaged:
                reasons[path].append(f"damaged, but would be {reason}")
    for each in newest_first:
        if each.hold is not None:
            reasons[str(each.path)].append(f"held: {each.hold}")
        if each.created_at > now:
            reasons[str(each.path)].append("dated in the future: the clock was wrong")
        elif not good:
            reasons[str(each.path)].append("damaged, but there is no whole one")
    _keep_what_is_needed(newest_first, reasons)

    spent = f"beyond {retention.daily} days, {retention.weekly} weeks and {retention.monthly} months"
    decisions = []
    for each in newest_first:
        found = tuple(reasons[str(each.path)])
        lost = ("damaged", spent) if each.damaged else (spent,)
        decisions.append(Decision(each, bool(found), found or lost))
    return decisions


def removal_order(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions to remove, oldest first, but what needs another artifact before that one.

    Artifacts that need each other, as no engine makes them, are left out.
    """
    spent = {each.candidate.path.name: each for each in reversed(decisions) if not each.keep}
    needing = Counter(name for each in spent.values() for name in set(each.candidate.needs))
    free = deque(name for name in spent if not needing[name])
    order = []
    while free:
        decision = spent[free.popleft()]
        order.append(decision)
        for name in set(decision.candidate.needs):
            needing[name] -= 1
            if name in spent and not needing[name]:
                free.append(name)
    return order


def shrink_of(
    candidates: Iterable[Candidate], threshold: float, now: datetime, accepted: Optional[datetime] = None
) -> Optional[str]:
    """Return in a sentence that the newest artifact is suspiciously small; None if it is not.

    What is normal is said by the median of the last seven artifacts that were normal themselves, so that a shrink does
    not become normal by lasting.

    Args:
        candidates: All artifacts of one database.
        threshold: Which part of the normal size is suspicious; 0 if none is.
        now: The present; what is dated later is passed over.
        accepted: When the artifact was made whose size somebody accepted; older ones say nothing any more.
    """
    known = [
        c for c in candidates if not c.damaged and c.created_at <= now and (not accepted or c.created_at >= accepted)
    ]
    normal: list[int] = []
    usual, newest = 0, None
    for each in sorted(known, key=lambda c: (c.created_at, c.path.name)):
        usual = statistics.median_low(normal[-_COMPARED:]) if normal else 0
        if each.plain_bytes < threshold * usual:
            newest = each
        else:
            newest = None
            normal.append(each.plain_bytes)
    if newest is None:
        return None
    return (
        f"The newest artifact holds {newest.plain_bytes:,} bytes of SQL, those before it {usual:,} (median):"
        f" less than {threshold:.0%} of what is normal. Nothing is removed until one has its normal size again, or"
        f" somebody says that this is right: vya-backupdb accept {newest.database_id} {newest.database}"
    )


def _calendar(newest_first: Sequence[Candidate], retention: Retention) -> list[tuple[str, str]]:
    """Return the artifacts that the figures keep, by path, each with its reason."""
    zone = ZoneInfo(retention.timezone)
    kept = []
    for name, count, period in (
        ("daily", retention.daily, _day),
        ("weekly", retention.weekly, _week),
        ("monthly", retention.monthly, _month),
    ):
        kept += [(str(each.path), f"{name} {label}") for each, label in _newest_of(newest_first, count, period, zone)]
    return kept


def _newest_of(
    newest_first: Sequence[Candidate], count: int, period: Callable[[datetime, tzinfo], str], zone: tzinfo
) -> list[tuple[Candidate, str]]:
    found: dict[str, Candidate] = {}
    for each in newest_first:
        if len(found) == count:
            break
        found.setdefault(period(each.created_at, zone), each)
    return [(each, label) for label, each in found.items()]


def _keep_what_is_needed(newest_first: Sequence[Candidate], reasons: dict[str, list[str]]) -> None:
    by_name = {each.path.name: each for each in newest_first}
    waiting = [each for each in newest_first if reasons[str(each.path)]]
    while waiting:
        needing = waiting.pop()
        for name in needing.needs:
            needed = by_name.get(name)
            if needed is None:
                continue
            found = reasons[str(needed.path)]
            if not found:
                waiting.append(needed)
            if (reason := f"needed by {needing.path.name}") not in found:
                found.append(reason)


def _day(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d")


def _week(moment: datetime, zone: tzinfo) -> str:
    calendar = moment.astimezone(zone).isocalendar()
    return f"{calendar.year}-W{calendar.week:02d}"


def _month(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m")
