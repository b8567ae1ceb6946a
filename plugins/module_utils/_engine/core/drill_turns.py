# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose turn it is: which databases a scheduled drill takes, such that each is proven within a set number of days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Optional

_DAY = timedelta(days=1)
_ALMOST = timedelta(hours=12)  # a timer never comes after exactly a day


@dataclass(frozen=True)
class Candidate:
    """A database that has an artifact.

    Attributes:
        database_id: The instance.
        database: The database.
        waiting_since: When it last passed a drill; else when it could first have been drilled.
        tried_at: When it was drilled last, however that ended.
    """

    database_id: str
    database: str
    waiting_since: datetime
    tried_at: Optional[datetime] = None


def choose_due(candidates: Sequence[Candidate], every_days: int, now: datetime) -> list[Candidate]:
    """Return the databases to drill now, the one that waits longest first.

    Each day its share: with 60 databases and 30 days, two. Those that would otherwise come too late come too. What has
    been tried within the last half day is left for tomorrow.

    Args:
        candidates: All databases that have an artifact.
        every_days: Within how many days each is to pass a drill.
        now: The present.
    """
    waiting = sorted(candidates, key=lambda each: (each.waiting_since, each.database_id, each.database))
    waiting = [each for each in waiting if each.tried_at is None or now - each.tried_at > _ALMOST]
    share = math.ceil(len(candidates) / every_days)
    late = now + _DAY - timedelta(days=every_days)
    return [each for number, each in enumerate(waiting) if number < share or each.waiting_since <= late]
