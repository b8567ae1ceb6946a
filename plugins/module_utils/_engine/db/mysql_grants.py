# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Grants on one MySQL or MariaDB database and its objects, as SQL that works under any database name.

The vendors' dumps of a database leave them out. Each grant here is made by a prepared statement that names the selected
database and does nothing where the account does not exist, so that the artifact loads anywhere.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .mysql_inspection import Query, named

Account = tuple[str, str]  # user and host
Privilege = tuple[Account, str, str, str]  # account, object, kind of object, privilege

_WITHIN = named("TABLE_SCHEMA")
_MATCHED = r"REPLACE(REPLACE({}, '\\_', '_'), '\\%%', '%%')"  # a grant on a database is on a pattern
# Level, account, pattern or table, privilege, whether it may be granted on, column.
_GRANTS = " UNION ALL ".join(
    f"SELECT '{level}', GRANTEE, {target}, PRIVILEGE_TYPE, IS_GRANTABLE, {column}"
    f" FROM information_schema.{level}_PRIVILEGES WHERE {condition}"
    for level, target, column, condition in (
        ("SCHEMA", "TABLE_SCHEMA", "''", named(_MATCHED.format("TABLE_SCHEMA"))),
        ("TABLE", "TABLE_NAME", "''", _WITHIN),
        ("COLUMN", "TABLE_NAME", "COLUMN_NAME", _WITHIN),
    )
)
# Of MariaDB's roles that shows what they inherit as well; what they have themselves is in the system tables.
_ROLES_COLUMNS = (
    "SELECT COLUMN_NAME FROM information_schema.COLUMNS"
    r" WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'db' AND COLUMN_NAME LIKE '%%\_priv'"
)
_ROLES_DATABASES = f"SELECT User, Db, {{}} FROM mysql.db WHERE Host = '' AND {named(_MATCHED.format('Db'))}"
_ROLES_TABLES = f"SELECT User, Table_name, Table_priv FROM mysql.tables_priv WHERE Host = '' AND {named('Db')}"
_ROLES_FIELDS = (
    f"SELECT User, Table_name, Column_name, Column_priv FROM mysql.columns_priv WHERE Host = '' AND {named('Db')}"
)
# What the system tables call otherwise than GRANT does.
_CALLED = {"CREATE TMP TABLE": "CREATE TEMPORARY TABLES", "DELETE VERSIONING ROWS": "DELETE HISTORY"}
# Both servers store names outside ASCII twice encoded in this table, so each is read as it is and decoded once more.
_ROUTINE = (
    "SELECT User, Host, Routine_name, CONVERT(BINARY CONVERT(Routine_name USING latin1) USING utf8mb4), Routine_type,"
    f" Proc_priv FROM mysql.procs_priv WHERE ({named('Db')})"
    f" OR ({named('CONVERT(BINARY CONVERT(Db USING latin1) USING utf8mb4)')})"
)
_ROUTINES = f"SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE {named('ROUTINE_SCHEMA')}"
# With its columns, since a table that is there need not have a column any more that somebody was let at.
_COLUMNS = f"SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE {_WITHIN}"
_MAY_GRANT = " WITH GRANT OPTION"
_GRANTEE = re.compile(r"'(.*)'@'(.*)'", re.DOTALL)


def quote_name(name: str) -> str:
    """Quote an identifier."""
    return "`" + name.replace("`", "``") + "`"


def quote_text(text: str) -> str:
    """Quote a string literal for a session with backslash escapes (the default)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def grant_statements(found: Sequence[Privilege], database: str) -> list[str]:
    """Return the statements that make the database's grants again, in a stable order.

    Args:
        found: The privileges on the database and its objects.
        database: The database whose grants are meant.
    """
    # (account, object clause after the database's name, kind of object) -> privileges
    privileges: dict[tuple[Account, str, str], set[str]] = defaultdict(set)
    grantable: set[tuple[Account, str, str]] = set()
    for account, target, kind, privilege in found:
        key = (account, target, kind)
        privileges[key].add(privilege.removesuffix(_MAY_GRANT))
        if privilege.endswith(_MAY_GRANT):
            grantable.add(key)
    statements = [_statement(database, *key, sorted(privileges[key]), key in grantable) for key in sorted(privileges)]
    if not statements:
        return []
    return [
        "SET @vya_sql_mode = @@SESSION.sql_mode, @@SESSION.sql_mode = '';\n",
        *statements,
        "SET @@SESSION.sql_mode = @vya_sql_mode;\n",
    ]


def read_privileges(query: Query, database: str) -> list[Privilege]:
    """Return each privilege on a database and its objects: account, object, kind of object and privilege.

    The object is a clause after the database's name; of the database itself ``*``, NUL and the pattern that was
    granted. What may be granted on ends with ``WITH GRANT OPTION``.

    Args:
        query: Runs a statement with parameters and returns its rows.
        database: The database whose grants are meant.

    Raises:
        ServerError: The account may not read the grants (it needs SELECT on the database ``mysql``).
    """
    own = {"database": database}
    found: list[Privilege] = []
    # Grants on tables, columns and routines outlive these. Those on what is gone are left out: they could not be made
    # again, and what cannot be loaded to its end is no backup.
    of_tables = list(_of_database(query, own))
    there = _tables_and_columns(query, own) if any(level != "SCHEMA" for level, *_more in of_tables) else _NOTHING
    for level, (user, host), target, privilege, may_grant, column in of_tables:
        if level != "SCHEMA" and not there.has(target, column):
            continue
        what = f"*\0{target}" if level == "SCHEMA" else quote_name(target)
        which = f"{privilege} ({quote_name(column)})" if level == "COLUMN" else privilege
        found.append(((user, host), what, "", which + (_MAY_GRANT if may_grant else "")))
    of_routines = query(_ROUTINE, own)
    names_of_routines = query(_ROUTINES, own) if of_routines else []
    routines = {decoded(row[0]).lower(): decoded(row[0]) for row in names_of_routines}
    for user, host, raw, twice, kind, granted in of_routines:
        routine = next((routines[n] for n in (decoded(raw).lower(), decoded(twice).lower()) if n in routines), None)
        if routine is None:
            continue
        names = {name.strip().upper() for name in decoded(granted).split(",") if name.strip()}
        for privilege in sorted(names - {"GRANT"} or {"USAGE"}):
            which = privilege + (_MAY_GRANT if "GRANT" in names else "")
            found.append(((decoded(user), decoded(host)), quote_name(routine), f"{decoded(kind)} ", which))
    return found


def _statement(
    database: str, account: tuple[str, str], target: str, kind: str, privileges: list[str], may_grant: bool
) -> str:
    target, pattern = target.split("\0") if "\0" in target else (target, "")
    user, host = account
    # MariaDB's roles are accounts without a host.
    grantee = f"{quote_text(user)}@{quote_text(host)}" if host else quote_name(user)
    before = f"GRANT {', '.join(privileges)} ON {kind}"
    after = f".{target} TO {grantee}{' WITH GRANT OPTION' if may_grant else ''}"
    name = "CONCAT('`', REPLACE(DATABASE(), '`', '``'), '`')"
    if pattern:  # a grant on the database itself takes a pattern: under another name the wildcards must be escaped
        escaped = "REPLACE(REPLACE(DATABASE(), '_', '\\\\_'), '%', '\\\\%')"
        name = (
            f"IF(DATABASE() = {quote_text(database)}, {quote_text(quote_name(pattern))},"
            f" CONCAT('`', REPLACE({escaped}, '`', '``'), '`'))"
        )
    # MariaDB 10 knows grants on packages in Oracle's mode only.
    mode, back = (
        ("SET @@SESSION.sql_mode = 'ORACLE';\n", "SET @@SESSION.sql_mode = '';\n") if "PACKAGE" in kind else ("", "")
    )
    return (
        f"SET @vya_grant = (SELECT IF(COUNT(*) > 0, CONCAT({quote_text(before)}, {name}, {quote_text(after)}), 'DO 0')"
        f" FROM mysql.user WHERE User = {quote_text(user)} AND Host = {quote_text(host)});\n"
        f"{mode}PREPARE vya_statement FROM @vya_grant; EXECUTE vya_statement; DEALLOCATE PREPARE vya_statement;\n{back}"
    )


def _of_database(query: Query, own: Mapping[str, str]) -> Iterator[tuple[str, Account, str, str, bool, str]]:
    """Yield level, account, pattern or table, privilege, whether it may be granted on, and column."""
    roles = False
    for level, grantee, target, privilege, may_grant, column in query(_GRANTS, own):
        account = _account(grantee)
        if account[1]:
            yield level, account, target, privilege, may_grant == "YES", column
        else:
            roles = True
    if roles:
        yield from _of_roles(query, own)


def _of_roles(query: Query, own: Mapping[str, str]) -> Iterator[tuple[str, Account, str, str, bool, str]]:
    """Yield the same of the roles of MariaDB, which are the accounts without a host: only what they have themselves."""
    columns = [decoded(column) for (column,) in query(_ROLES_COLUMNS)]
    for role, pattern, *values in query(_ROLES_DATABASES.format(", ".join(columns)), own):
        given = {column for column, value in zip(columns, values, strict=True) if decoded(value) == "Y"}
        names = {column.removesuffix("_priv").replace("_", " ").upper() for column in given}
        for name in sorted(names - {"GRANT"}) or ["USAGE"]:
            yield "SCHEMA", (decoded(role), ""), decoded(pattern), _CALLED.get(name, name), "GRANT" in names, ""
    grantable = set()
    for role, table, value in query(_ROLES_TABLES, own):
        names = set(filter(None, decoded(value).upper().split(",")))
        if "GRANT" in names:
            grantable.add((role, table))
        for name in sorted(names - {"GRANT"}) or ["USAGE"] * bool(names):
            yield "TABLE", (decoded(role), ""), decoded(table), _CALLED.get(name, name), "GRANT" in names, ""
    for role, table, column, value in query(_ROLES_FIELDS, own):
        for name in filter(None, decoded(value).upper().split(",")):
            yield "COLUMN", (decoded(role), ""), decoded(table), name, (role, table) in grantable, decoded(column)


@dataclass(frozen=True)
class _Columns:
    """The columns of the tables and views that are there, and whether case tells tables apart."""

    by_table: Mapping[str, set[str]]
    with_case: bool = True

    def has(self, table: str, column: str) -> bool:
        """Whether there is a table, and in it, where one is named, a column."""
        columns = self.by_table.get(table if self.with_case else table.lower())
        return columns is not None and (not column or column.lower() in columns)


_NOTHING = _Columns({})


def _tables_and_columns(query: Query, own: Mapping[str, str]) -> _Columns:
    with_case = str(query("SELECT @@lower_case_table_names")[0][0]) == "0"
    found: dict[str, set[str]] = defaultdict(set)
    for table, column in query(_COLUMNS, own):
        name = decoded(table)
        found[name if with_case else name.lower()].add(decoded(column).lower())
    return _Columns(found, with_case)


def _account(grantee: str) -> tuple[str, str]:
    match = _GRANTEE.fullmatch(grantee)
    return (match.group(1), match.group(2)) if match else (grantee, "")


def decoded(value: Any) -> str:
    """Return the text of a value: the system tables' binary collations make the driver return bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
