# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""For any history, with clock jumps, equal times, damage, holds and dependencies in any zone: nothing good is lost."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given, settings
from hypothesis import strategies as st

from vya_backupdb.config import Retention
from vya_backupdb.core.candidates import Candidate
from vya_backupdb.core.retention_plan import plan_retention, removal_order, shrink_of

ZONES = [*sorted(zone for zone in available_timezones() if "/" in zone), "UTC"]
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2040, 12, 31), timezones=st.just(timezone.utc))
FIGURES = st.tuples(st.integers(0, 10), st.integers(0, 8), st.integers(0, 14)).filter(any)


@st.composite
def retentions(draw: st.DrawFn) -> Retention:
    daily, weekly, monthly = draw(FIGURES)
    return Retention(daily=daily, weekly=weekly, monthly=monthly, timezone=draw(st.sampled_from(ZONES)))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Candidate], datetime]:
    """Artifacts in the order in which they were made, and the present; the clock may have jumped in between."""
    clock = draw(MOMENTS)
    steps = draw(
        st.lists(
            st.one_of(
                st.timedeltas(timedelta(0), timedelta(days=3)),
                st.timedeltas(timedelta(days=-4000), timedelta(days=4000)),  # the clock jumps
            ),
            max_size=40,
        )
    )
    found: list[Candidate] = []
    for number, step in enumerate(steps):
        clock = min(
            max(clock + step, datetime(1990, 1, 1, tzinfo=timezone.utc)), datetime(2060, 1, 1, tzinfo=timezone.utc)
        )
        needs = draw(st.lists(st.integers(0, len(steps)), max_size=2))
        found.append(
            Candidate(
                path=Path(f"/b/a{number}.sql.gz"),
                database_id="i",
                database="d",
                created_at=clock.replace(microsecond=0),
                plain_bytes=draw(st.integers(0, 1000)),
                stored_bytes=1,
                proof=draw(st.sampled_from(["sealed", "verified", "restored"])),
                needs=tuple(f"a{need}.sql.gz" for need in needs) if draw(st.integers(0, 9)) == 0 else (),
                hold=draw(st.sampled_from([None] * 8 + ["why"])),
                damaged=draw(st.sampled_from([False] * 5 + [True])),
            )
        )
    now = draw(st.one_of(st.just(clock + timedelta(minutes=5)), MOMENTS))
    return found, now


@settings(max_examples=300)
@given(histories(), retentions())
def test_the_invariants_hold(history: tuple[list[Candidate], datetime], retention: Retention) -> None:
    candidates, now = history
    last = str(candidates[-1].path) if candidates else None

    decisions = plan_retention(candidates, retention, now, last)

    by_name = {d.candidate.path.name: d for d in decisions}
    kept = [d.candidate for d in decisions if d.keep]
    # Each artifact is decided once, with a reason, and the order of the listing does not matter.
    assert sorted(by_name) == sorted(c.path.name for c in candidates)
    assert all(d.reasons for d in decisions)
    again = plan_retention(list(reversed(candidates)), retention, now, last)
    assert [(d.candidate.path, d.keep) for d in again] == [(d.candidate.path, d.keep) for d in decisions]
    # Never removed: holds, what was made last, what is of the future, and the newest good one.
    for candidate in candidates:
        if candidate.hold or candidate.created_at > now or str(candidate.path) == last:
            assert by_name[candidate.path.name].keep
    good = [c for c in candidates if not c.damaged and c.created_at <= now]
    if good:
        assert by_name[max(good, key=lambda c: (c.created_at, c.path.name)).path.name].keep
    # Never removed: what anything that stays needs.
    for candidate in kept:
        assert all(by_name[name].keep for name in candidate.needs if name in by_name)
    # Of the newest days that have a good one, its newest good one stays.
    zone = ZoneInfo(retention.timezone)
    days: dict[object, list[Candidate]] = {}
    for candidate in good:
        days.setdefault(candidate.created_at.astimezone(zone).date(), []).append(candidate)
    for day in sorted(days, reverse=True)[: retention.daily]:
        assert by_name[max(days[day], key=lambda c: (c.created_at, c.path.name)).path.name].keep
    # What was kept once is not removed by the same retention at the same time.
    assert all(d.keep for d in plan_retention(kept, retention, now, last))
    # What is removed never goes before what needs it, and only what is to go goes.
    gone: set[str] = set()
    for decision in removal_order(decisions):
        assert not decision.keep
        name = decision.candidate.path.name
        assert not [d for d in decisions if name in d.candidate.needs and d.candidate.path.name not in {*gone, name}]
        gone.add(name)


@given(histories(), retentions())
def test_a_damaged_or_later_dated_one_never_costs_a_good_one_its_place(
    history: tuple[list[Candidate], datetime], retention: Retention
) -> None:
    candidates, now = history
    sound = [dataclasses.replace(c, needs=()) for c in candidates if not c.damaged and c.created_at <= now]
    alone = {d.candidate.path for d in plan_retention(sound, retention, now) if d.keep}
    among = {d.candidate.path for d in plan_retention(candidates, retention, now) if d.keep}
    assert alone <= among


@given(histories(), retentions(), st.integers(0, 40))
def test_one_more_artifact_displaces_at_most_one_of_each_period(
    history: tuple[list[Candidate], datetime], retention: Retention, number: int
) -> None:
    """So whatever the clock says when it is made, a single run never removes more than a day's, week's and month's."""
    candidates, now = history
    plain = [dataclasses.replace(c, needs=(), damaged=False, hold=None) for c in candidates if c.created_at <= now]
    if not plain:
        return
    added = plain.pop(number % len(plain))
    before = {d.candidate.path for d in plan_retention(plain, retention, now) if d.keep}
    after = {d.candidate.path for d in plan_retention([*plain, added], retention, now) if d.keep}
    assert len(before - after) <= 4  # and the place of the newest


@given(st.lists(st.integers(1, 10**12), min_size=2, max_size=40), st.floats(0.01, 0.99))
def test_a_shrink_is_told_until_the_size_is_normal_again(sizes: list[int], threshold: float) -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    now = start + timedelta(days=100)

    def told(of: list[int]) -> bool:
        candidates = [
            Candidate(Path(f"/b/{n}"), "i", "d", start + timedelta(days=n), size, 1) for n, size in enumerate(of)
        ]
        return shrink_of(candidates, threshold, now) is not None

    usual = max(sizes)
    assert not told([usual] * 3)
    # As long as all that follows is too small, however much there is of it, it is told.
    tiny = int(usual * threshold * 0.5)
    assert told([usual] * 3 + [tiny] * len(sizes))
    assert not told([usual] * 3 + [tiny] * len(sizes) + [usual])
    assert not told(sorted(sizes))  # what only grows is never suspicious
