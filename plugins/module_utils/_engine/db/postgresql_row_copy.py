# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Adding the rows of one PostgreSQL database to the empty tables of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar

from .connection import literally
from .postgresql_inventory import NOT_SYSTEM, STORED_TABLES, Query, no_extension
from .postgresql_settings import quote_text
from .row_copy import EMPTY_FIRST, RowCopy

# What decides how values are written and read, the same on both sides (manual of PostgreSQL, section 19.11).
FORMATS = (
    "SET client_encoding = 'UTF8'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET extra_float_digits = 3;"
    " SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmloption = 'content';"
    " SET standard_conforming_strings = on; SET row_security = off; SET search_path = pg_catalog;"
    " SET statement_timeout = 0;"
)
_BEGIN = (
    "SET lock_timeout = '60s'; SET session_replication_role = replica;\n"  # neither triggers nor foreign keys
    "BEGIN;\n"
)
_TABLES = (
    "SELECT n.nspname || '.' || o.relname, format('%I.%I', n.nspname, o.relname), o.relkind::text FROM pg_class o"
    " JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p')"
)
_COLUMNS = (
    "SELECT n.nspname || '.' || o.relname, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)"
    " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace JOIN pg_attribute a ON a.attrelid = o.oid"
    " WHERE o.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY 1, a.attnum"
)
# In a session of the role "replica" only those act that are enabled always or on replicas.
_ENABLED = {"A": "ALWAYS", "R": "REPLICA"}
_TRIGGERS = (
    "SELECT n.nspname || '.' || o.relname, quote_ident(t.tgname), t.tgenabled::text FROM pg_trigger t"
    " JOIN pg_class o ON o.oid = t.tgrelid"
    " JOIN pg_namespace n ON n.oid = o.relnamespace"
    " WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND t.tgtype & 4 <> 0"
)
_JOINED = (
    "FROM unnest(k.conkey, k.confkey, k.conpfeqop) u(child, parent, equal)"
    " JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = u.child"
    " JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = u.parent"
    " JOIN pg_operator e ON e.oid = u.equal JOIN pg_namespace en ON en.oid = e.oprnamespace"
)
# Each foreign key with the query of rows that refer to none. Those are passed over that the server makes for each
# partition of the table that is referred to, and those that do not hold for old rows, or not for single moments.
_KEYS = (
    "SELECT n.nspname || '.' || o.relname, k.conname::text, format("
    "'SELECT 1 FROM ONLY %I.%I c WHERE %s AND NOT EXISTS (SELECT 1 FROM %s %I.%I p WHERE %s)', n.nspname, o.relname,"
    f" (SELECT string_agg(format('c.%I IS NOT NULL', c.attname), ' AND ') {_JOINED}),"
    " CASE WHEN r.relkind = 'p' THEN '' ELSE 'ONLY' END, rn.nspname, r.relname,"
    " (SELECT string_agg(format('p.%I OPERATOR(%I.%s) c.%I', p.attname, en.nspname, e.oprname, c.attname), ' AND ')"
    f" {_JOINED}))"
    " FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid JOIN pg_namespace n ON n.oid = o.relnamespace"
    " JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace"
    " WHERE k.contype = 'f' AND k.convalidated AND o.relkind = 'r'"
    " AND to_jsonb(k) ->> 'conperiod' IS DISTINCT FROM 'true'"
    " AND NOT EXISTS (SELECT 1 FROM pg_constraint u WHERE u.oid = k.conparentid AND u.conrelid = k.conrelid)"
)
_SEQUENCES = (
    "SELECT coalesce(tn.nspname || '.' || t.relname || '.' || a.attname, ''), n.nspname || '.' || o.relname,"
    " format('%I.%I', n.nspname, o.relname)"
    " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
    " LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = o.oid"
    " AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0"
    " LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace"
    " LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid"
    f" WHERE o.relkind = 'S' AND {NOT_SYSTEM.replace('%%', '%')} AND {no_extension('pg_class', 'o.oid')} ORDER BY 1, 2"
)


class PostgreSqlRowCopy(RowCopy):
    """By COPY out of the one into the other; triggers do not act."""

    NOT_COPIED: ClassVar[Mapping[str, str]] = {
        "materialized_view": "Materialized views were not refreshed: {names}.",
        "large_object": "Large objects are no rows of a table and were not restored.",
    }

    def __init__(
        self,
        connected: Callable[[str], AbstractContextManager[Query]],
        rows: Callable[[str, str], Iterator[bytes]],
        target: str,
        tables: Collection[str],
        all_sequences: bool,
    ) -> None:
        """Begin.

        Args:
            connected: Connects to a database, for as long as a ``with`` block lasts.
            rows: Yields what a statement copies out of a database to standard output.
            target: As in :class:`.RowCopy`.
            tables: Likewise.
            all_sequences: Whether sequences that no table owns go on where they stood, too.
        """
        super().__init__(target, tables)
        self._connected = connected
        self._rows = rows
        self._all_sequences = all_sequences

    def refuse_impossible(self) -> None:
        """Refuse tables that are missing or have rows."""
        with self._connected(self._target) as query:
            found = {str(name): (str(quoted), str(kind)) for name, quoted, kind in query(literally(_TABLES))}
            there = self._tables & found.keys()
            reasons = [f"there is no table {name}" for name in sorted(self._tables - there)]
            for name in sorted(there):
                quoted, kind = found[name]
                if query(literally(f"SELECT 1 FROM {'ONLY ' if kind == 'r' else ''}{quoted} LIMIT 1")):
                    reasons.append(f"the table {name} has rows")
        self._refuse(reasons, EMPTY_FIRST)

    def statements(self, source: str) -> Iterator[bytes]:
        """Yield the SQL that copies the rows."""
        with self._connected(source) as query:
            quoted = {str(name): str(written) for name, written in query(STORED_TABLES)}
            columns = _columns(query, quoted)
            sequences = _sequences(query)
            positions = {
                written: query(literally(f"SELECT last_value, is_called FROM {written}"))[0]
                for written in sequences.values()
            }
        with self._connected(self._target) as query:
            self._refuse_unlike(columns, _columns(query))
            there = _sequences(query)
            triggers = [
                (f"ALTER TABLE {quoted[table]}", name, _ENABLED[how])
                for table, name, how in query(_TRIGGERS)
                if table in quoted
            ]
            keys = [(table, key, dangling) for table, key, dangling in query(literally(_KEYS)) if table in quoted]
        yield (FORMATS + _BEGIN).encode()
        if quoted:
            yield f"LOCK TABLE {', '.join(quoted.values())} IN SHARE ROW EXCLUSIVE MODE;\n".encode()
        for name, written in quoted.items():
            yield _refused_if(f"SELECT 1 FROM ONLY {written}", f"the table {name} has rows").encode()
        for alter, name, _how in triggers:
            yield f"{alter} DISABLE TRIGGER {name};\n".encode()
        for name, written in quoted.items():
            listed = f" ({', '.join(columns[name])})" if name in columns else ""
            yield f"COPY {written}{listed} FROM STDIN;\n".encode()
            yield from self._rows(source, f"COPY {written}{listed} TO STDOUT")
            yield b"\\.\n"
        for alter, name, how in triggers:
            yield f"{alter} ENABLE {how} TRIGGER {name};\n".encode()
        for table, foreign_key, dangling in keys:
            reason = f"by the foreign key {foreign_key}, rows of {table} refer to rows that are not there"
            yield _refused_if(dangling, reason).encode()
        for key, written in sequences.items():
            owner, _name = key
            if key in there and (owner or self._all_sequences):
                value, called = positions[written]
                yield f"SELECT setval({quote_text(there[key])}, {value}, {str(called).lower()});\n".encode()
        yield b"COMMIT;\n"


def _columns(query: Query, tables: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for table, name, kind in query(_COLUMNS):
        if tables is None or table in tables:
            found[str(table)][str(name)] = str(kind)
    return found


def _sequences(query: Query) -> dict[tuple[str, str], str]:
    """Return how sequences are written, by the columns that own them, else by their names."""
    return {
        (str(owner), "" if owner else str(name)): str(quoted) for owner, name, quoted in query(literally(_SEQUENCES))
    }


def _refused_if(query: str, reason: str) -> str:
    """Return a statement that fails if a query finds anything."""
    body = f"BEGIN IF EXISTS ({query}) THEN RAISE EXCEPTION USING MESSAGE = {quote_text(reason)}; END IF; END"
    return f"DO {quote_text(body)};\n"
