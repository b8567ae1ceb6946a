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

SCHEMA_VERSION = 2
_INDEXED = ("sequence", "kind", "started_at")
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
            index=name in _INDEXED or None,
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
    from sqlalchemy.schema import CreateIndex, CreateTable

    connection.execute(CreateTable(table, if_not_exists=True))
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        connection.execute(CreateIndex(index, if_not_exists=True))
