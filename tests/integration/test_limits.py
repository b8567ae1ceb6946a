# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits on real servers: how busy they say they are, and what a run does about it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers import ACCOUNT, PASSWORD, Host, Server, installed

from vya_backupdb.db.postgresql_load import read_load
from vya_backupdb.errors import PrivilegeError

POLICY = {"name": "all", "include": ["vya_shop"]}
SLEEPERS = 3


def policy(**limits: Any) -> dict[str, Any]:
    return {**POLICY, "limits": limits}


@pytest.fixture
def busy(server: Server) -> Iterator[None]:
    """Statements at work in the server."""
    sleep = "SELECT SLEEP(600);" if server.kind == "mysql" else "SELECT pg_sleep(600);"

    def work() -> None:
        with contextlib.suppress(RuntimeError):  # it is ended
            server.sql(sleep)

    threads = [threading.Thread(target=work) for _number in range(SLEEPERS)]
    for thread in threads:
        thread.start()
    while len(sleepers(server)) < SLEEPERS:
        time.sleep(0.1)
    yield
    for number in sleepers(server):
        server.sql(f"KILL {number};" if server.kind == "mysql" else f"SELECT pg_terminate_backend({number});")
    for thread in threads:
        thread.join()


def sleepers(server: Server) -> list[str]:
    if server.kind == "mysql":
        query = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%';"
    else:
        query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active';"
    return server.sql(query).split()


def backup(host: Host, server: Server) -> Any:
    [result] = host.engine().backup(policy="all", database_id=server.database_id, databases=["vya_shop"]).results
    return result


@pytest.mark.usefixtures("busy")
def test_a_busy_server_is_held_back_from(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy(hold_back={"running": 2, "wait": "0s"})])
    result = backup(host, server)
    assert result.outcome == "failed"
    assert "statements are at work, more than 2" in result.error
    assert not host.files()


@pytest.mark.usefixtures("busy")
def test_or_dumped_with_a_warning(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy(hold_back={"running": 2, "wait": "0s", "then": "proceed"})])
    result = backup(host, server)
    assert result.outcome == "success"
    assert any("statements are at work" in warning for warning in result.warnings)


def test_a_server_without_much_to_do_is_not(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy(hold_back={"running": 60, "replication_lag": "1h", "wait": "0s"})])
    result = backup(host, server)
    assert (result.outcome, result.error, result.warnings) == ("success", None, ())


def test_a_dump_goes_no_faster_than_its_bandwidth(host: Host, server: Server, make_database: Any) -> None:
    rows = ",".join(f"({number}, '{'x' * 1000}')" for number in range(300))
    make_database("vya_shop", f"CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES {rows};")
    host.write(policies=[policy(bandwidth="150KiB")])
    began = time.monotonic()
    result = backup(host, server)
    taken = time.monotonic() - began
    assert result.outcome == "success"
    assert taken >= (result.plain_bytes - 16384) / (150 * 1024) - 0.5


def test_a_place_that_another_process_holds_is_waited_for(host: Host, server: Server, shop: str) -> None:
    host.write(policies=[policy()], max_dumps=1)
    assert backup(host, server).outcome == "success"
    [place] = (host.root / "state" / "locks").glob("host.*.place")
    with subprocess.Popen(["flock", "--no-fork", str(place), "sleep", "600"]) as holder:
        while subprocess.run(["flock", "--nonblock", str(place), "true"], check=False).returncode == 0:
            time.sleep(0.1)
        host.write(policies=[policy(timeout="1s")], max_dumps=1)
        refused = backup(host, server)
        holder.kill()
    host.write(policies=[policy()], max_dumps=1)
    assert "held all places of host" in refused.error
    assert backup(host, server).outcome == "success"


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_a_role_that_sees_nothing_of_others_does_not_take_the_server_for_idle(server: Server) -> None:
    server.sql("CREATE ROLE vya_blind;")
    try:
        with connected("host=127.0.0.1", user=ACCOUNT, password=PASSWORD) as query:
            query("SET ROLE vya_blind")
            with pytest.raises(PrivilegeError, match="may not see what others do"):
                read_load(query, False)
            query("RESET ROLE")
            server.sql("GRANT pg_read_all_stats TO vya_blind;")
            query("SET ROLE vya_blind")
            assert read_load(query, True).running >= SLEEPERS
    finally:
        server.sql("DROP ROLE vya_blind;")


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_a_standby_that_is_cut_off_is_behind(server: Server, make_database: Any) -> None:
    make_database("vya_shop")
    with standby(server) as query:
        deadline = time.monotonic() + 60
        while read_load(query, True).lag != 0 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert read_load(query, True).lag == 0
        query("ALTER SYSTEM SET primary_conninfo = ''")
        query("SELECT pg_reload_conf()")
        while read_load(query, True).lag == 0 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert read_load(query, True).lag == float("inf")


@contextlib.contextmanager
def connected(target: str, **facts: Any) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Yield what runs statements on a connection to PostgreSQL."""

    def query(statement: str) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    with psycopg.connect(target, dbname="postgres", autocommit=True, **facts) as connection:
        yield query


@contextlib.contextmanager
def standby(server: Server) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Yield what asks a standby of this host's server."""
    as_postgres = server.client[: server.client.index("--") + 1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run([*as_postgres, str(installed(program)), *arguments], check=True, cwd="/")

    place = Path(tempfile.mkdtemp(prefix="vya-standby-"))
    shutil.chown(place, "postgres", "postgres")
    data = place / "data"
    try:
        run("pg_basebackup", f"--pgdata={data}", "--write-recovery-conf", "--checkpoint=fast")
        (data / "postgresql.conf").write_text(
            f"port = 5499\nlisten_addresses = ''\nunix_socket_directories = '{place}'\nhot_standby = on\n"
            f"max_connections = {server.sql('SHOW max_connections;')}\n"
        )
        (data / "pg_hba.conf").write_text("local all all trust\n")
        run("pg_ctl", f"--pgdata={data}", f"--log={place}/log", "--wait", "start")
        try:
            with connected(f"host={place} port=5499", user=ACCOUNT) as query:
                yield query
        finally:
            run("pg_ctl", f"--pgdata={data}", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_sizes_are_those_of_now(server: Server, host: Host, make_database: Any) -> None:
    """MySQL from 8.0 on would go on answering from a copy for a day."""
    make_database("vya_shop", "CREATE TABLE t (id integer PRIMARY KEY AUTO_INCREMENT, v text) ENGINE = InnoDB;")
    engine = host.engine()
    dbms = engine._connect(engine.config.instance(server.database_id))
    assert dbms.databases()["vya_shop"] < 100_000
    rows = ",".join(f"('{'x' * 1000}')" for _number in range(1000))
    server.sql(f"INSERT INTO t (v) VALUES {rows};", "vya_shop")
    deadline = time.monotonic() + 60  # the storage engine counts pages anew in the background
    while (size := dbms.databases()["vya_shop"]) < 1_000_000 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert size >= 1_000_000
