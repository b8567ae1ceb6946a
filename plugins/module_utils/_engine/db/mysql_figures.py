# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of one MySQL or MariaDB database: digests of its objects and grants, its counters, sums of its rows.

These servers let no other session see the snapshot of a dump. So definitions are read before and after it, and those
count that were the same both times. Rows are summed up before it; the sum counts if the storage engine says that the
table has not been changed since.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ServerError
from .base import Server
from .connection import literally
from .figures import Figures, digest_objects, spans, unchanged_objects
from .mysql_grants import Privilege, quote_name, read_privileges
from .mysql_inspection import Query, as_text, named

# Their UPDATE_TIME is that of the last commit (InnoDB) or of the last write to the file (the others).
_TIMED_ENGINES = ("innodb", "myisam", "aria")
_LOCK_SECONDS = 3
_SECONDS_FOR_A_TABLE = 280  # less than the driver waits for an answer, so that the connection goes on
_NUMBERS = {
    *("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year", "date", "time"),
    "datetime",
}
_TEXTS = {
    *("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "binary", "varbinary"),
    *("tinyblob", "blob", "mediumblob", "longblob"),
}
_ON = named("TABLE_SCHEMA")
# The conditions are such that MariaDB opens the tables of this database alone; EXPLAIN says "Scanned 1 database". It
# looks at constants only, and at EVENT_OBJECT_SCHEMA for triggers.
_STORED = ("BASE TABLE", "SYSTEM VERSIONED")
# Of sequences too. The clock is read with the times, so that a change within the same second is not mistaken for none.
_TABLES = (
    "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COLLATION, TABLE_COMMENT, AUTO_INCREMENT, CAST(UPDATE_TIME AS CHAR),"
    f" UPDATE_TIME >= NOW() - INTERVAL 1 SECOND FROM information_schema.TABLES WHERE {_ON}"
)
_OF_TABLES = (  # and of views, some
    (
        "SELECT TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_TYPE, COLLATION_NAME,"
        f" EXTRA, GENERATION_EXPRESSION, COLUMN_COMMENT FROM information_schema.COLUMNS WHERE {_ON}"
    ),
    (
        "SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART, NON_UNIQUE, INDEX_TYPE"
        f" FROM information_schema.STATISTICS WHERE {_ON}"
    ),
    (
        "SELECT TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE"
        f" FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {named('CONSTRAINT_SCHEMA')}"
    ),
)
_OBJECTS = {
    "view": "SELECT TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE FROM information_schema.VIEWS"
    f" WHERE {_ON}",
    "trigger": "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER,"
    " ACTION_STATEMENT, SQL_MODE, DEFINER FROM information_schema.TRIGGERS"
    f" WHERE {named('EVENT_OBJECT_SCHEMA')}",
    "routine": "SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_NAME), DTD_IDENTIFIER, ROUTINE_DEFINITION,"
    " IS_DETERMINISTIC, SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT, DEFINER"
    f" FROM information_schema.ROUTINES WHERE {named('ROUTINE_SCHEMA')}",
    "event": "SELECT EVENT_NAME, EVENT_DEFINITION, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, SQL_MODE,"
    " STATUS, ON_COMPLETION, EVENT_COMMENT, DEFINER FROM information_schema.EVENTS"
    f" WHERE {named('EVENT_SCHEMA')}",
}
# A routine's parameters by its name as above.
_PARAMETERS = (
    "SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', SPECIFIC_NAME), ORDINAL_POSITION, PARAMETER_MODE, PARAMETER_NAME,"
    f" DTD_IDENTIFIER FROM information_schema.PARAMETERS WHERE {named('SPECIFIC_SCHEMA')}"
)
_COUNTERS = (
    f"SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE {_ON} AND AUTO_INCREMENT IS NOT NULL"
)
_COLUMNS = (
    "SELECT c.TABLE_NAME, COLUMN_NAME, DATA_TYPE, t.TABLE_TYPE FROM information_schema.COLUMNS c"
    " JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA"
    " AND CAST(t.TABLE_NAME AS BINARY) = CAST(c.TABLE_NAME AS BINARY)"
    f" WHERE {named('c.TABLE_SCHEMA')} AND {named('t.TABLE_SCHEMA')} AND TABLE_TYPE IN {_STORED}"
    " AND COALESCE(GENERATION_EXPRESSION, '') = ''"
    " ORDER BY c.TABLE_NAME, ORDINAL_POSITION"
)
# Of SHA2(): newer MySQL has no MD5() by itself.
_HALF = "COALESCE(SUM(CAST(CONV(SUBSTR(h, {}, 16), 16, 10) AS DECIMAL(20))), 0)"


@dataclass(frozen=True)
class Moment:
    """What is known of a database at one moment.

    Attributes:
        objects: As in :class:`Figures`.
        counters: What each sequence and automatic number gives next.
        accounts: The accounts that have grants.
        changed: When each table was changed last, as far as its engine says; None where it does not or just now.
        contents: As in :class:`Figures`; None where they were not asked for.
        left_out: Likewise.
    """

    objects: dict[str, dict[str, str]]
    counters: dict[str, int]
    accounts: tuple[tuple[str, str], ...]
    changed: dict[str, str | None] = field(default_factory=dict)
    contents: dict[str, str] | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def figures(self) -> Figures:
        """Return the figures of a database that nobody else uses."""
        counters = spans(self.counters, self.counters)
        return Figures(self.objects, counters, self.contents, self.left_out, self.accounts)

    def until(self, after: Moment) -> Figures:
        """Return the figures of a dump that was made between this moment and a later one."""
        objects = unchanged_objects(self.objects, after.objects)
        counters = spans(self.counters, after.counters)
        if self.contents is None:
            return Figures(objects, counters, accounts=self.accounts)
        contents, left_out = {}, dict(self.left_out)
        for name, sums in self.contents.items():
            if self.changed.get(name) is None:
                left_out[name] = "its storage engine does not say when it was changed last, or it was just then"
            elif after.changed.get(name) != self.changed[name]:
                left_out[name] = "it was changed while it was dumped"
            else:
                contents[name] = sums
        return Figures(objects, counters, contents, left_out, self.accounts)


@contextlib.contextmanager
def impatient(query: Query) -> Iterator[None]:
    """Let the session give up on tables that somebody has locked, for the length of a ``with`` block."""
    query(f"SET SESSION lock_wait_timeout = {_LOCK_SECONDS}")
    try:
        yield
    finally:
        query("SET SESSION lock_wait_timeout = DEFAULT")


def read_moment(
    query: Query,
    server: Server,
    database: str,
    contents: bool,
    privileges: Sequence[Privilege] | None = None,
    kinds: Collection[str] = tuple(_OBJECTS),
) -> Moment:
    """Return what a server says of a database now.

    Args:
        query: Runs a statement with named parameters and returns its rows.
        server: The server.
        database: The database.
        contents: Whether tables are read to sum up their rows.
        privileges: Those on it, where they are known.
        kinds: The kinds of objects besides tables that are looked at.

    Raises:
        ServerError: The server cannot be asked.
    """
    own = {"database": database}
    rows: list[tuple[str, str, Any]] = []
    tables = _read_tables(query, database)
    stored = {table.name: table for table in tables if table.type in _STORED}
    # What only describes how a table is stored now, and changes by itself, is left out.
    rows += [("table", name, [table.engine, table.collation, table.comment]) for name, table in stored.items()]
    for statement in _OF_TABLES:
        found = [(_text(name), _plain(known)) for name, *known in query(statement, own)]
        rows += [("table", name, known) for name, known in found if name in stored]
    for kind, statement in _OBJECTS.items():
        if kind in kinds:
            rows += [(kind, _text(name), _plain(known)) for name, *known in query(statement, own)]
    if "routine" in kinds:
        rows += [("routine", _text(name), _plain(known)) for name, *known in query(_PARAMETERS, own)]
    privileges = read_privileges(query, database) if privileges is None else privileges
    for (user, host), target, kind, privilege in privileges:
        rows.append(("grant", f"{user}@{host} on {kind}{target.replace(chr(0), ' by ')}", privilege))
    counters = {table.name: table.next for table in tables if table.next is not None}
    counters |= _read_sequences(query, database, [table.name for table in tables if table.type == "SEQUENCE"])
    accounts = tuple(sorted({account for account, *_more in privileges}))
    changed = {
        name: None if table.changed_just_now else table.changed or ""
        for name, table in stored.items()
        if (table.engine or "").lower() in _TIMED_ENGINES
    }
    sums, left_out = _read_contents(query, server, database) if contents else (None, {})
    return Moment(digest_objects(rows), counters, accounts, changed, sums, left_out)


def read_after(query: Query, server: Server, database: str, before: Moment, privileges: Sequence[Privilege]) -> Figures:
    """Return the figures of a dump that has ended, from the moment before it and the present one.

    Args:
        query: Runs a statement with named parameters and returns its rows.
        server: The server.
        database: The database.
        before: The moment before the dump.
        privileges: Those that the artifact restores.

    Raises:
        ServerError: The server cannot be asked.
    """
    # An object that was not there before cannot be the same as before.
    return before.until(read_moment(query, server, database, False, privileges, before.objects))


@dataclass(frozen=True)
class _Table:
    """A table, view or sequence as the catalogue has it, with the number that comes next by itself."""

    name: str
    type: str
    engine: str | None
    collation: str | None
    comment: str | None
    next: int | None
    changed: str | None
    changed_just_now: bool


def _read_tables(query: Query, database: str) -> list[_Table]:
    return [
        _Table(
            name=_text(name),
            type=_text(kind),
            engine=_text_or_none(engine),
            collation=_text_or_none(collation),
            comment=_text_or_none(comment),
            next=None if number is None else int(number),
            changed=_text_or_none(changed),
            changed_just_now=bool(just_now),
        )
        for name, kind, engine, collation, comment, number, changed, just_now in query(_TABLES, {"database": database})
    ]


def read_auto_increments(query: Query, database: str) -> dict[str, int]:
    """Return by the tables that have one what number each gives next by itself.

    Args:
        query: Runs a statement.
        database: The database.

    Raises:
        ServerError: The server cannot be asked.
    """
    return {_text(name): int(value) for name, value in query(_COUNTERS, {"database": database})}


def _read_sequences(query: Query, database: str, names: Sequence[str]) -> dict[str, int]:
    found = {}
    for name in names:
        statement = f"SELECT next_not_cached_value FROM {quote_name(database)}.{quote_name(name)}"
        found[name] = int(query(literally(statement))[0][0])
    return found


def _read_contents(query: Query, server: Server, database: str) -> tuple[dict[str, str], dict[str, str]]:
    tables: dict[str, tuple[str, list[str]]] = {}
    for table, column, kind, sort in query(_COLUMNS, {"database": database}):
        tables.setdefault(_text(table), (_text(sort), []))[1].append(_value(_text(column), _text(kind).lower()))
    sums, left_out = {}, {}
    for name, (sort, values) in tables.items():
        history = sort == "SYSTEM VERSIONED" and server.number >= (10, 11)
        try:
            count, checksum = query(_sum_of(server, database, name, values, history))[0]
            sums[name] = f"{count}:{_text(checksum)}"
        except ServerError as exc:  # it cannot be read, or not in time
            left_out[name] = exc.message
    return sums, left_out


def _sum_of(server: Server, database: str, table: str, values: list[str], history: bool) -> str:
    place = f"{quote_name(database)}.{quote_name(table)}" + (" FOR SYSTEM_TIME ALL" if history else "")
    limit, hint = "", f" /*+ MAX_EXECUTION_TIME({_SECONDS_FOR_A_TABLE * 1000}) */"
    if server.flavour == "mariadb":
        limit, hint = f"SET STATEMENT max_statement_time={_SECONDS_FOR_A_TABLE} FOR ", ""
    statement = (
        f"{limit}SELECT{hint} COUNT(*), CONCAT_WS('-', {_HALF.format(1)}, {_HALF.format(17)})"
        f" FROM (SELECT SHA2(CONCAT_WS(',', {', '.join(values)}), 256) AS h FROM {place}) AS hashed"
    )
    return literally(statement)


def _value(column: str, kind: str) -> str:
    """Return the expression that tells a value from others, whatever session asks for it."""
    name = quote_name(column)
    if kind in _NUMBERS:
        text = name
    elif kind == "timestamp":
        text = f"UNIX_TIMESTAMP({name})"
    elif kind == "bit":
        text = f"{name} + 0"
    elif kind in _TEXTS:
        text = f"SHA2({name}, 256)"  # of the bytes as they are stored
    elif kind in ("json", "uuid", "inet4", "inet6"):
        text = f"SHA2(CAST({name} AS CHAR), 256)"
    else:
        text = f"SHA2(CAST({name} AS BINARY), 256)"
    return f"IFNULL({text}, '-')"


def _plain(values: list[Any]) -> list[str | None]:
    return [_text_or_none(value) for value in values]


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    return as_text(value, "backslashreplace")  # values that are no text, such as defaults, are among them
