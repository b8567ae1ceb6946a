# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dropping an incomplete database of a PostgreSQL server whose disk may be full.

``DROP DATABASE`` asks for a checkpoint before it removes a file (manual of PostgreSQL, section "WAL Configuration").
Where there is no room for what a checkpoint writes, the server panics, and does not start again before there is. Tables
that are dropped give their room back when that is committed, without a checkpoint.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from ..errors import ServerError
from .postgresql_inventory import NOT_SYSTEM, no_extension
from .postgresql_settings import quote_name

_CHECKPOINT_BYTES = 16 * 1024**2  # a checkpoint may begin another file of the log, and that is how large they are
# More of them would hardly have more room to give.
_LARGEST = (
    "SELECT n.nspname, o.relname, CASE o.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END"
    " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
    f" WHERE o.relkind IN ('r', 'm') AND {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')}"
    " ORDER BY pg_total_relation_size(o.oid) DESC LIMIT 100"
)


def make_room_to_drop(
    rows: Callable[[str], list[tuple[Any, ...]]],
    execute: Callable[[str], None],
    database: str,
    directory: Optional[Path],
) -> None:
    """See that the server has the room that it needs to drop a database.

    Args:
        rows: Runs a statement in the database and returns its rows.
        execute: Runs a statement in the database.
        database: The database, of which nothing is needed any more.
        directory: Where the server has its data, if that can be seen here.

    Raises:
        ServerError: There is not enough room.
    """
    free = _free_bytes(directory)
    if free is not None and free >= _CHECKPOINT_BYTES:
        return
    # A server without any room lets nobody into a database: "could not write init file". What counts is what is free.
    with contextlib.suppress(ServerError):
        for schema, name, kind in rows(_LARGEST):
            execute(f"DROP {kind} IF EXISTS {quote_name(schema)}.{quote_name(name)} CASCADE")
    free = _free_bytes(directory)
    if free is not None and free < _CHECKPOINT_BYTES:
        raise ServerError(
            f"The disk of {directory} is full, and without room there the server would stop while it drops a database.",
            f"Make room, then drop it: DROP DATABASE {quote_name(database)};",
        )


def _free_bytes(directory: Optional[Path]) -> Optional[int]:
    """Return how much room there is; None of a server elsewhere, or whose directory is not ours to look at."""
    try:
        return None if directory is None else shutil.disk_usage(directory).free
    except OSError:
        return None
