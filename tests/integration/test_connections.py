# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that are kept for the next database of a run: how long, and what if the server ends one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pymysql.cursors import Cursor
from servers import ACCOUNT, Host, Server

_NUMBERS = f"SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{ACCOUNT}';"


def connections(server: Server) -> list[str]:
    """The numbers of the engine's connections to MySQL or MariaDB."""
    return server.sql(_NUMBERS).split()


def test_a_connection_is_used_again_and_made_anew_when_it_was_killed(host: Host, servers: dict[str, Server]) -> None:
    server, engine = servers["mysql"], host.engine()
    dbms = engine._connect(engine.config.instance(server.database_id))
    with dbms.kept_open():
        first = number_of(dbms)
        assert number_of(dbms) == first
        server.sql(f"KILL {first};")
        assert number_of(dbms) != first
    assert number_of(dbms) != number_of(dbms)
    ended_soon(server)


def number_of(dbms: Any) -> int:
    """The number of the connection that the engine uses now."""
    [[number]] = dbms._rows("SELECT CONNECTION_ID()")
    return int(number)


def test_none_is_left_when_a_run_has_ended(host: Host, server: Server, shop: str) -> None:
    report = host.engine().backup(database_id=server.database_id, databases=[shop])
    assert report.ok
    if server.kind == "mysql":
        ended_soon(server)
    server.sql(f"DROP DATABASE {shop};")  # PostgreSQL would refuse while somebody is connected


def ended_soon(server: Server) -> None:
    """Wait until the server has noticed that the connections are closed; one that is not closed is an endless wait."""
    deadline = time.monotonic() + 30
    while connections(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_a_backup_opens_no_tables_of_other_databases(
    server: Server, host: Host, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time of many grows with the square of their number, on MariaDB; the catalogue of MySQL has indexes."""
    asked: list[str] = []
    execute = Cursor.execute

    def listened(self: Cursor, query: str, args: Any = None) -> int:
        statement = self.mogrify(query, args)
        if "information_schema" in statement and statement.startswith("SELECT"):
            asked.append(statement)
        return execute(self, query, args)

    monkeypatch.setattr(Cursor, "execute", listened)
    assert host.engine().backup(database_id=server.database_id, databases=[shop]).ok
    assert len(asked) > 20
    scanning = [
        statement
        for statement in asked
        if "FROM information_schema.SCHEMATA s" not in statement  # which asks for all of them, once
        and "Scanned all databases" in server.sql(f"EXPLAIN {statement};")
    ]
    assert scanning == []
