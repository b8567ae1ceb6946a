# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is looked at, and made ready, in a PostgreSQL database that has just been restored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ..errors import ServerError
from .connection import literally
from .postgresql_inventory import NOT_SYSTEM, STORED_TABLES, Query

# The partitions of a table are analyzed with it.
_ANALYZED = (
    "SELECT format('%%I.%%I', n.nspname, o.relname) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
    " WHERE o.relkind IN ('r', 'p', 'm') AND NOT o.relispartition AND o.relpersistence <> 't'"
    f" AND {NOT_SYSTEM} ORDER BY 1"
)


def count_rows(query: Query, names: Collection[str]) -> dict[str, int]:
    """Return how many rows tables have, without those that inherit from them; extensions' tables are left out.

    Args:
        query: Runs a statement in the database.
        names: The tables, by the names that the inventory has for them.

    Raises:
        ServerError: A table cannot be read, or not in time.
    """
    counts: Counter[str] = Counter()
    for name, quoted in query(STORED_TABLES):
        if name in names:
            counts[str(name)] += int(query(literally(f"SELECT count(*) FROM ONLY {quoted}"))[0][0])
    return dict(counts)


def refresh_statistics(query: Query) -> list[str]:
    """Let the server look at its tables, so that its first plans are good ones; return in sentences what it refused.

    A dump carries no statistics (manual of PostgreSQL, section 25.1.1), and autovacuum comes by only later.
    """
    refused = []
    query("SET synchronous_commit = off")  # a crash loses what autovacuum makes again
    for (quoted,) in query(_ANALYZED):
        try:
            query(literally(f"ANALYZE {quoted}"))
        except ServerError as exc:
            refused.append(f"The statistics of {quoted} were not refreshed: {exc.message}")
    return refused
