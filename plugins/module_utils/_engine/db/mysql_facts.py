# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts that the checks of a MySQL or MariaDB server judge: asked for here, judged elsewhere."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ServerError
from .base import Server
from .compatibility import Clients
from .mysql_inspection import Query, as_text
from .mysql_privileges import Grants, parse_grants, view_functions_are_executed

Name = tuple[str, str]  # database, object

_VARIABLES = (
    "disabled_storage_engines",
    "event_scheduler",
    "log_bin",
    "lower_case_table_names",
    "max_allowed_packet",
    "partial_revokes",
    "read_only",
    "sql_mode",
    "sql_require_primary_key",
    "super_read_only",
)
_OWN = "TABLE_SCHEMA IN %(databases)s"
# The number of rows makes MariaDB open each view, as the dump client does: what goes wrong is in the comment then.
_TABLES = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COLLATION, TABLE_COMMENT, TABLE_ROWS"
    f" FROM information_schema.TABLES WHERE {_OWN}"
)
# As bytes: their collations differ, so that they could not be told together.
_DEFINERS = " UNION ALL ".join(
    f"SELECT CAST({kind}_SCHEMA AS BINARY), CAST(DEFINER AS BINARY), CAST({kind}_NAME AS BINARY)"
    f" FROM information_schema.{catalogue} WHERE {schema} IN %(databases)s"
    for kind, catalogue, schema in (
        ("TABLE", "VIEWS", "TABLE_SCHEMA"),
        ("ROUTINE", "ROUTINES", "ROUTINE_SCHEMA"),
        ("TRIGGER", "TRIGGERS", "EVENT_OBJECT_SCHEMA"),  # by which MariaDB opens the tables of these databases alone
        ("EVENT", "EVENTS", "EVENT_SCHEMA"),
    )
)
_COLLATIONS = f"SELECT DISTINCT TABLE_SCHEMA, COLLATION_NAME FROM information_schema.COLUMNS WHERE {_OWN}"
_KEYED = (
    "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM information_schema.STATISTICS"
    f" WHERE {_OWN} AND INDEX_NAME = 'PRIMARY'"
)
_VIEWS = f"SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE {_OWN}"
_FUNCTIONS = "SELECT ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION'"

# In a view's stored definition only the names of stored functions are quoted before a parenthesis.
_CALL = re.compile(r"(?:`((?:[^`]|``)+)`\.)?`((?:[^`]|``)+)`\(")
_PAIR = re.compile(r"`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`")


@dataclass(frozen=True)
class Account:
    """The account that the engine uses, ``user@host``, and what it holds."""

    name: str
    grants: Grants


@dataclass(frozen=True)
class DatabaseFacts:
    """What of one database the checks judge.

    Attributes:
        name: The database.
        views: Its views.
        unreadable: Views and tables that cannot be opened, with the server's reason.
        functions: Functions that its views call, where the account needs EXECUTE on them.
        engines: Its tables by storage engine.
        versioned: Its system-versioned tables.
        definers: Its objects by the account that is their definer.
        collations: The collations of its tables and columns.
        unkeyed: Its tables without a primary key.
    """

    name: str
    views: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    functions: frozenset[Name] = frozenset()
    engines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versioned: tuple[str, ...] = ()
    definers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    collations: frozenset[str] = frozenset()
    unkeyed: tuple[str, ...] = ()

    def needs(self) -> dict[str, Any]:
        """Return what a server must have to take this database, for the manifest."""
        return {
            "engines": sorted(self.engines),
            "collations": sorted(self.collations),
            "definers": sorted(self.definers),
            "tables_without_primary_key": len(self.unkeyed),
        }


@dataclass(frozen=True)
class InstanceFacts:
    """What of one server, its clients and the account the checks judge.

    Attributes:
        server: The server.
        configured: What the configuration says it is.
        account: The account.
        clients: The vendor's clients on this host.
        variables: Global variables, those of them that this server has.
        plugins: The authentication plugin of each account by ``user@host``; None where they may not be read.
        engines: The storage engines that can be used.
        collations: The character sets and collations that it knows.
    """

    server: Server
    configured: str
    account: Account
    clients: Clients
    variables: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] | None = None
    engines: frozenset[str] = frozenset()
    collations: frozenset[str] = frozenset()

    @property
    def read_only(self) -> bool:
        """Whether the server takes no changes."""
        return any(self.variables.get(name) in {"ON", "1"} for name in ("read_only", "super_read_only"))


def read_account(query: Query, variables: Mapping[str, str]) -> Account:
    """Ask for the account and its grants, those of its active roles included."""
    lines = [as_text(row[0]) for row in query("SHOW GRANTS")]
    name = as_text(query("SELECT CURRENT_USER()")[0][0])
    return Account(name, parse_grants(lines, variables.get("partial_revokes") == "ON"))


def read_variables(query: Query) -> dict[str, str]:
    """Ask for the global variables that matter."""
    rows = query("SHOW GLOBAL VARIABLES WHERE Variable_name IN %(names)s", {"names": _VARIABLES})
    return {as_text(name).lower(): as_text(value) for name, value in rows}


def read_plugins(query: Query) -> dict[str, str] | None:
    """Ask for all accounts and their authentication plugins; roles of MariaDB have no host."""
    try:
        rows = query("SELECT User, Host, plugin FROM mysql.user")
    except ServerError:
        return None
    return {f"{as_text(user)}@{as_text(host)}": as_text(plugin) for user, host, plugin in rows}


def read_engines(query: Query) -> frozenset[str]:
    """Ask which storage engines can be used."""
    rows = query("SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')")
    return frozenset(as_text(row[0]) for row in rows)


def read_collations(query: Query) -> frozenset[str]:
    """Ask which character sets and collations are known."""
    # MariaDB lists the names of its newer collations here both with and without their character set.
    rows = query("SELECT * FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY")
    return frozenset(as_text(value) for row in rows for value in row if value is not None)


def read_databases(
    query: Query, server: Server, grants: Grants, databases: Sequence[str], whole: bool, definers: bool = True
) -> list[DatabaseFacts]:
    """Ask for the facts of some databases.

    Args:
        query: Runs a statement with named parameters and returns its rows.
        server: The server.
        grants: What the account holds.
        databases: Their names.
        whole: Whether to ask for all; otherwise only for what foretells a failing dump.
        definers: Whether there may be objects that have a definer.

    Raises:
        ServerError: The server cannot be asked.
    """
    if not databases:
        return []
    own = {"databases": tuple(databases)}

    def grouped(statement: str) -> dict[str, list[tuple[Any, ...]]]:
        rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for row in query(statement, own):
            rows[as_text(row[0])].append(tuple(value if value is None else as_text(value) for value in row[1:]))
        return rows

    tables = grouped(_TABLES)
    defined = grouped(_DEFINERS) if whole and definers else {}
    collations = grouped(_COLLATIONS) if whole else {}
    keyed = grouped(_KEYED) if whole else {}
    # What is granted on all databases need not be looked for in each.
    asked = view_functions_are_executed(server) and not grants.holds("EXECUTE")
    # Without SELECT on the system's tables an account may not see all functions: then any call counts.
    functions = query(_FUNCTIONS) if asked and grants.holds("SELECT", "mysql") else None
    called = called_functions(query(_VIEWS, own), functions) if asked else {}
    return [
        _database(
            name,
            tables.get(name, []),
            defined.get(name, []),
            {row[0] for row in collations.get(name, []) if row[0]},
            {row[0] for row in keyed.get(name, [])} if whole else None,
            frozenset(function for view, found in called.items() if view[0] == name for function in found),
        )
        for name in databases
    ]


def _database(
    name: str,
    tables: Sequence[tuple[Any, ...]],
    definers: Sequence[tuple[Any, ...]],
    collations: set[str],
    keyed: Collection[str] | None,
    functions: frozenset[Name],
) -> DatabaseFacts:
    engines, by_definer = defaultdict(list), defaultdict(list)
    views, unreadable, versioned, unkeyed = [], {}, [], []
    for table, kind, engine, collation, comment, _rows in tables:
        if kind == "VIEW":
            views.append(table)
            if comment and comment != "VIEW":
                unreadable[table] = comment
        elif kind in ("BASE TABLE", "SYSTEM VERSIONED"):
            if engine is None:
                unreadable[table] = comment or "its storage engine is missing"
            else:
                engines[engine].append(table)
            if collation:
                collations.add(collation)
            if keyed is not None and table not in keyed:
                unkeyed.append(table)
        if kind == "SYSTEM VERSIONED":
            versioned.append(table)
    for definer, thing in definers:
        by_definer[definer].append(thing)
    return DatabaseFacts(
        name,
        tuple(views),
        unreadable,
        functions,
        {engine: tuple(names) for engine, names in engines.items()},
        tuple(versioned),
        {definer: tuple(names) for definer, names in by_definer.items()},
        frozenset(collations),
        tuple(unkeyed),
    )


def called_functions(
    views: Sequence[tuple[Any, ...]], functions: Sequence[tuple[Any, ...]] | None
) -> dict[Name, frozenset[Name]]:
    """Return the stored functions that views call, also by way of other views.

    Args:
        views: Database, name and stored definition of all views.
        functions: Database and name of all functions; None where they are not known.
    """
    texts = {(as_text(d), as_text(n)): as_text(definition) for d, n, definition in views if definition}
    known = {(as_text(d), as_text(n).lower()): (as_text(d), as_text(n)) for d, n in functions or ()}
    calls: dict[Name, set[Name]] = {}
    reads: dict[Name, set[Name]] = {}
    for view, text in texts.items():
        called = {(_bare(d) or view[0], _bare(n)) for d, n in _CALL.findall(text)}
        exact = {(d, n.lower()) for d, n in called} & known.keys()
        calls[view] = called if functions is None else {known[name] for name in exact}
        reads[view] = {(_bare(d), _bare(n)) for d, n in _PAIR.findall(text)} & texts.keys() - {view}
    changed = True
    while changed:
        changed = False
        for view, others in reads.items():
            found = set().union(*(calls[other] for other in others)) - calls[view]
            if found:
                calls[view] |= found
                changed = True
    return {view: frozenset(found) for view, found in calls.items() if found}


def _bare(name: str) -> str:
    return name.replace("``", "`")
