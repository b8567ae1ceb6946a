# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What follows backups: retention, verification, overviews, retries, and records of runs that vanished."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from servers import ACCOUNT, PASSWORD, Host, Server

from vya_backupdb import engine as engine_module
from vya_backupdb.core import batch as batch_module
from vya_backupdb.core.retention import prune_database
from vya_backupdb.core.storage import Storage, find_artifact
from vya_backupdb.core.verification import prove_new
from vya_backupdb.errors import LockedError
from vya_backupdb.security.credentials import open_store


def age(artifact: Path, host: Host, days: int) -> Path:
    """Copy an artifact as if it had been made that many days earlier."""
    stored = find_artifact(artifact)
    moment = stored.manifest.created_at - timedelta(days=days)
    path = Storage(host.storage, "host1").artifact_path(stored.manifest.database_id, stored.manifest.database, moment)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(artifact.read_bytes())
    dataclasses.replace(stored.manifest, artifact=path.name, created_at=moment).write(path.parent)
    return path


def test_retention_follows_a_successful_policy_run_only(server: Server, host: Host, shop: str) -> None:
    policy = {
        "name": "p",
        "instances": [server.database_id],
        "include": [shop],
        "retention": {"daily": 2, "weekly": 0, "monthly": 0},
    }
    host.write(policies=[policy])
    first = Path(str(host.engine().backup(policy="p").results[0].artifact))
    old = [age(first, host, days) for days in (1, 2, 3)]
    store = open_store(host.engine().config)

    store.set(server.database_id, ACCOUNT, "not the password")
    failed = host.engine().backup(policy="p")
    assert not failed.ok
    assert failed.removed == ()
    assert all(path.exists() for path in old)

    # While the newest run is a failed one, asking for it does not remove anything either.
    store.set(server.database_id, ACCOUNT, PASSWORD)
    assert host.engine().backup(database_id=server.database_id, databases=[shop]).removed == ()
    planned = host.engine().prune(database_id=server.database_id, dry_run=True)
    assert {Path(entry["artifact"]) for entry in planned.removed} >= set(old[1:])
    assert all(path.exists() for path in old)

    succeeded = host.engine().backup(policy="p")
    assert succeeded.ok
    assert {str(path) for path in old[1:]} <= set(succeeded.removed)
    assert old[0].exists()
    assert not old[1].exists()
    assert not old[1].parent.exists()
    reasons = {run.artifact for run in host.engine().catalog.runs("retention")}
    assert {str(path) for path in old[1:]} <= reasons


def test_verification_marks_the_whole_and_names_the_damaged(server: Server, host: Host, shop: str) -> None:
    good = Path(str(host.engine().backup(database_id=server.database_id, databases=[shop]).results[0].artifact))
    bad = age(good, host, 1)
    content = bytearray(bad.read_bytes())
    content[-20] ^= 1
    bad.write_bytes(content)

    report = host.engine().verify(database_id=server.database_id)

    assert not report.ok
    assert {(Path(r.artifact), r.outcome, r.proof) for r in report.results} == {
        (good, "success", "verified"),
        (bad, "failed", None),
    }
    assert find_artifact(good).manifest.proof == "verified"
    assert find_artifact(bad).manifest.proof == "sealed"
    assert len(host.engine().verify(newest_only=True, database_id=server.database_id).results) == 1
    assert host.engine().verify(artifact=good).ok


def test_a_new_artifact_that_reads_back_wrong_is_a_failed_backup(
    server: Server, host: Host, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = {
        "name": "p",
        "instances": [server.database_id],
        "include": [shop],
        "retention": {"daily": 1, "weekly": 0, "monthly": 0},
        "verification": {"after_backup": True},
    }
    host.write(policies=[policy])
    first = host.engine().backup(policy="p").results[0]
    assert (first.outcome, first.proof) == ("success", "verified")
    old = age(Path(str(first.artifact)), host, 3)

    def damaged_on_the_way(context: Any, artifact: Path, tell: Any) -> Any:
        content = bytearray(artifact.read_bytes())
        content[len(content) // 2] ^= 1
        artifact.write_bytes(content)
        return prove_new(context, artifact, tell)

    monkeypatch.setattr(batch_module, "prove_new", damaged_on_the_way)
    second = host.engine().backup(policy="p").results[0]
    assert (second.outcome, second.artifact) == ("failed", None)
    assert "was read back and is not good" in str(second.error)
    assert host.engine().catalog.runs("backup")[0].outcome == "failed"
    damaged = [a for a in host.engine().info(database_id=server.database_id).artifacts if a["damage"]]
    assert len(damaged) == 1, "kept aside"
    assert host.engine().prune().removed == ()
    assert old.exists()
    monkeypatch.undo()
    third = host.engine().backup(policy="p")
    assert third.results[0].outcome == "success"
    assert str(old) in third.removed


def test_what_is_to_stay_is_read_back_before_anything_goes(server: Server, host: Host, shop: str) -> None:
    policy = {
        "name": "p",
        "instances": [server.database_id],
        "include": [shop],
        "retention": {"daily": 2, "weekly": 0, "monthly": 0},
    }
    host.write(policies=[policy])
    newest = Path(str(host.engine().backup(policy="p").results[0].artifact))
    days = [age(newest, host, days) for days in (1, 2, 3)]
    content = bytearray(days[0].read_bytes())
    content[len(content) // 2] ^= 1
    days[0].write_bytes(content)

    report = host.engine().prune(database_id=server.database_id, database=shop)

    assert [Path(entry["artifact"]) for entry in report.removed] == [days[2]]
    assert [find_artifact(path).manifest.proof for path in (newest, days[1])] == ["verified"] * 2
    assert "is damaged" in next(a for a in host.engine().info().artifacts if a["artifact"] == str(days[0]))["damage"]
    assert [d["proof"] for d in host.engine().status().databases] == ["verified"]


def test_a_database_that_retention_cannot_work_on_stops_no_other(
    server: Server, host: Host, shop: str, make_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_database("vya_other")
    host.write(policies=[{"name": "p", "instances": [server.database_id], "include": [shop, other]}])
    told = []

    def prune(context: Any, database_id: str, database: str, dry_run: bool) -> Any:
        if database == other:
            raise LockedError(f"{database} is in use by a restore.")
        return prune_database(context, database_id, database, dry_run)

    monkeypatch.setattr(engine_module, "prune_database", prune)
    engine = host.engine()
    monkeypatch.setattr(type(engine._context), "finish_batch", lambda _self, *arguments: told.append(arguments))
    report = engine.backup(policy="p")

    assert report.ok
    warnings = {result.database: result.warnings for result in report.results}
    assert "Retention failed: vya_other is in use by a restore." in warnings[other]
    assert warnings[shop] == ()
    assert [(kind, policy, len(records)) for kind, policy, records in told] == [("backup", "p", 2)]
    assert engine.prune(database_id=server.database_id).failed[0]["database"] == other


def test_overviews_tell_what_is_there_and_what_is_not(server: Server, host: Host, shop: str) -> None:
    host.write(policies=[{"name": "p", "instances": [server.database_id], "include": [shop]}])
    before = host.engine().info(database_id=server.database_id, database=shop)
    assert before.instances[0]["databases_without_backup"] == [shop]
    result = host.engine().backup(policy="p").results[0]

    info = host.engine().info(database_id=server.database_id, database=shop).to_dict()
    status = host.engine().status().to_dict()
    check = host.engine().check(database_id=server.database_id)

    assert info["instances"][0]["databases_without_backup"] == []
    assert info["artifacts"][0]["artifact"] == result.artifact
    policy = status["policies"][0]
    assert (policy["name"], policy["next_run"], policy["last_outcome"]) == ("p", None, "success")
    assert policy["last_run"] <= info["artifacts"][0]["created_at"]
    assert status["databases"][0]["proof"] == "sealed"
    assert status["storage"]["used_bytes"] == result.stored_bytes
    assert check.ok
    assert {c["status"] for c in check.checks} == {"ok"}
    assert {"server", "client-present", "client-login", "privileges"} <= {c["check"] for c in check.checks}


def test_a_timer_run_tries_again_what_failed(server: Server, host: Host, shop: str) -> None:
    schedule = {"times": ["02:00"], "retries": 3, "retry_delay": "1s"}
    policy = {"name": "p", "instances": [server.database_id], "include": [shop], "schedule": schedule}
    host.write(policies=[policy])
    server.service("stop")
    starter = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"])
    engine = host.engine("timer")

    def start_again(state: object) -> None:
        if getattr(state, "phase", "") == "failed":
            starter.wait()
            server.service("start")

    try:
        report = engine.backup(policy="p", progress=start_again)
    finally:
        server.service("start")

    assert report.ok, report.to_dict()
    outcomes = [run.outcome for run in host.engine().catalog.runs("backup", server.database_id)]
    assert outcomes[0] == "success"
    assert "failed" in outcomes[1:]
    # The instance could not be listed at first: that record is history, not the state.
    assert [d["database"] for d in host.engine().status().databases] == [shop]


KILLED = """
import os, signal, sys
sys.path.insert(0, {package!r})
from vya_backupdb.engine import Engine
def die(state):
    if state.phase == "dumping":
        os.kill(os.getpid(), signal.SIGKILL)
Engine.open({config!r}).backup(database_id={instance!r}, databases=[{database!r}], progress=die)
"""


def test_a_run_that_vanished_is_found_and_cleaned_up(server: Server, host: Host, shop: str, tmp_path: Path) -> None:
    import vya_backupdb

    package = tmp_path / "package"
    package.mkdir()
    (package / "vya_backupdb").symlink_to(Path(str(vya_backupdb.__file__)).parent)
    script = KILLED.format(
        package=str(package), config=str(host.config_path), instance=server.database_id, database=shop
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [run.outcome for run in host.engine().catalog.runs()] == ["running"]
    assert any(path.endswith(".partial") for path in host.files())
    assert host.engine().info(database_id=server.database_id, database=shop).artifacts == ()

    time.sleep(0.1)
    assert host.engine().backup(database_id=server.database_id, databases=[shop]).ok

    assert [run.outcome for run in host.engine().catalog.runs()] == ["success", "vanished"]
    assert host.engine().status().problems == ()
    assert not any(path.endswith(".partial") for path in host.files())
    assert os.path.exists(host.engine().info(database_id=server.database_id).artifacts[0]["artifact"])
