# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts that the checks of a PostgreSQL server judge: asked for here, judged elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .base import Server
from .compatibility import Clients

Query = Callable[..., list[tuple[Any, ...]]]

_ACCOUNT = (
    "SELECT jsonb_build_object("
    "'name', current_user, 'superuser', rolsuper, 'bypasses', rolbypassrls, 'creates', rolcreatedb,"
    " 'reads_all', COALESCE(pg_has_role(oid, to_regrole('pg_read_all_data'), 'USAGE'), false),"
    " 'standby', pg_is_in_recovery(), 'read_only', current_setting('default_transaction_read_only') = 'on')"
    " FROM pg_roles WHERE rolname = current_user"
)
_CLOSED = "SELECT datname FROM pg_database WHERE datallowconn AND NOT has_database_privilege(oid, 'CONNECT')"
_AVAILABLE = "SELECT name, default_version FROM pg_available_extensions"
_ROLES = "SELECT rolname FROM pg_roles"
_TABLESPACES = "SELECT spcname FROM pg_tablespace"
_OWNER = (
    "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = %s AND NOT EXISTS"
    " (SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper)"
)

_USERS_OWN = (
    "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%'"
    " AND n.nspname NOT LIKE 'pg\\_temp%%'"
)


def _of_extension(catalog: str, oid: str) -> str:
    return f"EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = {catalog} AND x.objid = {oid} AND x.deptype = 'e')"


_RELATION_OF_EXTENSION = _of_extension("'pg_class'::regclass", "c.oid")
_ROUTINE_OF_EXTENSION = _of_extension("'pg_proc'::regclass", "p.oid")
_OBJECT_OF_EXTENSION = _of_extension("s.classid", "s.objid")

# What pg_dump locks or reads: tables and sequences, of extensions only those whose content is the user's.
_READ = (
    "SELECT c.oid, n.oid AS schema, n.nspname, n.nspname || '.' || c.relname AS name, c.relkind, c.relpersistence,"
    " c.relrowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE c.relkind IN ('r', 'p', 'S') AND {_USERS_OWN}"
    f" AND (NOT {_RELATION_OF_EXTENSION}"
    " OR EXISTS (SELECT 1 FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))"
)
_DATABASE = (
    f"WITH relation AS ({_READ}) SELECT jsonb_build_object("
    "'schemas', (SELECT jsonb_agg(DISTINCT nspname) FROM relation WHERE NOT has_schema_privilege(schema, 'USAGE')),"
    " 'relations', (SELECT jsonb_agg(name) FROM relation WHERE NOT CASE relkind"
    " WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT') ELSE has_table_privilege(oid, 'SELECT') END),"
    " 'row_secured', (SELECT jsonb_agg(name) FROM relation WHERE relrowsecurity AND row_security_active(oid)),"
    " 'unlogged', (SELECT jsonb_agg(name) FROM relation WHERE relpersistence = 'u' AND relkind = 'r'),"
    " 'large_objects', (SELECT jsonb_agg(oid::bigint) FROM pg_largeobject_metadata WHERE {large_object}"
    " AND current_setting('lo_compat_privileges') = 'off'),"
    " 'subscriptions', (SELECT jsonb_agg(s.subname) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
    " WHERE d.datname = current_database()),"
    " 'user_mappings', (SELECT jsonb_agg(DISTINCT m.srvname) FROM pg_user_mappings m JOIN pg_foreign_server s"
    " ON s.oid = m.srvid WHERE NOT CASE m.umuser WHEN 0 THEN pg_has_role(s.srvowner, 'USAGE')"
    " ELSE m.usename = current_user AND (pg_has_role(s.srvowner, 'USAGE')"
    " OR has_server_privilege(s.oid, 'USAGE')) END),"
    " 'extensions', (SELECT jsonb_object_agg(extname, extversion) FROM pg_extension))"
)
_NO_LARGE_OBJECT = (
    "NOT (pg_has_role(lomowner, 'USAGE') OR EXISTS (SELECT 1 FROM aclexplode(lomacl) a"
    " WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))))"
)

# Roles that a dump names: owners and grantees of objects. What an extension made is made again by the extension.
NEEDS = (
    "SELECT jsonb_build_object("
    "'roles', (SELECT jsonb_agg(DISTINCT role ORDER BY role) FROM ("
    "SELECT pg_get_userbyid(s.refobjid) AS role FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid"
    " WHERE d.datname = current_database() AND s.refclassid = 'pg_authid'::regclass"
    " AND s.classid <> 'pg_extension'::regclass"
    f" AND (s.deptype = 'a' OR NOT {_OBJECT_OF_EXTENSION})"
    " AND NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE s.classid = 'pg_class'::regclass AND c.oid = s.objid AND n.nspname LIKE 'pg\\_temp%%')"
    # The first superuser's own objects are not recorded there.
    " UNION SELECT pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {_USERS_OWN} AND NOT {_RELATION_OF_EXTENSION}"
    " UNION SELECT pg_get_userbyid(p.proowner) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
    f" WHERE {_USERS_OWN} AND NOT {_ROUTINE_OF_EXTENSION}"
    " UNION SELECT pg_get_userbyid(s.subowner) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
    " WHERE d.datname = current_database()) AS named WHERE role NOT LIKE 'unknown (OID=%%'),"
    " 'tablespaces', (SELECT jsonb_agg(DISTINCT t.spcname) FROM pg_class c JOIN pg_tablespace t"
    " ON t.oid = c.reltablespace WHERE t.spcname NOT LIKE 'pg\\_%%'),"
    " 'extensions', (SELECT jsonb_object_agg(extname, extversion) FROM pg_extension))"
)


@dataclass(frozen=True)
class Account:
    """The role that the engine uses.

    Attributes:
        name: Its name.
        superuser: Whether it is a superuser.
        reads_all: Whether it has the privileges of pg_read_all_data.
        bypasses: Whether it bypasses row-level security.
        creates: Whether it may create databases.
        standby: Whether the server is a standby.
        read_only: Whether its transactions are read-only unless they say otherwise.
    """

    name: str
    superuser: bool = False
    reads_all: bool = False
    bypasses: bool = False
    creates: bool = False
    standby: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class DatabaseFacts:
    """What of one database the checks judge; names of what stands in the way.

    Attributes:
        name: The database.
        closed: Whether the account may not connect to it; nothing else is known then.
        schemas: Schemas that the account may not use.
        relations: Tables and sequences that it may not read.
        row_secured: Tables whose rows are hidden from it.
        unlogged: Unlogged tables, which a standby cannot read.
        large_objects: Large objects that it may not read.
        subscriptions: Subscriptions, which only a superuser can dump.
        user_mappings: Foreign servers with user mappings whose options are hidden from it.
        extensions: The installed extensions with their versions.
    """

    name: str
    closed: bool = False
    schemas: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    row_secured: tuple[str, ...] = ()
    unlogged: tuple[str, ...] = ()
    large_objects: tuple[int, ...] = ()
    subscriptions: tuple[str, ...] = ()
    user_mappings: tuple[str, ...] = ()
    extensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InstanceFacts:
    """What of one server, its clients and the account the checks judge.

    Attributes:
        server: The server.
        account: The role.
        clients: The vendor's clients on this host.
        available: The extensions that could be created, with the version that would be.
    """

    server: Server
    account: Account
    clients: Clients
    available: Mapping[str, str] = field(default_factory=dict)


def read_account(query: Query) -> Account:
    """Ask for the role and its rights."""
    return Account(**query(_ACCOUNT)[0][0])


def read_closed(query: Query) -> set[str]:
    """Ask which databases the account may not connect to."""
    return {str(row[0]) for row in query(_CLOSED)}


def read_available(query: Query) -> dict[str, str]:
    """Ask which extensions could be created, and in which version."""
    return {str(name): str(version) for name, version in query(_AVAILABLE)}


def read_roles(query: Query) -> set[str]:
    """Ask for the names of all roles."""
    return {str(row[0]) for row in query(_ROLES)}


def read_tablespaces(query: Query) -> set[str]:
    """Ask for the names of all tablespaces."""
    return {str(row[0]) for row in query(_TABLESPACES)}


def owned_by_others(query: Query, database: str) -> bool:
    """Ask whether a database exists that the account neither owns nor is superuser over."""
    return any(not row[0] for row in query(_OWNER, (database,)))


def read_database(query: Query, server: Server, database: str) -> DatabaseFacts:
    """Ask one database for its facts; the account must be allowed to connect to it.

    Args:
        query: Runs a statement in a database and returns its rows.
        server: The server.
        database: The database.
    """
    readable = "NOT has_largeobject_privilege(oid, 'SELECT')" if server.number >= (18,) else _NO_LARGE_OBJECT
    found = query(_DATABASE.replace("{large_object}", readable), (), database=database)[0][0]
    names: dict[str, Any] = {key: tuple(value or ()) for key, value in found.items() if key != "extensions"}
    return DatabaseFacts(database, extensions=found["extensions"] or {}, **names)


def read_needs(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a server must have to take a database, for the manifest, from the answer to :data:`NEEDS`."""
    return {
        "roles": found["roles"] or [],
        "tablespaces": found["tablespaces"] or [],
        "extensions": found["extensions"] or {},
    }
