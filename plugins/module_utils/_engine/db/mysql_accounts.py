# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The accounts that a MySQL or MariaDB database refers to, as SQL that makes them again.

What an account is, the server itself says (``SHOW CREATE USER``), and its privileges on everything as well (``SHOW
GRANTS``). Privileges on this database are in the artifact; those on others have nothing to do with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .accounts import PASSWORDS_NOT_KEPT, Accounts, Statement, related
from .base import Server
from .connection import literally
from .mysql_grants import Account, decoded, quote_name, quote_text, read_privileges
from .mysql_inspection import Query

_SYSTEM = {("mysql.sys", "localhost"), ("mysql.session", "localhost"), ("mysql.infoschema", "localhost")}
_SYSTEM |= {("mariadb.sys", "localhost"), ("PUBLIC", "")}
_MEMBERSHIPS = {
    "mysql": "SELECT FROM_USER, FROM_HOST, TO_USER, TO_HOST, WITH_ADMIN_OPTION FROM mysql.role_edges",
    "mariadb": "SELECT Role, '', User, Host, Admin_option FROM mysql.roles_mapping",
}
_DEFAULT_ROLES = {
    "mysql": "SELECT DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST, USER, HOST FROM mysql.default_roles",
    "mariadb": "SELECT default_role, '', User, Host FROM mysql.user WHERE default_role <> ''",
}
_HEX_SINCE = (8, 0, 17)  # salts are bytes, which text would spoil (manual of MySQL, print_identified_with_as_hex)
_ROLES_SINCE = (8, 0)
_HIDDEN = "<secret>"

_QUOTED = re.compile(r"`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_HEAD = re.compile(r"CREATE USER `_*`(?:@`_*`)?")
_IDENTIFIED = re.compile(
    r" IDENTIFIED .*?(?= DEFAULT ROLE | REQUIRE | WITH MAX_| PASSWORD (?:EXPIRE|HISTORY|REUSE|REQUIRE)| ACCOUNT"
    r"| FAILED_LOGIN| ATTRIBUTE | COMMENT |$)"
)
_SECRET = re.compile(r" (?:AS|USING|PASSWORD) (?:'_|0x)")
_DEFAULT_ROLE = re.compile(r" DEFAULT ROLE .*?(?= REQUIRE )")
_EVERYWHERE = re.compile(r"GRANT (.*?) ON \*\.\* TO ")
_WITHHELD = re.compile(r"REVOKE .* FROM ")


def read_accounts(query: Query, server: Server, database: str, definers: Sequence[str], passwords: bool) -> Accounts:
    """Return the accounts that have grants on a database or define objects of it, with those that belong to them.

    Args:
        query: Runs a statement with parameters and returns its rows.
        server: The server.
        database: The database.
        definers: The definers of its objects, ``user@host``.
        passwords: Whether their passwords are wanted, as the server stores them.

    Raises:
        ServerError: The account may not read this (it needs SELECT on the database ``mysql``).
    """
    there = {each for each in existing_accounts(query) - _SYSTEM if each[1] or server.flavour == "mariadb"}
    grantees = {account for account, *_privilege in read_privileges(query, database)}
    with_roles = server.flavour == "mariadb" or server.number >= _ROLES_SINCE
    memberships = _memberships(query, _MEMBERSHIPS[server.flavour]) if with_roles else {}
    defaults = set(_memberships(query, _DEFAULT_ROLES[server.flavour])) if with_roles else set()
    edges = {edge: admin for edge, admin in memberships.items() if there.issuperset(edge)}

    def counted(role: Account, member: Account) -> bool:
        # Of MariaDB, who made a role may grant it on, and need have nothing else to do with it.
        return not (server.flavour == "mariadb" and member[1] and edges[role, member])

    found = sorted(related({*grantees, *map(account_of, definers)} & there, edges, counted))
    if server.flavour == "mysql" and server.number >= _HEX_SINCE:
        query("SET SESSION print_identified_with_as_hex = ON")
    kept, hidden = True, False
    statements: list[Statement] = []
    for account in found:
        text = _definition(query, account)
        hidden = hidden or _HIDDEN in text
        made, whole = _made(text, account, passwords)
        kept = kept and whole
        statements.append(_about(made, account))
    for account in found:
        grants = [str(decoded(row[0])) for row in query(f"SHOW GRANTS FOR {literally(quoted(account))}")]
        statements += [_about(text, account) for text in _everywhere(grants, account)]
    inner = {(role, member): admin for (role, member), admin in edges.items() if {role, member} <= set(found)}
    for (role, member), admin in sorted(inner.items()):
        text = f"GRANT {quoted(role)} TO {quoted(member)}{' WITH ADMIN OPTION' if admin else ''}"
        statements.append(_about(text, role, member))
    statements += _default_roles(server, defaults & set(inner))
    if server.flavour == "mariadb":  # who makes a role becomes a member of it
        statements += [_about(f"REVOKE {quoted(each)} FROM CURRENT_USER", each) for each in found if not each[1]]
    reason = "" if kept else PASSWORDS_NOT_KEPT
    if passwords and hidden:
        reason = "Passwords are missing: the account may not read them (it needs SELECT on the database mysql)."
    return Accounts(tuple(name_of(each) for each in found), tuple(statements), passwords and kept, reason)


def existing_accounts(query: Query) -> set[Account]:
    """Return all accounts, roles included.

    Raises:
        ServerError: The account may not read them.
    """
    return {(decoded(user), decoded(host)) for user, host in query("SELECT User, Host FROM mysql.user")}


def name_of(account: Account) -> str:
    """Return an account's name, ``user@host``; roles of MariaDB have no host."""
    return "@".join(account)


def account_of(name: str) -> Account:
    """Return the account of a name; definers that are roles are named without ``@``."""
    user, at, host = name.rpartition("@")
    return (user, host) if at else (host, "")


def quoted(account: Account) -> str:
    """Return an account as SQL names it."""
    user, host = account
    return f"{quote_text(user)}@{quote_text(host)}" if host else quote_name(user)


def removal(account: Account) -> str:
    """Return the statement that drops an account."""
    return f"DROP {'USER' if account[1] else 'ROLE'} IF EXISTS {quoted(account)}"


def _memberships(query: Query, statement: str) -> dict[tuple[Account, Account], bool]:
    """Return role and member of each membership, and whether it may be granted on."""
    rows = (list(map(decoded, row)) for row in query(statement))
    return {((role, at), (user, host)): admin == ["Y"] for role, at, user, host, *admin in rows}


def _definition(query: Query, account: Account) -> str:
    if not account[1]:
        return ""
    return decoded(query(f"SHOW CREATE USER {literally(quoted(account))}")[0][0])


def _made(definition: str, account: Account, passwords: bool) -> tuple[str, bool]:
    """Return what makes an account, and whether it is as it was: else it has no password, and is locked."""
    if not account[1]:
        return f"CREATE ROLE IF NOT EXISTS {quote_name(account[0])}", True
    create = f"CREATE USER IF NOT EXISTS {quoted(account)}"
    masked = _masked(definition)
    head = _HEAD.match(masked)
    if head is None:
        return f"{create} ACCOUNT LOCK", False
    roles = _DEFAULT_ROLE.search(masked)
    if roles is not None:  # they are made later
        definition = definition[: roles.start()] + definition[roles.end() :]
        masked = _masked(definition)
    identified = _IDENTIFIED.search(masked)
    secret = identified is not None and _SECRET.search(identified.group()) is not None
    if identified is None or not secret or (passwords and _HIDDEN not in definition):
        return create + definition[head.end() :], True
    rest = definition[head.end() : identified.start()] + definition[identified.end() :]
    if " IDENTIFIED " in _masked(rest):  # a form that we do not know
        return f"{create} ACCOUNT LOCK", False
    unlocked = _masked(rest).find(" ACCOUNT UNLOCK")
    if unlocked >= 0:
        rest = rest[:unlocked] + rest[unlocked + len(" ACCOUNT UNLOCK") :]
    return create + rest + ("" if " ACCOUNT LOCK" in _masked(rest) else " ACCOUNT LOCK"), False


def _everywhere(grants: Sequence[str], account: Account) -> list[str]:
    """Return the privileges that an account itself has on all databases, and what is withheld of them."""
    found = []
    for text in grants:
        masked = _masked(text)
        given, withheld = _EVERYWHERE.match(masked), _WITHHELD.match(masked)
        if given is not None and _is_of(text[given.end() :], account) and given.group(1) != "USAGE":
            option = " WITH GRANT OPTION" if " WITH GRANT OPTION" in masked[given.end() :] else ""
            found.append(f"GRANT {given.group(1)} ON *.* TO {quoted(account)}{option}")
        elif withheld is not None and _is_of(text[withheld.end() :], account):
            found.append(text)
    return found


def _is_of(rest: str, account: Account) -> bool:
    """Whether a list of accounts is one account: ``SHOW GRANTS`` of MariaDB has those of its roles too."""
    user, host = account
    own = quote_name(user) + (f"@{quote_name(host)}" if host else "")
    return rest == own or rest.startswith(own + " ")


def _default_roles(server: Server, defaults: set[tuple[Account, Account]]) -> list[Statement]:
    members: dict[Account, list[Account]] = {}
    for role, member in sorted(defaults):
        members.setdefault(member, []).append(role)
    if server.flavour == "mariadb":
        return [
            _about(f"SET DEFAULT ROLE {quoted(roles[0])} FOR {quoted(member)}", member)
            for member, roles in members.items()
        ]
    return [
        _about(f"ALTER USER {quoted(member)} DEFAULT ROLE {', '.join(map(quoted, roles))}", member)
        for member, roles in members.items()
    ]


def _about(text: str, *accounts: Account) -> Statement:
    return Statement(tuple(map(name_of, accounts)), text)


def _masked(text: str) -> str:
    """Return a text of the same length in which what stands in quotes is only underscores."""
    return _QUOTED.sub(lambda match: match.group()[0] + "_" * (len(match.group()) - 2) + match.group()[-1], text)
