# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The translation of cron expressions, compared with a slow cron and with systemd itself."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from vya_backupdb.core.cron import SHORTHANDS, translate_cron

BASE = datetime(2026, 1, 9, 12, 34, 56, tzinfo=timezone.utc)
HORIZON = timedelta(days=5 * 365)
COUNT = 12
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


# A slow cron that looks at every day and minute, written without the translation in mind.


def fits(field: str, value: int, lowest: int, highest: int, names: list[str]) -> bool:
    """Whether a field of a cron expression lets a value pass."""

    def number(text: str) -> int:
        lowered = text.lower()
        return names.index(lowered) + lowest if lowered in names else int(text)

    for item in field.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            start, end = lowest, highest
        elif "-" in span:
            start, end = (number(part) for part in span.split("-"))
        else:
            start = end = number(span)
        if start <= value <= end and (value - start) % int(step or 1) == 0:
            return True
    return False


def day_fits(expression: str, day: datetime) -> bool:
    """Whether a cron expression lets anything happen on a day."""
    _minute, _hour, day_of_month, month, day_of_week = expression.split()
    if not fits(month, day.month, 1, 12, MONTHS):
        return False
    by_date = fits(day_of_month, day.day, 1, 31, [])
    sunday_first = day.isoweekday() % 7
    by_weekday = fits(day_of_week, sunday_first, 0, 7, DAYS)
    if sunday_first == 0:
        by_weekday = by_weekday or fits(day_of_week, 7, 0, 7, DAYS)
    if day_of_month[0] == "*" or day_of_week[0] == "*":
        return by_date and by_weekday
    return by_date or by_weekday


def moments(expression: str, base: datetime, until: datetime) -> Iterator[datetime]:
    """All moments after the base and before the end at which cron would run."""
    minute, hour, *_ = expression.split()
    times = [
        timedelta(hours=h, minutes=m)
        for h in range(24)
        if fits(hour, h, 0, 23, [])
        for m in range(60)
        if fits(minute, m, 0, 59, [])
    ]
    day = base.replace(hour=0, minute=0, second=0)
    while day < until:
        if day_fits(expression, day):
            yield from (day + time for time in times if base < day + time < until)
        day += timedelta(days=1)


def spans(low: int, high: int, names: list[str]) -> st.SearchStrategy[str]:
    """Texts for one field: asterisk, numbers, names, ranges, steps and lists of them."""
    numbers = st.integers(low, high)

    def text(value: int) -> st.SearchStrategy[str]:
        if value - low < len(names):
            name = names[value - low]
            return st.sampled_from([str(value), name, name.upper(), name.capitalize()])
        return st.sampled_from([str(value), f"{value:02d}"])

    def range_text(pair: tuple[int, int]) -> st.SearchStrategy[str]:
        return st.tuples(text(min(pair)), text(max(pair))).map("-".join)

    ranges = st.tuples(numbers, numbers).flatmap(range_text)
    steps = st.integers(1, high - low + 1)
    stepped = st.tuples(st.one_of(st.just("*"), ranges), steps).map(lambda pair: f"{pair[0]}/{pair[1]}")
    item = st.one_of(numbers.flatmap(text), ranges, stepped)
    return st.one_of(st.just("*"), item, st.lists(item, min_size=2, max_size=4).map(",".join))


expressions = st.tuples(
    spans(0, 59, []), spans(0, 23, []), spans(1, 31, []), spans(1, 12, MONTHS), spans(0, 7, DAYS)
).map(" ".join)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(expression=expressions)
@example(expression="0 0 13 * fri")
@example(expression="0 0 */2 * mon")
@example(expression="0 0 1-31 * mon")
@example(expression="0 0 * * */2")
@example(expression="0 0 30 2 sun")
@example(expression="30 2 29 2 *")
@example(expression="0 0 31 */2 *")
@example(expression="*/7 1-5,8 1,15 jan-mar,9 mon,7")
@example(expression="59 23 31 12 0-7")
def test_systemd_runs_when_cron_would(expression: str, next_elapses) -> None:  # type: ignore[no-untyped-def]
    expected = list(itertools.islice(moments(expression, BASE, BASE + HORIZON), COUNT))
    try:
        lines = translate_cron(expression)
    except ValueError:
        assert not expected
        return
    assume(expected)  # rarer than once in the years that the slow cron looks at
    found = next_elapses([f"{line} UTC" for line in lines], BASE, COUNT)
    assert [moment for moment in found if moment < BASE + HORIZON] == expected


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        ("* * * * *", ["*-*-* *:*:00"]),
        ("0 2 * * *", ["*-*-* 02:00:00"]),
        ("*/15 * * * *", ["*-*-* *:00,15,30,45:00"]),
        ("0 8-18 * * mon-fri", ["Mon,Tue,Wed,Thu,Fri *-*-* 08..18:00:00"]),
        ("0 0 1 * *", ["*-*-01 00:00:00"]),
        ("0 0 1 1 *", ["*-01-01 00:00:00"]),
        ("0 0 * * 7", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * 0", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * sun", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * 5-7", ["Fri,Sat,Sun *-*-* 00:00:00"]),
        ("0 0 13 * 5", ["Fri *-*-* 00:00:00", "*-*-13 00:00:00"]),
        ("0 0 30 2 1", ["Mon *-02-* 00:00:00"]),
        ("0 0 */30 * 1", ["Mon *-*-01,31 00:00:00"]),
        ("  0\t2  * * *  ", ["*-*-* 02:00:00"]),
        ("@daily", ["*-*-* 00:00:00"]),
        ("@Midnight", ["*-*-* 00:00:00"]),
        ("@hourly", ["*-*-* *:00:00"]),
        ("@weekly", ["Sun *-*-* 00:00:00"]),
        ("@monthly", ["*-*-01 00:00:00"]),
        ("@yearly", ["*-01-01 00:00:00"]),
    ],
)
def test_what_comes_out(expression: str, lines: list[str]) -> None:
    assert translate_cron(expression) == lines


@pytest.mark.parametrize("shorthand", sorted(SHORTHANDS))
def test_shorthands_mean_what_crontab_says(shorthand: str) -> None:
    assert translate_cron(shorthand) == translate_cron(SHORTHANDS[shorthand])


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 0 30 2 *", "never comes true"),
        ("0 0 31 4,6,9,11 *", "never comes true"),
        ("", "five fields"),
        ("0 2 * *", "five fields .* not 4"),
        ("0 0 2 * * *", "five fields .* not 6"),
        ("@reboot", "'@reboot' is not one of @annually, @daily"),
        ("@every 5m", "is not one of"),
        ("60 * * * *", "'60' is no minute; it goes from 0 to 59"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of the month; it goes from 1 to 31"),
        ("* * 32 * *", "'32' is no day of the month"),
        ("* * * 0 *", "'0' is no month"),
        ("* * * 13 *", "'13' is no month"),
        ("* * * * 8", "'8' is no day of the week"),
        ("* * * january *", "'january' is no month"),
        ("mon * * * *", "'mon' is no minute"),
        ("-1 * * * *", "'' is no minute"),
        ("+1 * * * *", r"'\+1' is no minute"),
        ("1.5 * * * *", "'1.5' is no minute"),
        ("² * * * *", "'²' is no minute"),
        ("* * L * *", "'L' is no day"),
        ("* * ? * *", r"'\?' is no day"),
        ("* * * * 5#3", "'5#3' is no day of the week"),
        ("10-5 * * * *", "'10-5' for the minute runs backwards"),
        ("* * * * fri-mon", "'fri-mon' for the day of the week runs backwards"),
        ("1-2-3 * * * *", "'2-3' is no minute"),
        ("5/15 * * * *", "'5/15' is read differently by different crons; write 5-59/15"),
        ("*/0 * * * *", "'0' is no step for the minute"),
        ("*/61 * * * *", "'61' is no step for the minute"),
        ("*/x * * * *", "'x' is no step"),
        ("*/ * * * *", "'' is no step"),
        ("*/5/2 * * * *", "'5/2' is no step"),
        (", * * * *", "'' is no minute"),
        ("1,,2 * * * *", "'' is no minute"),
        ("*-5 * * * *", r"'\*' is no minute"),
    ],
)
def test_what_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        translate_cron(expression)


@given(st.text(alphabet="0123456789*/-,@ monfriL#", max_size=20))
def test_nothing_else_than_a_refusal_comes_of_nonsense(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert translate_cron(text)
