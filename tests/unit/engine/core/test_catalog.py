# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog: every run is on record, whatever became of its process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from vya_backupdb.core.catalog import ALL_DATABASES, FAILED, SUCCESS, Catalog
from vya_backupdb.errors import StorageError


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 9, 2, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.sqlite3", Clock())


def test_a_run_is_recorded_from_its_beginning_to_its_end(catalog: Catalog) -> None:
    begun = catalog.start("backup", "i", "d", policy="p", trigger="timer")
    assert [run.outcome for run in catalog.runs()] == ["running"]
    assert begun.duration is None
    ended = catalog.finish(begun.run_id, SUCCESS, artifact="/a", stored_bytes=1, plain_bytes=2)
    assert catalog.runs() == [ended]
    assert (ended.duration, ended.artifact, ended.stored_bytes, ended.plain_bytes) == (1.0, "/a", 1, 2)
    assert ended.started_at == begun.started_at
    assert ended.user


def test_runs_are_found_newest_first_by_what_they_are_of(catalog: Catalog) -> None:
    for kind, database in (("backup", "a"), ("restore", "a"), ("backup", "b")):
        catalog.finish(catalog.start(kind, "i", database).run_id, SUCCESS)
    assert [(r.kind, r.database) for r in catalog.runs()] == [("backup", "b"), ("restore", "a"), ("backup", "a")]
    assert [r.database for r in catalog.runs("backup")] == ["b", "a"]
    assert [r.kind for r in catalog.runs(database_id="i", database="a", limit=1)] == ["restore"]
    assert catalog.runs(database_id="other") == []


def test_an_absent_catalog_is_empty_and_is_not_made_by_looking(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "none")
    assert catalog.runs() == catalog.close_vanished() == catalog.latest_backups() == []
    assert list(tmp_path.iterdir()) == []


BEGIN_AND_WAIT = """
import sys, time
from pathlib import Path
from vya_backupdb.core.catalog import Catalog
catalog = Catalog(Path(sys.argv[1]))
run = catalog.start("restore", "i", "gone")
catalog.note(run.run_id, {"beside": "gone_restore_1"})
catalog.note(run.run_id, {"old": "gone_old_1"})
print("begun", flush=True)
time.sleep(60)
"""


def test_a_run_whose_process_is_gone_has_vanished(catalog: Catalog, engine_environment: dict[str, str]) -> None:
    alive = catalog.start("backup", "i", "alive")
    command = [sys.executable, "-c", BEGIN_AND_WAIT, str(catalog.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=engine_environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        assert catalog.close_vanished() == []
        child.kill()
    (gone,) = catalog.close_vanished()
    assert (gone.kind, gone.database, gone.traces) == (
        "restore",
        "gone",
        {"beside": "gone_restore_1", "old": "gone_old_1"},
    )
    assert [(r.database, r.outcome) for r in catalog.runs()] == [("gone", "vanished"), ("alive", "running")]
    assert catalog.close_vanished() == []
    assert [path.name for path in (catalog.path.parent / "runs").iterdir()] == [f"{alive.run_id}.alive"]
    catalog.finish(alive.run_id, FAILED, error="why")
    assert list((catalog.path.parent / "runs").iterdir()) == []


def test_a_run_without_a_sign_of_life_has_vanished(catalog: Catalog) -> None:
    run = catalog.start("backup", "i", "d")
    (catalog.path.parent / "runs" / f"{run.run_id}.alive").unlink()
    assert [each.run_id for each in catalog.close_vanished()] == [run.run_id]


def test_the_order_is_that_of_recording_whatever_the_clock_says(tmp_path: Path) -> None:
    moments = iter([datetime(year, 1, 9, tzinfo=timezone.utc) for year in (2030, 2030, 2026, 2026)])
    catalog = Catalog(tmp_path / "catalog.sqlite3", lambda: next(moments))
    catalog.finish(catalog.start("backup", "i", "d").run_id, SUCCESS)
    catalog.finish(catalog.start("backup", "i", "d").run_id, FAILED)  # the clock was set back before this one
    assert [run.outcome for run in catalog.runs()] == [FAILED, SUCCESS]


FIRST_SCHEMA = """
CREATE TABLE runs (run_id VARCHAR NOT NULL PRIMARY KEY, kind VARCHAR NOT NULL, database_id VARCHAR NOT NULL,
 "database" VARCHAR NOT NULL, policy VARCHAR, "trigger" VARCHAR NOT NULL, user VARCHAR NOT NULL,
 started_at VARCHAR NOT NULL, ended_at VARCHAR, outcome VARCHAR NOT NULL, artifact VARCHAR, stored_bytes INTEGER,
 plain_bytes INTEGER, error VARCHAR, process VARCHAR NOT NULL);
CREATE INDEX ix_runs_kind ON runs (kind);
INSERT INTO runs VALUES ('b', 'backup', 'i', 'd', 'p', 'timer', 'u', '2026-01-09T02:00:00.000000+00:00',
 '2026-01-09T02:00:01.000000+00:00', 'success', '/b', 1, 2, NULL, 'x');
INSERT INTO runs VALUES ('a', 'backup', 'i', 'd', 'p', 'timer', 'u', '2026-01-10T02:00:00.000000+00:00',
 '2026-01-10T02:00:01.000000+00:00', 'failed', NULL, NULL, NULL, 'why', 'x');
PRAGMA user_version = 1;
"""


def test_a_catalog_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "old")
    connection.executescript(FIRST_SCHEMA)
    connection.close()
    catalog = Catalog(tmp_path / "old", Clock())
    assert [(run.run_id, run.reason, run.traces) for run in catalog.runs()] == [("a", None, {}), ("b", None, {})]
    run = catalog.start("retention", "i", "d", artifact="/b", reason="beyond 7 days")
    catalog.finish(run.run_id, SUCCESS, server_bytes=5)
    newest = Catalog(tmp_path / "old").runs(artifact="/b", outcome=SUCCESS)[0]
    assert (newest.run_id, newest.reason, newest.server_bytes) == (run.run_id, "beyond 7 days", 5)
    assert len(Catalog(tmp_path / "old").runs(("backup", "retention"))) == 3


def test_many_bring_it_up_to_date_at_once(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "old")
    connection.executescript(FIRST_SCHEMA)
    connection.close()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(Catalog(tmp_path / "old").runs()))) for _each in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 6


def test_the_latest_of_each_database(catalog: Catalog) -> None:
    for database, outcome in (("a", FAILED), ("a", SUCCESS), (ALL_DATABASES, FAILED), ("b", FAILED)):
        catalog.finish(catalog.start("backup", "i", database).run_id, outcome)
    assert [(r.database, r.outcome) for r in catalog.latest_backups()] == [("a", SUCCESS), ("b", FAILED)]
    catalog.finish(catalog.start("backup", "i", ALL_DATABASES).run_id, FAILED)
    assert ALL_DATABASES in [r.database for r in catalog.latest_backups()]


def test_the_newest_of_each_database_by_policy_or_outcome(catalog: Catalog) -> None:
    assert catalog.newest_backups() == []
    for database, policy, outcome in (
        ("a", "nightly", SUCCESS),
        ("a", "hourly", FAILED),
        ("b", "nightly", FAILED),
        ("b", "nightly", SUCCESS),
    ):
        catalog.finish(catalog.start("backup", "i", database, policy=policy).run_id, outcome)
    catalog.finish(catalog.start("restore", "i", "a").run_id, SUCCESS)
    catalog.finish(catalog.start("backup", "j", "a", policy="nightly").run_id, SUCCESS)

    def found(**conditions: str) -> list[tuple[str, str, str]]:
        return [(r.database_id, r.database, r.outcome) for r in catalog.newest_backups(**conditions)]

    assert found() == [("j", "a", SUCCESS), ("i", "b", SUCCESS), ("i", "a", FAILED)]
    assert found(outcome=SUCCESS) == [("j", "a", SUCCESS), ("i", "b", SUCCESS), ("i", "a", SUCCESS)]
    assert found(outcome=FAILED) == [("i", "b", FAILED), ("i", "a", FAILED)]
    assert found(policy="hourly") == [("i", "a", FAILED)]
    assert found(policy="none") == []


@pytest.mark.parametrize("page", [1, 2, 3, 7, 8, 9])
def test_the_history_is_everything_in_its_order(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr("vya_backupdb.core.catalog._PAGE", page)
    assert list(catalog.history()) == []
    for number in range(8):
        run = catalog.start(("backup", "restore")[number % 2], "i", f"d{number}")
        if number != 3:
            catalog.finish(run.run_id, SUCCESS)
    assert list(catalog.history()) == catalog.runs()[::-1]
    with catalog.kept_open():
        for run in catalog.history():  # whoever reads it may ask and write meanwhile
            catalog.note(run.run_id, {"seen": str(len(catalog.runs()))})
    assert [run.traces for run in catalog.history()] == [{"seen": "8"}] * 8


def test_threads_may_use_it_together(catalog: Catalog) -> None:
    def work(number: int) -> None:
        for _each in range(5):
            catalog.finish(catalog.start("backup", "i", str(number)).run_id, SUCCESS)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.outcome for run in catalog.runs()] == [SUCCESS] * 40


def test_a_catalog_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        Catalog(tmp_path / "no" / "such" / "folder").start("backup", "i", "d")
    (tmp_path / "text").write_text("this is no database at all, but text that is long enough to be read as a header")
    with pytest.raises(StorageError, match="not a database"):
        Catalog(tmp_path / "text").runs()


def test_a_catalog_of_the_future_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "later")
    connection.execute("PRAGMA user_version = 99")
    connection.execute("CREATE TABLE runs (x)")
    connection.close()
    with pytest.raises(StorageError, match="schema version 99"):
        Catalog(tmp_path / "later").runs()


def test_an_end_without_a_beginning_is_refused(catalog: Catalog) -> None:
    with pytest.raises(StorageError, match="has no run"):
        catalog.finish("none", SUCCESS)
