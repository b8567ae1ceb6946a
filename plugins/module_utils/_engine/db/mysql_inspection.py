# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What MySQL or MariaDB says of one database: settings, objects, size, and what a dump of it cannot carry.

The catalogues compare names without regard to case and accents, so each condition compares the bytes as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
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
# Text in these comes through a session in utf8mb4 byte by byte: it is not converted, or each byte has its own letter.
_UNCHANGED_AS_TEXT = {"", "utf8mb4", "latin1"}
_SMALL_BYTES = 4 * 1024**2  # up to this size in the server, two more calls of the client cost more than they save
_NAMED = 5  # how many names a warning spells out


def named(column: str) -> str:
    """Return the condition that a column is exactly the parameter ``database``."""
    return f"{column} = %(database)s AND CAST({column} AS BINARY) = CAST(%(database)s AS BINARY)"


_TABLES = f"FROM information_schema.TABLES WHERE {named('TABLE_SCHEMA')}"
_STORED = ("BASE TABLE", "SYSTEM VERSIONED")
_KINDS = {**dict.fromkeys(_STORED, "table"), "VIEW": "view", "SEQUENCE": "sequence"}
# Of each object its sort and its name, as bytes: their collations differ, so that they could not be told together.
# A trigger is in the database of its table; by that column MariaDB finds it without opening all tables of the server.
_OBJECTS = [
    f"SELECT CAST(TABLE_TYPE AS BINARY), CAST(TABLE_NAME AS BINARY) {_TABLES}",
    *(
        f"SELECT '{kind}', CAST({name} AS BINARY) FROM information_schema.{catalogue} WHERE {named(schema)}"
        for kind, name, catalogue, schema in (
            ("trigger", "TRIGGER_NAME", "TRIGGERS", "EVENT_OBJECT_SCHEMA"),
            ("routine", "CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_NAME)", "ROUTINES", "ROUTINE_SCHEMA"),
            ("event", "EVENT_NAME", "EVENTS", "EVENT_SCHEMA"),
            ("library", "LIBRARY_NAME", "LIBRARIES", "LIBRARY_SCHEMA"),
        )
    ),
]
# What tells the columns of a table from others.
_DIGEST = (
    "CRC32(CONCAT_WS(0x00, COLUMN_NAME, ORDINAL_POSITION, COLUMN_TYPE, IS_NULLABLE, EXTRA,"
    " COALESCE(COLLATION_NAME, '')))"
)
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
    tables = [
        (as_text(name), as_text(kind), engine and as_text(engine), int(size or 0))
        for name, kind, engine, size in query(
            f"SELECT TABLE_NAME, TABLE_TYPE, ENGINE, DATA_LENGTH + INDEX_LENGTH {_TABLES}", own
        )
    ]
    columns = _columns(query, database)
    size = sum(size for *_table, size in tables)
    settings["system_versioned_tables"] = sorted(name for name, kind, *_more in tables if kind == "SYSTEM VERSIONED")
    text_only = is_text_only(query, server, database, {column.type for column in columns})
    loose = [name for name, kind, engine, _size in tables if kind in _STORED and engine not in TRANSACTIONAL_ENGINES]
    return Inspection(
        settings,
        inventory,
        size,
        tuple(_warnings(server, columns, loose, settings["system_versioned_tables"], text_only)),
        text_only,
        in_one_call=size <= _SMALL_BYTES and {column.charset for column in columns} <= _UNCHANGED_AS_TEXT,
        columns=_digests((column.table, 1, column.digest) for column in columns),
    )


@dataclass(frozen=True)
class _Column:
    """A column of a table: its type and character set (empty if it has none), and a number that changes with it."""

    table: str
    name: str
    type: str
    charset: str
    digest: int


def _columns(query: Query, database: str) -> list[_Column]:
    rows = query(
        f"SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COALESCE(CHARACTER_SET_NAME, ''), {_DIGEST}"
        f" FROM information_schema.COLUMNS WHERE {named('TABLE_SCHEMA')}",
        {"database": database},
    )
    return [
        _Column(as_text(table), as_text(name), as_text(kind), as_text(charset), int(digest))
        for table, name, kind, charset, digest in rows
    ]


def read_inventory(query: Query, server: Server, database: str) -> dict[str, list[str]]:
    """Return the names of a database's objects by kind."""
    has_libraries = server.flavour == "mysql" and server.number >= (9, 2)
    queries = _OBJECTS if has_libraries else _OBJECTS[:-1]
    found: dict[str, list[str]] = {kind: [] for kind in (*_KINDS.values(), "trigger", "routine", "event")}
    if has_libraries:
        found["library"] = []
    for sort, name in query(" UNION ALL ".join(queries), {"database": database}):
        kind = _KINDS.get(as_text(sort), as_text(sort))
        if kind in found:
            found[kind].append(as_text(name))
    return {kind: sorted(names) for kind, names in found.items()}


def read_stored_tables(query: Query, database: str) -> dict[str, bool]:
    """Return the names of tables that are no views or sequences, and for each whether it keeps its rows' past."""
    rows = query(f"SELECT TABLE_NAME, TABLE_TYPE {_TABLES} ORDER BY TABLE_NAME", {"database": database})
    return {as_text(name): as_text(kind) == "SYSTEM VERSIONED" for name, kind in rows if as_text(kind) in _STORED}


def read_columns(query: Query, database: str) -> dict[str, str]:
    """Return for each table what tells its columns from others: definitions and rows are dumped one after the other."""
    rows = query(
        # By the bytes of the name: the catalogue's collation takes names for one that differ in case only.
        f"SELECT CAST(TABLE_NAME AS BINARY) AS name, COUNT(*), SUM({_DIGEST}) FROM information_schema.COLUMNS"
        f" WHERE {named('TABLE_SCHEMA')} GROUP BY name",
        {"database": database},
    )
    return _digests((as_text(name), int(count), int(digest)) for name, count, digest in rows)


def _digests(columns: Iterable[tuple[str, int, int]]) -> dict[str, str]:
    """Sum up the columns of each table: how many, and their numbers."""
    counts, digests = Counter[str](), Counter[str]()
    for table, count, digest in columns:
        counts[table] += count
        digests[table] += digest
    return {table: f"{counts[table]}/{digests[table]}" for table in counts}


def is_text_only(query: Query, server: Server, database: str, types: Set[str]) -> bool:
    """Tell whether the rows of a database can only be dumped as text in one character set, not byte by byte.

    In a session of the character set ``binary``, MySQL refuses JSON and reads the texts that bound partitions wrongly,
    MariaDB takes the text of a UUID or an address for its bytes. MySQL's client cannot name a database there that has
    letters outside ASCII.

    Args:
        query: Runs a statement with named parameters and returns its rows.
        server: The server.
        database: The database.
        types: The types of its columns.
    """
    if server.flavour == "mysql" and not database.isascii():
        return True
    if not {each.lower() for each in types} <= _TYPES_OF_BYTES:
        return True
    if server.flavour == "mariadb":
        return False
    partitions = query(
        f"SELECT PARTITION_DESCRIPTION, PARTITION_EXPRESSION, SUBPARTITION_EXPRESSION"
        f" FROM information_schema.PARTITIONS WHERE {named('TABLE_SCHEMA')} AND PARTITION_NAME IS NOT NULL",
        {"database": database},
    )
    return not all(as_text(value).isascii() for row in partitions for value in row if value is not None)


def tables_kept_elsewhere(query: Query, database: str) -> set[str]:
    """Return the tables whose rows a dump does not carry, as their engines keep none."""
    stored = f"SELECT TABLE_NAME, ENGINE {_TABLES} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')"
    return {
        as_text(name) for name, engine in query(stored, {"database": database}) if as_text(engine).lower() in _ELSEWHERE
    }


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


def _warnings(
    server: Server, columns: Sequence[_Column], loose: list[str], versioned: list[str], text_only: bool
) -> list[str]:
    """Say what a dump by the vendor's client cannot carry."""
    floats = [f"{column.table}.{column.name}" for column in columns if column.type == "float"]
    lossy = [
        f"{column.table}.{column.name}" for column in columns if text_only and column.charset in _LOSSY_CHARACTER_SETS
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


def as_text(value: Any, errors: str = "strict") -> str:
    """Return what a catalogue says as text: some catalogues' binary collations make the driver return bytes."""
    return value.decode("utf-8", errors) if isinstance(value, bytes) else str(value)
