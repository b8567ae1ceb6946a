# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How busy a PostgreSQL server is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import PrivilegeError
from .base import Load

# Of other roles' sessions, those who lack the privilege see neither what they do nor that they do anything.
_MAY_SEE = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"
_RUNNING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()"
)
# A standby that has replayed all that it has received is not behind, however long ago that was, as long as it receives
# anything. One that is fed from an archive receives nothing: what is known of it is when its newest transaction was.
_STANDBY = (
    "SELECT CASE WHEN receives AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
    " WHEN receives OR pg_last_wal_receive_lsn() IS NULL"
    " THEN EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END"
    " FROM (SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) AS receives) AS state"
)
_STANDBYS = "SELECT COALESCE(max(EXTRACT(EPOCH FROM replay_lag)), 0) FROM pg_stat_replication"


def read_load(query: Callable[[str], list[tuple[Any, ...]]], replication: bool) -> Load:
    """Ask how many statements are at work, this one not counted, and how far a standby, or the standbys, are behind.

    A standby that has lost its primary is infinitely far behind. A primary knows of no standby that is not connected.

    Args:
        query: Runs a statement and returns its rows.
        replication: Whether to ask for replication, too.

    Raises:
        PrivilegeError: The role may not see what others do.
    """
    if not query(_MAY_SEE)[0][0]:
        raise PrivilegeError(
            "How busy the server is cannot be found out: the role may not see what others do in it.",
            "Grant it pg_read_all_stats, or take limits.hold_back out of the policy.",
        )
    running = int(query(_RUNNING)[0][0])
    if not replication:
        return Load(running)
    is_standby = query("SELECT pg_is_in_recovery()")[0][0]
    (lag,) = query(_STANDBY if is_standby else _STANDBYS)[0]
    return Load(running, float("inf") if lag is None else float(lag))
