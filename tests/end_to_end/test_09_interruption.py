# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs that are ended from outside: nothing half-made stays, the records say so, and the next run works.

A lock on a table holds the dump up, so that every server is caught in the middle of one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.hosts import UNIT, Host, for_each, until
from harness.inventory import NIGHTLY, changes
from harness.servers import NOTES, Target

SERVICE = UNIT.format(policy=NIGHTLY) + ".service"
CLIENTS = "mariadb-dump|mysqldump|pg_dump"


@contextmanager
def held_up(targets: list[Target]) -> Iterator[None]:
    """Keep every dump of the notes waiting."""
    lock = {"mysql": "LOCK TABLES note WRITE;", "postgresql": "BEGIN; LOCK TABLE note IN ACCESS EXCLUSIVE MODE;"}
    sessions = [target.session(f"{lock[target.family]} SELECT 'locked' AS state;", NOTES) for target in targets]
    try:
        for session in sessions:
            assert session.stdout is not None
            assert session.stdout.readline().strip() == "locked"
        yield
    finally:
        for session in sessions:
            session.communicate("", timeout=60)


def files(host: Host) -> dict[str, Any]:
    """All files of all artifacts, unfinished ones too."""
    found: dict[str, Any] = host.python("listing.py", "/var/backups")
    return {path: facts for path, facts in found.items() if not path.endswith("/.")}


def dumps(host: Host) -> list[str]:
    """The dump clients at work."""
    return host.shell(f"pgrep --full --list-full '^\\S*/({CLIENTS}) ' || true").splitlines()


def in_the_middle(host: Host) -> None:
    """Wait until both dumps have begun to write."""
    partial = "find /var/backups -name '.notes_*.partial'"
    until(lambda: len(host.shell(partial).splitlines()) == 2 and len(dumps(host)) == 2, f"two dumps on {host}")


def last_runs(host: Host, database: str = NOTES) -> list[dict[str, Any]]:
    """The newest run of the database on each instance."""
    runs: list[dict[str, Any]] = host.python("catalog.py", f"database = '{database}' AND kind = 'backup'")
    return runs[:2]


def next_run_works(host: Host) -> None:
    """Require that the same backup succeeds now, and leaves no trace of the interrupted one."""
    done = host.command("backup", "--policy", NIGHTLY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [run["outcome"] for run in last_runs(host)] == ["success", "success"]
    assert host.shell("find /var/backups -name '*.partial'") == ""


def test_systemctl_stop_in_the_middle_of_a_backup(targets: list[Target], hosts: list[Host]) -> None:
    before = for_each(hosts, files)

    def stop(host: Host) -> None:
        host.shell(f"systemctl start --no-block {SERVICE}")
        in_the_middle(host)
        host.shell(f"systemctl stop {SERVICE}; systemctl reset-failed {SERVICE} || true")
        assert dumps(host) == []
        journal = host.journal(SERVICE)
        assert "Traceback" not in journal, journal
        assert [run["outcome"] for run in last_runs(host)] == ["failed", "failed"]
        for run in last_runs(host):
            assert "stopped" in run["error"].lower(), run["error"]

    with held_up(targets):
        for_each(hosts, stop)
    for host, after in for_each(hosts, files).items():
        new = changes(before[host], after)  # other databases may have been done before; whole ones only
        assert not [path for path in new if NOTES in path and "/notes_" in path], new
        assert not [path for path in new if path.endswith(".partial")], new
    for_each(hosts, next_run_works)


def test_a_killed_backup(targets: list[Target], hosts: list[Host]) -> None:
    """After SIGKILL nobody cleans up at once: the next run does, and records what became of the dead one."""

    def kill(host: Host) -> None:
        host.shell(f"systemctl start --no-block {SERVICE}")
        in_the_middle(host)
        host.shell(f"systemctl kill --kill-whom=main --signal=KILL {SERVICE}")
        until(lambda: host.run("systemctl", "is-failed", SERVICE, check=False).returncode == 0, "the service fails")
        assert dumps(host) == []  # systemd ends what the dead process left
        listed = (
            host.report("list", "main-mysql", NOTES)["artifacts"]
            + host.report("list", "main-postgresql", NOTES)["artifacts"]
        )
        assert all("partial" not in artifact["artifact"] for artifact in listed)
        host.shell(f"systemctl reset-failed {SERVICE}")

    with held_up(targets):
        for_each(hosts, kill)

    def check(host: Host) -> None:
        dead = {run["run_id"] for run in last_runs(host)}
        next_run_works(host)
        runs = host.python("catalog.py", f"database = '{NOTES}' AND kind = 'backup'")
        assert {run["outcome"] for run in runs if run["run_id"] in dead} == {"vanished"}

    for_each(hosts, check)


def test_a_second_run_on_the_same_database_is_turned_away(targets: list[Target], hosts: list[Host]) -> None:
    def turned_away(host: Host) -> None:
        host.shell(f"systemctl start --no-block {SERVICE}")
        in_the_middle(host)
        done = host.command("restore", "main-mysql", NOTES, "--overwrite", "--yes")
        assert done.returncode == 75, done.stdout + done.stderr
        assert "in use by a backup" in done.stderr, done.stderr
        done = host.run("vya-backupdb", "backup", "--instance", "main-mysql", NOTES, "--json", check=False)
        assert "in use by a backup" in json.loads(done.stdout)["results"][0]["error"]

    with held_up(targets):
        for_each(hosts, turned_away)

    def goes_on(host: Host) -> None:
        host.python("await_service.py", SERVICE, "60")
        result = host.shell(f"systemctl show --value --property=Result {SERVICE}").strip()
        assert result == "success", host.journal(SERVICE)

    for_each(hosts, goes_on)


def test_a_stopped_restore_leaves_the_old_state(targets: list[Target]) -> None:
    """The load is held up by a lock that the restored database itself cannot have: it sleeps in the artifact."""

    def check(target: Target) -> None:
        newest = target.host.report("list", target.database_id, NOTES)["artifacts"][0]["artifact"]
        slow = target.host.python("make_artifact.py", "slow", newest, "/tmp/slow")
        before = target.fingerprint(NOTES)
        words = ["vya-backupdb", "restore", target.database_id, NOTES, "--artifact", slow, "--overwrite", "--yes"]
        process = subprocess.Popen(
            target.host.words("bash", "-c", 'echo $$; exec "$@"', "-", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        pid = process.stdout.readline().strip()
        until(lambda: "SLEEP" in _statements(target), f"the load on {target}")
        target.host.shell(f"kill -TERM {pid}")
        output = process.communicate(timeout=120)[0]
        assert process.returncode == 143, output
        assert "Traceback" not in output, output
        assert "untouched" in output or "brought back" in output, output
        assert [name for name in target.databases() if name.startswith(NOTES)] == [NOTES]
        assert target.fingerprint(NOTES) == before
        target.host.shell(f"rm -r /tmp/slow-{target.database_id}")

    for_each(targets, check)


def _statements(target: Target) -> str:
    """What the server is doing for anyone else."""
    if target.family == "mysql":
        return target.sql("SELECT info FROM information_schema.processlist WHERE id <> connection_id();").upper()
    return target.sql("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active';").upper()
