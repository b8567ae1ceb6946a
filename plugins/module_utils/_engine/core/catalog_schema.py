# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog's tables, made at first use and brought up to date after an upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

SCHEMA_VERSION = 2


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
