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
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vya_backupdb.core.catalog import ALL_DATABASES, FAILED, SUCCESS, VANISHED, Catalog
from vya_backupdb.core.catalog_schema import DURATION_LIMITS
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


def test_the_newest_of_each_database_by_policy(catalog: Catalog) -> None:
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
    assert found(policy="hourly") == [("i", "a", FAILED)]
    assert found(policy="none") == []


def test_the_last_of_each_database_that_has_ended(catalog: Catalog) -> None:
    assert catalog.last_ended("backup") == []
    for database, outcome in (("a", SUCCESS), ("b", FAILED), ("b", SUCCESS), ("a", FAILED)):
        catalog.finish(catalog.start("backup", "i", database).run_id, outcome)
    catalog.finish(catalog.start("restore", "i", "a").run_id, SUCCESS)
    catalog.start("backup", "i", "b")

    def found(*conditions: str) -> list[tuple[str, str]]:
        return [(run.database, run.outcome) for run in catalog.last_ended("backup", *conditions)]

    assert found() == [("b", SUCCESS), ("a", FAILED)]
    assert found(SUCCESS) == [("a", SUCCESS), ("b", SUCCESS)]
    assert found(FAILED) == [("b", FAILED), ("a", FAILED)]
    assert found(VANISHED) == []


class TestTotals:
    """What all runs add up to is kept, so that nobody has to read them all."""

    def test_they_are_of_runs_that_have_ended(self, tmp_path: Path) -> None:
        clock = Clock()
        catalog = Catalog(tmp_path / "catalog.sqlite3", clock)
        assert catalog.totals() == []
        for seconds, size in ((0, 100), (299, None), (49999, 7)):  # the clock adds one
            run = catalog.start("backup", "i", "d")
            clock.now += timedelta(seconds=seconds)
            catalog.finish(run.run_id, SUCCESS, stored_bytes=size)
        catalog.finish(catalog.start("backup", "i", "d").run_id, FAILED)
        catalog.start("backup", "i", "d")
        catalog.finish(catalog.start("backup", "i", "c").run_id, SUCCESS)
        found = catalog.totals()
        assert [(each.database, each.outcome, each.runs) for each in found] == [
            ("c", SUCCESS, 1),
            ("d", FAILED, 1),
            ("d", SUCCESS, 3),
        ]
        assert (found[2].sized, found[2].stored_bytes) == (2, 107)
        assert found[2].seconds == pytest.approx(50301)
        assert dict(zip(DURATION_LIMITS, found[2].within, strict=True)) == {
            limit: 1 if limit < 300 else 2 for limit in DURATION_LIMITS
        }

    def test_a_clock_that_was_set_back_takes_nothing_away(self, tmp_path: Path) -> None:
        clock = Clock()
        catalog = Catalog(tmp_path / "catalog.sqlite3", clock)
        run = catalog.start("backup", "i", "d")
        clock.now -= timedelta(hours=1)
        catalog.finish(run.run_id, SUCCESS)
        assert (catalog.totals()[0].seconds, catalog.totals()[0].within[0]) == (0, 1)

    def test_a_run_counts_once(self, catalog: Catalog) -> None:
        run = catalog.start("backup", "i", "d")
        catalog.finish(run.run_id, SUCCESS)
        catalog.finish(run.run_id, SUCCESS)
        assert [each.runs for each in catalog.totals()] == [1]

    def test_a_run_counts_that_another_engine_ends(self, catalog: Catalog) -> None:
        run = catalog.start("backup", "i", "d")
        connection = sqlite3.connect(catalog.path)
        connection.execute("UPDATE runs SET outcome = 'failed', ended_at = started_at WHERE run_id = ?", [run.run_id])
        connection.commit()
        connection.close()
        assert [(each.outcome, each.runs) for each in catalog.totals()] == [(FAILED, 1)]
        assert [each.run_id for each in catalog.last_ended("backup")] == [run.run_id]

    def test_a_vanished_run_counts(self, catalog: Catalog) -> None:
        run = catalog.start("backup", "i", "d")
        (catalog.path.parent / "runs" / f"{run.run_id}.alive").unlink()
        catalog.close_vanished()
        catalog.close_vanished()
        assert [(each.outcome, each.runs) for each in catalog.totals()] == [(VANISHED, 1)]

    @given(
        runs=st.lists(
            st.tuples(
                st.sampled_from(["backup", "restore"]),
                st.sampled_from(["a", "b"]),
                st.sampled_from([SUCCESS, FAILED]),
                st.integers(0, 60000),
                st.none() | st.integers(0, 2**50),
            )
        )
    )
    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_is_added_up_run_by_run_is_what_a_migration_adds_up(
        self, tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[str, str, str, int, int | None]]
    ) -> None:
        clock = Clock()
        catalog = Catalog(tmp_path_factory.mktemp("catalog") / "catalog.sqlite3", clock)
        catalog.finish(catalog.start("backup", "i", "first").run_id, SUCCESS)
        catalog.start("backup", "i", "under way")
        for kind, database, outcome, seconds, size in runs:
            run = catalog.start(kind, "i", database)
            clock.now += timedelta(seconds=seconds)
            catalog.finish(run.run_id, outcome, stored_bytes=size)
        before = catalog.totals(), catalog.last_ended("backup")
        make_second_schema(catalog.path)
        migrated = Catalog(catalog.path, clock)
        assert (migrated.totals(), migrated.last_ended("backup")) == before


def make_second_schema(path: Path) -> None:
    """Turn a catalog into one of the second schema."""
    connection = sqlite3.connect(path)
    connection.executescript("""
        DROP TRIGGER run_ended;
        DROP TABLE totals;
        DROP INDEX runs_of_database;
        DROP INDEX runs_under_way;
        CREATE INDEX ix_runs_kind ON runs (kind);
        CREATE INDEX ix_runs_started_at ON runs (started_at);
        PRAGMA user_version = 2;
        """)
    connection.close()


def test_a_catalog_of_the_second_schema_gets_the_indexes_of_the_present_one(catalog: Catalog) -> None:
    catalog.finish(catalog.start("backup", "i", "d").run_id, SUCCESS)
    made = indexes(catalog.path)
    make_second_schema(catalog.path)
    assert indexes(catalog.path) != made
    assert len(Catalog(catalog.path).totals()) == 1
    assert indexes(catalog.path) == made


def indexes(path: Path) -> set[str]:
    """The indexes of a catalog that are not SQLite's own."""
    connection = sqlite3.connect(path)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql > ''")}
    connection.close()
    return found


def test_no_question_about_one_database_reads_all_runs(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    run = catalog.start("backup", "i", "d", artifact="/a")
    asked: list[tuple[str, dict[str, Any]]] = []
    execute = sqlalchemy.Connection.execute

    def note(self: sqlalchemy.Connection, statement: Any, parameters: Any = None, **options: Any) -> Any:
        asked.append((str(statement), dict(parameters or {})))
        return execute(self, statement, parameters, **options)

    monkeypatch.setattr(sqlalchemy.Connection, "execute", note)
    catalog.finish(run.run_id, SUCCESS)
    catalog.runs("backup", "i", "d", limit=1)
    catalog.runs("backup", "i", "d", limit=1, outcome=SUCCESS)
    catalog.runs(("restore", "acceptance"), "i", "d", limit=1)
    catalog.runs("retention", "i", "d", artifact="/a", limit=1)
    catalog.last_ended("backup")
    catalog.last_ended("backup", SUCCESS)
    catalog.totals()
    catalog.dead_runs()
    catalog.close_vanished()
    catalog.start("backup", "i", "d")
    assert len(asked) >= 10
    connection = sqlite3.connect(catalog.path)
    for sql, parameters in asked:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        assert not [step for step in plan if step.startswith("SCAN runs")], (sql, plan)
        assert not [step for step in plan if "(kind=?)" in step and "runs " in step], (sql, plan)
    connection.close()


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
