# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog's tables, made at first use and brought up to date after an upgrade."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table, TextClause

SCHEMA_VERSION = 3
# Seconds, from a small database to the longest night; a change needs a new schema version, as totals are kept by them.
DURATION_LIMITS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200)
# The columns of the table of runs in their order: whether each is text, and whether it may be empty.
_COLUMNS = {
    "run_id": (True, False),
    "sequence": (False, True),
    "kind": (True, False),
    "database_id": (True, False),
    "database": (True, False),
    "policy": (True, True),
    "trigger": (True, False),
    "user": (True, False),
    "started_at": (True, False),
    "ended_at": (True, True),
    "outcome": (True, False),
    "artifact": (True, True),
    "stored_bytes": (False, True),
    "plain_bytes": (False, True),
    "error": (True, True),
    "process": (True, False),
    "reason": (True, True),
    "server_bytes": (False, True),
    "traces": (True, True),
}


COLUMN_NAMES = tuple(_COLUMNS)
_NAMES = ", ".join(f'"{name}"' for name in COLUMN_NAMES)  # some are words of SQL
_NEXT = "(SELECT COALESCE(MAX(sequence), 0) + 1 FROM runs)"
SELECT = f"SELECT {_NAMES} FROM runs"
INSERT = f"INSERT INTO runs ({_NAMES}) VALUES ({', '.join(_NEXT if n == 'sequence' else f':{n}' for n in _COLUMNS)})"
_UNDER_WAY = "outcome = 'running'"  # as it stands, so that SQLite sees that the index of those runs will do
SELECT_UNDER_WAY = f"{SELECT} WHERE {_UNDER_WAY} ORDER BY sequence DESC"
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS ix_runs_sequence ON runs (sequence)",
    'CREATE INDEX IF NOT EXISTS runs_of_database ON runs (kind, database_id, "database", sequence)',
    f"CREATE INDEX IF NOT EXISTS runs_under_way ON runs (outcome) WHERE {_UNDER_WAY}",
    "DROP INDEX IF EXISTS ix_runs_kind",
    "DROP INDEX IF EXISTS ix_runs_started_at",
)

# What has been added up of all runs that have ended, so that nobody needs to read them all again. A drill of another
# host's artifact is not among them: it says nothing of the database that has the same names here.
TOTALLED = 'kind, database_id, "database", outcome'
# Rounded: SQLite counts days, exactly to a tenth of a millisecond. A clock that was set back takes nothing away.
_ENDED = (
    "SELECT *, MAX(0.0, ROUND((julianday(ended_at) - julianday(started_at)) * 86400, 3)) AS took FROM runs"
    """ WHERE {} AND json_extract(COALESCE(traces, '{{}}'), '$.origin') IS NULL"""
    " LIMIT -1"  # which keeps SQLite from working out the seconds anew wherever they are asked for
)
_SUMS = {
    "runs": "COUNT(*)",
    "seconds": "SUM(took)",
    "sized": "COUNT(stored_bytes)",
    "stored_bytes": "COALESCE(SUM(stored_bytes), 0)",
    **{f"within_{limit}": f"SUM(took <= {limit})" for limit in DURATION_LIMITS},
}
_CREATE_TOTALS = (
    "CREATE TABLE IF NOT EXISTS totals"
    ' (kind VARCHAR NOT NULL, database_id VARCHAR NOT NULL, "database" VARCHAR NOT NULL, outcome VARCHAR NOT NULL,'
    f" {', '.join(f'{name} NUMERIC NOT NULL' for name in _SUMS)}, last INTEGER NOT NULL,"
    f" PRIMARY KEY ({TOTALLED})) WITHOUT ROWID"
)
_ADD_UP = (
    f"INSERT INTO totals ({TOTALLED}, {', '.join(_SUMS)}, last)"
    f" SELECT {TOTALLED}, {', '.join(_SUMS.values())}, MAX(sequence) FROM ({_ENDED}) WHERE TRUE"
    f" GROUP BY {TOTALLED} ON CONFLICT ({TOTALLED}) DO UPDATE SET"
    f" {', '.join(f'{name} = {name} + excluded.{name}' for name in _SUMS)}, last = MAX(last, excluded.last)"
)
# In the database, so that a run counts too which ends in a process of an earlier engine, while this one is installed.
_COUNT_AT_ITS_END = (
    "CREATE TRIGGER IF NOT EXISTS run_ended AFTER UPDATE OF outcome ON runs"
    f" WHEN OLD.{_UNDER_WAY} AND NOT NEW.{_UNDER_WAY} BEGIN {_ADD_UP.format('run_id = NEW.run_id')}; END"
)
SELECT_TOTALS = f"SELECT {TOTALLED}, {', '.join(_SUMS)} FROM totals"


@functools.lru_cache(maxsize=64)
def statement(sql: str) -> TextClause:
    """Return SQL with named parameters as SQLAlchemy takes it: composing expressions anew each time costs more."""
    from sqlalchemy import text

    return text(sql)


@functools.cache
def runs_table() -> Table:
    """Return the table ``runs``; moments are text in ISO 8601 and UTC, so that they sort and any tool can read them."""
    from sqlalchemy import Column, Integer, MetaData, String, Table

    columns = (
        Column(
            name,
            String() if text else Integer(),
            primary_key=name == "run_id",
            nullable=empty,
        )
        for name, (text, empty) in _COLUMNS.items()
    )
    return Table("runs", MetaData(), *columns)


def bring_up_to_date(engine: Engine, table: Table, path: Path) -> None:
    """Make the table of runs, or add what later versions of the engine have added to it.

    Args:
        engine: The catalog.
        table: The table of runs as it should be.
        path: The catalog's file, for messages.

    Raises:
        StorageError: The catalog is of a later version.
    """
    with engine.connect() as connection:
        if _version(connection, path) == SCHEMA_VERSION:
            return
        # Two processes may come here at once, so the database itself decides who goes first.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        version = _version(connection, path)
        if version == 1:
            _add_columns(connection, table, ("sequence", "reason", "server_bytes", "traces"))
            connection.exec_driver_sql(f"UPDATE {table.name} SET sequence = rowid")
        if version < SCHEMA_VERSION:
            _create(connection, table)
            connection.exec_driver_sql(_ADD_UP.format(f"NOT {_UNDER_WAY}"))
            connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.commit()


def _version(connection: Connection, path: Path) -> int:
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"The catalog {path} has schema version {version}; this engine knows {SCHEMA_VERSION}.",
            "Upgrade the engine by applying the role vya.backupdb.runtime.",
        )
    return version


def _add_columns(connection: Connection, table: Table, names: tuple[str, ...]) -> None:
    for name in names:
        kind = table.columns[name].type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {name} {kind}")


def _create(connection: Connection, table: Table) -> None:
    from sqlalchemy.schema import CreateTable

    connection.execute(CreateTable(table, if_not_exists=True))
    for sql in (*_INDEXES, _CREATE_TOTALS, _COUNT_AT_ITS_END):
        connection.exec_driver_sql(sql)
