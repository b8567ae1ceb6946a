# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Retention: what the calendar keeps, and what no figures may remove."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.config import Retention
from vya_backupdb.core.manifest import Manifest
from vya_backupdb.core.retention import plan_retention
from vya_backupdb.core.storage import StoredArtifact

ZONES = ["UTC", "America/Sao_Paulo", "Europe/Berlin", "Pacific/Apia", "Asia/Kathmandu"]


def stored(moment: datetime, name: str = "") -> StoredArtifact:
    name = name or f"shop_{moment:%Y%m%d_%H%M%S}.sql.gz"
    manifest = Manifest(
        artifact=name,
        hostname="h",
        database_id="i",
        database="shop",
        created_at=moment,
        finished_at=moment,
        stored_bytes=1,
        plain_bytes=1,
        sha256="0" * 64,
        dbms={},
        tool={},
        compression={},
        settings={},
        inventory={},
        segments=(),
        policy="p",
        run_id="r",
        engine_version="v",
        restore_by_hand="",
    )
    return StoredArtifact(Path("/b") / name, manifest)


def kept(moments: list[datetime], retention: Retention) -> set[datetime]:
    return {d.stored.manifest.created_at for d in plan_retention([stored(m) for m in moments], retention) if d.keep}


def nightly(days: int, start: datetime = datetime(2026, 12, 31, 2, tzinfo=timezone.utc)) -> list[datetime]:
    return [start - timedelta(days=n) for n in range(days)]


def test_two_years_of_nights_keep_days_weeks_and_months() -> None:
    moments = nightly(730)

    found = kept(moments, Retention())

    days = set(moments[:7])
    sundays = sorted((m for m in moments if m.weekday() == 6), reverse=True)
    # The newest week is the running one, whose newest day is kept anyway; with three Sundays before it that is four.
    weeks = {moments[0], *[m for m in sundays if m < moments[0]][:3]}
    month_ends = {m for m in moments if (m + timedelta(days=1)).day == 1}
    months = set(sorted(month_ends, reverse=True)[:12])
    assert found == days | weeks | months


def test_gaps_cost_nothing() -> None:
    # The host was off for a year: what it has is still its seven newest days.
    moments = [*nightly(7, datetime(2025, 1, 7, 2, tzinfo=timezone.utc)), datetime(2026, 6, 1, 2, tzinfo=timezone.utc)]
    assert len(kept(moments, Retention(daily=8, weekly=0, monthly=0))) == 8


def test_days_are_those_of_the_time_zone() -> None:
    # 23:30 and 00:30 of São Paulo are of two days there and of one in UTC.
    moments = [datetime(2026, 3, 2, hour, 30, tzinfo=timezone.utc) for hour in (2, 3)]
    retention = {"daily": 5, "weekly": 0, "monthly": 0}
    assert len(kept(moments, Retention(timezone="America/Sao_Paulo", **retention))) == 2
    assert len(kept(moments, Retention(timezone="UTC", **retention))) == 1


def test_the_day_that_clocks_are_set_back_is_one_day() -> None:
    # 2026-10-25 in Berlin has 25 hours; 02:30 comes twice.
    moments = [datetime(2026, 10, 25, hour, 30, tzinfo=timezone.utc) for hour in (0, 1)]
    assert kept(moments, Retention(daily=5, weekly=0, monthly=0, timezone="Europe/Berlin")) == {moments[1]}


def test_a_leap_day_is_a_day() -> None:
    moments = [datetime(2028, 2, 28, 2, tzinfo=timezone.utc) + timedelta(days=n) for n in range(3)]
    assert kept(moments, Retention(daily=3, weekly=0, monthly=0)) == set(moments)


def test_iso_weeks_cross_the_year() -> None:
    # 2026-12-31 and 2027-01-03 are both of the ISO week 2026-W53.
    moments = [datetime(2026, 12, 31, 2, tzinfo=timezone.utc), datetime(2027, 1, 3, 2, tzinfo=timezone.utc)]
    decisions = plan_retention([stored(m) for m in moments], Retention(daily=0, weekly=2, monthly=0))
    assert [d.keep for d in decisions] == [True, False]
    assert "weekly 2026-W53" in decisions[0].reasons


def test_each_decision_has_its_reason() -> None:
    decisions = plan_retention([stored(m) for m in nightly(3)], Retention(daily=1, weekly=0, monthly=0))
    assert decisions[0].reasons == ("newest", "daily 2026-12-31")
    assert decisions[2].reasons == ("beyond 1 days, 0 weeks and 0 months",)


def test_nothing_is_planned_for_nothing() -> None:
    assert plan_retention([], Retention()) == []


histories = st.lists(
    st.datetimes(datetime(2019, 1, 1), datetime(2030, 12, 31), timezones=st.just(timezone.utc)),
    max_size=60,
    unique=True,
)
figures = st.tuples(st.integers(0, 10), st.integers(0, 8), st.integers(0, 14)).filter(any)


@given(histories, figures, st.sampled_from(ZONES))
def test_whatever_the_history(moments: list[datetime], counts: tuple[int, int, int], zone: str) -> None:
    daily, weekly, monthly = counts
    retention = Retention(daily=daily, weekly=weekly, monthly=monthly, timezone=zone)
    artifacts = [stored(m, f"a{n}.sql.gz") for n, m in enumerate(moments)]

    decisions = plan_retention(artifacts, retention)

    # Each artifact is decided once, and in an order that does not hang on the order of the listing.
    assert sorted(d.stored.path for d in decisions) == sorted(a.path for a in artifacts)
    again = plan_retention(list(reversed(artifacts)), retention)
    assert [(d.stored.path, d.keep) for d in again] == [(d.stored.path, d.keep) for d in decisions]
    if not moments:
        return
    keeps = [d.stored for d in decisions if d.keep]
    # The newest is kept, and never more than asked for.
    assert decisions[0].keep
    assert decisions[0].stored.manifest.created_at == max(moments)
    assert 1 <= len(keeps) <= max(1, daily + weekly + monthly)
    # What was kept once is not removed by applying the same retention again.
    assert all(d.keep for d in plan_retention(keeps, retention))
    # Of the newest days that have one, the newest artifact is there.
    local = sorted({m.astimezone(ZoneInfo(zone)).date() for m in moments}, reverse=True)[:daily]
    for day in local:
        newest = max(m for m in moments if m.astimezone(ZoneInfo(zone)).date() == day)
        assert newest in {s.manifest.created_at for s in keeps}


def test_a_hundred_thousand_artifacts_are_planned() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=timezone.utc) - timedelta(minutes=15 * n) for n in range(100_000)]
    decisions = plan_retention([stored(m, f"a{n}.sql.gz") for n, m in enumerate(moments)], Retention())
    assert sum(d.keep for d in decisions) == len({d.stored.path for d in decisions if d.keep}) <= 23
