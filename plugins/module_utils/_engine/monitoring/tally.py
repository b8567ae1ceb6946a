# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the metrics are made of: all runs that have ended, added up one by one; a long history takes no more memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..core.catalog import ALL_DATABASES, OPEN, ORIGIN, SUCCESS, RunRecord

Name = tuple[str, str]  # instance, database
KindAndName = tuple[str, str, str]  # kind of run, instance, database


@dataclass
class Durations:
    """How long runs took.

    Attributes:
        buckets: How many took at most as long as each limit, but longer than the one before; last, longer than all.
        seconds: All of them together.
    """

    buckets: list[int]
    seconds: float = 0.0


@dataclass
class Sizes:
    """How large artifacts are: their number, and bytes together."""

    number: int = 0
    stored_bytes: int = 0


@dataclass
class Tally:
    """Runs that have ended, added up by kind, instance and database.

    A drill of another host's artifact is not among them: it says nothing of the database that has the same names here.

    Attributes:
        limits: The upper limits of the buckets of durations, in seconds, ascending.
        outcomes: How many ended with each outcome, which stands last.
        durations: Of those that succeeded.
        sizes: Of the artifacts of those that succeeded.
        last: By kind and name the run that was put on record last.
        last_success: The same of those that succeeded.
    """

    limits: Sequence[float]
    outcomes: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    durations: dict[KindAndName, Durations] = field(default_factory=dict)
    sizes: dict[KindAndName, Sizes] = field(default_factory=dict)
    last: dict[str, dict[Name, RunRecord]] = field(default_factory=dict)
    last_success: dict[str, dict[Name, RunRecord]] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Iterable[RunRecord], limits: Sequence[float]) -> Tally:
        """Add up runs, in the order in which they were put on record."""
        tally = cls(limits)
        for run in runs:
            if run.outcome != OPEN and ORIGIN not in run.traces:
                tally._add(run)
        return tally

    def _add(self, run: RunRecord) -> None:
        name = (run.database_id, run.database)
        key = (run.kind, *name)
        self.outcomes[(*key, run.outcome)] += 1
        last = self.last.setdefault(run.kind, {})
        last[name] = run
        if run.database != ALL_DATABASES:  # the instance could be reached again
            last.pop((run.database_id, ALL_DATABASES), None)
        if run.outcome != SUCCESS:
            return
        self.last_success.setdefault(run.kind, {})[name] = run
        if run.duration is not None:
            durations = self.durations.setdefault(key, Durations([0] * (len(self.limits) + 1)))
            durations.buckets[bisect_left(self.limits, run.duration)] += 1
            durations.seconds += run.duration
        if run.stored_bytes is not None:
            sizes = self.sizes.setdefault(key, Sizes())
            sizes.number += 1
            sizes.stored_bytes += run.stored_bytes
