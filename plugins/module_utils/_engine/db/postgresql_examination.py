# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Examines a PostgreSQL server: brings facts and checks together, and asks no more than a question needs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from ..errors import ClientError
from ..utils.processes import ProcessTable
from . import postgresql_facts, postgresql_restore_checks
from .base import Check, Client, Origin, Server
from .clients import postgresql_client
from .compatibility import Clients
from .postgresql_checks import check_dump, check_instance
from .postgresql_facts import Account, DatabaseFacts, InstanceFacts, Query

LogIn = Callable[[Client], str]  # makes a client log in and returns what it complained of


class Examination:
    """Answers for one server and one role; what does not change within a run is asked once."""

    def __init__(self, query: Query, server: Server, processes: ProcessTable, log_in: LogIn) -> None:
        self._query = query
        self._server = server
        self._processes = processes
        self._log_in = log_in

    @functools.cached_property
    def _account(self) -> Account:
        return postgresql_facts.read_account(self._query)

    def clients(self, dumper: str, loader: str) -> Clients:
        """Return the clients of these names, or why there are none."""
        return Clients(self._client(dumper), self._client(loader))

    def _client(self, name: str) -> Client | ClientError:
        try:
            return postgresql_client(name, self._server.number[0], self._processes)
        except ClientError as exc:
            return exc

    def _facts(self, clients: Clients) -> InstanceFacts:
        available: Mapping[str, str] = postgresql_facts.read_available(self._query)
        return InstanceFacts(self._server, self._account, clients, available)

    def checks(self, databases: Sequence[str]) -> list[Check]:
        """Return everything that is examined of the instance and these databases."""
        loader = self._client("psql")
        login_error = self._log_in(loader) if isinstance(loader, Client) else None
        closed = postgresql_facts.read_closed(self._query)
        found = [
            DatabaseFacts(name, closed=True) if name in closed else self._database(name) for name in sorted(databases)
        ]
        return check_instance(self._facts(Clients(self._client("pg_dump"), loader, login_error)), found)

    def _database(self, database: str) -> DatabaseFacts:
        return postgresql_facts.read_database(self._query, self._server, database)

    def dump_checks(self, database: str) -> list[Check]:
        """Return what foretells that a dump of a database fails or is not whole."""
        if self._account.superuser and not self._account.standby:
            return []
        return check_dump(self._server, self._account, [self._database(database)])

    def restore_checks(self, origin: Origin, target: str) -> list[Check]:
        """Return what speaks against loading an artifact."""
        loader = self._client("psql")
        there = postgresql_restore_checks.TargetFacts(
            roles=postgresql_facts.read_roles(self._query),
            tablespaces=postgresql_facts.read_tablespaces(self._query),
            owned_by_others=postgresql_facts.owned_by_others(self._query, target),
        )
        return postgresql_restore_checks.check_restore(self._facts(Clients(loader, loader)), there, origin, target)
