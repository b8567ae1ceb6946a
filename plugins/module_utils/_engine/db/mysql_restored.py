# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is looked at, and made ready, in a MySQL or MariaDB database that has just been restored."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import ServerError
from .connection import literally
from .mysql_grants import quote_name
from .mysql_inspection import Query, read_stored_tables


def count_rows(query: Query, database: str, names: Collection[str]) -> dict[str, int]:
    """Return how many rows tables have; of system-versioned ones those of the past are counted too, as dumps have them.

    Args:
        query: Runs a statement.
        database: The database.
        names: The tables.

    Raises:
        ServerError: A table cannot be read, or not in time.
    """
    counts = {}
    for name, versioned in read_stored_tables(query, database).items():
        if name in names:
            history = " FOR SYSTEM_TIME ALL" if versioned else ""
            statement = f"SELECT COUNT(*) FROM {quote_name(database)}.{quote_name(name)}{history}"
            counts[name] = int(query(literally(statement))[0][0])
    return counts


def refresh_statistics(query: Query, database: str) -> list[str]:
    """Let the server look at its tables, so that its first plans are good ones; return in sentences what it refused."""
    refused = []
    for name in read_stored_tables(query, database):
        try:
            answers = query(literally(f"ANALYZE TABLE {quote_name(database)}.{quote_name(name)}"))
            problems = [str(said) for _table, _operation, kind, said in answers if str(kind).lower() == "error"]
        except ServerError as exc:
            problems = [exc.message]
        refused += [f"The statistics of {name} were not refreshed: {problem}" for problem in problems]
    return refused
