# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a MySQL or MariaDB account holds, and what it lacks for a whole dump or a restore, with the GRANT for it.

``SHOW GRANTS`` without an account lists the privileges of the roles that are active in the session as well, and the
dump client's session has the same roles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .base import Server
from .mysql_grants import quote_name, quote_text

_NAME = r"(?:\*|`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\")"
_STATEMENT = re.compile(
    rf"(GRANT|REVOKE) (.+?) ON (?:(FUNCTION|PROCEDURE|PACKAGE BODY|PACKAGE|TABLE) )?({_NAME})\.({_NAME}) (?:TO|FROM) ",
    re.DOTALL,
)
_ROLE = re.compile(rf"GRANT {_NAME}(?:@{_NAME})? TO ")
_QUOTED = re.compile(r"`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"")
_ALL = frozenset({"ALL", "ALL PRIVILEGES"})
EVERYWHERE = "*"


@dataclass(frozen=True)
class Grant:
    """One line of ``SHOW GRANTS``: privileges on all, on the databases that a pattern names, or on one object."""

    privileges: frozenset[str]
    kind: str
    database: str
    name: str
    revoked: bool = False

    def gives(self, privilege: str) -> bool:
        """Whether a privilege is among them."""
        return privilege in self.privileges or (privilege != "GRANT OPTION" and bool(self.privileges & _ALL))


@dataclass(frozen=True)
class Grants:
    """All that an account holds in its session.

    Attributes:
        grants: Its privileges.
        roles: The roles that it was given, active or not.
        literal: Whether ``_`` and ``%`` in a database's name stand for themselves (partial revokes are on).
    """

    grants: tuple[Grant, ...]
    roles: tuple[str, ...] = ()
    literal: bool = False

    def holds(self, privilege: str, database: str = EVERYWHERE, name: str = EVERYWHERE, kind: str = "") -> bool:
        """Whether the account holds a privilege.

        Args:
            privilege: The privilege.
            database: On this database; on every one when left out.
            name: On this object; on all of the database when left out.
            kind: What the object is: ``FUNCTION`` and the like; empty for tables and databases.
        """
        revoked = any(g.revoked and g.gives(privilege) and self._names(g, database) for g in self.grants)
        return any(
            not grant.revoked
            and grant.gives(privilege)
            and (
                (grant.database == EVERYWHERE and not revoked)
                or (
                    database != EVERYWHERE
                    and grant.database != EVERYWHERE
                    and self._names(grant, database)
                    and (grant.name == EVERYWHERE or (grant.name.lower() == name.lower() and grant.kind == kind))
                )
            )
            for grant in self.grants
        )

    def narrowed_to(self, database: str) -> bool:
        """Whether the account holds something on this database that it does not hold on all."""
        return any(
            not g.revoked and g.database != EVERYWHERE and g.name == EVERYWHERE and self._names(g, database)
            for g in self.grants
        )

    def _names(self, grant: Grant, database: str) -> bool:
        if grant.name != EVERYWHERE or grant.kind or self.literal:
            return grant.database == database
        return re.fullmatch(_like(grant.database), database, re.DOTALL) is not None


def parse_grants(lines: Iterable[str], literal: bool = False) -> Grants:
    """Read what ``SHOW GRANTS`` shows.

    Args:
        lines: Its lines.
        literal: Whether partial revokes are on, which makes wildcards in databases' names literal.
    """
    grants, roles = [], []
    for line in lines:
        found = _STATEMENT.match(line)
        if found:
            verb, privileges, kind, database, name = found.groups()
            # A privilege on some columns only is none on the table.
            whole = {p.strip().upper() for p in _QUOTED.sub("``", privileges).split(",") if "`" not in p}
            if line.rstrip(";").endswith("GRANT OPTION"):
                whole.add("GRANT OPTION")
            kind = "" if kind in (None, "TABLE") else kind
            grants.append(Grant(frozenset(whole), kind, _unquoted(database), _unquoted(name), verb == "REVOKE"))
        elif _ROLE.match(line):
            roles.append(_unquoted(_QUOTED.findall(line)[0]))
    return Grants(tuple(grants), tuple(roles), literal)


def quote_account(account: str) -> str:
    """Quote what ``CURRENT_USER()`` returns, ``user@host``."""
    user, _at, host = account.rpartition("@")
    return f"{quote_text(user)}@{quote_text(host)}"


def quote_scope(database: str, literal: bool) -> str:
    """Write a database as GRANT takes it: its wildcards escaped, since it takes a pattern."""
    if database == EVERYWHERE:
        return "*.*"
    escaped = database if literal else re.sub(r"([_%])", r"\\\1", database)
    return f"{quote_name(escaped)}.*"


@dataclass(frozen=True)
class Needed:
    """A privilege that a whole dump needs, and what becomes of the dump without it."""

    privilege: str
    without: str


SELECT = Needed("SELECT", "tables cannot be read")
SHOW_VIEW = Needed("SHOW VIEW", "views cannot be dumped")
TRIGGER = Needed("TRIGGER", "triggers would be left out without a word")
EVENT = Needed("EVENT", "events would be left out or cannot be dumped")
ROUTINES = "routines would be left out, or their bodies cannot be read"
GRANTS = "grants on the databases would be left out without a word"
DUMP = (SELECT, SHOW_VIEW, TRIGGER, EVENT)

# What loading a dump takes; grants and definers come on top.
RESTORE = (
    "SELECT",
    "INSERT",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
    "LOCK TABLES",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "TRIGGER",
    "EVENT",
)


def routine_privileges(server: Server) -> tuple[str, ...]:
    """Return the global privileges, of which any one lets an account read the bodies of all routines.

    None where SELECT on the database ``mysql`` does, which a dump needs anyway.
    """
    if server.flavour == "mariadb" or server.number < (8,):
        return ()
    return ("SHOW_ROUTINE", "SELECT") if server.number >= (8, 0, 20) else ("SELECT",)


def definer_privileges(server: Server) -> tuple[str, ...]:
    """Return the privileges, of which any one lets an account make objects with another's name as their definer."""
    if server.flavour == "mariadb":
        return ("SET USER", "SUPER") if server.number >= (10, 5, 2) else ("SUPER",)
    if server.number >= (8, 2):
        return ("SET_ANY_DEFINER", "SUPER")
    return ("SET_USER_ID", "SUPER") if server.number >= (8,) else ("SUPER",)


def view_functions_are_executed(server: Server) -> bool:
    """Whether reading a view's definition takes EXECUTE on the functions that it calls (error 1370 otherwise)."""
    return server.flavour == "mariadb" or server.number < (8,)


def missing_on(grants: Grants, privileges: Sequence[str], database: str) -> list[str]:
    """Return those of the privileges that an account lacks on a database."""
    return [privilege for privilege in privileges if not grants.holds(privilege, database)]


def _unquoted(name: str) -> str:
    return name if name == EVERYWHERE else name[1:-1].replace(name[0] * 2, name[0])


def _like(pattern: str) -> str:
    """Turn a pattern of GRANT into a regular expression."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
