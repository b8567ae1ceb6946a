# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What MySQL or MariaDB says of one database: settings, objects, size, and what a dump of it cannot carry.

The catalogues compare names without regard to case and accents, so each condition compares the bytes as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .base import Inspection, Server

Query = Callable[..., list[tuple[Any, ...]]]

TRANSACTIONAL_ENGINES = ("InnoDB", "ROCKSDB", "TokuDB", "ndbcluster", "SEQUENCE")
# Found by trying: their mapping to Unicode, in which the clients dump, is not one-to-one.
_LOSSY_CHARACTER_SETS = (
    "armscii8",
    "big5",
    "cp1250",
    "cp1251",
    "cp1256",
    "cp1257",
    "cp932",
    "dec8",
    "eucjpms",
    "euckr",
    "gbk",
    "geostd8",
    "greek",
    "hebrew",
    "hp8",
    "sjis",
    "swe7",
    "tis620",
    "ujis",
)
# What a server takes back from a session of the character set "binary" exactly as the dump client got it there.
_TYPES_OF_BYTES = {
    *("bit", "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year", "date", "time"),
    *(
        "datetime",
        "timestamp",
        "char",
        "varchar",
        "tinytext",
        "text",
        "mediumtext",
        "longtext",
        "enum",
        "set",
        "binary",
    ),
    *("varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry", "point", "linestring", "polygon"),
    *("multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection"),
}
_NAMED = 5  # how many names a warning spells out


def named(column: str) -> str:
    """Return the condition that a column is exactly the parameter ``database``."""
    return f"{column} = %(database)s AND CAST({column} AS BINARY) = CAST(%(database)s AS BINARY)"


_TABLES = f"FROM information_schema.TABLES WHERE {named('TABLE_SCHEMA')}"
_STORED = f"{_TABLES} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')"
_INVENTORY = {
    "table": f"SELECT TABLE_NAME {_STORED}",
    "view": f"SELECT TABLE_NAME {_TABLES} AND TABLE_TYPE = 'VIEW'",
    "sequence": f"SELECT TABLE_NAME {_TABLES} AND TABLE_TYPE = 'SEQUENCE'",
    "trigger": f"SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE {named('TRIGGER_SCHEMA')}",
    "routine": "SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_NAME) FROM information_schema.ROUTINES"
    f" WHERE {named('ROUTINE_SCHEMA')}",
    "event": f"SELECT EVENT_NAME FROM information_schema.EVENTS WHERE {named('EVENT_SCHEMA')}",
}
_LIBRARIES = f"SELECT LIBRARY_NAME FROM information_schema.LIBRARIES WHERE {named('LIBRARY_SCHEMA')}"
# Engines that show what is stored in other tables, or on other servers: the clients dump no rows of theirs.
_ELSEWHERE = ("mrg_myisam", "mrg_isam", "connect", "oqgraph", "spider", "vp", "federated")


def inspect_database(query: Query, server: Server, database: str) -> Inspection | None:
    """Return what there is to know of a database; None where there is none of exactly that name.

    Args:
        query: Runs a statement with named parameters and returns its rows.
        server: The server.
        database: The database.

    Raises:
        ServerError: The server cannot be asked.
    """
    own = {"database": database}
    settings = database_settings(query, server, database)
    if not settings:
        return None
    inventory = read_inventory(query, server, database)
    size = query(f"SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) {_TABLES}", own)[0][0]
    versioned = [
        _text(row[0]) for row in query(f"SELECT TABLE_NAME {_TABLES} AND TABLE_TYPE = 'SYSTEM VERSIONED'", own)
    ]
    settings["system_versioned_tables"] = sorted(versioned)
    text_only = is_text_only(query, server, database)
    warnings = _warnings(query, server, own, versioned, text_only)
    return Inspection(settings, inventory, int(size), tuple(warnings), text_only)


def read_inventory(query: Query, server: Server, database: str) -> dict[str, list[str]]:
    """Return the names of a database's objects by kind."""
    queries = dict(_INVENTORY)
    if server.flavour == "mysql" and server.number >= (9, 2):
        queries["library"] = _LIBRARIES
    own = {"database": database}
    return {kind: sorted(_text(row[0]) for row in query(sql, own)) for kind, sql in queries.items()}


def read_columns(query: Query, database: str) -> dict[str, str]:
    """Return for each table what tells its columns from others: definitions and rows are dumped one after the other."""
    described = "COLUMN_NAME, ORDINAL_POSITION, COLUMN_TYPE, IS_NULLABLE, EXTRA, COALESCE(COLLATION_NAME, '')"
    rows = query(
        f"SELECT TABLE_NAME, COUNT(*), SUM(CRC32(CONCAT_WS(0x00, {described}))) FROM information_schema.COLUMNS"
        f" WHERE {named('TABLE_SCHEMA')} GROUP BY TABLE_NAME",
        {"database": database},
    )
    return {_text(name): f"{count}/{digest}" for name, count, digest in rows}


def is_text_only(query: Query, server: Server, database: str) -> bool:
    """Tell whether the rows of a database can only be dumped as text in one character set, not byte by byte.

    In a session of the character set ``binary``, MySQL refuses JSON and reads the texts that bound partitions wrongly,
    MariaDB takes the text of a UUID or an address for its bytes. MySQL's client cannot name a database there that has
    letters outside ASCII.
    """
    if server.flavour == "mysql" and not database.isascii():
        return True
    own = {"database": database}
    types = query(f"SELECT DISTINCT DATA_TYPE FROM information_schema.COLUMNS WHERE {named('TABLE_SCHEMA')}", own)
    if not {_text(row[0]).lower() for row in types} <= _TYPES_OF_BYTES:
        return True
    if server.flavour == "mariadb":
        return False
    partitions = query(
        f"SELECT PARTITION_DESCRIPTION, PARTITION_EXPRESSION, SUBPARTITION_EXPRESSION"
        f" FROM information_schema.PARTITIONS WHERE {named('TABLE_SCHEMA')} AND PARTITION_NAME IS NOT NULL",
        own,
    )
    return not all(_text(value).isascii() for row in partitions for value in row if value is not None)


def tables_kept_elsewhere(query: Query, database: str) -> set[str]:
    """Return the tables whose rows a dump does not carry, as their engines keep none."""
    engines = query(f"SELECT TABLE_NAME, ENGINE {_STORED}", {"database": database})
    return {_text(name) for name, engine in engines if _text(engine).lower() in _ELSEWHERE}


def database_settings(query: Query, server: Server, database: str) -> dict[str, Any]:
    """Return the settings of the database itself; none where there is no such database."""
    columns = {"character_set": "DEFAULT_CHARACTER_SET_NAME", "collation": "DEFAULT_COLLATION_NAME"}
    if server.flavour == "mariadb" and server.number >= (10, 5):
        columns["comment"] = "SCHEMA_COMMENT"
    if server.flavour == "mysql" and server.number >= (8, 0, 16):
        columns["encryption"] = "DEFAULT_ENCRYPTION"
    own = {"database": database}
    chosen = ", ".join(columns.values())
    rows = query(f"SELECT {chosen} FROM information_schema.SCHEMATA WHERE {named('SCHEMA_NAME')}", own)
    if not rows:
        return {}
    settings = {key: str(value) for key, value in zip(columns, rows[0], strict=True) if value not in (None, "")}
    if server.flavour == "mysql" and server.number >= (8, 0, 22):
        options = query(f"SELECT OPTIONS FROM information_schema.SCHEMATA_EXTENSIONS WHERE {named('SCHEMA_NAME')}", own)
        settings["read_only"] = str("READ ONLY=1" in str(options[0][0] or "")) if options else "False"
    return settings


def _warnings(query: Query, server: Server, own: dict[str, str], versioned: list[str], text_only: bool) -> list[str]:
    """Say what a dump by the vendor's client cannot carry."""
    engines = query(f"SELECT TABLE_NAME, ENGINE {_STORED}", own)
    loose = [_text(name) for name, engine in engines if engine and engine not in TRANSACTIONAL_ENGINES]
    columns = query(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS"
        f" WHERE {named('TABLE_SCHEMA')} AND (DATA_TYPE = 'float' OR CHARACTER_SET_NAME IS NOT NULL)",
        own,
    )
    floats = [f"{_text(table)}.{_text(column)}" for table, column, kind, _charset in columns if _text(kind) == "float"]
    lossy = [
        f"{_text(table)}.{_text(column)}"
        for table, column, _kind, charset in columns
        if text_only and charset and _text(charset) in _LOSSY_CHARACTER_SETS
    ]
    has_history = server.flavour == "mariadb" and server.number >= (10, 11)
    found = {
        "Tables without transactions may hold rows of different moments": loose,
        "This server's client cannot dump the history of system-versioned tables": [] if has_history else versioned,
        "FLOAT columns come back with the six digits that the dump client writes": floats,
        "Text in character sets without a one-to-one mapping to Unicode may come back changed": lossy,
    }
    return [f"{what}: {_listed(names)}." for what, names in found.items() if names]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(sorted(names)[:_NAMED]) + more


def _text(value: Any) -> str:
    """Some catalogues' binary collations make the driver return bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
