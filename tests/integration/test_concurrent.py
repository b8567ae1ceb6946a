# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Several clients of MySQL or MariaDB dump one database into one file: of one moment, or not at all."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from fingerprint import compare
from servers import ACCOUNT, PASSWORD, Host, Server
from test_sealing import binary_log

from vya_backupdb.core.concurrent_dump import ConcurrentDump
from vya_backupdb.core.manifest import Manifest, read_manifest
from vya_backupdb.db import mysql_inspection, mysql_moment
from vya_backupdb.db.dump_share import DumpShare
from vya_backupdb.utils.processes import Child

ACCOUNTS, TABLES = 40, 6
NAMES = [f"account%{number}`" for number in range(TABLES)]
TOTAL = TABLES * ACCOUNTS * 1000
__all__ = ["binary_log"]  # a fixture
_ROW = re.compile(rb"\((\d+),(-?\d+),(?:_binary )?'[^']*'\)")


@pytest.fixture(scope="module")
def mysql(servers: dict[str, Server]) -> Server:
    """The server that this is for."""
    return servers["mysql"]


@pytest.fixture
def host(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose policy asks for four clients, also where so little is to be dumped."""
    monkeypatch.setattr(mysql_inspection, "_SMALL_BYTES", 0)
    return with_policy(host)


def with_policy(host: Host, **changes: Any) -> Host:
    policy = {"name": "parallel", "instances": ["test-mysql"], "strategy": "parallel", "limits": {"jobs": 4}, **changes}
    host.write(policies=[policy])
    return host


@pytest.fixture(scope="module")
def made(mysql: Server) -> Iterator[str]:
    """Accounts in several tables, which hold so much money together, and more in each than one segment takes."""
    numbers = (
        f"WITH RECURSIVE n AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM n WHERE id < {ACCOUNTS}) SELECT * FROM n"
    )
    mysql.create("vya_money")
    for name in NAMES:
        mysql.sql(
            f"CREATE TABLE {mysql.quoted(name)} (id integer PRIMARY KEY, money integer, filler longtext);"
            f" INSERT INTO {mysql.quoted(name)} SELECT id, 1000, REPEAT('x', 20000) FROM ({numbers}) s;"
            "CREATE TABLE IF NOT EXISTS no_rows (id integer);"
            "CREATE TABLE IF NOT EXISTS large (id integer PRIMARY KEY, t longtext);",
            "vya_money",
        )
    for number in range(8):
        mysql.sql(f"INSERT INTO large VALUES ({number}, '{os.urandom(3_000_000).hex()}');", "vya_money")
    yield "vya_money"
    mysql.drop("vya_money")


def connected() -> pymysql.connections.Connection[Any]:
    return pymysql.connect(
        unix_socket="/run/mysqld/mysqld.sock", user=ACCOUNT, password=PASSWORD.encode(), database="vya_money"
    )


@contextlib.contextmanager
def money_on_the_move(mysql: Server) -> Iterator[list[int]]:
    """Move money from one table to another all the time; yields how often that was done."""
    stop, moved = threading.Event(), [0]

    def move() -> None:
        chance = random.Random(1)
        with connected() as connection, connection.cursor() as cursor:
            while not stop.is_set():
                give, take = chance.sample(NAMES, 2)
                for name, sign in ((give, "-"), (take, "+")):
                    quoted = mysql.quoted(name).replace("%", "%%")
                    row = chance.randint(1, ACCOUNTS)
                    cursor.execute(f"UPDATE {quoted} SET money = money {sign} 7 WHERE id = %s", (row,))
                connection.commit()
                moved[0] += 1

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield moved
    finally:
        stop.set()
        thread.join()


def backup(host: Host, name: str = "vya_money") -> tuple[Path, Manifest]:
    report = host.engine().backup(database_id="test-mysql", databases=[name])
    assert report.ok, report.to_dict()
    artifact = Path(str(report.results[0].artifact))
    return artifact, read_manifest(Path(str(report.results[0].manifest)))


def failure(host: Host) -> str:
    """Make a backup that must fail, and return why it says it did."""
    (result,) = host.engine().backup(database_id="test-mysql", databases=["vya_money"]).results
    assert result.outcome == "failed"
    assert not any(path.is_file() for path in host.storage.rglob("*"))
    return str(result.error)


def before_each(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> list[int]:
    """Do something in each client's thread before it starts; returns the numbers of the clients so far."""
    run, clients, lock = ConcurrentDump._run, [], threading.Lock()

    def late(self: ConcurrentDump, writer: Any, sink: Any, command: Any, watch: Any, *started: Any) -> str:
        if isinstance(watch, DumpShare):
            with lock:
                clients.append(len(clients))
                number = clients[-1]
            act(number)
        return run(self, writer, sink, command, watch, *started)

    monkeypatch.setattr(ConcurrentDump, "_run", late)
    return clients


def test_money_that_moves_adds_up_in_every_dump(
    mysql: Server, host: Host, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = before_each(monkeypatch, lambda number: time.sleep(0.15 * number))
    sums = []
    with money_on_the_move(mysql) as moved:
        for round_ in range(1, 5):
            before = moved[0]
            artifact, manifest = backup(host)
            content = gzip.decompress(artifact.read_bytes())
            sums.append(sum(int(match.group(2)) for match in _ROW.finditer(content)))
            assert len(clients) == 4 * round_
            assert moved[0] > before  # nobody waits longer than until all have begun
            assert manifest.warnings == ()
            assert manifest.tool["clients"] == 4
            assert set(manifest.rows.items()) == {*((name, ACCOUNTS) for name in NAMES), ("large", 8), ("no_rows", 0)}
            assert not manifest.row_counts["approximate"]
    assert sums == [TOTAL] * 4


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
@pytest.mark.usefixtures("server", "binary_log")
def test_all_clients_are_at_the_same_place_of_the_binary_log(mysql: Server, host: Host, made: str) -> None:
    with money_on_the_move(mysql) as moved:
        for _round in range(3):
            before = moved[0]
            position = backup(host)[1].position
            assert moved[0] > before
            assert position["type"] == "binlog"
            assert not position["approximate"]
            assert position["from"] == position["to"]


def test_it_is_one_ordinary_file_and_comes_back_by_several_clients_and_by_the_vendors_alone(
    mysql: Server, host: Host, made: str
) -> None:
    artifact, manifest = backup(host)
    assert (manifest.strategy, manifest.format) == ("logical", "sql.gz")
    assert artifact.name.endswith(".sql.gz")
    content = gzip.decompress(artifact.read_bytes())
    assert content.count(b"SET @OLD_TIME_ZONE") == content.count(b"SET TIME_ZONE=@OLD_TIME_ZONE") == 3
    rows = [segment for segment in manifest.segments if segment.kind == "rows"]
    assert sum(list(segment.tables) == ["large"] for segment in rows) > 2
    assert host.engine().verify(database_id="test-mysql", database=made).ok
    kept = mysql.fingerprint(made)
    restored = host.engine().restore(database_id="test-mysql", database=made, target="vya_money_2", jobs=3)
    assert restored.outcome == "success"
    try:
        assert compare(kept, mysql.fingerprint("vya_money_2")) == []
    finally:
        mysql.drop("vya_money_2")
    mysql.create("vya_money_by_hand")
    try:
        by_hand = manifest.restore_by_hand.replace(artifact.name, str(artifact)).replace(
            "NEW_DATABASE", "vya_money_by_hand"
        )
        subprocess.run(["bash", "-c", f"set -euo pipefail; {by_hand}"], check=True)
        assert compare(kept, mysql.fingerprint("vya_money_by_hand")) == []
    finally:
        mysql.drop("vya_money_by_hand")
    extracted = b"".join(host.engine().extract(database_id="test-mysql", database=made, table=NAMES[3]))
    assert len(_ROW.findall(extracted)) == ACCOUNTS


@pytest.mark.parametrize("algorithm", ["gzip", "zstd", "none"])
def test_all_that_a_database_has_comes_back(mysql: Server, host: Host, algorithm: str) -> None:
    with_policy(host, compression={"algorithm": algorithm, "level": "auto"})
    mysql.load_sample("vya_sample")
    try:
        versioned = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'vya_sample'"
        versioned += " AND TABLE_TYPE = 'SYSTEM VERSIONED';"
        names = mysql.sql(versioned).splitlines()
        if names and algorithm == "none":
            _artifact, manifest = backup(host, "vya_sample")
            assert any("One client dumped all rows: those of system-versioned" in each for each in manifest.warnings)
        if names:
            mysql.sql("DROP VIEW view_history;", "vya_sample")
        for name in names:
            mysql.sql(f"DROP TABLE {mysql.quoted(name)};", "vya_sample")
        before = mysql.fingerprint("vya_sample")
        _artifact, manifest = backup(host, "vya_sample")
        assert not any("One client" in each for each in manifest.warnings)
        assert host.engine().restore(database_id="test-mysql", database="vya_sample", overwrite=True).differences == ()
        assert compare(before, mysql.fingerprint("vya_sample")) == []
    finally:
        mysql.drop("vya_sample")


def test_a_lock_that_is_not_had_in_time_leaves_all_to_one_client(
    host: Host, mysql: Server, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_moment, "LOCK_SECONDS", 1)
    with connected() as holding, holding.cursor() as cursor:
        if mysql.flavour == "mariadb":
            cursor.execute("BACKUP STAGE START")
            _artifact, manifest = backup(host)
        else:
            busy = threading.Thread(target=cursor.execute, args=("SELECT SLEEP(4) FROM large LIMIT 1",))
            busy.start()
            _artifact, manifest = backup(host)
            busy.join()
    assert manifest.rows["large"] == 8
    assert "clients" not in manifest.tool
    (warning,) = manifest.warnings
    assert warning.startswith("One client dumped all rows: others could not be kept from committing")


def test_a_lock_that_is_lost_unnoticed_makes_no_dump(
    host: Host, mysql: Server, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    locked = mysql_moment.locked

    def known(apart: Any, flavour: str) -> Any:
        numbers.append(apart("SELECT CONNECTION_ID()")[0][0])
        return locked(apart, flavour)

    def lose(number: int) -> None:
        if number == 2:
            mysql.sql(f"KILL {numbers[0]};")

    monkeypatch.setattr("vya_backupdb.db.mysql_session.locked", known)
    clients = before_each(monkeypatch, lose)
    assert "was lost before it was known that all dump clients had begun" in failure(host)
    assert len(clients) == 4


def test_a_client_that_begins_too_late_makes_no_dump_and_holds_nobody_up(
    host: Host, mysql: Server, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_moment, "BEGIN_SECONDS", 1)
    before_each(monkeypatch, lambda number: time.sleep(4 if number == 3 else 0))
    with money_on_the_move(mysql) as moved:
        error = failure(host)
        assert "1 of 4 dump clients had not begun after 1 s" in error
        before = moved[0]
        deadline = time.monotonic() + 20
        while moved[0] == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert moved[0] > before


def test_the_server_lets_go_of_a_host_that_is_cut_off(
    host: Host, mysql: Server, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_moment, "_SILENT_SECONDS", 2)
    engine = host.engine()
    dbms = engine._connect(engine.config.instance("test-mysql"))
    with money_on_the_move(mysql) as moved, dbms._apart() as apart, mysql_moment.locked(apart, mysql.flavour):
        time.sleep(0.5)
        held, deadline = moved[0], time.monotonic() + 20
        time.sleep(0.5)
        assert moved[0] == held
        while moved[0] == held and time.monotonic() < deadline:
            time.sleep(0.05)
        assert moved[0] > held


@pytest.mark.parametrize("number", [0, 3])
def test_a_client_that_is_killed_ends_all_of_them(
    number: int, host: Host, mysql: Server, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, clients = ConcurrentDump._run, list[int]()
    children: list[Child] = []

    def killed(self: ConcurrentDump, writer: Any, sink: Any, command: Any, watch: Any, *started: Any) -> str:
        def tell(child: Child) -> None:
            started[0](child)
            children.append(child)
            if len(clients) == number:
                os.kill(child.process.pid, signal.SIGKILL)
            clients.append(1)

        return run(self, writer, sink, command, watch, *([tell] if started else []))

    monkeypatch.setattr(ConcurrentDump, "_run", killed)
    assert "failed (killed by SIGKILL)" in failure(host)
    assert children
    assert all(child.process.poll() is not None for child in children)


def examined(host: Host) -> tuple[str, str]:
    """Return what the check of this strategy says, and its hint."""
    (check,) = [c for c in host.engine().check(database_id="test-mysql").checks if c["check"] == "parallel"]
    return check["status"], check["hint"]


def test_an_account_that_may_not_lock_leaves_all_to_one_client(host: Host, mysql: Server, made: str) -> None:
    assert examined(host) == ("ok", "")
    account = f"{ACCOUNT}@localhost"
    own = ", FLUSH_TABLES" if mysql.flavour == "mysql" else ""
    mysql.sql(f"REVOKE RELOAD{own} ON *.* FROM {account};")
    try:
        status, hint = examined(host)
        _artifact, manifest = backup(host)
    finally:
        mysql.sql(f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION;")
    assert (status, hint) == ("warning", f"GRANT RELOAD ON *.* TO '{ACCOUNT}'@'localhost';")
    assert manifest.rows["large"] == 8
    assert manifest.warnings[0].startswith("One client dumped all rows: others could not be kept from committing")
