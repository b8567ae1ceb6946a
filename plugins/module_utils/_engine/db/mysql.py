# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""MySQL and MariaDB: inspected through PyMySQL, dumped and loaded by the clients of the server's own make."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import Instance
from ..errors import ServerError
from ..security.credentials import Credential
from ..utils.processes import Command, ProcessTable
from . import mysql_accounts
from .accounts import Accounts, Statement, unquoted_errors
from .base import Check, Client, Dbms, DumpPlan, Inspection, Load, Origin, Server, version_number
from .connection import connect, in_words, literally, mysql_engine
from .figures import Figures, without_figures
from .mysql_calls import MySqlCalls
from .mysql_examination import Examination
from .mysql_figures import Moment, impatient, read_after, read_moment
from .mysql_grants import Privilege, quote_name, quote_text, read_privileges
from .mysql_inspection import Query, database_settings, inspect_database
from .mysql_load import read_load, works_long
from .mysql_loading import MySqlLoading
from .mysql_owners import with_definer, with_grantees
from .mysql_position import current_point
from .mysql_restored import count_rows, refresh_statistics
from .mysql_row_copy import MySqlRowCopy
from .mysql_session import MySqlDumpSession

SYSTEM_DATABASES = ("information_schema", "mysql", "performance_schema", "sys")
_LONGEST_STATEMENT = 4096

_CHATTER = re.compile(r"^\s*$|\[Warning\]|^(?:--\s*)?Warning:|^\[Note\]", re.IGNORECASE)
_SERVER_SAYS = re.compile(r"ERROR \d+ \(")


class MySql(Dbms):
    """One MySQL or MariaDB server."""

    can_rename = False

    def __init__(self, instance: Instance, credential: Credential, processes: ProcessTable) -> None:
        super().__init__(instance, credential, processes)
        self._keeping = False
        self._own = threading.local()  # the connection that this thread is using

    @functools.cached_property
    def _engine(self) -> Any:
        return mysql_engine(self.instance, self.credential)

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[None]:
        """Keep connections for the next use until the end of a ``with`` block; they are in no database."""
        former, self._keeping = self._keeping, True
        try:
            yield
        finally:
            self._keeping = former
            if not former:
                self._engine.dispose()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Query]:
        """Yield a function that runs statements on one connection: that which this thread has, else another."""
        present: Query | None = getattr(self._own, "query", None)
        if present is not None:
            yield present
            return
        with connect(self._engine.connect, self.instance, self.redactor) as connection:
            if not self._keeping:
                connection.detach()
            query = self._on(connection)
            self._own.query = query
            try:
                yield query
            finally:
                self._own.query = None

    def _rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._connected() as query:
            return query(statement, parameters)

    @contextlib.contextmanager
    def _apart(self) -> Iterator[Query]:
        """Yield a function that runs statements on a connection of its own, which is closed afterwards."""
        with connect(self._engine.connect, self.instance, self.redactor) as connection:
            connection.detach()
            yield self._on(connection)

    def _on(self, connection: Any) -> Query:
        """Return a function that runs statements on a connection."""

        def query(statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
            with in_words(self.instance, self.redactor):
                result = connection.exec_driver_sql(statement, dict(parameters or {}))
                return [tuple(row) for row in result] if result.returns_rows else []

        return query

    def _execute(self, *statements: str) -> None:
        with connect(self._engine.connect, self.instance, self.redactor) as connection:
            connection.detach()
            for statement in statements:
                connection.exec_driver_sql(literally(statement))

    @functools.cached_property
    def _server(self) -> Server:
        version = str(self._rows("SELECT VERSION()")[0][0])
        flavour = "mariadb" if "mariadb" in version.lower() else "mysql"
        return Server(flavour, version.split("-", maxsplit=1)[0], version_number(version))

    @functools.cached_property
    def _calls(self) -> MySqlCalls:
        return MySqlCalls(self.instance, self.credential, self.processes, self._server)

    def server(self) -> Server:
        """Connect and say what server this is."""
        return self._server

    def databases(self) -> dict[str, int]:
        """Return all databases but the system's, with the sizes that the storage engines report."""
        rows = self._rows(
            "SELECT s.SCHEMA_NAME, COALESCE(SUM(t.DATA_LENGTH + t.INDEX_LENGTH), 0)"
            " FROM information_schema.SCHEMATA s LEFT JOIN information_schema.TABLES t"
            " ON t.TABLE_SCHEMA = s.SCHEMA_NAME GROUP BY s.SCHEMA_NAME"
        )
        return {str(name): int(size) for name, size in rows if str(name).lower() not in SYSTEM_DATABASES}

    def load(self, replication: bool) -> Load:
        """Return how many statements are at work, and how far a replica is behind its sources."""
        server = self._server
        with connect(self._engine.connect, self.instance, self.redactor) as connection:
            connection.detach()

            def query(statement: str) -> Sequence[Mapping[str, Any]]:
                with in_words(self.instance, self.redactor):
                    return [dict(row) for row in connection.exec_driver_sql(statement).mappings()]

            return read_load(query, server, replication)

    def is_working(self, database: str) -> bool:
        """Whether a session makes keys of many rows, as after those of a table of MyISAM or Aria, or copies them."""
        return works_long(self._rows("SHOW PROCESSLIST"), database)

    def all_databases(self) -> set[str]:
        """Return the names of all databases."""
        return {str(row[0]) for row in self._rows("SHOW DATABASES")}

    def inspect(self, database: str) -> Inspection:
        """Return settings, objects and size of a database, and what a dump of it cannot carry."""
        with self._connected() as query:
            return self._inspect(query, database)

    def _inspect(self, query: Query, database: str) -> Inspection:
        inspection = inspect_database(query, self._server, database)
        if inspection is None:
            raise ServerError(
                f"There is no database {database!r} on {self.instance.database_id} (or the account may not see it).",
                f"There are: {', '.join(sorted(self.databases())) or 'none'}.",
            )
        inspection.settings["needs"] = self._examination.needs(database, inspection.inventory)
        return inspection

    def plan_dump(self, database: str, inspection: Inspection) -> DumpPlan:
        """Plan a dump by ``mariadb-dump`` or ``mysqldump`` in one transaction, with everything that belongs to it."""
        return self._calls.dump(database, inspection, self._privileges(self._rows, database), writes_position=False)

    @contextlib.contextmanager
    def dump_session(self, database: str, contents: bool = False) -> Iterator[MySqlDumpSession]:
        """Look at a database and watch over a dump of it, which is to be made while the context lasts."""
        with self._connected() as query:
            inspection = self._inspect(query, database)
            before = current_point(query, self._server)
            privileges = self._privileges(query, database)
            plan = self._calls.dump(database, inspection, privileges, writes_position=not before.reason)
            moment, inspection = self._moment_if_free(query, database, contents, inspection, privileges)

        def figures(query: Query) -> Figures:
            try:
                with impatient(query):
                    return read_after(query, self._server, database, moment, privileges) if moment else Figures()
            except ServerError:  # no reason to give the dump up
                return Figures()

        yield MySqlDumpSession(self._connected, self._server, database, inspection, plan, before, figures, self._apart)

    def _moment_if_free(
        self, query: Query, database: str, contents: bool, inspection: Inspection, privileges: Sequence[Privilege]
    ) -> tuple[Moment | None, Inspection]:
        """Return what figures begin with, None if they cannot be had, and what is known of the database."""
        kinds = [kind for kind, names in inspection.inventory.items() if names]
        try:
            with impatient(query):
                return read_moment(query, self._server, database, contents, privileges, kinds), inspection
        except ServerError as exc:
            return None, without_figures(inspection, exc)

    def figures(self, database: str, contents: bool = True) -> Figures:
        """Return the figures of a database that nobody else uses."""
        with self._connected() as query:
            return read_moment(query, self._server, database, contents).figures()

    def _privileges(self, query: Query, database: str) -> list[Privilege]:
        """Return the privileges on a database, once the account is known to hold those that a dump takes."""
        self.refuse_unfit(database)
        return read_privileges(query, database)

    def load_command(self, database: str) -> Command:
        """Return the call of ``mariadb`` or ``mysql`` that loads SQL."""
        return self._calls.load(database)

    @property
    def loading(self) -> MySqlLoading:
        """How a dump of this kind of server is loaded by several clients."""
        return MySqlLoading(dollar_quotes=self._server.flavour == "mysql")

    def renamed(self, chunks: Iterator[bytes], old: str, new: str) -> Iterator[bytes]:
        """Let the statements of a dump that name its database name another.

        For routines made under another collation the dump clients change the database's collation for a moment, by
        name: loaded into a copy, that would change the original.
        """
        if old == new:
            yield from chunks
            return
        pattern = re.compile(
            b"^ALTER DATABASE " + re.escape(quote_name(old).encode()) + rb" (CHARACTER SET \w+ COLLATE \w+ ;)$", re.M
        )
        named = b"ALTER DATABASE " + quote_name(new).encode().replace(b"\\", rb"\\") + rb" \1"
        rest = b""
        for chunk in chunks:
            # Whole lines only; a line that long is no such statement.
            text, newline, rest = (rest + chunk).rpartition(b"\n")
            if len(rest) > _LONGEST_STATEMENT:
                text, newline, rest = text + newline + rest, b"", b""
            yield pattern.sub(named, text) + newline
        yield pattern.sub(named, rest)

    def create_database(self, database: str, settings: Mapping[str, Any]) -> None:
        """Create an empty database with its character set and collation."""
        self._execute(
            f"CREATE DATABASE {quote_name(database)} CHARACTER SET {settings['character_set']}"
            f" COLLATE {settings['collation']}"
        )

    def drop_database(self, database: str) -> None:
        """Drop a database; one that is read-only is made writable first."""
        if database_settings(self._rows, self._server, database).get("read_only") == "True":
            self._execute(f"ALTER DATABASE {quote_name(database)} READ ONLY = 0")
        # A foreign key of another database would stop MariaDB half-way, with some of the tables gone.
        self._execute("SET SESSION foreign_key_checks = 0", f"DROP DATABASE {quote_name(database)}")

    def accounts(self, database: str, settings: Mapping[str, Any], passwords: bool) -> Accounts:
        """Return the accounts that have grants on a database or define objects of it."""
        definers = (settings.get("needs") or {}).get("definers", ())
        with self._connected() as query:
            return mysql_accounts.read_accounts(query, self._server, database, definers, passwords)

    def with_accounts(self, kind: str, text: bytes, owners: Mapping[str, str], settings: Mapping[str, Any]) -> bytes:
        """Return a part of an artifact with other definers and grantees."""
        accounts = {mysql_accounts.account_of(old): mysql_accounts.account_of(new) for old, new in owners.items()}
        if kind == "definitions":
            return with_definer(text, accounts)
        return with_grantees(text.decode("utf-8"), accounts).encode("utf-8") if kind == "postamble" else text

    def existing_accounts(self) -> set[str]:
        """Return the names of all accounts, roles included."""
        return set(map(mysql_accounts.name_of, mysql_accounts.existing_accounts(self._rows)))

    def make_accounts(self, statements: Sequence[Statement]) -> None:
        """Run statements that make accounts, which the server does not log as they are."""
        with self._connected() as query:
            for statement in statements:
                with unquoted_errors(statement):
                    query(literally(statement.sql))

    def drop_accounts(self, names: Collection[str]) -> None:
        """Drop accounts and roles."""
        for name in names:
            self._execute(mysql_accounts.removal(mysql_accounts.account_of(name)))

    def make_needed(self, origin: Origin, accounts: Sequence[tuple[str, str]], directory: Path) -> None:
        """Make the accounts and roles that definers and grants name, without passwords."""
        needs = origin.settings.get("needs") or {}
        definers = [tuple(str(name).rpartition("@")[::2]) for name in needs.get("definers", ()) if "@" in name]
        for user, host in dict.fromkeys((*accounts, *definers)):
            if host:
                self._execute(f"CREATE USER IF NOT EXISTS {quote_text(user)}@{quote_text(host)}")
            elif self._server.flavour == "mariadb":
                self._execute(f"CREATE ROLE IF NOT EXISTS {quote_name(user)}")

    def rename_database(self, old: str, new: str) -> None:
        """Refuse: MySQL and MariaDB cannot rename a database."""
        raise NotImplementedError("MySQL and MariaDB cannot rename a database")

    def count_rows(self, database: str, rows: Mapping[str, int], connections: int) -> dict[str, int]:
        """Return how many rows tables have, those of the past included where the server keeps them."""
        with self._connected() as query:
            return count_rows(query, self._connected, database, rows, connections)

    def row_copy(self, target: str, tables: Collection[str], all_sequences: bool) -> MySqlRowCopy:
        """Return what adds rows to empty tables; sequences (MariaDB) stay where they stand."""
        return MySqlRowCopy(self._connected, self._server, target, tables)

    def refresh_statistics(self, database: str, rows: Mapping[str, int], connections: int) -> list[str]:
        """Analyze all tables; return in sentences what could not be."""
        with self._connected() as query:
            if database_settings(query, self._server, database).get("read_only") == "True":
                return []
            return refresh_statistics(query, self._connected, database, rows, connections)

    def connections(self, database: str) -> dict[str, int]:
        """Return who has a database as default, and how many times."""
        with self._connected() as query:
            own = query("SELECT CONNECTION_ID()")[0][0]
            found = Counter(
                f"{user} from {str(host).rpartition(':')[0] or host}"
                for number, user, host, chosen, *_more in query("SHOW FULL PROCESSLIST")
                if chosen == database and number != own
            )
        return dict(found.most_common())

    def data_directory(self) -> Path | None:
        """Return the server's variable of that name."""
        return Path(str(self._rows("SELECT @@datadir")[0][0]))

    @functools.cached_property
    def _examination(self) -> Examination:
        return Examination(self._rows, self._server, self.instance.dbms, self.processes, self._login_error)

    def _login_error(self, loader: Client) -> str:
        """Make the loading client log in, and return what it complained of."""
        command = self._calls.command(loader.path, loader.number, ["--batch", "--execute=SELECT 1"])
        return self.login_error(command)

    def checks(self, databases: Sequence[str] | None = None) -> list[Check]:
        """Examine clients, versions, privileges, and whether backups could be restored to this server."""
        return self._examination.checks(sorted(self.databases()) if databases is None else databases)

    def dump_checks(self, database: str) -> list[Check]:
        """Examine what foretells that a dump of this database cannot be right."""
        return self._examination.dump_checks(database)

    def parallel_checks(self, algorithm: str) -> list[Check]:
        """Examine whether several clients can dump a database at once: for a moment nobody may commit."""
        return [self._examination.lock_check()]

    def restore_checks(self, origin: Origin, target: str) -> list[Check]:
        """Examine whether this server can take an artifact."""
        return self._examination.restore_checks(origin, target)

    def explain(self, stderr: str) -> str:
        """Return what a client complained of, and what to do about rows larger than the server takes."""
        said = super().explain(stderr)
        if "max_allowed_packet" in said or "server has gone away" in said.lower():
            return f"{said} / A row may be larger than the server takes: raise its max_allowed_packet (1 GiB at most)"
        return said

    def real_errors(self, stderr: str) -> list[str]:
        """Return the complaints that are not mere warnings.

        MariaDB's client shows the statement that failed before it says why: data that has no place in a message.
        """
        lines = [" ".join(line.split()) for line in stderr.splitlines() if not _CHATTER.search(line)]
        return [line for line in lines if _SERVER_SAYS.match(line)] or lines
