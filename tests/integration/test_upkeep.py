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

from servers import ACCOUNT, PASSWORD, Host, Server

from vya_backupdb.core.storage import Storage, find_artifact
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
