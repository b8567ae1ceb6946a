# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog: every run is on record, whatever became of its process."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from vya_backupdb.core import catalog as catalog_module
from vya_backupdb.core.catalog import ALL_DATABASES, FAILED, SUCCESS, Catalog, process_identity
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


def test_a_run_whose_process_is_gone_has_vanished(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = catalog.start("backup", "i", "alive")
    child = subprocess.Popen(["sleep", "60"])
    identity = process_identity(child.pid)
    monkeypatch.setattr(catalog_module, "process_identity", lambda _pid: identity)
    catalog.start("backup", "i", "gone")
    monkeypatch.undo()
    assert catalog.close_vanished() == []
    child.kill()
    child.wait()
    assert [run.database for run in catalog.close_vanished()] == ["gone"]
    assert [(r.database, r.outcome) for r in catalog.runs()] == [("gone", "vanished"), ("alive", "running")]
    assert catalog.close_vanished() == []
    catalog.finish(alive.run_id, FAILED, error="why")


def test_a_reused_process_number_is_another_process() -> None:
    boot, pid, started = process_identity(os.getpid()).split("/")
    assert catalog_module._is_alive(f"{boot}/{pid}/{started}")
    assert not catalog_module._is_alive(f"{boot}/{pid}/{int(started) + 1}")
    assert not catalog_module._is_alive(f"{boot[::-1]}/{pid}/{started}")
    assert not catalog_module._is_alive("")


def test_the_latest_of_each_database(catalog: Catalog) -> None:
    for database, outcome in (("a", FAILED), ("a", SUCCESS), (ALL_DATABASES, FAILED), ("b", FAILED)):
        catalog.finish(catalog.start("backup", "i", database).run_id, outcome)
    assert [(r.database, r.outcome) for r in catalog.latest_backups()] == [("a", SUCCESS), ("b", FAILED)]
    catalog.finish(catalog.start("backup", "i", ALL_DATABASES).run_id, FAILED)
    assert ALL_DATABASES in [r.database for r in catalog.latest_backups()]


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
