# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Failed backups are failures: said in a sentence, on record, and without a file that looks like a backup."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import ACCOUNT, PASSWORD, Host, Server

from vya_backupdb.core import backup as backup_module
from vya_backupdb.core.locks import database_lock
from vya_backupdb.core.space import Estimate
from vya_backupdb.db import clients
from vya_backupdb.errors import ConfigError, StoppedError
from vya_backupdb.security.credentials import open_store


def fill(server: Server, name: str, rows: int = 400) -> None:
    """Give a database a table of some 64 kB a row that compresses badly enough to take a while."""
    noise = {
        "mariadb": "REPEAT(UNHEX(SHA2(RAND(), 512)), 1024)",
        "mysql": "REPEAT(RANDOM_BYTES(1024), 64)",
        "postgresql": "(SELECT string_agg(md5(random()::text || x || n), '') FROM generate_series(1, 2000) x)",
    }[server.flavour]
    numbers = (
        f"generate_series(1, {rows}) AS numbers (n)"
        if server.kind == "postgresql"
        else f"(WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n FROM s) s"
    )
    blob = "text" if server.kind == "postgresql" else "longblob"
    server.sql(
        f"CREATE TABLE big (n integer PRIMARY KEY, t {blob}); INSERT INTO big SELECT n, {noise} FROM {numbers};", name
    )


def test_a_failing_database_stops_no_other(server: Server, host: Host, make_database: Callable[..., str]) -> None:
    names = ["vya_good_1", "vya_bad", "vya_good_2"]
    for name in names:
        make_database(name, "CREATE TABLE t (id integer); CREATE VIEW v AS SELECT id FROM t;")
    if server.kind == "mysql":
        server.sql("DROP TABLE t;", "vya_bad")  # the view's table is gone: the dump cannot be made
    else:
        server.sql("CREATE TABLE hidden (id integer); UPDATE pg_class SET relam = 9999 WHERE relname = 't';", "vya_bad")

    report = host.engine().backup(database_id=server.database_id, databases=names)

    outcomes = {result.database: result.outcome for result in report.results}
    assert outcomes == {"vya_good_1": "success", "vya_bad": "failed", "vya_good_2": "success"}
    assert not report.ok
    failed = report.failed[0]
    assert failed.artifact is None
    assert failed.error
    assert "\n" not in failed.error
    records = {run.database: run.outcome for run in host.engine().catalog.runs("backup")}
    assert records == outcomes
    assert not [path for path in host.files() if "vya_bad" in path]


def test_an_unknown_database_is_named_with_those_that_exist(server: Server, host: Host, shop: str) -> None:
    result = host.engine().backup(database_id=server.database_id, databases=["vya_no_such"]).results[0]

    assert result.outcome == "failed"
    assert "vya_no_such" in str(result.error)
    assert shop in str(result.error)
    assert host.files() == {}


def test_an_unknown_instance_or_policy_is_refused(host: Host) -> None:
    with pytest.raises(ConfigError, match="test-mysql"):
        host.engine().backup(database_id="nowhere")
    with pytest.raises(ConfigError, match="No policy 'nightly'"):
        host.engine().backup(policy="nightly")
    with pytest.raises(ConfigError, match="Nothing says what"):
        host.engine().backup()


def test_a_wrong_password_fails_without_showing_it(server: Server, host: Host, shop: str) -> None:
    open_store(host.engine().config).set(server.database_id, ACCOUNT, "wrong-" + PASSWORD)

    result = host.engine().backup(database_id=server.database_id, databases=[shop]).results[0]

    assert result.outcome == "failed"
    assert "refuses the account" in str(result.error)
    assert "wrong-" not in str(result.error)


def test_a_missing_credential_fails_one_instance_only(servers: dict[str, Server], host: Host) -> None:
    servers["postgresql"].create("vya_alone", "CREATE TABLE t (id integer);")
    open_store(host.engine().config).remove("test-mysql")
    host.write(policies=[{"name": "all", "include": ["vya_alone*"]}])
    try:
        report = host.engine().backup(policy="all")
    finally:
        servers["postgresql"].drop("vya_alone")

    assert {(r.database_id, r.outcome) for r in report.results} == {
        ("test-mysql", "failed"),
        ("test-postgresql", "success"),
    }
    assert "no credentials 'test-mysql'" in str(report.failed[0].error)


def test_a_stopped_server_fails_in_words(server: Server, host: Host, shop: str) -> None:
    good = host.engine().backup(database_id=server.database_id, databases=[shop]).results[0]
    server.service("stop")
    try:
        report = host.engine().backup(database_id=server.database_id, databases=[shop])
        info = host.engine().info(database_id=server.database_id)
        check = host.engine().check(database_id=server.database_id)
    finally:
        server.service("start")
    assert report.results[0].outcome == "failed"
    assert "cannot be reached" in str(report.results[0].error)
    assert info.instances[0]["reachable"] is False
    assert not check.ok
    assert Path(str(good.artifact)).exists()
    assert host.engine().backup(database_id=server.database_id, databases=[shop]).ok


def test_a_missing_client_is_named_with_its_package(
    server: Server, host: Host, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_SEARCH_PATH", "/nowhere")
    monkeypatch.setattr(clients, "_POSTGRESQL_DIRECTORIES", ())

    result = host.engine().backup(database_id=server.database_id, databases=[shop]).results[0]

    assert result.outcome == "failed"
    assert "Install the package" in str(result.error)
    assert [c for c in host.engine().check(database_id=server.database_id).checks if c["status"] == "failed"]


def children(program: str) -> list[int]:
    found = subprocess.run(["pgrep", "-f", f"^[^ ]*{program}"], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split() if int(line) != os.getpid()]


DUMPERS = {"mariadb": "mariadb-dump", "mysql": "mysqldump", "postgresql": "pg_dump"}


def after_first_bytes(action: Callable[[], None]) -> Callable[[object], None]:
    """A progress callback that acts once, when rows have begun to flow."""
    once = threading.Event()

    def progress(state: object) -> None:
        if (
            getattr(state, "phase", "") == "dumping"
            and getattr(state, "done_bytes", 0) > 1_000_000
            and not once.is_set()
        ):
            once.set()
            action()

    return progress


def test_a_killed_dump_client_is_a_failure(server: Server, host: Host, make_database: Callable[..., str]) -> None:
    name = make_database("vya_big")
    fill(server, name)

    def kill() -> None:
        for pid in children(DUMPERS[server.flavour]):
            os.kill(pid, signal.SIGKILL)

    result = (
        host.engine()
        .backup(database_id=server.database_id, databases=[name], progress=after_first_bytes(kill))
        .results[0]
    )

    assert result.outcome == "failed"
    assert "killed by SIGKILL" in str(result.error)
    assert host.files() == {}
    assert host.engine().backup(database_id=server.database_id, databases=[name]).ok


def test_a_killed_connection_is_a_failure(server: Server, host: Host, make_database: Callable[..., str]) -> None:
    name = make_database("vya_big")
    fill(server, name)

    def kill() -> None:
        if server.kind == "mysql":
            query = f"SELECT id FROM information_schema.processlist WHERE user = '{ACCOUNT}' AND info LIKE '%big%';"
            for pid in server.sql(query).split():
                server.sql(f"KILL {pid};")
        else:
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump';")
            server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';")

    result = (
        host.engine()
        .backup(database_id=server.database_id, databases=[name], progress=after_first_bytes(kill))
        .results[0]
    )

    assert result.outcome == "failed", result
    assert host.files() == {}


def test_a_sigterm_cleans_up_and_is_on_record(server: Server, host: Host, make_database: Callable[..., str]) -> None:
    name = make_database("vya_big")
    fill(server, name)

    with pytest.raises(StoppedError, match="SIGTERM"):
        host.engine().backup(
            database_id=server.database_id,
            databases=[name],
            progress=after_first_bytes(lambda: os.kill(os.getpid(), signal.SIGTERM)),
        )

    assert host.files() == {}
    assert children(DUMPERS[server.flavour]) == []
    assert [run.outcome for run in host.engine().catalog.runs("backup")] == ["failed"]


@pytest.fixture
def small_disk(host: Host) -> Iterator[Host]:
    """A host whose storage has room for little."""
    host.storage.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", host.storage], check=True)
    yield host
    subprocess.run(["umount", host.storage], check=True)


def test_a_dump_that_would_fill_the_disk_is_not_begun(
    server: Server, small_disk: Host, make_database: Callable[..., str]
) -> None:
    name = make_database("vya_big")
    fill(server, name, 20)
    assert small_disk.engine().backup(database_id=server.database_id, databases=[name]).ok
    free = os.statvfs(small_disk.storage)
    (small_disk.storage / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 4096))
    before = small_disk.files()

    result = small_disk.engine().backup(database_id=server.database_id, databases=[name]).results[0]

    assert result.outcome == "failed"
    assert re.search(
        r"has .* free, of which 0 B are to stay free; .* expected to take .* \(the last one took .*\)",
        str(result.error),
    )
    assert small_disk.files() == before


def test_a_full_disk_ends_cleanly(
    server: Server,
    small_disk: Host,
    make_database: Callable[..., str],
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backup_module, "estimate", lambda *_arguments: Estimate(0, "a wrong guess"))
    name = make_database("vya_big")
    fill(server, name, 400)
    if server.kind == "mysql":  # what compresses well must be made to fill a small disk as well
        (small_disk.storage / "filler").write_bytes(b"x" * 2_900_000)
    assert small_disk.engine().backup(database_id=server.database_id, databases=[shop]).ok
    before = small_disk.files()

    result = small_disk.engine().backup(database_id=server.database_id, databases=[name]).results[0]

    assert result.outcome == "failed"
    assert "is full" in str(result.error)
    assert small_disk.files() == before
    assert children(DUMPERS[server.flavour]) == []


def test_an_unusable_root_is_refused(server: Server, host: Host, shop: str) -> None:
    host.storage.write_text("a file where the root should be")

    result = host.engine().backup(database_id=server.database_id, databases=[shop]).results[0]

    assert result.outcome == "failed"
    assert str(host.storage) in str(result.error)


def test_a_second_run_on_the_same_database_waits_for_no_one(server: Server, host: Host, shop: str) -> None:
    with database_lock(host.root / "state" / "locks", server.database_id, shop, "a restore"):
        result = host.engine().backup(database_id=server.database_id, databases=[shop]).results[0]

    assert result.outcome == "failed"
    assert "in use by a restore" in str(result.error)
    assert host.engine().backup(database_id=server.database_id, databases=[shop]).ok


def test_a_silent_server_is_given_up(server: Server, host: Host, make_database: Callable[..., str]) -> None:
    name = make_database("vya_silent", "CREATE TABLE t (id integer);")
    host.write(policies=[{"name": "short", "include": [name], "limits": {"stall_timeout": "2s"}}])
    holds, sessions, end = {
        "mysql": (
            "LOCK TABLES t WRITE; SELECT SLEEP(600);",
            "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(600)%';",
            "KILL {};",
        ),
        "postgresql": (
            "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600);",
            "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND state = 'active';",
            "SELECT pg_terminate_backend({});",
        ),
    }[server.kind]

    def hold() -> None:
        with contextlib.suppress(RuntimeError):  # it is ended
            server.sql(holds, name)

    holder = threading.Thread(target=hold)
    holder.start()
    while not (held := server.sql(sessions)):
        time.sleep(0.1)
    try:
        result = host.engine().backup(policy="short", database_id=server.database_id, databases=[name]).results[0]
    finally:
        server.sql(end.format(held))
        holder.join()
    assert result.outcome == "failed"
    assert "sent nothing for 0:00:02" in str(result.error)
    assert children(DUMPERS[server.flavour]) == []
    assert host.files() == {}


def test_a_database_that_a_policy_names_must_exist(server: Server, host: Host) -> None:
    host.write(policies=[{"name": "p", "instances": [server.database_id], "include": ["vya_gone", "vya_none_*"]}])

    report = host.engine().backup(policy="p")

    assert [(r.database, r.outcome) for r in report.results] == [("vya_gone", "failed")]
    assert "includes the database 'vya_gone'" in str(report.results[0].error)


def test_a_dry_run_touches_nothing(server: Server, host: Host, shop: str) -> None:
    report = host.engine().backup(database_id=server.database_id, databases=[shop, "vya_gone"], dry_run=True)

    assert [(r.database, r.outcome) for r in report.results] == [(shop, "planned"), ("vya_gone", "failed")]
    assert not host.storage.exists()
    assert list((host.root / "state").iterdir()) == []
