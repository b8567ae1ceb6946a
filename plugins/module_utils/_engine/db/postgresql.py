# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL: inspected through psycopg, dumped by ``pg_dump`` and loaded by ``psql``."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import Instance
from ..errors import BackupDbError, ServerError
from ..security.credentials import Credential
from ..utils.processes import Command, ProcessTable
from .accounts import Accounts, Statement, unquoted_errors
from .base import Check, Client, Dbms, DumpPlan, Inspection, Load, Origin, Server, refuse_failed, version_number
from .clients import postgresql_client
from .connection import (
    CONNECT_SECONDS,
    PostgreSqlConnector,
    connect,
    in_words,
    literally,
    postgresql_host,
    postgresql_tls,
)
from .directory import DirectoryOptions
from .figures import Figures, spans, without_figures
from .postgresql_accounts import SILENCE, read_accounts
from .postgresql_directory import (
    SETTINGS_FILE,
    PostgreSqlDirectory,
    PostgreSqlDirectorySession,
    by_hand,
    check_directory_dump,
    dump_options,
    load_options,
    settings_text,
)
from .postgresql_discard import make_room_to_drop
from .postgresql_examination import Examination
from .postgresql_facts import NEEDS, read_needs, read_roles
from .postgresql_figures import read_figures, read_positions
from .postgresql_inventory import HAS_TABLES, Objects, Query, read_objects, read_table_entries
from .postgresql_load import read_load
from .postgresql_loading import PostgreSqlLoading
from .postgresql_owners import with_roles
from .postgresql_restored import count_rows, refresh_statistics
from .postgresql_row_copy import FORMATS, PostgreSqlRowCopy
from .postgresql_session import BEGIN, PostgreSqlDumpSession, take_snapshot
from .postgresql_settings import (
    create_clauses,
    extension_owner,
    preamble_statements,
    quote_name,
    quote_text,
    settings_statements,
)

MAINTENANCE_DATABASE = "postgres"
LOCK_WAIT_SECONDS = 300

# Without a superuser pg_dump leaves subscriptions out with a mere warning: a dump without them is not whole.
_ERROR = re.compile(r"\b(error|fatal|panic)\b:|not dumped because", re.IGNORECASE)

_SETTINGS = (
    "SELECT to_jsonb(d) || jsonb_build_object('owner', pg_get_userbyid(d.datdba), 'comment',"
    " shobj_description(d.oid, 'pg_database'), 'encoding', pg_encoding_to_char(d.encoding), 'acl', (SELECT"
    " jsonb_agg(jsonb_build_array(CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END,"
    " a.privilege_type, a.is_grantable)) FROM aclexplode(d.datacl) a), 'configuration', (SELECT"
    " jsonb_agg(jsonb_build_array(CASE s.setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END,"
    " s.setconfig)) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))"
    " FROM pg_database d WHERE d.datname = current_database()"
)
# Whether a role is a superuser, and we are one too, so that we may become it.
_BOTH_SUPERUSERS = (
    "SELECT 1 FROM pg_roles WHERE rolname = %s AND rolsuper"
    " AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
)
_CONNECTIONS = (
    "SELECT format('%%s from %%s', usename, coalesce(host(client_addr), 'this host')), count(*) FROM pg_stat_activity"
    " WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1 ORDER BY 2 DESC, 1"
)
_FIGURES_LOCK_SECONDS = 3
_NO_WAIT = "-c synchronous_commit=off"
_WORKING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND state = 'active'"
    " AND wait_event_type IS DISTINCT FROM 'Lock' AND wait_event_type IS DISTINCT FROM 'Client' LIMIT 1"
)


class PostgreSql(Dbms):
    """One PostgreSQL server."""

    can_rename = True

    def __init__(self, instance: Instance, credential: Credential, processes: ProcessTable) -> None:
        super().__init__(instance, credential, processes)
        self._own = threading.local()  # the database that this thread is connected to, and what asks it

    @functools.cached_property
    def _connector(self) -> PostgreSqlConnector:
        return PostgreSqlConnector(self.instance, self.credential)

    def _rows(
        self, statement: str, parameters: tuple[Any, ...] = (), database: str = MAINTENANCE_DATABASE
    ) -> list[tuple[Any, ...]]:
        if getattr(self._own, "database", None) == database:
            rows: list[tuple[Any, ...]] = self._own.query(statement, parameters)
            return rows
        opening = functools.partial(self._connector.connect, database)
        with connect(opening, self.instance, self.redactor, database) as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement, parameters)]

    def _execute(self, statement: str, database: str = MAINTENANCE_DATABASE) -> None:
        opening = functools.partial(self._connector.connect, database)
        with connect(opening, self.instance, self.redactor) as connection:
            connection.exec_driver_sql(literally(statement))

    @functools.cached_property
    def _server(self) -> Server:
        # The answer is the same in every database, so that the connection that this thread has will do.
        database = getattr(self._own, "database", None) or MAINTENANCE_DATABASE
        version = str(self._rows("SELECT current_setting('server_version')", (), database)[0][0]).split()[0]
        return Server("postgresql", version, version_number(version))

    def server(self) -> Server:
        """Connect and say what server this is."""
        return self._server

    def databases(self) -> dict[str, int]:
        """Return all databases that take connections, but templates and the empty ``postgres``, with their sizes."""
        rows = self._rows(
            "SELECT datname, CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) ELSE 0 END,"
            f" datname = current_database() AND NOT EXISTS ({HAS_TABLES}) FROM pg_database"
            " WHERE datallowconn AND NOT datistemplate"
        )
        return {str(name): int(size) for name, size, is_empty in rows if not is_empty}

    def load(self, replication: bool) -> Load:
        """Return how many statements are at work, and how far a standby, or the standbys, are behind."""
        return read_load(self._rows, replication)

    def all_databases(self) -> set[str]:
        """Return the names of all databases, templates included."""
        return {str(row[0]) for row in self._rows("SELECT datname FROM pg_database")}

    def inspect(self, database: str) -> Inspection:
        """Return settings, objects and size of a database."""
        with self._connected(database) as query:
            return self._inspect(query)[0]

    @contextlib.contextmanager
    def _connected(self, database: str) -> Iterator[Query]:
        """Yield a function that runs statements on one connection, which does no harm when it has been lost."""
        try:
            with in_words(self.instance, self.redactor, database):
                connection = self._connector.connect(database)
        except ServerError:
            if database in self.all_databases():
                raise
            known = ", ".join(sorted(self.databases())) or "none"
            raise ServerError(
                f"There is no database {database!r} on {self.instance.database_id}.", f"There are: {known}."
            ) from None

        def query(statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
            with in_words(self.instance, self.redactor, database):
                result = connection.exec_driver_sql(statement, parameters)
                return [tuple(row) for row in result] if result.returns_rows else []

        self._own.database, self._own.query = database, query
        try:
            yield query
        finally:
            self._own.database = None
            # A server that is gone has closed it already.
            with contextlib.suppress(BackupDbError), in_words(self.instance, self.redactor, database):
                connection.close()

    def _inspect(self, query: Query) -> tuple[Inspection, Objects]:
        raw = query(_SETTINGS)[0][0]
        objects = read_objects(query)
        extension_owners = {
            str(name): str(owner)
            for name, owner in query(
                "SELECT extname, pg_get_userbyid(extowner) FROM pg_extension WHERE extname <> 'plpgsql'"
            )
        }
        needs = read_needs(query(NEEDS)[0][0])
        size = int(query("SELECT pg_database_size(current_database())")[0][0])
        locale = raw.get("datlocale") or raw.get("daticulocale")
        settings = {
            "owner": raw["owner"],
            "encoding": raw["encoding"],
            "collate": raw["datcollate"],
            "ctype": raw["datctype"],
            "locale_provider": {"c": "libc", "i": "icu", "b": "builtin"}.get(raw.get("datlocprovider") or "c", "libc"),
            "locale": locale,
            "icu_rules": raw.get("daticurules"),
            "connection_limit": raw["datconnlimit"],
            "comment": raw["comment"],
            "acl": raw["acl"],
            "configuration": raw["configuration"],
            "extension_owners": extension_owners or None,
            "needs": needs,
        }
        warnings = []
        if len(set(extension_owners.values())) > 1:
            warnings.append(
                "Extensions have several owners, of which a restore can keep one:"
                f" {', '.join(f'{name} of {owner}' for name, owner in sorted(extension_owners.items()))}."
            )
        if objects.invalid_indexes:
            warnings.append(
                "Indexes that failed to build are in no dump; drop or rebuild them:"
                f" {', '.join(objects.invalid_indexes)}."
            )
        known = {key: value for key, value in settings.items() if value is not None}
        return Inspection(known, objects.inventory(), size, tuple(warnings)), objects

    def plan_dump(self, database: str, inspection: Inspection) -> DumpPlan:
        """Plan a dump by ``pg_dump`` in its plain format: one consistent snapshot, loadable by ``psql`` alone."""
        return self._plan(database, inspection)

    @contextlib.contextmanager
    def dump_session(self, database: str, contents: bool = False) -> Iterator[PostgreSqlDumpSession]:
        """Look at a database and watch over a dump of it, which is to be made while the context lasts."""
        with self._connected(database) as query:
            snapshot = take_snapshot(query)
            inspection, objects = self._inspect(query)
            plan = self._plan(database, inspection, f"--snapshot={snapshot.name}")
            figures, inspection = _figures_if_free(query, contents, inspection)
            yield PostgreSqlDumpSession(inspection, plan, objects, snapshot, _completed(query, figures))

    def figures(self, database: str, contents: bool = True) -> Figures:
        """Return the figures of a database that nobody else uses."""
        with self._connected(database) as query:
            for statement in BEGIN:
                query(statement)
            return read_figures(query, contents)

    @contextlib.contextmanager
    def directory_session(self, database: str, options: DirectoryOptions) -> Iterator[PostgreSqlDirectorySession]:
        """Look at a database and watch over a dump of it into a directory, to be made while the context lasts."""
        refuse_failed(self.parallel_checks(options.algorithm))
        directories = PostgreSqlDirectory(self._client("pg_restore"), self.processes)
        with self._connected(database) as query:
            snapshot = take_snapshot(query)
            inspection, objects = self._inspect(query)
            command, version = self._dump_command(
                database, inspection, *dump_options(options), f"--snapshot={snapshot.name}"
            )
            settings = inspection.settings
            plan = DumpPlan((command,), version, "", settings_text(settings), by_hand(settings))
            tables = read_table_entries(query)
            figures, inspection = _figures_if_free(query, options.contents, inspection)
            completed = _completed(query, figures)
            yield PostgreSqlDirectorySession(inspection, plan, objects, snapshot, completed, tables, directories)

    def directory_load(self, database: str, directory: Path, origin: Origin, jobs: int) -> list[Command]:
        """Return the calls of ``pg_restore`` and, for what belongs to the database itself, of ``psql``.

        No commit is waited for, for the reason that :class:`.PostgreSqlLoading` has: there are some for each table.
        """
        owner = extension_owner(origin.settings)
        # An extension becomes whoever's it is that loads it.
        role = owner if owner is not None and self._rows(_BOTH_SUPERUSERS, (owner,)) else None
        written_by = version_number(str(origin.tool.get("version", "")))
        reader = postgresql_client("pg_restore", max(self._server.number[0], *written_by[:1]), self.processes)
        archives = [
            self._command(
                reader.path, ["--no-password", "--dbname=", *options, str(directory)], database, PGOPTIONS=_NO_WAIT
            )
            for options in load_options(directory, jobs, role)
        ]
        return [*archives, self._load_command(database, str(directory / SETTINGS_FILE))]

    def is_working(self, database: str) -> bool:
        """Whether a session in a database runs a statement and waits for no lock."""
        return bool(self._rows(_WORKING, (database,)))

    def parallel_checks(self, algorithm: str) -> list[Check]:
        """Examine whether there are clients that can write and read directories compressed by this algorithm."""
        return [check_directory_dump(self._examination.clients("pg_dump", "pg_restore"), algorithm)]

    def _client(self, name: str) -> Client:
        return postgresql_client(name, self._server.number[0], self.processes)

    def _plan(self, database: str, inspection: Inspection, *more: str) -> DumpPlan:
        command, version = self._dump_command(database, inspection, "--format=plain", *more)
        return DumpPlan(
            commands=(command,),
            client_version=version,
            preamble=preamble_statements(inspection.settings),
            postamble=settings_statements(inspection.settings),
            restore_by_hand="createdb --template=template0 NEW_DATABASE && {unpacked}"
            " | psql --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=NEW_DATABASE",
        )

    def _dump_command(self, database: str, inspection: Inspection, *options: str) -> tuple[Command, str]:
        """Return a call of ``pg_dump`` with these options, and its version."""
        client = self._client("pg_dump")
        self.refuse_unfit(database)
        common = ["--no-password", f"--lock-wait-timeout={LOCK_WAIT_SECONDS}s"]
        # Else the account may have an encoding of its own set, and objects would not be named as the server names them.
        common.append(f"--encoding={inspection.settings['encoding']}")
        return self._command(client.path, [*common, *options], database), client.version

    def _command(self, program: str, arguments: list[str], database: str, **more: str) -> Command:
        """A client's call: the database by variable, since a name as argument may be read as a connection string."""
        instance = self.instance
        environment = {
            "PGHOST": postgresql_host(instance),
            "PGPORT": str(instance.port or 5432),
            "PGUSER": self.credential.username,
            "PGDATABASE": database,
            "PGPASSFILE": "{secret}",
            "PGAPPNAME": "vya-backupdb",
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
            **{
                {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}[k]: v
                for k, v in postgresql_tls(instance).items()
            },
            **more,
        }
        password = self.credential.password.replace("\\", "\\\\").replace(":", "\\:")
        return Command((program, *arguments), environment, f"*:*:*:*:{password}\n".encode())

    def load_command(self, database: str) -> Command:
        """Return the call of ``psql`` that loads SQL, stopping at the first error."""
        return self._load_command(database, "-")

    def _load_command(self, database: str, file: str) -> Command:
        options = ["--no-psqlrc", "--quiet", f"--file={file}", "--no-password", "--set=ON_ERROR_STOP=1"]
        return self._command(self._client("psql").path, [*options, "--output=/dev/null"], database)

    @property
    def loading(self) -> PostgreSqlLoading:
        """How a dump of this kind of server is loaded by several clients."""
        return PostgreSqlLoading()

    def create_database(self, database: str, settings: Mapping[str, Any]) -> None:
        """Create an empty database with the encoding and locale that its manifest recorded."""
        self._execute(f"CREATE DATABASE {quote_name(database)} {create_clauses(settings)}")

    def drop_database(self, database: str) -> None:
        """Drop a database, ending the connections to it.

        Its subscriptions are let go first, without touching the publishers' replication slots, which a restored
        database goes on using.
        """
        subscriptions = self._rows(
            "SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %s",
            (database,),
        )
        for (name,) in subscriptions:
            for change in ("ALTER {} DISABLE", "ALTER {} SET (slot_name = NONE)", "DROP {}"):
                self._execute(change.format(f"SUBSCRIPTION {quote_name(name)}"), database)
        self._execute(f"DROP DATABASE {quote_name(database)} WITH (FORCE)")

    def discard_database(self, database: str) -> None:
        """Drop an incomplete database, unless the server would stop for want of room if it was dropped."""
        rows = functools.partial(self._rows, database=database)
        execute = functools.partial(self._execute, database=database)
        directory = self.data_directory() if self.instance.is_local else None
        make_room_to_drop(rows, execute, database, directory)
        self.drop_database(database)

    def accounts(self, database: str, settings: Mapping[str, Any], passwords: bool) -> Accounts:
        """Return the roles that own objects of a database or have privileges on them."""
        return read_accounts(functools.partial(self._rows, database=database), settings, passwords)

    def with_accounts(self, kind: str, text: bytes, owners: Mapping[str, str], settings: Mapping[str, Any]) -> bytes:
        """Return a part of an artifact with other owners and grantees."""
        if kind == "definitions":
            return with_roles(text, owners)
        return (preamble_statements if kind == "preamble" else settings_statements)(settings).encode("utf-8")

    def existing_accounts(self) -> set[str]:
        """Return the names of all roles."""
        return read_roles(self._rows)

    def make_accounts(self, statements: Sequence[Statement]) -> None:
        """Run statements that make roles, all or none."""
        with self._connected(MAINTENANCE_DATABASE) as query:
            query("BEGIN")
            query(SILENCE)
            for statement in statements:
                with unquoted_errors(statement):
                    query(literally(statement.sql))
            query("COMMIT")

    def drop_accounts(self, names: Collection[str]) -> None:
        """Drop roles."""
        for name in names:
            self._execute(f"DROP ROLE IF EXISTS {quote_name(name)}")

    def make_needed(self, origin: Origin, accounts: Sequence[tuple[str, str]], directory: Path) -> None:
        """Make the roles and tablespaces that the artifact names.

        Roles are superusers, as owners of event triggers and of extensions have to be; nobody can log in as one.
        """
        settings = origin.settings
        needs = settings.get("needs") or {}
        named = {*needs.get("roles", ()), settings.get("owner"), *(settings.get("extension_owners") or {}).values()}
        named |= {entry[0] for key in ("acl", "configuration") for entry in settings.get(key) or ()}
        present = {str(row[0]) for row in self._rows("SELECT rolname FROM pg_roles")}
        for role in sorted(name for name in named if name and name not in present):
            if not role.startswith("pg_"):  # those are the server's own
                self._execute(f"CREATE ROLE {quote_name(role)} SUPERUSER NOLOGIN")
        for number, tablespace in enumerate(needs.get("tablespaces", ())):
            place = quote_text(str(directory / f"tablespace{number}"))
            self._execute(f"CREATE TABLESPACE {quote_name(tablespace)} LOCATION {place}")

    def rename_database(self, old: str, new: str) -> None:
        """Rename a database, ending the connections to it and keeping new ones out meanwhile."""
        self._execute(f"ALTER DATABASE {quote_name(old)} WITH ALLOW_CONNECTIONS false")
        current = old
        try:
            self._rows("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (old,))
            self._execute(f"ALTER DATABASE {quote_name(old)} RENAME TO {quote_name(new)}")
            current = new
        finally:
            self.let_in(current)

    def let_in(self, database: str) -> None:
        """Let connections to a database in again."""
        self._execute(f"ALTER DATABASE {quote_name(database)} WITH ALLOW_CONNECTIONS true")

    def count_rows(self, database: str, rows: Mapping[str, int], connections: int) -> dict[str, int]:
        """Return how many rows tables have; those of extensions are left out, of which dumps hold a part."""
        with self._connected(database) as query:
            return count_rows(query, functools.partial(self._connected, database), rows, connections)

    def row_copy(self, target: str, tables: Collection[str], all_sequences: bool) -> PostgreSqlRowCopy:
        """Return what adds rows to empty tables."""
        return PostgreSqlRowCopy(self._connected, self._copied_out, target, tables, all_sequences)

    def _copied_out(self, database: str, statement: str) -> Iterator[bytes]:
        with in_words(self.instance, self.redactor, database):
            yield from self._connector.copied_out(database, FORMATS, statement)

    def refresh_statistics(self, database: str, rows: Mapping[str, int], connections: int) -> list[str]:
        """Analyze all tables; return in sentences what could not be."""
        with self._connected(database) as query:
            return refresh_statistics(query, functools.partial(self._connected, database), rows, connections)

    def connections(self, database: str) -> dict[str, int]:
        """Return who is connected to a database, and how many times."""
        return {str(who): int(count) for who, count in self._rows(_CONNECTIONS, (database,))}

    def data_directory(self) -> Path | None:
        """Return the setting of that name, which only those may read who may read all settings."""
        try:
            return Path(str(self._rows("SHOW data_directory")[0][0]))
        except ServerError:
            return None

    @functools.cached_property
    def _examination(self) -> Examination:
        return Examination(self._rows, self._server, self.processes, self._login_error)

    def _login_error(self, loader: Client) -> str:
        """Make the loading client log in, and return what it complained of."""
        options = ["--no-psqlrc", "--no-password", "--command=SELECT 1"]
        return self.login_error(self._command(loader.path, options, MAINTENANCE_DATABASE))

    def checks(self, databases: Sequence[str] | None = None) -> list[Check]:
        """Examine clients, versions, privileges, and whether backups could be restored to this server."""
        return self._examination.checks(sorted(self.databases()) if databases is None else databases)

    def dump_checks(self, database: str) -> list[Check]:
        """Examine what foretells that a dump of this database cannot be right."""
        return self._examination.dump_checks(database)

    def restore_checks(self, origin: Origin, target: str) -> list[Check]:
        """Examine whether this server can take an artifact."""
        return self._examination.restore_checks(origin, target)

    def real_errors(self, stderr: str) -> list[str]:
        """Return the lines that are errors; notices and warnings are not."""
        lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
        errors = [line for line in lines if _ERROR.search(line)]
        # What follows an error (DETAIL, the query) explains it; without any error the rest is chatter.
        return lines if errors else []


def _figures_if_free(query: Query, contents: bool, inspection: Inspection) -> tuple[Figures, Inspection]:
    """Return the figures of a database that is to be dumped, as far as they can be had, and what is known of it."""
    query("SAVEPOINT vya_figures")
    try:
        query(f"SET LOCAL lock_timeout = '{_FIGURES_LOCK_SECONDS}s'")
        figures = read_figures(query, contents)
        query("SET LOCAL lock_timeout = DEFAULT")
        query("RELEASE SAVEPOINT vya_figures")
    except ServerError as exc:
        try:
            query("ROLLBACK TO SAVEPOINT vya_figures")
        except ServerError:  # the connection is lost, and why was said before
            raise exc from None
        return Figures(), without_figures(inspection, exc)
    return figures, inspection


def _completed(query: Query, figures: Figures) -> Callable[[], Figures]:
    """Return what adds to the figures from before a dump where sequences stand after it: no snapshot holds those."""
    before = {name: low for name, (low, _high) in figures.positions.items()}
    return lambda: dataclasses.replace(figures, positions=spans(before, read_positions(query)))
