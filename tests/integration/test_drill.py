# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills: what was backed up is loaded into a server of its own, and whatever differs is noticed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Host, Server, configured_host

from vya_backupdb.core.drill import DrillResult
from vya_backupdb.core.storage import find_artifact

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "faults"))

from apparatus.stand_ins import DUMPER, LOADER, in_place_of

CONTENTS = [{"name": "all", "verification": {"content_checksums": True}}]
COMMON = (
    "CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));"
    "INSERT INTO item VALUES (1, 'Bread'), (2, 'Butter'), (3, 'Kaese');"
    "CREATE VIEW labels AS SELECT label FROM item;"
)
OBJECTS = {
    "mysql": COMMON + "CREATE TABLE numbered (id integer PRIMARY KEY AUTO_INCREMENT, note text) AUTO_INCREMENT=4711;"
    "CREATE FUNCTION twice(x integer) RETURNS integer DETERMINISTIC RETURN x * 2;"
    "CREATE TRIGGER guard BEFORE INSERT ON item FOR EACH ROW SET NEW.label = TRIM(NEW.label);"
    "CREATE USER IF NOT EXISTS drill_reader@localhost; GRANT SELECT ON vya_drill.item TO drill_reader@localhost;",
    "postgresql": COMMON + "CREATE SEQUENCE numbered; SELECT setval('numbered', 4711);"
    "CREATE FUNCTION twice(x integer) RETURNS integer LANGUAGE sql AS 'SELECT x * 2';"
    "CREATE FUNCTION trim_label() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN NEW.label := btrim(NEW.label); RETURN NEW; END';"
    "CREATE TRIGGER guard BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION trim_label();"
    # The server writes such a check otherwise each time that it has read it.
    "ALTER TABLE item ADD kind varchar(9) DEFAULT 'food' CHECK (kind IN ('food', 'drink'));"
    "DO $$ BEGIN CREATE ROLE drill_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
    "GRANT SELECT ON item TO drill_reader;",
}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where scratch servers live: a path that is short enough for sockets, and that they may look into."""
    with tempfile.TemporaryDirectory(prefix="vya-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "s"


@pytest.fixture
def host(tmp_path: Path, servers: dict[str, Server], scratch: Path) -> Host:
    """A host whose backups sum up the rows of tables."""
    drill = {"directory": str(scratch), "memory": "64MiB"}
    return configured_host(tmp_path, servers, drill=drill, policies=CONTENTS)


@pytest.fixture
def reader(server: Server) -> Iterator[None]:
    """The account that has a grant is gone after its database."""
    yield
    drop_reader(server)


def drop_reader(server: Server) -> None:
    if server.kind == "mysql":
        server.sql("DROP USER IF EXISTS drill_reader@localhost;")
    else:
        server.sql("DROP ROLE IF EXISTS drill_reader;")


@pytest.fixture
def database(server: Server, reader: None, make_database: Callable[..., str]) -> str:
    """A database with one of each of what a drill must not lose."""
    made = make_database("vya_drill", OBJECTS[server.kind])
    if server.kind == "mysql":
        time.sleep(2.5)  # a change within the second of the dump's beginning cannot be told from none
    return made


def back_up(host: Host, server: Server, name: str) -> Path:
    report = host.engine().backup(database_id=server.database_id, databases=[name])
    assert report.ok, report.to_dict()
    return Path(str(report.results[0].artifact))


def drill(host: Host, server: Server, name: str) -> DrillResult:
    (result,) = host.engine().drill(database_id=server.database_id, database=name).results
    return result


def left(scratch: Path) -> list[str]:
    """What there is of scratch servers: their directories, and processes at work in or called with them."""
    found = [str(path) for path in scratch.glob("drill-*")]
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            place = os.readlink(entry / "cwd") if entry.name.isdigit() else ""
        except OSError:
            continue
        if place.startswith(f"{scratch}/drill-") or any(f"{scratch}/drill-".encode() in word for word in words):
            found.append(f"{entry.name}: {b' '.join(words)!r}")
    return found


def test_a_good_artifact_is_proven_by_restoring_it(server: Server, host: Host, database: str, scratch: Path) -> None:
    artifact = back_up(host, server, database)

    result = drill(host, server, database)

    assert result.outcome == "success", result
    manifest = find_artifact(artifact).manifest
    assert manifest.proof == "restored"
    assert manifest.drill is not None
    assert manifest.drill["seconds"] > 0
    compared = manifest.drill["compared"]
    tables = len(manifest.rows or {})
    assert (compared["rows"], compared["contents"], compared["positions"]) == (tables, tables, 1), compared
    assert compared["objects"] > 5
    assert compared["remarks"] == []
    assert left(scratch) == []
    (run,) = host.engine().catalog.runs("drill")
    assert (run.outcome, run.artifact) == ("success", str(artifact))
    assert float(run.traces["restore_seconds"]) > 0


def test_an_artifact_of_another_host_is_proven_and_claims_nothing_of_this_one(
    server: Server, servers: dict[str, Server], host: Host, database: str, tmp_path: Path, scratch: Path
) -> None:
    (tmp_path / "another").mkdir()
    another = configured_host(tmp_path / "another", servers, hostname="another", policies=CONTENTS)
    made = back_up(another, server, database)
    server.sql("INSERT INTO item (id, label) VALUES (4, 'Milk');", database)
    (tmp_path / "metrics").mkdir()
    host.write(metrics={"textfile_directory": str(tmp_path / "metrics")})
    own = back_up(host, server, database)  # of a database that has the same names
    shutil.copytree(another.storage / "another", host.storage / "another")  # what the playbook copy makes
    artifact = host.storage / made.relative_to(another.storage)

    (result,) = host.engine().drill(artifact=artifact).results

    assert (result.outcome, result.error) == ("success", None)
    assert [find_artifact(each).manifest.proof for each in (artifact, made, own)] == ["restored", "sealed", "sealed"]
    (run,) = host.engine().catalog.runs("drill")
    assert (run.outcome, run.artifact, run.traces["origin"]) == ("success", str(artifact), "another")
    metrics = tmp_path / "metrics" / "vya_backupdb.prom"
    assert "vya_backupdb_last_drill_status{" not in metrics.read_text()
    assert "vya_backupdb_drills_total{" not in metrics.read_text()
    due = host.engine().drill(due=True).results
    assert [each.artifact for each in due] == [str(own)]
    assert "vya_backupdb_last_drill_status{" in metrics.read_text()
    assert left(scratch) == []


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_a_directory_is_proven_too(server: Server, host: Host, database: str, scratch: Path) -> None:
    host.write(policies=[{**CONTENTS[0], "strategy": "parallel", "instances": [server.database_id]}])
    artifact = back_up(host, server, database)
    assert artifact.is_dir()
    result = drill(host, server, database)
    assert (result.outcome, result.error) == ("success", None)
    assert result.compared["contents"] == 1
    assert find_artifact(artifact).manifest.proof == "restored"
    assert left(scratch) == []


def test_the_sample_database_passes(server: Server, host: Host, scratch: Path) -> None:
    server.load_sample("vya_sample")
    try:
        time.sleep(2.5)
        back_up(host, server, "vya_sample")
        result = drill(host, server, "vya_sample")
        assert result.outcome == "success", result
        assert left(scratch) == []
    finally:
        server.drop("vya_sample")


# What a dump client that lies does to its output, and what a drill says of it.
TAMPERINGS = {
    "mysql": {
        "a row missing": ("s/(2,'Butter'),//", "rows, of which the server"),
        "a byte changed": ("s/Kaese/Kaesf/", "table item has other values"),
        "a trigger missing": (
            "s/^.*@saved_sql_mode \\*\\/ ;$/&\\nDROP TRIGGER IF EXISTS guard;/",
            "trigger guard is missing",
        ),
        "a routine changed": ("s/RETURN x \\* 2/RETURN x * 3/", "routine function twice is not as it was"),
        "a sequence set back": ("s/AUTO_INCREMENT=4711/AUTO_INCREMENT=47/", "numbered goes on at 47 instead of 4711"),
    },
    "postgresql": {
        "a row missing": ("/^3\\tKaese\\t/d", "rows, of which the server"),
        "a byte changed": ("s/^3\\tKaese/3\\tKaesf/", "table public.item has other values"),
        "a trigger missing": ("s/^CREATE TRIGGER guard .*/SELECT 1;/", "trigger public.item.guard is missing"),
        "a routine changed": ("s/SELECT x \\* 2/SELECT x * 3/", "routine public.twice(x integer) is not as it was"),
        "a sequence set back": ("s/'public.numbered', 4711/'public.numbered', 47/", "goes on at 48 instead of 4712"),
        "a grant missing": (
            "/^GRANT SELECT ON TABLE public.item/d",
            "drill_reader on table public.item is missing",
        ),
    },
}


# Grants of MySQL and MariaDB are not the dump client's: see the test below.
@pytest.mark.parametrize(
    ("server", "tampering"),
    [(kind, name) for kind, names in TAMPERINGS.items() for name in names],
    indirect=["server"],
)
def test_a_drill_notices_what_a_lying_client_did(
    server: Server, host: Host, database: str, scratch: Path, tampering: str
) -> None:
    edit, told = TAMPERINGS[server.kind][tampering]
    script = scratch.parent / "edit.sed"
    script.write_text(edit + "\n")
    script.chmod(0o644)
    body = f'set -o pipefail\n"$real" "$@" | LC_ALL=C sed --file={script}\n'
    with in_place_of(DUMPER[server.flavour], body, scratch.parent):
        artifact = back_up(host, server, database)

    result = drill(host, server, database)

    assert result.outcome == "failed"
    assert told in str(result.error), result.error
    assert find_artifact(artifact).manifest.proof == "sealed"
    assert left(scratch) == []


def test_a_drill_notices_a_grant_that_is_missing(
    servers: dict[str, Server], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers["mysql"]
    server.create("vya_drill", OBJECTS["mysql"])
    try:
        monkeypatch.setattr("vya_backupdb.db.mysql_calls.grant_statements", lambda _query, _database: [])
        back_up(host, server, "vya_drill")
    finally:
        server.drop("vya_drill")
        drop_reader(server)

    result = drill(host, server, "vya_drill")

    assert result.outcome == "failed"
    assert "grant drill_reader@localhost on `item` is missing" in str(result.error)


def test_a_server_program_that_is_not_there_makes_a_drill_impossible(
    server: Server, host: Host, database: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = back_up(host, server, database)
    monkeypatch.setattr("vya_backupdb.db.scratch_mysql._SEARCH_PATH", "/nowhere")
    monkeypatch.setattr("vya_backupdb.db.scratch_postgresql._PLACES", ())

    result = drill(host, server, database)

    assert result.outcome == "not possible"
    assert "no server program of that is installed on this host" in str(result.error)
    assert find_artifact(artifact).manifest.proof == "sealed"
    assert host.engine().catalog.runs("drill")[0].outcome == "not possible"
    assert left(scratch) == []


ENDS = {signal.SIGTERM: "failed", signal.SIGKILL: "vanished"}


@pytest.mark.parametrize("number", sorted(ENDS))
def test_nothing_is_left_of_a_drill_that_is_ended(
    server: Server, host: Host, database: str, scratch: Path, engine_environment: dict[str, str], number: signal.Signals
) -> None:
    back_up(host, server, database)
    # One that never ends by itself: it waits while it loads.
    with in_place_of(LOADER[server.flavour], f"touch {scratch.parent}/loading; exec sleep 600\n", scratch.parent):
        command = "import sys; from vya_backupdb.cli import main; sys.exit(main())"
        words = ["--config", str(host.config_path), "drill", server.database_id, database]
        with subprocess.Popen(
            [sys.executable, "-c", command, *words], stdout=subprocess.DEVNULL, env=engine_environment
        ) as child:
            while not (scratch.parent / "loading").exists():
                assert child.poll() is None
                time.sleep(0.1)
            assert left(scratch)
            child.send_signal(number)
            child.wait(60)
    if number == signal.SIGKILL:
        assert list(scratch.glob("drill-*"))  # so there is something that the next run has to remove
        processes = [each for each in left(scratch) if not each.startswith("/")]
        deadline = time.monotonic() + 30
        while processes and time.monotonic() < deadline:  # PostgreSQL's own notice by and by that their parent is gone
            time.sleep(0.2)
            processes = [each for each in left(scratch) if not each.startswith("/")]
        assert drill(host, server, database).outcome == "success"
    assert left(scratch) == []
    assert ENDS[number] in [run.outcome for run in host.engine().catalog.runs("drill")]


def test_a_lock_costs_figures_and_no_backup(servers: dict[str, Server], tmp_path: Path, scratch: Path) -> None:
    server = servers["postgresql"]
    host = configured_host(tmp_path, servers, drill={"directory": str(scratch)})
    server.create("vya_locked", "CREATE TABLE item (id integer PRIMARY KEY CHECK (id > 0));")
    lock = "BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE; SELECT 'locked'; SELECT pg_sleep(600);"
    command = ["runuser", "-u", "postgres", "--", "psql", "-qAt", "-d", "vya_locked", "-f", "-"]
    with subprocess.Popen(command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(lock.replace("; ", ";\n"))
        holder.stdin.close()
        assert holder.stdout.readline() == "locked\n"

        ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted;"
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE public.item IN ACCESS SHARE%'"
            " AND wait_event_type = 'Lock';"
        )

        done = threading.Event()

        def let_go() -> None:  # when the figures have been given up, and the dump client waits in their place
            while server.sql(waiting) == "0" and not done.is_set():
                time.sleep(0.1)
            server.sql(ended)

        helper = threading.Thread(target=let_go)
        helper.start()
        report = host.engine().backup(database_id=server.database_id, databases=["vya_locked"])
        done.set()
        helper.join()
        holder.kill()
    try:
        assert report.ok, report.to_dict()
        (warning,) = report.results[0].warnings
        assert warning.startswith("Drills cannot compare all of the content")
        assert host.engine().drill(database_id=server.database_id, database="vya_locked").ok
    finally:
        server.drop("vya_locked")
