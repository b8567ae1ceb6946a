# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How busy a PostgreSQL server is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ServerError
from .base import Load

# Of other roles' sessions, those who lack the privilege see neither what they do nor that they do anything.
_RUNNING = (
    "SELECT count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE state IS NULL) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
# A standby that has replayed all that it has received is not behind, however long ago that was.
_STANDBY = (
    "SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
    " ELSE EXTRACT(EPOCH FROM now() - pg_last_xact_replay_timestamp()) END"
)
_STANDBYS = "SELECT max(EXTRACT(EPOCH FROM replay_lag)), count(*) FILTER (WHERE state IS NULL) FROM pg_stat_replication"


def read_load(query: Callable[[str], list[tuple[Any, ...]]], replication: bool) -> Load:
    """Ask how many statements are at work, this one not counted, and how far a standby, or the standbys, are behind.

    Args:
        query: Runs a statement and returns its rows.
        replication: Whether to ask for replication, too.

    Raises:
        ServerError: The role may not see what others do.
    """
    running, hidden = query(_RUNNING)[0]
    lag: Any = None
    if replication and query("SELECT pg_is_in_recovery()")[0][0]:
        lag = query(_STANDBY)[0][0]
    elif replication:
        lag, more = query(_STANDBYS)[0]
        hidden += more
    if hidden:
        raise ServerError(
            "How busy the server is cannot be found out: the role may not see what others do in it.",
            "Grant it pg_read_all_stats, or take limits.hold_back out of the policy.",
        )
    return Load(int(running), float(lag or 0))
