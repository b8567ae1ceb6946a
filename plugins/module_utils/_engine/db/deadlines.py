# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that do not wait for ever for a server that has stopped answering.

A server's own statement timeout does not help when the server is what has stopped: a stopped process, a machine that is
swapping itself to death, a network that swallows packets. So the waiting ends on this side as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

GRACE_SECONDS = 30  # more than the server's own limit, whose message is the better one


def postgresql_connector(arguments: dict[str, Any], seconds: float) -> Callable[[str], Any]:
    """Return what opens a psycopg connection that gives up on a server after so many seconds without an answer.

    Args:
        arguments: All but the database, as for ``psycopg.connect``; ``connect_timeout`` bounds the opening itself.
        seconds: The server's own limit for a statement.

    Returns:
        A function that takes the database's name.
    """
    import psycopg

    class Connection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            limit = seconds + GRACE_SECONDS if timeout is None else timeout
            try:
                return super().wait(gen, interval, limit)
            except psycopg.errors._WaitTimeout:
                if timeout is not None:
                    raise
                self.pgconn.finish()  # else whatever tidies up the connection would wait as long again
                raise psycopg.OperationalError(f"no answer within {limit:g} s (timeout)") from None

    def opened(database: str) -> Connection:
        try:
            return Connection.connect(dbname=database, **arguments)
        except psycopg.errors.ConnectionTimeout as error:
            # What it remembers holds the half-open connection, for which the server waits a minute longer (its
            # authentication_timeout); in that time nobody can drop a database there.
            error.__context__ = None
            raise error.with_traceback(None) from None

    return opened


def bound_mysql_answers(connection: Any, seconds: float) -> None:
    """Give a PyMySQL connection that was opened with a short limit for each answer the one for statements.

    Args:
        connection: The open connection.
        seconds: The limit.
    """
    # PyMySQL has one limit for the greeting and for statements, and no way to tell them apart.
    connection._read_timeout = seconds
