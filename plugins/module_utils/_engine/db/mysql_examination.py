# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Examines a MySQL or MariaDB server: brings facts and checks together, and asks no more than a question needs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ClientError
from ..utils.processes import ProcessTable
from . import mysql_facts, mysql_restore_checks
from .base import Check, Client, Origin, Server
from .clients import mysql_client
from .compatibility import Clients
from .mysql_checks import check_dump, check_instance
from .mysql_facts import Account, DatabaseFacts, InstanceFacts
from .mysql_inspection import Query
from .mysql_privileges import quote_account

LogIn = Callable[[Client], str]  # makes a client log in and returns what it complained of


class Examination:
    """Answers for one server and one account; what does not change within a run is asked once."""

    def __init__(self, query: Query, server: Server, configured: str, processes: ProcessTable, log_in: LogIn) -> None:
        self._query = query
        self._server = server
        self._configured = configured
        self._processes = processes
        self._log_in = log_in
        self._asked: dict[str, DatabaseFacts] = {}

    @functools.cached_property
    def _variables(self) -> dict[str, str]:
        return mysql_facts.read_variables(self._query)

    @functools.cached_property
    def _account(self) -> Account:
        return mysql_facts.read_account(self._query, self._variables)

    def _client(self, mariadb_name: str, mysql_name: str) -> Client | ClientError:
        server = self._server
        try:
            return mysql_client(server.flavour, mariadb_name, mysql_name, self._processes, server.number)
        except ClientError as exc:
            return exc

    def _facts(self, clients: Clients) -> InstanceFacts:
        return InstanceFacts(
            server=self._server,
            configured=self._configured,
            account=self._account,
            clients=clients,
            variables=self._variables,
            plugins=mysql_facts.read_plugins(self._query),
            engines=mysql_facts.read_engines(self._query),
            collations=mysql_facts.read_collations(self._query),
        )

    def checks(self, databases: Sequence[str]) -> list[Check]:
        """Return everything that is examined of the instance and these databases."""
        loader = self._client("mariadb", "mysql")
        login_error = self._log_in(loader) if isinstance(loader, Client) else None
        clients = Clients(self._client("mariadb-dump", "mysqldump"), loader, login_error)
        facts = self._facts(clients)
        return check_instance(facts, self._databases(databases, whole=True))

    def _databases(self, names: Sequence[str], whole: bool, definers: bool = True) -> list[DatabaseFacts]:
        return mysql_facts.read_databases(self._query, self._server, self._account.grants, names, whole, definers)

    def dump_checks(self, database: str) -> list[Check]:
        """Return what foretells that a dump of a database fails or is not whole."""
        dumper = self._client("mariadb-dump", "mysqldump")
        asked = self._asked.pop(database, None)
        found = [asked] if asked else self._databases([database], whole=False)
        return check_dump(self._server, self._account, dumper if isinstance(dumper, Client) else None, found)

    def lock_check(self) -> Check:
        """Return whether others can be kept from committing until several clients have begun to dump."""
        account = self._account
        if any(account.grants.holds(each) for each in ("RELOAD", "FLUSH_TABLES")):  # the latter of MySQL alone
            return Check("parallel", "ok", "Several clients can dump a database at once, in one moment.")
        return Check(
            "parallel",
            "warning",
            "The account may not keep others from committing until several dump clients have begun, so one client dumps"
            " all rows.",
            f"GRANT RELOAD ON *.* TO {quote_account(account.name)};",
        )

    def restore_checks(self, origin: Origin, target: str) -> list[Check]:
        """Return what speaks against loading an artifact."""
        loader = self._client("mariadb", "mysql")
        return mysql_restore_checks.check_restore(self._facts(Clients(loader, loader)), origin, target)

    def needs(self, database: str, inventory: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return what a server must have to take a database with these objects, for the manifest."""
        # A dump that follows is examined by the same facts.
        definers = any(inventory[kind] for kind in ("view", "routine", "trigger", "event"))
        self._asked[database] = self._databases([database], whole=True, definers=definers)[0]
        return self._asked[database].needs()
