# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The objects of one PostgreSQL database, and by which words ``pg_dump`` names each in a dump."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Query = Callable[[str], Sequence[Sequence[Any]]]

ROWS = "rows"  # the kind of entry that carries a table's rows

NOT_SYSTEM = (
    "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%'"
    " AND n.nspname NOT LIKE 'pg\\_temp%%'"
)


def no_extension(catalog: str, oid: str) -> str:
    """Return the condition that an object is not an extension's."""
    return (
        f"NOT EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = '{catalog}'::regclass AND x.objid = {oid}"
        " AND x.deptype = 'e')"
    )


def _relations(kind: str, relkinds: str, label: str) -> str:
    return (
        f"SELECT '{kind}', n.nspname || '.' || o.relname, '{label}', o.relname::text, n.nspname::text, true"
        " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
        f" WHERE o.relkind IN ({relkinds}) AND {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')}"
    )


def _of_table(kind: str, catalog: str, table: str, name: str, display: str, label: str, condition: str) -> str:
    """Return the query of what belongs to a table and is named after it."""
    return (
        f"SELECT '{kind}', {display}, '{label}', c.relname || ' ' || o.{name}, n.nspname::text,"
        f" {no_extension('pg_class', 'c.oid')} AND {no_extension(catalog, 'o.oid')} AND {condition}"
        f" FROM {catalog} o JOIN pg_class c ON c.oid = o.{table} JOIN pg_namespace n ON n.oid = c.relnamespace"
    )


def _global(kind: str, catalog: str, name: str, label: str, required: str) -> str:
    return f"SELECT '{kind}', o.{name}::text, '{label}', o.{name}::text, '-', {required} FROM {catalog} o"


# Each query returns kind, name, and the entry's type, name and schema in the dump; and whether the dump must have it:
# what an extension brings, what every database begins with, and what comes with something else may be absent.
# (Names are cast: where texts and names meet, PostgreSQL makes names of both, which are cut to 63 bytes.)
_SCHEMAS = (
    "SELECT 'schema', n.nspname::text, 'SCHEMA', n.nspname::text, '-', n.nspname <> 'public' AND"
    f" {no_extension('pg_namespace', 'n.oid')} FROM pg_namespace n WHERE {NOT_SYSTEM}"
)
_INDEXES = (
    "SELECT 'index', n.nspname || '.' || o.relname, CASE WHEN k.oid IS NULL THEN 'INDEX' ELSE 'CONSTRAINT' END,"
    " CASE WHEN k.oid IS NULL THEN o.relname::text ELSE c.relname || ' ' || k.conname END, n.nspname::text,"
    f" {no_extension('pg_class', 'c.oid')}"
    " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace JOIN pg_index i ON i.indexrelid = o.oid"
    " JOIN pg_class c ON c.oid = i.indrelid"
    " LEFT JOIN pg_constraint k ON k.conindid = o.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')"
    f" WHERE {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')} AND (i.indisvalid OR o.relkind = 'I')"
)
_ARGUMENT_TYPES = "array_to_string(ARRAY(SELECT format_type(t, NULL) FROM unnest(o.proargtypes) t), ', ')"
_ROUTINES = (
    "SELECT 'routine', n.nspname || '.' || o.proname || '(' || coalesce(pg_get_function_identity_arguments(o.oid), '')"
    " || ')', CASE o.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END,"
    f" o.proname || '(' || CASE WHEN o.prokind = 'a' AND o.pronargs = 0 THEN '*' ELSE {_ARGUMENT_TYPES} END || ')',"
    " n.nspname::text, NOT EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = 'pg_proc'::regclass AND x.objid = o.oid"
    " AND x.deptype = 'i') FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace"
    f" WHERE {NOT_SYSTEM} AND {no_extension('pg_proc', 'o.oid')}"
)
_TYPES = (
    "SELECT 'type', n.nspname || '.' || o.typname, CASE o.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,"
    " o.typname::text, n.nspname::text, true FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace"
    f" WHERE {NOT_SYSTEM} AND {no_extension('pg_type', 'o.oid')} AND (o.typtype IN ('d', 'e', 'r')"
    " OR (o.typtype = 'c' AND EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = o.typrelid AND c.relkind = 'c')))"
)
_TRIGGERS = (
    _of_table(
        "trigger",
        "pg_trigger",
        "tgrelid",
        "tgname",
        "n.nspname || '.' || c.relname || '.' || o.tgname",
        "TRIGGER",
        # Those of partitions come with their parent's.
        "coalesce(to_jsonb(o) ->> 'tgparentid', '0') = '0'",
    )
    + f" WHERE NOT o.tgisinternal AND {NOT_SYSTEM}"
)
_SUBSCRIPTIONS = (
    _global("subscription", "pg_subscription", "subname", "SUBSCRIPTION", "true")
    + " WHERE o.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
)
_ROWS = (
    f"SELECT '{ROWS}', n.nspname || '.' || o.relname, 'TABLE DATA', o.relname::text, n.nspname::text,"
    f" {no_extension('pg_class', 'o.oid')} AND NOT (o.relpersistence = 'u' AND pg_is_in_recovery())"
    f" FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind = 'r' AND {NOT_SYSTEM}"
)
_OBJECTS = (
    _SCHEMAS,
    _global("extension", "pg_extension", "extname", "EXTENSION", "o.oid >= 16384"),
    _relations("table", "'r', 'p'", "TABLE"),
    _relations("foreign_table", "'f'", "FOREIGN TABLE"),
    _relations("view", "'v'", "VIEW"),
    _relations("materialized_view", "'m'", "MATERIALIZED VIEW"),
    _relations("sequence", "'S'", "SEQUENCE"),
    _INDEXES,
    _ROUTINES,
    _TYPES,
    _TRIGGERS,
    _of_table("policy", "pg_policy", "polrelid", "polname", "c.relname || '.' || o.polname", "POLICY", "true"),
    _global("event_trigger", "pg_event_trigger", "evtname", "EVENT TRIGGER", no_extension("pg_event_trigger", "o.oid")),
    _global("publication", "pg_publication", "pubname", "PUBLICATION", "true"),
    _SUBSCRIPTIONS,
    _global("foreign_server", "pg_foreign_server", "srvname", "SERVER", no_extension("pg_foreign_server", "o.oid")),
    _ROWS,
)
# pg_dump writes blanks for line ends, and all of it in the database's encoding.
_ENTRY = (
    "convert_to(translate(entry || '; Type: ' || label || '; Schema: ' || schema, chr(10) || chr(13), '  '),"
    " getdatabaseencoding())"
)
_ALL = (
    f"SELECT kind, name, {_ENTRY}, required"
    f" FROM ({' UNION ALL '.join(_OBJECTS)}) AS found (kind, name, label, entry, schema, required)"
)
_TABLES = (
    f"SELECT oid, {_ENTRY} FROM (SELECT o.oid, o.relname, 'TABLE DATA', n.nspname FROM pg_class o JOIN pg_namespace n"
    f" ON n.oid = o.relnamespace WHERE o.relkind = 'r' AND {NOT_SYSTEM}) AS found (oid, entry, label, schema)"
)
_LARGE_OBJECTS = "SELECT oid FROM pg_largeobject_metadata"
# The names in the inventory, and in quotes, of tables that have rows of their own.
STORED_TABLES = (
    "SELECT n.nspname || '.' || o.relname, format('%%I.%%I', n.nspname, o.relname) FROM pg_class o"
    " JOIN pg_namespace n ON n.oid = o.relnamespace"
    f" WHERE o.relkind = 'r' AND {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')} ORDER BY 1"
)
_INVALID_INDEXES = (
    "SELECT n.nspname || '.' || o.relname FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
    " JOIN pg_index i ON i.indexrelid = o.oid"
    f" WHERE NOT i.indisvalid AND o.relkind = 'i' AND {NOT_SYSTEM} ORDER BY 1"
)
HAS_TABLES = (
    "SELECT 1 FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p')"
    f" AND {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')} LIMIT 1"
)
KINDS = (
    *("schema", "extension", "table", "foreign_table", "view", "materialized_view", "sequence", "index", "routine"),
    *("type", "trigger", "policy", "event_trigger", "publication", "subscription", "foreign_server", "large_object"),
)


@dataclass(frozen=True)
class Expected:
    """An object of the server.

    Attributes:
        kind: As in the inventory, or :data:`ROWS`.
        name: Its name there.
        entry: What the dump says of it, up to the owner, in the encoding of the database read as Latin-1.
        required: Whether the dump must have it.
    """

    kind: str
    name: str
    entry: str
    required: bool


@dataclass(frozen=True)
class Objects:
    """All objects of a database at one moment.

    Attributes:
        expected: Those that a dump names.
        large_objects: Those that have numbers only.
        invalid_indexes: Indexes that failed to build; no dump has them.
    """

    expected: tuple[Expected, ...]
    large_objects: frozenset[int]
    invalid_indexes: tuple[str, ...]

    def inventory(self) -> dict[str, list[str]]:
        """Return the names by kind."""
        names = defaultdict(list)
        for each in self.expected:
            names[each.kind].append(each.name)
        names["large_object"] = [str(number) for number in self.large_objects]
        return {kind: sorted(names[kind]) for kind in KINDS}


def read_objects(query: Query) -> Objects:
    """Return the objects of the database that a query runs in."""
    return Objects(
        tuple(
            Expected(str(kind), str(name), bytes(entry).decode("latin-1"), bool(required))
            for kind, name, entry, required in query(_ALL)
        ),
        frozenset(int(row[0]) for row in query(_LARGE_OBJECTS)),
        tuple(str(row[0]) for row in query(_INVALID_INDEXES)),
    )


def read_table_entries(query: Query) -> dict[int, str]:
    """Return by which words a dump names the rows of each table, by the number (OID) of the table."""
    return {int(oid): bytes(entry).decode("latin-1") for oid, entry in query(_TABLES)}
