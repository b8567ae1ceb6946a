# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Adding the rows of one database of MySQL or MariaDB to the empty tables of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar

from .base import Server
from .connection import literally
from .mysql_figures import read_auto_increments
from .mysql_grants import quote_name
from .mysql_inspection import TRANSACTIONAL_ENGINES, Query, as_text, named, read_stored_tables
from .mysql_load import COPIES
from .row_copy import EMPTY_FIRST, RowCopy

_LOCK_SECONDS = 60
# Strict, so that no value is cut or changed without an error; yet what servers have stored of old is taken.
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 0,"
    f" lock_wait_timeout = {_LOCK_SECONDS}, innodb_lock_wait_timeout = {_LOCK_SECONDS};\n"
)
# Rows of the past go where they were (MariaDB's manual, "system_versioning_insert_history"; from 10.11 on).
_HISTORY = "SET SESSION system_versioning_insert_history = ON;\n"
_PERIOD = ("row_start", "row_end")  # where the definition gives them no names
_BEGINS, _ENDS = "ROW START", "ROW END"
_ENGINES = f"SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE {named('TABLE_SCHEMA')}"
_TRIGGERS = (
    "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS"
    f" WHERE {named('EVENT_OBJECT_SCHEMA')} AND EVENT_MANIPULATION = 'INSERT'"
)
_COLUMNS = (
    "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COALESCE(GENERATION_EXPRESSION, '')"
    f" FROM information_schema.COLUMNS WHERE {named('TABLE_SCHEMA')} ORDER BY TABLE_NAME, ORDINAL_POSITION"
)
_KEYS = (
    "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME,"
    f" REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE {named('TABLE_SCHEMA')}"
    " AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"
)


class MySqlRowCopy(RowCopy):
    """By INSERT ... SELECT. Triggers cannot be switched off for a session, so tables that have some are refused."""

    NOT_COPIED: ClassVar[Mapping[str, str]] = {"sequence": "Sequences stay where they stand: {names}."}

    def __init__(
        self,
        connected: Callable[[], AbstractContextManager[Query]],
        server: Server,
        target: str,
        tables: Collection[str],
    ) -> None:
        """Begin.

        Args:
            connected: Connects, for as long as a ``with`` block lasts.
            server: The server.
            target: As in :class:`.RowCopy`.
            tables: Likewise.
        """
        super().__init__(target, tables)
        self._connected = connected
        self._server = server

    def refuse_impossible(self) -> None:
        """Refuse tables that are missing, have rows or triggers, or whose engine cannot take rows back."""
        with self._connected() as query:
            own = {"database": self._target}
            there = self._tables & read_stored_tables(query, self._target).keys()
            reasons = [f"there is no table {name}" for name in sorted(self._tables - there)]
            for name, engine in ((as_text(name), as_text(engine)) for name, engine in query(_ENGINES, own)):
                if name in there and engine.lower() not in map(str.lower, TRANSACTIONAL_ENGINES):
                    reasons.append(f"the table {name} is of the engine {engine}, which cannot take rows back")
            for table, trigger in ((as_text(table), as_text(trigger)) for table, trigger in query(_TRIGGERS, own)):
                if table in there:
                    reasons.append(f"the trigger {trigger} of {table} would change the rows or act on them")
            reasons += [f"the table {name} has rows" for name in sorted(there) if self._has_rows(query, name)]
        self._refuse(reasons, EMPTY_FIRST)

    def statements(self, source: str) -> Iterator[bytes]:
        """Yield the SQL that copies the rows."""
        self.refuse_impossible()
        with self._connected() as query:
            columns = _columns(query, source)
            versioned = read_stored_tables(query, source)
            counters = read_auto_increments(query, source)
            stored = {name: columns[name] for name in versioned}
            self._refuse_unlike(stored, _columns(query, self._target))
            self._refuse_dangling(query, source)
        yield _SESSION.encode()
        if any(versioned.values()):
            yield _HISTORY.encode()
        for name, number in counters.items():  # ends a transaction, so before it; an empty table takes any
            yield f"ALTER TABLE {self._quoted(name)} AUTO_INCREMENT = {number};\n".encode()
        yield b"START TRANSACTION;\n"
        for name, kinds in stored.items():
            implicit = versioned[name] and not any(kind.endswith(_BEGINS) for kind in kinds.values())
            names = [*kinds, *(_PERIOD if implicit else ())]
            listed = ", ".join(map(quote_name, names))
            past = " FOR SYSTEM_TIME ALL" if versioned[name] else ""
            original = f"{quote_name(source)}.{quote_name(name)}"
            yield f"{COPIES}{self._quoted(name)} ({listed}) SELECT {listed} FROM {original}{past};\n".encode()
        yield b"COMMIT;\n"

    def _has_rows(self, query: Query, table: str) -> bool:
        return bool(query(literally(f"SELECT EXISTS (SELECT 1 FROM {self._quoted(table)})"))[0][0])

    def _quoted(self, table: str) -> str:
        return f"{quote_name(self._target)}.{quote_name(table)}"

    def _refuse_dangling(self, query: Query, source: str) -> None:
        """Refuse rows that would refer to none: the server does not look at foreign keys while they are loaded."""
        keys: dict[tuple[str, str], list[tuple[str, str, str, str]]] = defaultdict(list)
        for row in query(_KEYS, {"database": self._target}):
            table, key, column, schema, parent, referred = map(as_text, row)
            if table in self._tables:
                keys[table, key].append((column, schema, parent, referred))
        reasons = []
        for (table, key), columns in keys.items():
            _column, schema, parent, _referred = columns[0]
            where = source if schema == self._target and parent in self._tables else schema
            present = " AND ".join(f"c.{quote_name(column)} IS NOT NULL" for column, *_others in columns)
            same = " AND ".join(
                f"p.{quote_name(referred)} = c.{quote_name(column)}" for column, _schema, _parent, referred in columns
            )
            dangling = query(
                literally(
                    f"SELECT EXISTS (SELECT 1 FROM {quote_name(source)}.{quote_name(table)} c WHERE {present}"
                    f" AND NOT EXISTS (SELECT 1 FROM {quote_name(where)}.{quote_name(parent)} p WHERE {same}))"
                )
            )[0][0]
            if dangling:
                reasons.append(f"by the foreign key {key}, rows of {table} refer to rows that {parent} does not have")
        self._refuse(reasons, "Restore the rows of those tables, too.")


def _columns(query: Query, database: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for table, name, kind, charset, generated in query(_COLUMNS, {"database": database}):
        how = as_text(generated)
        if how in ("", _BEGINS, _ENDS):
            words = [as_text(kind), f"in {as_text(charset)}" if charset is not None else "", how]
            found[as_text(table)][as_text(name)] = " ".join(filter(None, words))
    return found
