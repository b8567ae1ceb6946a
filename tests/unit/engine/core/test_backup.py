# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""In what order and how many at a time databases are backed up, and who waits for a busy server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import pytest

from vya_backupdb.config import Policy
from vya_backupdb.core.backup import BackupJob, BackupResult, BackupRunner
from vya_backupdb.core.batch import make_backups
from vya_backupdb.core.catalog import FAILED, SUCCESS
from vya_backupdb.core.overview import check_instances
from vya_backupdb.core.turns import WAITING_FOR_SERVER
from vya_backupdb.db.base import Check, Dbms, Load
from vya_backupdb.errors import DumpError, PrivilegeError


def job(name: str, size: int = 0, **limits: Any) -> BackupJob:
    return BackupJob("prod", name, Policy(name="p", limits=limits), size_bytes=size)


def proven(*_arguments: Any) -> Any:
    raise AssertionError("nothing is made here")


def test_the_largest_is_begun_first_and_results_are_in_the_order_of_the_jobs(host: Any, monkeypatch: Any) -> None:
    begun = []

    def backup(_self: BackupRunner, job: BackupJob, _progress: Any) -> Any:
        begun.append(job.database)
        return BackupResult(job.database_id, job.database, SUCCESS), None

    monkeypatch.setattr(BackupRunner, "backup", backup)
    jobs = [job("a", 5), job("b", 500), job("c", 50)]
    ended = BackupRunner(host.context, proven).run(jobs, parallel=1)
    assert begun == ["b", "c", "a"]
    assert [result.database for result, _record in ended] == ["a", "b", "c"]


@pytest.mark.parametrize(("policy", "expected"), [(Policy(name="p", limits={"parallel": 5}), 5), (None, 1)])
def test_no_more_at_a_time_than_the_policies_allow(
    host: Any, monkeypatch: Any, policy: Policy | None, expected: int
) -> None:
    seen = []
    monkeypatch.setattr(BackupRunner, "run", lambda _self, _jobs, *, parallel, **_more: seen.append(parallel) or [])
    make_backups(host.context, [job("a", parallel=4), job("b", parallel=1)], policy, None)
    assert seen == [expected]


class BusyServer:
    """A server that has too much to do."""

    def __init__(self, instance: Any, answer: Load | PrivilegeError) -> None:
        self.instance = instance
        self.answer = answer

    def load(self, replication: bool) -> Load:
        if isinstance(self.answer, PrivilegeError):
            raise self.answer
        return self.answer

    def databases(self) -> dict[str, int]:
        return {}

    def checks(self, _databases: Any) -> list[Check]:
        return []


@pytest.mark.parametrize(("at_once", "error"), [(False, "busy for 0:00:01"), (True, "It would have been dumped.")])
def test_what_a_restore_depends_on_waits_for_no_busy_server(
    host: Any, monkeypatch: Any, at_once: bool, error: str
) -> None:
    class Begun:
        @contextlib.contextmanager
        def session(self) -> Iterator[Any]:
            raise DumpError("It would have been dumped.")
            yield

    monkeypatch.setattr("vya_backupdb.core.backup.dump_of", lambda _task: Begun())
    server = cast(Dbms, BusyServer(host.context.config.instances[0], Load(9)))
    policy = Policy(name="p", limits={"hold_back": {"running": 5, "wait": "1s"}})
    phases: list[str] = []
    result, _record = BackupRunner(host.context, proven).backup(
        BackupJob("prod", "shop", policy, server, at_once=at_once), lambda progress: phases.append(progress.phase)
    )
    assert result.outcome == FAILED
    assert error in str(result.error)
    assert phases == ([FAILED] if at_once else [WAITING_FOR_SERVER, FAILED])


@pytest.mark.parametrize(
    ("answer", "then", "status", "detail"),
    [
        (Load(3), "fail", "ok", "No backup would wait."),
        (Load(9), "fail", "ok", "Backups would wait now: 9 statements are at work, more than 5."),
        (PrivilegeError("It may not be known.", "Grant it."), "fail", "failed", "It may not be known."),
        (PrivilegeError("It may not be known.", "Grant it."), "proceed", "warning", "It may not be known."),
    ],
)
def test_the_check_asks_how_busy_a_server_is_where_a_policy_will(
    host: Any, answer: Load | PrivilegeError, then: str, status: str, detail: str
) -> None:
    host.connect = lambda instance: BusyServer(instance, answer)
    assert check_instances(host.context, host.context.config.instances).checks == ()
    host.policy["limits"] = {"hold_back": {"running": 5, "then": then}}
    (check,) = check_instances(host.context, host.context.config.instances).checks
    assert (check["check"], check["status"], check["detail"]) == ("hold-back", status, detail)
