# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The factory for the DBMS: static tables, so that packaging sees every import.

What belongs to one kind of server is imported when the first of that kind is asked for: a command that works on
another kind neither waits for it nor keeps it in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from ..config import Instance
from ..security.credentials import Credential
from ..utils.processes import ProcessTable
from .base import Dbms
from .directory import DirectoryContent
from .part_filter import PartFilter
from .table_filter import TableFilter


def _mysql(instance: Instance, credential: Credential, processes: ProcessTable) -> Dbms:
    from .mysql import MySql

    return MySql(instance, credential, processes)


def _postgresql(instance: Instance, credential: Credential, processes: ProcessTable) -> Dbms:
    from .postgresql import PostgreSql

    return PostgreSql(instance, credential, processes)


def _postgresql_directory(version: tuple[int, ...], processes: ProcessTable) -> DirectoryContent:
    from .postgresql_directory import PostgreSqlDirectory

    return PostgreSqlDirectory.of_version(version, processes)


DBMS: dict[str, Callable[[Instance, Credential, ProcessTable], Dbms]] = {
    "mariadb": _mysql,
    "mysql": _mysql,
    "postgresql": _postgresql,
}
# What understands the directories of a vendor's dump client of a version.
DIRECTORY_FORMATS: dict[str, Callable[[tuple[int, ...], ProcessTable], DirectoryContent]] = {
    "postgresql": _postgresql_directory,
}


def create_dbms(instance: Instance, credential: Credential, processes: ProcessTable) -> Dbms:
    """Return the driver of an instance; nothing is connected yet."""
    return DBMS[instance.dbms](instance, credential, processes)


def table_filter(flavour: str, table: str, encoding: str = "UTF8") -> TableFilter:
    """Return what leaves of a dump of a kind of server only what belongs to one table.

    Args:
        flavour: The kind of server.
        table: The table as in the inventory.
        encoding: That of the dump, by the server's name.
    """
    if flavour == "postgresql":
        from .postgresql_loading import PostgreSqlLoading
        from .postgresql_table_filter import PostgreSqlTableFilter

        return PostgreSqlTableFilter(table, PostgreSqlLoading(), encoding)
    from .mysql_loading import MySqlLoading
    from .mysql_table_filter import MySqlTableFilter

    return MySqlTableFilter(table, MySqlLoading(dollar_quotes=flavour == "mysql"))


def part_filter(
    flavour: str, inventory: Mapping[str, Collection[str]], tables: Sequence[str], rows: bool, encoding: str = "UTF8"
) -> PartFilter:
    """Return what leaves of a dump of a kind of server a part that can be restored by itself.

    Args:
        flavour: The kind of server.
        inventory: The names of the dump's objects by kind.
        tables: The tables that are wanted; everything where there are none.
        rows: Whether rows are wanted.
        encoding: Of a dump of PostgreSQL, by the server's name.
    """
    if flavour == "postgresql":
        from .postgresql_loading import PostgreSqlLoading
        from .postgresql_part_filter import PostgreSqlPartFilter

        return PostgreSqlPartFilter(PostgreSqlLoading(), inventory, tables, rows, encoding)
    from .mysql_loading import MySqlLoading
    from .mysql_part_filter import MySqlPartFilter

    return MySqlPartFilter(MySqlLoading(dollar_quotes=flavour == "mysql"), inventory, tables, rows)
