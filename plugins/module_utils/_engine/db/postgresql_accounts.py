# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The roles that a PostgreSQL database refers to, as SQL that makes them again.

``pg_dumpall --roles-only`` writes all roles of a server, and only for a superuser those of one database could be told
from others by reading it. So the catalogues are asked for the same (manual of PostgreSQL, pg_roles, pg_auth_members).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from .accounts import PASSWORDS_NOT_KEPT, Accounts, Statement, related
from .postgresql_settings import assignment_clause, quote_name, quote_text

Query = Callable[..., list[tuple[Any, ...]]]

_ROLES = "SELECT rolname, to_jsonb(r), shobj_description(oid, 'pg_authid'), oid < 16384 AND oid <> 10 FROM pg_roles r"
_MEMBERSHIPS = (
    "SELECT r.rolname, m.rolname, to_jsonb(a) FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid"
    " JOIN pg_roles m ON m.oid = a.member"
)
_MAY_READ_PASSWORDS = "SELECT has_table_privilege('pg_authid', 'SELECT')"
_PASSWORDS = "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"
_ATTRIBUTES = {
    "rolsuper": "SUPERUSER",
    "rolinherit": "INHERIT",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolcanlogin": "LOGIN",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
# No log of the server's is to hold what stands for a password; only a superuser may ask for that.
SILENCE = (
    "SELECT set_config(name, value, true) FROM (VALUES ('log_statement', 'none'), ('log_min_duration_statement', '-1'),"
    " ('log_min_error_statement', 'panic')) AS s (name, value) WHERE current_setting('is_superuser') = 'on'"
)


def read_accounts(query: Query, settings: Mapping[str, Any], passwords: bool) -> Accounts:
    """Return the roles that own objects of a database or have privileges on them, with those that belong to them.

    Args:
        query: Runs a statement in the database and returns its rows.
        settings: What the manifest says of the database itself.
        passwords: Whether their passwords are asked for, as the server stores them.

    Raises:
        ServerError: The server cannot be asked.
    """
    known = {str(name): facts for name, *facts in query(_ROLES)}
    options: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for role, member, membership in query(_MEMBERSHIPS):  # several, where several have granted it
        for key in ("admin_option", "inherit_option", "set_option"):
            if key in membership:
                options[role, member][key] = options[role, member].get(key, False) or bool(membership[key])
    own = {name for name, (_attributes, _comment, predefined) in known.items() if not predefined}
    named = {name for name in _named(settings) if name in own}
    found = related(named, [edge for edge in options if own.issuperset(edge)], lambda _role, _member: True)
    readable = passwords and bool(query(_MAY_READ_PASSWORDS)[0][0])
    stored = {str(name): str(text) for name, text in query(_PASSWORDS)} if readable else {}
    statements: list[Statement] = []
    for name in sorted(found):
        statements += _role(name, known[name], stored.get(name))
    for (role, member), option in sorted(options.items()):
        if member in found and (role in found or known[role][2]):
            about = (role, member) if role in found else (member,)
            statements.append(Statement(about, _membership(role, member, option)))
    reason = "" if readable else PASSWORDS_NOT_KEPT
    if passwords and not readable:
        reason = "Passwords are missing: the account may not read pg_authid, which takes pg_read_all_data."
    return Accounts(tuple(sorted(found)), tuple(statements), readable, reason)


def _named(settings: Mapping[str, Any]) -> set[str]:
    """Return whom the manifest's settings name: owners, those with privileges, and those with settings of their own."""
    needs = settings.get("needs") or {}
    return {
        *needs.get("roles", ()),
        settings["owner"],
        *(grantee for grantee, *_privilege in settings.get("acl") or [] if grantee),
        *(role for role, _assignments in settings.get("configuration") or [] if role),
        *(settings.get("extension_owners") or {}).values(),
    }


def _role(name: str, facts: list[Any], password: str | None) -> list[Statement]:
    attributes, comment, _predefined = facts
    words = [("" if attributes[key] else "NO") + word for key, word in _ATTRIBUTES.items()]
    if attributes["rolconnlimit"] != -1:
        words.append(f"CONNECTION LIMIT {int(attributes['rolconnlimit'])}")
    if attributes["rolvaliduntil"] is not None:
        words.append(f"VALID UNTIL {quote_text(str(attributes['rolvaliduntil']))}")
    if password is not None:
        words.append(f"PASSWORD {quote_text(password)}")
    role = quote_name(name)
    texts = [f"CREATE ROLE {role} WITH {' '.join(words)}"]
    texts += [f"ALTER ROLE {role} SET {assignment_clause(each)}" for each in attributes["rolconfig"] or ()]
    if comment is not None:
        texts.append(f"COMMENT ON ROLE {role} IS {quote_text(comment)}")
    return [Statement((name,), text) for text in texts]


def _membership(role: str, member: str, option: Mapping[str, bool]) -> str:
    text = f"GRANT {quote_name(role)} TO {quote_name(member)}"
    if "inherit_option" not in option:  # before PostgreSQL 16
        return text + (" WITH ADMIN OPTION" if option["admin_option"] else "")
    words = (f"{key.removesuffix('_option').upper()} {str(value).upper()}" for key, value in sorted(option.items()))
    return f"{text} WITH {', '.join(words)}"
