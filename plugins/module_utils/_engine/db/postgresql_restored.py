# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is looked at, and made ready, in a PostgreSQL database that has just been restored."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from ..errors import ServerError
from .connection import literally
from .postgresql_inventory import NOT_SYSTEM, STORED_TABLES, Query
from .several import by_several

# The partitions of a table are analyzed with it; how many rows they have, only they say.
_ANALYZED = (
    "SELECT n.nspname || '.' || o.relname, format('%%I.%%I', n.nspname, o.relname), o.relkind = 'p' FROM pg_class o"
    " JOIN pg_namespace n ON n.oid = o.relnamespace"
    " WHERE o.relkind IN ('r', 'p', 'm') AND NOT o.relispartition AND o.relpersistence <> 't'"
    f" AND {NOT_SYSTEM} ORDER BY 1"
)
_NO_WAIT = "SET synchronous_commit = off"  # a crash loses what autovacuum makes again

Opened = Callable[[], AbstractContextManager[Query]]


def count_rows(query: Query, opened: Opened, rows: Mapping[str, int], connections: int) -> dict[str, int]:
    """Return how many rows tables have, without those that inherit from them; extensions' tables are left out.

    Args:
        query: Runs a statement in the database.
        opened: Opens another connection to it.
        rows: About how many rows each of these tables has, by the names that the inventory has for them.
        connections: How many connections may count at a time.

    Raises:
        ServerError: A table cannot be read, or not in time.
    """
    tables = [(str(name), str(quoted)) for name, quoted in query(STORED_TABLES) if name in rows]
    tables.sort(key=lambda table: -rows[table[0]])

    def count(own: Query, table: tuple[str, str]) -> int:
        return int(own(literally(f"SELECT count(*) FROM ONLY {table[1]}"))[0][0])

    counts: Counter[str] = Counter()
    for (name, _quoted), found in zip(tables, by_several(query, opened, tables, count, connections), strict=True):
        counts[name] += found
    return dict(counts)


def refresh_statistics(query: Query, opened: Opened, rows: Mapping[str, int], connections: int) -> list[str]:
    """Let the server look at its tables, so that its first plans are good ones; return in sentences what it refused.

    A dump carries no statistics (manual of PostgreSQL, section 25.1.1), and autovacuum comes by only later.

    Args:
        query: Runs a statement in the database.
        opened: Opens another connection to it.
        rows: About how many rows tables have, as far as that is known.
        connections: How many connections may look at a time.
    """

    @contextlib.contextmanager
    def opened_likewise() -> Iterator[Query]:
        with opened() as own:
            own(_NO_WAIT)
            yield own

    query(_NO_WAIT)
    found = sorted(query(_ANALYZED), key=lambda table: (not table[2], -rows.get(str(table[0]), 0)))
    tables = [str(quoted) for _name, quoted, _partitioned in found]

    def analyze(own: Query, quoted: str) -> str:
        try:
            own(literally(f"ANALYZE {quoted}"))
        except ServerError as exc:
            return f"The statistics of {quoted} were not refreshed: {exc.message}"
        return ""

    return list(filter(None, by_several(query, opened_likewise, tables, analyze, connections)))
