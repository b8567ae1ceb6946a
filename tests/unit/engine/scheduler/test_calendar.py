# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Schedules as calendar expressions: days and times, intervals, time zones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vya_backupdb.config import Schedule
from vya_backupdb.config_file import parse_config
from vya_backupdb.core.calendar import WEEKDAYS
from vya_backupdb.errors import ConfigError

NextElapses = Callable[[Iterable[str], datetime, int], list[datetime]]
BASE = datetime(2026, 1, 9, 12, 34, 56, tzinfo=timezone.utc)
MIDNIGHT = datetime(2026, 1, 10, tzinfo=timezone.utc)
times_of_day = st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))


@pytest.mark.parametrize(
    ("settings", "expressions"),
    [
        ({"times": ["02:30"]}, ["*-*-* 02:30:00 UTC"]),
        ({"times": ["02:30:15"]}, ["*-*-* 02:30:15 UTC"]),
        ({"times": ["12:00", "02:30", "12:00"]}, ["*-*-* 02:30:00 UTC", "*-*-* 12:00:00 UTC"]),
        ({"times": ["02:30"], "days": ["sun", "mon"]}, ["Mon,Sun *-*-* 02:30:00 UTC"]),
        ({"times": ["02:30"], "timezone": "America/Sao_Paulo"}, ["*-*-* 02:30:00 America/Sao_Paulo"]),
        ({"cron": "30 2 * * 1"}, ["Mon *-*-* 02:30:00 UTC"]),
        (
            {"cron": "0 0 13 * 5", "timezone": "Europe/Lisbon"},
            ["Fri *-*-* 00:00:00 Europe/Lisbon", "*-*-13 00:00:00 Europe/Lisbon"],
        ),
        ({"interval": "1h"}, ["*-*-* *:00:00 UTC"]),
        ({"interval": "15m"}, ["*-*-* *:00,15,30,45:00 UTC"]),
        ({"interval": "6h"}, ["*-*-* 00,06,12,18:00:00 UTC"]),
        ({"interval": "1d"}, ["*-*-* 00:00:00 UTC"]),
        ({"interval": "1m"}, ["*-*-* *:*:00 UTC"]),
        ({"interval": "12h", "days": ["sat"]}, ["Sat *-*-* 00,12:00:00 UTC"]),
        ({"interval": "7m"}, []),
        ({"interval": "5h"}, []),
        ({"interval": "90s"}, []),
        ({"interval": "2d"}, []),
    ],
)
def test_what_comes_out(settings: dict[str, Any], expressions: list[str]) -> None:
    assert Schedule(**settings).calendar_expressions() == expressions


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(times_of_day, min_size=1, max_size=4, unique=True),
    days=st.lists(st.sampled_from(WEEKDAYS), min_size=1, unique=True),
    zone=st.sampled_from(["UTC", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Kiritimati"]),
)
def test_systemd_runs_on_those_days_at_those_times(
    times: list[tuple[int, int, int]], days: list[str], zone: str, next_elapses: NextElapses
) -> None:
    schedule = Schedule(
        times=[f"{hour:02d}:{minute:02d}:{second:02d}" for hour, minute, second in times], days=days, timezone=zone
    )
    here = ZoneInfo(zone)
    first_day = BASE.astimezone(here).date() - timedelta(days=1)
    candidates = [
        datetime(day.year, day.month, day.day, *time, tzinfo=here)
        for day in (first_day + timedelta(days=number) for number in range(40))
        if WEEKDAYS[day.weekday()] in days
        for time in times
    ]
    expected = sorted(moment.astimezone(timezone.utc) for moment in candidates if moment > BASE)[:5]
    assert next_elapses(schedule.calendar_expressions(), BASE, 5) == expected


@pytest.mark.parametrize("minutes", [number for number in range(1, 1441) if 1440 % number == 0])
def test_systemd_keeps_every_interval_that_divides_a_day(minutes: int, next_elapses: NextElapses) -> None:
    expressions = Schedule(interval=timedelta(minutes=minutes)).calendar_expressions()
    count = min(1440 // minutes + 1, 60)
    before = MIDNIGHT - timedelta(seconds=1)
    expected = [MIDNIGHT + timedelta(minutes=minutes * number) for number in range(count)]
    assert next_elapses(expressions, before, count) == expected


@settings(max_examples=200)
@given(seconds=st.integers(60, 4 * 86400))
def test_other_intervals_have_no_expression(seconds: int) -> None:
    has_one = bool(Schedule(interval=timedelta(seconds=seconds)).calendar_expressions())
    assert has_one == (seconds % 60 == 0 and 86400 % seconds == 0)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"cron": "0 2 * * *", "days": ["mon"]}, "days and cron contradict each other"),
        ({"cron": "0 0 30 2 *"}, "never comes true"),
        ({"cron": "nonsense"}, "five fields"),
        ({"interval": "7m", "days": ["mon"]}, "cannot be kept to certain days"),
    ],
)
def test_an_impossible_schedule_is_a_configuration_error(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=rf"policies\.0\.schedule: .*{why}"):
        parse_config({"policies": [{"name": "nightly", "instances": [], "schedule": settings}]}, "config.yml")
