# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The factory for the DBMS: a static table, so that packaging sees every import."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from ..config import Instance
from ..security.credentials import Credential
from ..utils.processes import ProcessTable
from .base import Dbms
from .directory import DirectoryContent
from .mysql import END_MARKER as MYSQL_END_MARKER
from .mysql import MySql
from .mysql_loading import MySqlLoading
from .mysql_part_filter import MySqlPartFilter
from .mysql_table_filter import MySqlTableFilter
from .part_filter import PartFilter
from .postgresql import END_MARKER as POSTGRESQL_END_MARKER
from .postgresql import PostgreSql
from .postgresql_directory import PostgreSqlDirectory
from .postgresql_loading import PostgreSqlLoading
from .postgresql_part_filter import PostgreSqlPartFilter
from .postgresql_table_filter import PostgreSqlTableFilter
from .table_filter import TableFilter

DBMS: dict[str, type[Dbms]] = {"mariadb": MySql, "mysql": MySql, "postgresql": PostgreSql}
END_MARKERS: dict[str, re.Pattern[bytes]] = {
    "mariadb": MYSQL_END_MARKER,
    "mysql": MYSQL_END_MARKER,
    "postgresql": POSTGRESQL_END_MARKER,
}
# What understands the directories of a vendor's dump client of a version.
DIRECTORY_FORMATS: dict[str, Callable[[tuple[int, ...], ProcessTable], DirectoryContent]] = {
    "postgresql": PostgreSqlDirectory.of_version,
}


def create_dbms(instance: Instance, credential: Credential, processes: ProcessTable) -> Dbms:
    """Return the driver of an instance; nothing is connected yet."""
    return DBMS[instance.dbms](instance, credential, processes)


def table_filter(flavour: str, table: str) -> TableFilter:
    """Return what leaves of a dump of a kind of server only what belongs to one table, named as in the inventory."""
    if flavour == "postgresql":
        return PostgreSqlTableFilter(table, PostgreSqlLoading())
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
        return PostgreSqlPartFilter(PostgreSqlLoading(), inventory, tables, rows, encoding)
    return MySqlPartFilter(MySqlLoading(dollar_quotes=flavour == "mysql"), inventory, tables, rows)
