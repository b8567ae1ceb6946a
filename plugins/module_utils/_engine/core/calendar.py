# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Schedules as systemd's calendar expressions: ``OnCalendar=`` of systemd.time(7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from .cron import number_list, translate_cron, weekday_list

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)


def calendar_expressions(
    *, days: Sequence[str], times: Sequence[str], timezone: str, interval: timedelta | None, cron: str | None
) -> list[str]:
    """Return a schedule as values of ``OnCalendar=``; it runs whenever one of them comes true.

    An interval that does not divide a day into equal parts of whole minutes cannot be written so; for it the list is
    empty, and the timer counts from one run to the next instead.

    Args:
        days: The days of the week, of ``WEEKDAYS``.
        times: Times of day, ``HH:MM`` or ``HH:MM:SS``; used when there is neither an interval nor a cron expression.
        timezone: The time zone of the days and times.
        interval: The time from one run to the next.
        cron: A cron expression.

    Raises:
        ValueError: The schedule contradicts itself or never comes true.
    """
    every_day = set(days) == set(WEEKDAYS)
    prefix = weekday_list(frozenset(WEEKDAYS.index(day) for day in days))
    if cron is not None:
        if not every_day:
            raise ValueError("days and cron contradict each other; name the days in the cron expression")
        lines = translate_cron(cron)
    elif interval is not None:
        lines = [f"{prefix}*-*-* {time}" for time in _interval_times(interval)]
        if not lines and not every_day:
            raise ValueError("this interval cannot be kept to certain days: it does not divide a day into equal parts")
    else:
        lines = [f"{prefix}*-*-* {time if time.count(':') == 2 else time + ':00'}" for time in sorted(set(times))]
    return [f"{line} {timezone}" for line in lines]


def _interval_times(interval: timedelta) -> list[str]:
    """Times of day, counted from midnight, as few expressions as possible; none if the last part would be cut short."""
    if interval % timedelta(minutes=1) or interval > _DAY or _DAY % interval:
        return []
    step = interval // timedelta(minutes=1)
    minutes_of: dict[int, set[int]] = {}
    for minute in range(0, 24 * 60, step):
        minutes_of.setdefault(minute // 60, set()).add(minute % 60)
    hours_with: dict[frozenset[int], set[int]] = {}
    for hour, minutes in minutes_of.items():
        hours_with.setdefault(frozenset(minutes), set()).add(hour)
    return [
        f"{number_list(frozenset(hours), 0, 23)}:{number_list(minutes, 0, 59)}:00"
        for minutes, hours in hours_with.items()
    ]
