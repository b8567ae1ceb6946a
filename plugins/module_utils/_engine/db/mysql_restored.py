# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is looked at, and made ready, in a MySQL or MariaDB database that has just been restored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

from ..errors import ServerError
from .connection import literally
from .mysql_grants import quote_name
from .mysql_inspection import Query, read_stored_tables
from .several import by_several

Opened = Callable[[], AbstractContextManager[Query]]


def count_rows(
    query: Query, opened: Opened, database: str, rows: Mapping[str, int], connections: int
) -> dict[str, int]:
    """Return how many rows tables have; of system-versioned ones those of the past are counted too, as dumps have them.

    Args:
        query: Runs a statement.
        opened: Opens another connection.
        database: The database.
        rows: About how many rows each of these tables has.
        connections: How many connections may count at a time.

    Raises:
        ServerError: A table cannot be read, or not in time.
    """
    versioned = read_stored_tables(query, database)
    names = _largest_first((name for name in versioned if name in rows), rows)

    def count(own: Query, name: str) -> int:
        history = " FOR SYSTEM_TIME ALL" if versioned[name] else ""
        statement = f"SELECT COUNT(*) FROM {quote_name(database)}.{quote_name(name)}{history}"
        return int(own(literally(statement))[0][0])

    return dict(zip(names, by_several(query, opened, names, count, connections), strict=True))


def refresh_statistics(
    query: Query, opened: Opened, database: str, rows: Mapping[str, int], connections: int
) -> list[str]:
    """Let the server look at its tables, so that its first plans are good ones; return in sentences what it refused.

    Args:
        query: Runs a statement.
        opened: Opens another connection.
        database: The database.
        rows: About how many rows tables have, as far as that is known.
        connections: How many connections may look at a time.
    """
    names = _largest_first(read_stored_tables(query, database), rows)

    def analyze(own: Query, name: str) -> list[str]:
        try:
            answers = own(literally(f"ANALYZE TABLE {quote_name(database)}.{quote_name(name)}"))
        except ServerError as exc:
            return [exc.message]
        return [str(said) for _table, _operation, kind, said in answers if str(kind).lower() == "error"]

    return [
        f"The statistics of {name} were not refreshed: {problem}"
        for name, problems in zip(names, by_several(query, opened, names, analyze, connections), strict=True)
        for problem in problems
    ]


def _largest_first(names: Iterable[str], rows: Mapping[str, int]) -> list[str]:
    return sorted(names, key=lambda name: -rows.get(name, 0))
