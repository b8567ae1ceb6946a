# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What belongs to a PostgreSQL database itself and is not in a dump of its content, as SQL for any database name.

``pg_dump --create`` would write it, but with the database's name fixed, so that it could not be restored as another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Lists that are stored as quoted identifiers already (pg_dump's variable_is_guc_list_quote).
_QUOTED_LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)


def quote_name(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Quote a string literal; the E form where a backslash is in it, whatever standard_conforming_strings says."""
    doubled = text.replace("'", "''")
    return f" E'{doubled}'".replace("\\", "\\\\") if "\\" in text else f"'{doubled}'"


def create_clauses(settings: Mapping[str, Any]) -> str:
    """Return the clauses of CREATE DATABASE that cannot be changed afterwards: encoding, collation, provider."""
    clauses = [
        "TEMPLATE template0",
        f"ENCODING {quote_text(settings['encoding'])}",
        f"LC_COLLATE {quote_text(settings['collate'])}",
        f"LC_CTYPE {quote_text(settings['ctype'])}",
    ]
    provider = settings.get("locale_provider", "libc")
    if provider != "libc":
        clauses.append(f"LOCALE_PROVIDER {provider}")
    if settings.get("locale") and provider in ("icu", "builtin"):
        clauses.append(f"{'ICU' if provider == 'icu' else 'BUILTIN'}_LOCALE {quote_text(settings['locale'])}")
    if settings.get("icu_rules"):
        clauses.append(f"ICU_RULES {quote_text(settings['icu_rules'])}")
    return " ".join(clauses)


def preamble_statements(settings: Mapping[str, Any]) -> str:
    """Return SQL to load before the dump.

    A dump does not say who owns an extension; it becomes whoever creates it. So the load is made as that owner, where
    it is a superuser on the target too (and can thus do all that a restore does) and we may become that one.
    """
    text = f"-- Load into an empty database: CREATE DATABASE name {create_clauses(settings)};\n"
    owner = extension_owner(settings)
    if owner is None:
        return text
    condition = (
        f"EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = {quote_text(owner)} AND rolsuper)"
        " AND (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)"
    )
    return text + _do(f"IF {condition} THEN EXECUTE {quote_text(f'SET ROLE {quote_name(owner)}')}; END IF;")


def extension_owner(settings: Mapping[str, Any]) -> str | None:
    """Return who owns most of the extensions, beside the one that every database has; None where there are none."""
    owners = list((settings.get("extension_owners") or {}).values())
    return str(max(sorted(set(owners)), key=owners.count)) if owners else None


def assignment_clause(assignment: str) -> str:
    """Return what follows SET for an assignment as the catalogues have it, ``name=value``."""
    name, value = assignment.split("=", 1)
    written = value if name.lower() in _QUOTED_LISTS else quote_text(value)
    return f"{'.'.join(quote_name(part) for part in name.split('.'))} TO {written}"


def settings_statements(settings: Mapping[str, Any]) -> str:
    """Return SQL that gives the current database its owner, comment, grants and configuration.

    What names a role that does not exist is passed over with a warning, as the role is not the database's.
    """
    commands: list[tuple[str | None, str]] = []  # role that must exist, text for format() with %1$I as the database
    if settings.get("comment"):
        commands.append((None, f"COMMENT ON DATABASE %1$I IS {_for_format(quote_text(settings['comment']))}"))
    if settings.get("connection_limit", -1) != -1:
        commands.append((None, f"ALTER DATABASE %1$I WITH CONNECTION LIMIT {int(settings['connection_limit'])}"))
    for role, assignments in settings.get("configuration") or []:
        target = f"ROLE {_for_format(quote_name(role))} IN DATABASE %1$I" if role else "DATABASE %1$I"
        clauses = (_for_format(assignment_clause(each)) for each in assignments)
        commands += [(role, f"ALTER {target} SET {clause}") for clause in clauses]
    owner = settings["owner"]
    commands.append((owner, f"ALTER DATABASE %1$I OWNER TO {_for_format(quote_name(owner))}"))
    if settings.get("acl") is not None:
        commands.append((None, "REVOKE ALL ON DATABASE %1$I FROM PUBLIC"))
        commands.append((owner, f"REVOKE ALL ON DATABASE %1$I FROM {_for_format(quote_name(owner))}"))
        for grantee, privilege, grantable in settings["acl"]:
            to = _for_format(quote_name(grantee)) if grantee else "PUBLIC"
            option = " WITH GRANT OPTION" if grantable and grantee != owner else ""
            commands.append((grantee, f"GRANT {privilege} ON DATABASE %1$I TO {to}{option}"))
    lines = [_guarded(role, command) for role, command in commands]
    return "RESET ROLE;\n-- Settings of the database itself, applied to the one we are connected to\n" + "".join(lines)


def _guarded(role: str | None, command: str) -> str:
    execute = f"EXECUTE pg_catalog.format({quote_text(command)}, pg_catalog.current_database());"
    if role is not None:
        condition = f"EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = {quote_text(role)})"
        missing = quote_text(f"role {role} does not exist: a setting of the database that names it was left out")
        execute = f"IF {condition} THEN {execute} ELSE RAISE WARNING USING MESSAGE = {missing}; END IF;"
    return _do(execute)


def _do(statements: str) -> str:
    body = f"BEGIN {statements} END"
    tag = "$vya$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"DO {tag}{body}{tag};\n"


def _for_format(text: str) -> str:
    """Escape a text that format() must leave as it is."""
    return text.replace("%", "%%")
