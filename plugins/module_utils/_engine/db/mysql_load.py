# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How busy a server of MySQL or MariaDB is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import PrivilegeError
from .base import Load, Server

NamedRows = Callable[[str], Sequence[Mapping[str, Any]]]

# States of a session that makes keys of many rows by one statement; in none of them does it wait for another's lock
# (manuals of MySQL, section 10.14, and of MariaDB, "General Thread States").
_MAKES_KEYS = re.compile(r"Repair |manage keys|altering table|copy to tmp table", re.IGNORECASE)
_WAITS = re.compile(r"Waiting |User lock", re.IGNORECASE)
_DATABASE, _STATE, _STATEMENT = 3, 6, 7  # columns of SHOW PROCESSLIST
# By this the list of sessions tells a statement that copies all rows of a table from others.
COPIES = "INSERT /* vya-backupdb */ INTO "


def read_load(query: NamedRows, server: Server, replication: bool) -> Load:
    """Ask how many statements are at work, this one not counted, and how far a replica is behind its sources.

    Args:
        query: Runs a statement and returns its rows by the names of their columns.
        server: The server.
        replication: Whether to ask for replication, too.

    Raises:
        PrivilegeError: The account may not ask for the state of replication.
        ServerError: The server cannot be asked.
    """
    running = int(query("SHOW GLOBAL STATUS LIKE 'Threads_running'")[0]["Value"]) - 1
    lags = [_seconds_behind(row) for row in _sources(query, server)] if replication else []
    return Load(max(0, running), max(lags, default=0.0))


def works_long(sessions: Iterable[Sequence[Any]], database: str) -> bool:
    """Whether a session in a database is at work on very many rows by one statement.

    That is where it makes keys of rows that are there already, or copies rows for us, and waits for no lock.

    Args:
        sessions: What SHOW PROCESSLIST says.
        database: The database.
    """
    return any(
        each[_DATABASE] == database and _is_long(str(each[_STATE] or ""), str(each[_STATEMENT] or ""))
        for each in sessions
    )


def _is_long(state: str, statement: str) -> bool:
    if _MAKES_KEYS.match(state):
        return True
    return statement.startswith(COPIES) and not _WAITS.match(state)


def _sources(query: NamedRows, server: Server) -> Sequence[Mapping[str, Any]]:
    if server.flavour == "mariadb":
        what, privilege = "ALL SLAVES", "SLAVE MONITOR"
    else:
        what, privilege = "REPLICA" if server.number >= (8, 0, 22) else "SLAVE", "REPLICATION CLIENT"
    try:
        return query(f"SHOW {what} STATUS")
    except PrivilegeError as exc:
        raise PrivilegeError(
            f"How far replication is behind cannot be found out. {exc.message}",
            f"Grant the account {privilege}, or take limits.hold_back.replication_lag out of the policy.",
        ) from None


def _seconds_behind(row: Mapping[str, Any]) -> float:
    seconds = next((value for name, value in row.items() if name.startswith("Seconds_Behind_")), None)
    return float("inf") if seconds is None else float(seconds)  # NULL: one of its threads does not run
