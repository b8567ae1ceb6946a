# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose turn it is to be drilled."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.core.drill_turns import Candidate, choose_due

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=timezone.utc)


def waiting(name: str, days: float, tried_hours_ago: float | None = None) -> Candidate:
    tried = None if tried_hours_ago is None else NOW - timedelta(hours=tried_hours_ago)
    return Candidate("db", name, NOW - timedelta(days=days), tried)


def names(chosen: list[Candidate]) -> list[str]:
    return [each.database for each in chosen]


def test_the_one_that_waits_longest_comes_first() -> None:
    candidates = [waiting("young", 1), waiting("old", 9), waiting("middle", 5)]

    assert names(choose_due(candidates, 30, NOW)) == ["old"]
    assert names(choose_due(candidates, 2, NOW)) == ["old", "middle", "young"]


def test_a_database_that_would_come_too_late_comes_whatever_the_share_of_the_day() -> None:
    candidates = [waiting("a", 29), waiting("b", 29.5), waiting("c", 28.9)]

    assert names(choose_due(candidates, 30, NOW)) == ["b", "a"]


def test_what_was_tried_today_is_left_for_tomorrow() -> None:
    candidates = [waiting("failing", 40, tried_hours_ago=2), waiting("other", 3)]

    assert names(choose_due(candidates, 30, NOW)) == ["other"]
    assert names(choose_due([waiting("failing", 40, tried_hours_ago=23.9)], 30, NOW)) == ["failing"]


def test_without_databases_nothing_is_due() -> None:
    assert choose_due([], 30, NOW) == []


@pytest.mark.parametrize(("databases", "days"), [(1, 30), (10, 7), (60, 30), (7, 7), (100, 3)])
def test_with_a_drill_each_day_every_database_is_proven_within_the_days(databases: int, days: int) -> None:
    proven = {f"d{number}": NOW for number in range(databases)}
    for day in range(1, 4 * days):
        now = NOW + timedelta(days=day)
        candidates = [Candidate("db", name, when, when) for name, when in proven.items()]
        for each in choose_due(candidates, days, now):
            proven[each.database] = now
        assert max(now - when for when in proven.values()) <= timedelta(days=days)


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 60))
def test_no_day_takes_more_than_its_share_and_those_that_are_late(ages: list[float], days: int) -> None:
    candidates = [waiting(f"d{number}", age) for number, age in enumerate(ages)]

    chosen = choose_due(candidates, days, NOW)

    late = [each for each in candidates if NOW - each.waiting_since >= timedelta(days=days - 1)]
    assert len(chosen) <= max(-(-len(candidates) // days), len(late))
    assert {each.database for each in late} <= set(names(chosen))
