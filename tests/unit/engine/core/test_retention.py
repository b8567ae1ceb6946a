# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of retention: what the calendar keeps, and what no figures may remove."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from vya_backupdb.config import Retention
from vya_backupdb.core.candidates import Candidate
from vya_backupdb.core.retention_plan import Decision, plan_retention, removal_order, shrink_of

NOW = datetime(2031, 1, 1, tzinfo=timezone.utc)


def made(moment: datetime, name: str = "", **facts: object) -> Candidate:
    path = Path("/b") / (name or f"shop_{moment:%Y%m%d_%H%M%S}.sql.gz")
    values: dict[str, object] = {"plain_bytes": 100, "stored_bytes": 10, **facts}
    return Candidate(path, "i", "shop", moment, **values)  # type: ignore[arg-type]


def plan(
    candidates: list[Candidate], now: datetime = NOW, made_last: str | None = None, **figures: object
) -> list[Decision]:
    return plan_retention(candidates, Retention.model_validate(figures), now, made_last)


def kept(moments: list[datetime], **figures: object) -> set[datetime]:
    return {d.candidate.created_at for d in plan([made(m) for m in moments], **figures) if d.keep}


def nightly(days: int, start: datetime = datetime(2026, 12, 31, 2, tzinfo=timezone.utc)) -> list[datetime]:
    return [start - timedelta(days=n) for n in range(days)]


class TestCalendar:
    """Days, weeks and months, and where they begin."""

    def test_two_years_of_nights_keep_days_weeks_and_months(self) -> None:
        moments = nightly(730)

        found = kept(moments)

        days = set(moments[:7])
        sundays = sorted((m for m in moments if m.weekday() == 6), reverse=True)
        # The newest week is the running one, whose newest day is kept anyway; with three Sundays before that is four.
        weeks = {moments[0], *[m for m in sundays if m < moments[0]][:3]}
        month_ends = {m for m in moments if (m + timedelta(days=1)).day == 1}
        months = set(sorted(month_ends, reverse=True)[:12])
        assert found == days | weeks | months

    def test_gaps_cost_nothing(self) -> None:
        # The host was off for a year: what it has is still its seven newest days.
        moments = [*nightly(7, datetime(2025, 1, 7, 2, tzinfo=timezone.utc)), datetime(2026, 6, 1, tzinfo=timezone.utc)]
        assert len(kept(moments, daily=8, weekly=0, monthly=0)) == 8

    def test_days_are_those_of_the_time_zone(self) -> None:
        # 23:30 and 00:30 of São Paulo are of two days there and of one in UTC.
        moments = [datetime(2026, 3, 2, hour, 30, tzinfo=timezone.utc) for hour in (2, 3)]
        figures: dict[str, object] = {"daily": 5, "weekly": 0, "monthly": 0}
        assert len(kept(moments, timezone="America/Sao_Paulo", **figures)) == 2
        assert len(kept(moments, timezone="UTC", **figures)) == 1

    @pytest.mark.parametrize(
        ("zone", "moments", "days"),
        [
            # 2026-10-25 in Berlin has 25 hours; 02:30 comes twice.
            ("Europe/Berlin", ["2026-10-25T00:30", "2026-10-25T01:30"], 1),
            # Its first and its last hour, 24:59 apart, are one day; the next minute is another.
            ("Europe/Berlin", ["2026-10-24T22:00", "2026-10-25T22:59"], 1),
            ("Europe/Berlin", ["2026-10-25T22:59", "2026-10-25T23:00"], 2),
            # 2026-03-29 in Berlin has 23 hours; 02:30 never comes.
            ("Europe/Berlin", ["2026-03-28T23:00", "2026-03-29T21:59"], 1),
            ("Europe/Berlin", ["2026-03-29T21:59", "2026-03-29T22:00"], 2),
            # In 2011 Samoa went over the date line: there was no 30 December.
            ("Pacific/Apia", ["2011-12-30T09:59", "2011-12-30T10:00"], 2),
            # Nepal is 5:45 ahead.
            ("Asia/Kathmandu", ["2026-05-01T18:14", "2026-05-01T18:15"], 2),
        ],
    )
    def test_odd_days(self, zone: str, moments: list[str], days: int) -> None:
        found = [datetime.fromisoformat(f"{moment}:00+00:00") for moment in moments]
        assert len(kept(found, daily=5, weekly=0, monthly=0, timezone=zone)) == days

    def test_a_leap_day_is_a_day_and_belongs_to_february(self) -> None:
        moments = [datetime(2028, 2, 28, 2, tzinfo=timezone.utc) + timedelta(days=n) for n in range(3)]
        assert kept(moments, daily=3, weekly=0, monthly=0) == set(moments)
        assert kept(moments, daily=0, weekly=0, monthly=2) == {moments[1], moments[2]}

    def test_iso_weeks_cross_the_year(self) -> None:
        # Thursday 2026-12-31 and Sunday 2027-01-03 are both of the ISO week 2026-W53; the next week begins on Monday.
        moments = [
            datetime.fromisoformat(f"{day}T02:00:00+00:00") for day in ("2026-12-31", "2027-01-03", "2027-01-04")
        ]
        decisions = plan([made(m) for m in moments], daily=0, weekly=3, monthly=0)
        assert [d.keep for d in decisions] == [True, True, False]
        assert "weekly 2027-W01" in decisions[0].reasons
        assert decisions[1].reasons == ("weekly 2026-W53",)

    def test_weeks_begin_at_midnight_of_monday_in_the_time_zone(self) -> None:
        # Sunday 23:59 and Monday 00:00 in Berlin, in summer.
        moments = [datetime(2026, 7, 5, 21, 59, tzinfo=timezone.utc), datetime(2026, 7, 5, 22, 0, tzinfo=timezone.utc)]
        assert len(kept(moments, daily=0, weekly=2, monthly=0, timezone="Europe/Berlin")) == 2
        assert len(kept(moments, daily=0, weekly=2, monthly=0, timezone="UTC")) == 1

    def test_months_begin_at_midnight_in_the_time_zone(self) -> None:
        moments = [
            datetime(2026, 7, 31, 21, 59, tzinfo=timezone.utc),
            datetime(2026, 7, 31, 22, 0, tzinfo=timezone.utc),
        ]
        assert len(kept(moments, daily=0, weekly=0, monthly=2, timezone="Europe/Berlin")) == 2
        assert len(kept(moments, daily=0, weekly=0, monthly=2, timezone="UTC")) == 1

    def test_each_decision_has_its_reason(self) -> None:
        decisions = plan([made(m) for m in nightly(3)], daily=1, weekly=0, monthly=0)
        assert decisions[0].reasons == ("newest", "daily 2026-12-31")
        assert decisions[2].reasons == ("beyond 1 days, 0 weeks and 0 months",)

    def test_nothing_is_planned_for_nothing(self) -> None:
        assert plan([]) == []

    def test_a_hundred_thousand_artifacts_are_planned(self) -> None:
        moments = [datetime(2026, 1, 1, tzinfo=timezone.utc) - timedelta(minutes=15 * n) for n in range(100_000)]
        decisions = plan([made(m, f"a{n}.sql.gz") for n, m in enumerate(moments)])
        assert sum(d.keep for d in decisions) <= 23
        assert len(removal_order(decisions)) == 100_000 - sum(d.keep for d in decisions)


class TestWhateverTheFigures:
    """What is never removed."""

    def test_a_damaged_one_is_not_the_newest_and_takes_no_place(self) -> None:
        moments = nightly(3)
        early = moments[0] - timedelta(hours=1)
        candidates = [made(moments[0], damaged=True), made(early), made(moments[1]), made(moments[2], damaged=True)]
        decisions = {d.candidate.created_at: d for d in plan(candidates, daily=2, weekly=0, monthly=0)}
        assert decisions[early].reasons == ("newest", "daily 2026-12-31")
        assert decisions[moments[1]].keep
        assert decisions[moments[0]].reasons == ("damaged, but would be daily 2026-12-31",)
        assert decisions[moments[2]].reasons == ("damaged", "beyond 2 days, 0 weeks and 0 months")

    def test_a_held_one_stays(self) -> None:
        moments = nightly(3)
        candidates = [made(m, hold="before the migration" if m == moments[2] else None) for m in moments]
        decisions = plan(candidates, daily=1, weekly=0, monthly=0)
        assert [d.keep for d in decisions] == [True, False, True]
        assert decisions[2].reasons == ("held: before the migration",)

    def test_what_is_needed_stays_through_a_whole_chain(self) -> None:
        moments = nightly(4)
        names = [f"a{n}.sql.gz" for n in range(4)]
        needs = {0: (names[1],), 1: (names[2],), 2: ("unknown.sql.gz",), 3: ()}
        candidates = [made(m, names[n], needs=needs[n]) for n, m in enumerate(moments)]
        decisions = plan(candidates, daily=1, weekly=0, monthly=0)
        assert [d.keep for d in decisions] == [True, True, True, False]
        assert decisions[2].reasons == ("needed by a1.sql.gz",)

    def test_what_needs_goes_before_what_is_needed(self) -> None:
        moments = nightly(5)
        names = [f"a{n}.sql.gz" for n in range(5)]
        candidates = [made(m, names[n], needs=(names[n + 1],) if n in (1, 2) else ()) for n, m in enumerate(moments)]
        order = [d.candidate.path.name for d in removal_order(plan(candidates, daily=1, weekly=0, monthly=0))]
        assert order == [names[4], names[1], names[2], names[3]]

    def test_a_chain_of_a_thousand_is_no_trouble(self) -> None:
        candidates = [made(m, f"a{n:04}.sql.gz", needs=(f"a{n + 1:04}.sql.gz",)) for n, m in enumerate(nightly(2000))]
        assert all(d.keep for d in plan(candidates, daily=1, weekly=0, monthly=0))

    def test_what_need_each_other_are_left(self) -> None:
        moments = nightly(3)
        candidates = [made(moments[0]), made(moments[1], "a", needs=("b",)), made(moments[2], "b", needs=("a",))]
        assert removal_order(plan(candidates, daily=1, weekly=0, monthly=0)) == []

    def test_one_from_the_future_stays_and_displaces_nothing(self) -> None:
        moments = nightly(3)
        now = moments[0] + timedelta(hours=1)
        future = datetime(2035, 1, 1, tzinfo=timezone.utc)
        decisions = plan([made(m) for m in (*moments, future)], now=now, daily=2, weekly=0, monthly=0)
        assert [d.keep for d in decisions] == [True, True, True, False]
        assert decisions[0].reasons == ("dated in the future: the clock was wrong",)
        assert decisions[1].reasons[0] == "newest"

    def test_the_one_made_last_stays_though_the_clock_was_set_back(self) -> None:
        early = datetime(2001, 1, 1, tzinfo=timezone.utc)
        candidates = [made(m) for m in (*nightly(3), early)]
        decisions = plan(candidates, made_last=str(candidates[-1].path), daily=1, weekly=0, monthly=0)
        assert [d.keep for d in decisions] == [True, False, False, True]
        assert decisions[3].reasons == ("made last",)


class TestShrink:
    """A newest artifact that is suspiciously small."""

    @staticmethod
    def shrink(*sizes: int, threshold: float = 0.5, accepted: int | None = None, **facts: object) -> str | None:
        """Sizes from the oldest to the newest, one each night; ``accepted`` counts from the newest."""
        moments = nightly(len(sizes))
        candidates = [made(m, plain_bytes=size, **facts) for m, size in zip(moments, reversed(sizes), strict=True)]
        return shrink_of(candidates, threshold, NOW, moments[accepted] if accepted is not None else None)

    def test_less_than_half_of_the_median_is_suspicious(self) -> None:
        assert self.shrink(100, 100, 100, 50) is None
        said = self.shrink(100, 1000, 100, 49)
        assert said is not None
        assert "49 bytes of SQL, those before it 100" in said
        assert "vya-backupdb accept i shop" in said

    def test_it_does_not_become_normal_by_lasting(self) -> None:
        assert self.shrink(100, 100, *[10] * 50) is not None
        assert self.shrink(100, 100, *[10] * 50, 90) is None

    def test_a_slow_decline_is_normal(self) -> None:
        assert self.shrink(100, 95, 90, 85, 80, 75, 70, 65, 60, 55, 50, 45, 40) is None

    def test_one_giant_makes_no_rule(self) -> None:
        assert self.shrink(100, 100, 100000, 100) is None

    def test_what_was_accepted_is_normal_from_then_on(self) -> None:
        assert self.shrink(100, 100, 10, 10, 10, accepted=1) is None
        assert self.shrink(100, 100, 10, 10, 4, accepted=1) is not None

    def test_it_can_be_turned_off(self) -> None:
        assert self.shrink(100, 1, threshold=0) is None

    def test_damaged_ones_and_those_from_the_future_say_nothing(self) -> None:
        assert self.shrink(100, 1, damaged=True) is None
        moments = [NOW + timedelta(days=1), NOW - timedelta(days=1), NOW - timedelta(days=2)]
        sizes = [1, 100, 100]
        assert shrink_of([made(m, plain_bytes=s) for m, s in zip(moments, sizes, strict=True)], 0.5, NOW) is None

    def test_nothing_to_compare_with(self) -> None:
        assert self.shrink(1) is None
        assert shrink_of([], 0.5, NOW) is None


def test_the_rule_in_its_own_words_for_a_zone_with_dst() -> None:
    zone = ZoneInfo("Europe/Berlin")
    moments = [datetime(2026, 10, 20, tzinfo=timezone.utc) + timedelta(hours=5 * n) for n in range(60)]
    by_day = {m.astimezone(zone).date(): m for m in moments}  # the newest of each day remains
    wanted = set(sorted(by_day.values())[-9:])
    assert kept(moments, daily=9, weekly=0, monthly=0, timezone="Europe/Berlin") == wanted
