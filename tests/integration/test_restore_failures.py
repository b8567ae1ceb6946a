# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Failed restores: nothing happens to what is there, or it comes back, and the message says which."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers import Host, Server

from vya_backupdb.core import restore, segment_load
from vya_backupdb.core.manifest import SUFFIX, seal_document
from vya_backupdb.db.postgresql import PostgreSql
from vya_backupdb.engine import Engine
from vya_backupdb.errors import (
    ArtifactError,
    BackupDbError,
    ConfigError,
    DatabaseLostError,
    LockedError,
    RestoreError,
    ServerError,
    StoppedError,
)
from vya_backupdb.reports import RestoreReport

COUNT = "SELECT count(*) FROM item;"


@pytest.fixture
def artifact(server: Server, host: Host, shop: str) -> Path:
    """A sealed artifact of the shop with three items; the shop has two by now."""
    report = host.engine().backup(database_id=server.database_id, databases=[shop])
    server.sql("DELETE FROM item WHERE id = 2;", shop)
    return Path(str(report.results[0].artifact))


def rewrite(artifact: Path, change: Callable[[bytes], bytes]) -> None:
    """Exchange the SQL in an artifact and make its manifest fit, as if it had been sealed so."""
    path = artifact.with_name(artifact.name + SUFFIX)
    manifest = json.loads(path.read_bytes())
    plain = gzip.decompress(artifact.read_bytes())
    for postamble in (b"RESET ROLE;\n-- Settings", b"-- Grants on the database"):
        plain = plain.split(postamble)[0]
    plain = change(plain)
    artifact.write_bytes(gzip.compress(plain, 1))
    stored = artifact.read_bytes()
    manifest |= {
        "stored_bytes": len(stored),
        "plain_bytes": len(plain),
        "sha256": hashlib.sha256(stored).hexdigest(),
        "segments": [{"kind": "dump", "offset": 0, "length": len(stored), "plain_length": len(plain)}],
    }
    path.write_bytes(seal_document(manifest))


def with_bad_statement(plain: bytes) -> bytes:
    """A dump that fails in its middle and still ends as a whole dump does."""
    end = plain.rindex(b"\n-- Dump completed") if b"\n-- Dump completed" in plain else plain.rindex(b"\n--\n-- Postgre")
    return plain[:end] + b"\nINSERT INTO no_such_table VALUES (1);\n" + plain[end:]


def test_a_database_is_not_overwritten_unasked(server: Server, host: Host, shop: str, artifact: Path) -> None:
    with pytest.raises(RestoreError, match=r"exists on .*; nothing was changed"):
        host.engine().restore(database_id=server.database_id, database=shop)

    assert server.sql(COUNT, shop) == "2"
    assert host.engine().catalog.runs("restore") == []


def test_a_failing_load_leaves_the_old_database(server: Server, host: Host, shop: str, artifact: Path) -> None:
    rewrite(artifact, with_bad_statement)
    before = server.fingerprint(shop)

    with pytest.raises(
        RestoreError, match=r"no_such_table.*The old database 'vya_shop' (is untouched|was brought back)"
    ):
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)

    after = server.fingerprint(shop)
    assert after == before
    assert [run.outcome for run in host.engine().catalog.runs("restore")] == ["failed"]
    assert not [
        n for n in host.engine().info(database_id=server.database_id).instances[0]["databases"] if "_restore_" in n
    ]


def test_a_failing_load_into_a_new_name_leaves_nothing(server: Server, host: Host, shop: str, artifact: Path) -> None:
    rewrite(artifact, with_bad_statement)

    with pytest.raises(RestoreError, match="Nothing was left behind"):
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, target="vya_new")

    assert not server.exists("vya_new")


def test_a_missing_object_fails_the_restore(server: Server, host: Host, shop: str, artifact: Path) -> None:
    rewrite(artifact, lambda plain: plain.replace(b"labels", b"lapels"))

    with pytest.raises(RestoreError, match=r"labels is missing.*lapels is unexpected"):
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)

    assert server.sql(COUNT, shop) == "2"


def without_a_row(plain: bytes) -> bytes:
    """The dump without the first row of the shop's items."""
    before, copy, after = plain.partition(b"COPY public.item ")
    if copy:
        head, _row, rest = after.split(b"\n", 2)
        return before + copy + head + b"\n" + rest
    return re.sub(rb"(INSERT INTO `item` VALUES\s*\()[^()]*\),\s*\(", rb"\1", plain, count=1)


def test_a_missing_row_is_noticed(server: Server, host: Host, shop: str, artifact: Path) -> None:
    """Where nobody else can have deleted it, the restore fails; elsewhere it is said."""
    rewrite(artifact, without_a_row)

    def restore() -> RestoreReport:
        return host.engine().restore(
            database_id=server.database_id, database=shop, artifact=artifact, target="vya_new", overwrite=True
        )

    try:
        if server.kind == "postgresql":
            with pytest.raises(RestoreError, match=r"table public\.item has 2 rows instead of 3.*Nothing was left"):
                restore()
            assert not server.exists("vya_new")
        else:
            assert restore().differences == ("table item has 2 rows instead of 3",)
    finally:
        server.drop("vya_new")


def test_a_restored_table_has_statistics(server: Server, host: Host, shop: str, artifact: Path) -> None:
    done = host.engine().restore(database_id=server.database_id, database=shop, overwrite=True)

    assert (done.differences, done.warnings) == ((), ())
    statistics = {
        "mysql": f"SELECT n_rows FROM mysql.innodb_table_stats WHERE database_name = '{shop}' AND table_name = 'item';",
        "postgresql": "SELECT reltuples::integer FROM pg_class WHERE relname = 'item';",
    }
    assert server.sql(statistics[server.kind], shop) == "3"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bit flipped": flip,
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 100),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "no manifest": lambda path: path.with_name(path.name + SUFFIX).unlink(),
    "manifest no JSON": lambda path: path.with_name(path.name + SUFFIX).write_text("{"),
    "manifest of the future": lambda path: path.with_name(path.name + SUFFIX).write_text('{"schema_version": 99}'),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused_before_anything_changes(
    server: Server, host: Host, shop: str, artifact: Path, damage: str
) -> None:
    DAMAGES[damage](artifact)
    before = server.fingerprint(shop)

    with pytest.raises(ArtifactError) as refused:
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)

    assert str(artifact) in str(refused.value)
    assert server.fingerprint(shop) == before


def test_an_exchanged_artifact_is_noticed(server: Server, host: Host, shop: str, artifact: Path) -> None:
    other = Path(str(host.engine().backup(database_id=server.database_id, databases=[shop]).results[0].artifact))
    shutil.copy(other, artifact)

    with pytest.raises(ArtifactError, match=r"damaged"):
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)

    with pytest.raises(ConfigError, match="is of the database 'vya_shop', not of 'other'"):
        host.engine().restore(database_id=server.database_id, database="other", artifact=other)


def change_manifest(artifact: Path, **changes: str) -> None:
    path = artifact.with_name(artifact.name + SUFFIX)
    manifest = json.loads(path.read_bytes())
    manifest["dbms"] |= changes
    path.write_bytes(seal_document(manifest))


def test_a_server_that_cannot_take_the_artifact_is_named(server: Server, host: Host, shop: str, artifact: Path) -> None:
    change_manifest(artifact, version="99.1", description="A later one")
    with pytest.raises(RestoreError, match="newer than this server"):
        host.engine().restore(database_id=server.database_id, database=shop, overwrite=True)
    change_manifest(artifact, flavour="mariadb" if server.flavour != "mariadb" else "mysql", description="Another make")
    with pytest.raises(RestoreError, match="from Another make, this server is"):
        host.engine().restore(database_id=server.database_id, database=shop, overwrite=True)
    assert server.sql(COUNT, shop) == "2"


def test_what_does_not_exist_is_named(server: Server, host: Host, shop: str, artifact: Path) -> None:
    engine = host.engine()
    with pytest.raises(ArtifactError, match=r"no artifact of .*/vya_none"):
        engine.restore(database_id=server.database_id, database="vya_none")
    early = engine.info().artifacts[0]["created_at"].replace("20", "19", 1)
    from vya_backupdb.utils.clock import from_text

    with pytest.raises(ArtifactError, match="the oldest is from"):
        engine.restore(database_id=server.database_id, database=shop, before=from_text(early))
    with pytest.raises(ConfigError, match="both given"):
        engine.restore(database_id=server.database_id, database=shop, before=from_text(early), artifact=artifact)


def test_a_stop_during_the_load_brings_the_old_state_back(
    server: Server, host: Host, shop: str, artifact: Path
) -> None:
    sent = []

    def stop(state: object) -> None:
        if getattr(state, "phase", "") == "loading" and len(sent) < 2:  # the second must not hurt what cleans up
            sent.append(state)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match=r"old database 'vya_shop' (is untouched|was brought back)") as stopped:
        host.engine().restore(
            database_id=server.database_id, database=shop, artifact=artifact, overwrite=True, progress=stop
        )

    assert stopped.value.exit_code == 143
    assert server.sql(COUNT, shop) == "2"


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_a_stop_after_the_load_replaces_nothing(
    server: Server, host: Host, shop: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = restore.look_at_rows

    def stop(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return look(*arguments)

    monkeypatch.setattr(restore, "look_at_rows", stop)
    with pytest.raises(StoppedError, match=r"was stopped. The old database 'vya_shop' is untouched"):
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)
    assert server.sql(COUNT, shop) == "2"
    assert side_databases(server) == []


def side_databases(server: Server) -> list[str]:
    """Return what a restore has left beside."""
    names = server.sql("SELECT datname FROM pg_database;").splitlines()
    return [name for name in names if "_restore_" in name or "_old_" in name]


class Losing:
    """A connection to PostgreSQL that is lost before some of the statements that are run on databases."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lost: Mapping[str, int]) -> None:
        self.lost = dict(lost)
        execute = PostgreSql._execute

        def losing(dbms: PostgreSql, statement: str, *more: Any) -> None:
            for part, number in self.lost.items():
                if part in statement and number:
                    self.lost[part] -= 1
                    if number == 1:
                        raise ServerError("The connection was lost.")
            execute(dbms, statement, *more)

        monkeypatch.setattr(PostgreSql, "_execute", losing)


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("lost", "state", "rows"),
    [
        ({"RENAME TO": 1, "ALLOW_CONNECTIONS true": 1}, "is untouched", "2"),
        ({"ALLOW_CONNECTIONS true": 1}, "is back in its place", "2"),
        ({"RENAME TO": 2}, "is back in its place", "2"),
        ({"ALLOW_CONNECTIONS true": 2}, None, "3"),
    ],
)
def test_a_server_that_goes_away_while_databases_are_swapped(
    server: Server,
    host: Host,
    shop: str,
    artifact: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost: dict[str, int],
    state: str | None,
    rows: str,
) -> None:
    losing = Losing(monkeypatch, lost)
    with (
        contextlib.nullcontext()
        if state is None
        else pytest.raises(ServerError, match=f"The connection was lost. The old database 'vya_shop' {state}")
    ):
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)
    assert set(losing.lost.values()) == {0}
    assert server.sql(COUNT, shop) == rows
    assert side_databases(server) == []


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_a_server_that_stays_away_while_databases_are_swapped(
    server: Server, host: Host, shop: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "_SERVER_SECONDS", 1)
    losing = Losing(monkeypatch, {"RENAME TO": 2})
    there = PostgreSql.all_databases

    def away(dbms: PostgreSql) -> set[str]:
        if not losing.lost["RENAME TO"]:
            raise ServerError("The server is away.")
        return there(dbms)

    monkeypatch.setattr(PostgreSql, "all_databases", away)
    with pytest.raises(DatabaseLostError, match=r"MAY BE MISSING OR CLOSED: the old one is 'vya_shop_old_\d+'"):
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)
    monkeypatch.undo()
    assert not server.exists(shop)
    assert any("MAY BE MISSING" in problem for problem in host.engine().status().problems)

    assert host.engine().backup(database_id=server.database_id, databases=[shop]).ok

    assert server.sql(COUNT, shop) == "2"
    assert side_databases(server) == []
    assert host.engine().status().problems == ()


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_foreign_keys_of_other_databases_are_not_in_the_way(
    server: Server, host: Host, shop: str, artifact: Path
) -> None:
    server.create(
        "vya_other",
        "CREATE TABLE note (id integer, item integer, FOREIGN KEY (item) REFERENCES vya_shop.item (id));"
        "INSERT INTO note VALUES (1, 1);",
    )
    try:
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)
        assert server.sql(COUNT, shop) == "3"
        with pytest.raises(RuntimeError, match="foreign key constraint fails"):
            server.sql("INSERT INTO note VALUES (2, 99);", "vya_other")
    finally:
        server.drop("vya_other")


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_a_database_that_can_only_be_dropped_in_part_comes_back(
    server: Server, host: Host, shop: str, artifact: Path
) -> None:
    before = server.fingerprint(shop)
    directory = Path("/var/lib/mysql", shop)
    (directory / "export.csv").write_text("1,2\n")

    def overwrite(artifact: Path) -> None:
        host.engine().restore(database_id=server.database_id, database=shop, artifact=artifact, overwrite=True)

    if server.flavour == "mysql":  # it drops the database, and then takes none of that name
        with pytest.raises(DatabaseLostError, match="This must be resolved manually") as lost:
            overwrite(artifact)
        shutil.rmtree(directory)
        safety = re.search(r"Its sealed backup is (\S+);", str(lost.value))
        assert safety is not None
        overwrite(Path(safety[1]))
    else:  # it drops the tables, and keeps the database
        with pytest.raises(ServerError, match="The old database 'vya_shop' was brought back from its safety backup"):
            overwrite(artifact)
        (directory / "export.csv").unlink()
        assert host.engine().catalog.runs("restore")[0].outcome == "failed"
    assert server.fingerprint(shop) == before


def test_a_dry_run_says_what_would_happen_and_touches_nothing(
    server: Server, host: Host, shop: str, artifact: Path
) -> None:
    before = host.files()

    plan = host.engine().restore(database_id=server.database_id, database=shop, overwrite=True, dry_run=True)

    assert (plan.outcome, plan.overwritten, plan.artifact) == ("planned", True, str(artifact))
    assert host.files() == before
    assert server.sql(COUNT, shop) == "2"
    assert host.engine().catalog.runs("restore") == []


def test_who_is_connected_is_said_first(server: Server, host: Host, shop: str, artifact: Path) -> None:
    waiting = "SELECT SLEEP(600);" if server.kind == "mysql" else "SELECT pg_sleep(600);"
    with ThreadPoolExecutor() as others:
        others.submit(server.sql, waiting, shop)
        while not server.sql(SLEEPING[server.kind]):
            time.sleep(0.1)

        plan = host.engine().restore(database_id=server.database_id, database=shop, overwrite=True, dry_run=True)
        (number,) = server.sql(SLEEPING[server.kind]).splitlines()
        server.sql(f"KILL {number};" if server.kind == "mysql" else f"SELECT pg_terminate_backend({number});")

    who = "root from localhost" if server.kind == "mysql" else "postgres from this host"
    what = "What they do meanwhile is lost" if server.kind == "mysql" else "Those connections will be ended"
    assert plan.warnings == (f"Connected to {shop!r}: {who} (1). {what}.",)


SLEEPING = {
    "mysql": "SELECT id FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(600)%';",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND state = 'active';",
}


def test_a_disk_that_cannot_take_the_database_is_noticed_first(
    server: Server, host: Host, shop: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=10))

    with pytest.raises(RestoreError, match=r"The disk of /var/lib/.* has 10 B free.*Nothing was changed"):
        host.engine().restore(database_id=server.database_id, database=shop, target="vya_new")

    assert not server.exists("vya_new")


def test_a_restore_waits_for_no_other_run(server: Server, host: Host, shop: str, artifact: Path) -> None:
    from vya_backupdb.core.locks import database_lock

    with (
        database_lock(host.root / "state" / "locks", server.database_id, shop, "a backup"),
        pytest.raises(LockedError, match="in use by a backup"),
    ):
        host.engine().restore(database_id=server.database_id, database=shop, overwrite=True)


def test_what_an_earlier_restore_of_that_second_left_is_not_in_the_way(servers: dict[str, Server], host: Host) -> None:
    server = servers["postgresql"]
    moment = datetime(2026, 1, 9, 2, tzinfo=timezone.utc)
    engine = Engine.open(host.config_path, clock=lambda: moment)
    left = [f"vya_left_{purpose}_20260109020000" for purpose in ("old", "restore")]
    names = ["vya_left", *left]
    try:
        for name in names:
            server.create(name, "CREATE TABLE item (id integer);")
        assert engine.backup(database_id=server.database_id, databases=["vya_left"]).ok

        done = engine.restore(database_id=server.database_id, database="vya_left", overwrite=True)

        assert (done.outcome, done.warnings) == ("success", ())
        assert sorted(n for n in server.sql("SELECT datname FROM pg_database;").split() if "left" in n) == sorted(names)
    finally:
        for name in names:
            server.drop(name)


def test_a_failed_safety_backup_stops_the_restore(
    servers: dict[str, Server], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    mysql = servers["mysql"]
    mysql.create("vya_broken", "CREATE TABLE t (id integer); CREATE VIEW v AS SELECT id FROM t;")
    artifact = host.engine().backup(database_id=mysql.database_id, databases=["vya_broken"]).results[0].artifact
    try:
        mysql.sql("DROP TABLE t;", "vya_broken")  # now the view cannot be dumped any more
        with pytest.raises(RestoreError, match="safety backup of 'vya_broken' failed, so that nothing was changed"):
            host.engine().restore(
                database_id=mysql.database_id, database="vya_broken", artifact=Path(str(artifact)), overwrite=True
            )
        assert mysql.sql("SHOW FULL TABLES;", "vya_broken").split() == ["v", "VIEW"]
    finally:
        mysql.drop("vya_broken")


def test_a_lost_database_is_said_loudly_and_holds_retention(
    servers: dict[str, Server], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    mysql = servers["mysql"]
    mysql.create("vya_lost", "CREATE TABLE item (id integer); INSERT INTO item VALUES (1);")
    engine = host.engine()
    artifact = Path(str(engine.backup(database_id=mysql.database_id, databases=["vya_lost"]).results[0].artifact))

    def fail(*_args: object, **_kwargs: object) -> str:
        raise RestoreError("The server went away.")

    monkeypatch.setattr(segment_load, "load_chunks", fail)
    try:
        with pytest.raises(DatabaseLostError, match=r"COULD NOT BE BROUGHT BACK.*restore it by hand: gunzip"):
            engine.restore(database_id=mysql.database_id, database="vya_lost", artifact=artifact, overwrite=True)
        monkeypatch.undo()
        assert engine.catalog.runs("restore")[0].outcome == "lost"
        host.write(policies=[{"name": "p", "retention": {"daily": 1, "weekly": 0, "monthly": 0}}])
        held = host.engine().prune(database_id=mysql.database_id)
        assert held.removed == ()
        assert "may have lost the database" in held.held[0]["reason"]
        # A restore that succeeds ends the hold.
        host.engine().restore(
            database_id=mysql.database_id, database="vya_lost", artifact=artifact, overwrite=mysql.exists("vya_lost")
        )
        assert mysql.sql(COUNT, "vya_lost") == "1"
        assert host.engine().prune(database_id=mysql.database_id).held == ()
    finally:
        mysql.drop("vya_lost")


def test_a_read_only_server_is_refused(servers: dict[str, Server], host: Host) -> None:
    mysql = servers["mysql"]
    mysql.create("vya_fixed", "CREATE TABLE t (id integer);")
    host.engine().backup(database_id=mysql.database_id, databases=["vya_fixed"])
    mysql.sql("SET GLOBAL read_only = 1;")
    try:
        with pytest.raises(BackupDbError, match="is read-only; nothing was changed"):
            host.engine().restore(database_id=mysql.database_id, database="vya_fixed", overwrite=True)
    finally:
        mysql.sql("SET GLOBAL read_only = 0;")
        mysql.drop("vya_fixed")
