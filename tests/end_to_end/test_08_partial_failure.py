# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The failure of one database stops no other, and every way of asking says which one failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness.ansible import Ansible, Answer
from harness.calls import refused_by_module
from harness.hosts import UNIT, Host, for_each, until
from harness.inventory import NIGHTLY, TEXTFILES
from harness.servers import DATABASES, Target

BROKEN = "broken"
SERVICE = UNIT.format(policy=NIGHTLY) + ".service"


@pytest.fixture(scope="module")
def broken(targets: list[Target]) -> Iterator[None]:
    """A database on each instance that no client can dump: a view on nothing, a table whose file is lost."""

    def spoil(target: Target) -> None:
        target.drop(BROKEN)
        target.create(BROKEN)
        target.sql("CREATE TABLE base (id int); INSERT INTO base VALUES (1);", BROKEN)
        if target.family == "mysql":
            target.sql("CREATE VIEW seen AS SELECT id FROM base; DROP TABLE base;", BROKEN)
        else:
            target.sql("CHECKPOINT;", BROKEN)
            path = target.sql(
                "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('base');", BROKEN
            ).strip()
            target.host.run("rm", path)

    for_each(targets, spoil)
    yield
    for_each(targets, lambda target: target.drop(BROKEN))


@pytest.fixture(scope="module")
def answered(ansible: Ansible, broken: None) -> dict[str, Answer]:
    """What the module says of a policy one of whose databases cannot be dumped."""
    return ansible.module("db_backup", {"policy": NIGHTLY})


def outcomes(results: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """How each database ended."""
    return {(result["database_id"], result["database"]): result["outcome"] for result in results}


def test_the_module_says_which_failed_and_backs_up_the_others(
    answered: dict[str, Answer], targets: list[Target]
) -> None:
    for target in targets:
        answer = answered[target.host.name]
        refused_by_module(answer, "BackupFailed", f"{target.database_id}/{BROKEN}", "2 of .* databases could not")
        found = outcomes(answer.result["results"])
        assert found[target.database_id, BROKEN] == "failed"
        assert {found[target.database_id, name] for name in DATABASES} == {"success"}
        assert answer.result["changed"] is True


def test_the_command_says_so_too(broken: None, targets: list[Target], hosts: list[Host]) -> None:
    def check(host: Host) -> None:
        done = host.command("backup", "--policy", NIGHTLY)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "6 databases backed up" in done.stdout, done.stdout
        assert "2 databases failed" in done.stdout, done.stdout

    for_each(hosts, check)


def test_the_service_fails_after_its_retries_and_the_records_tell_why(broken: None, targets: list[Target]) -> None:
    hosts = {target.host for target in targets}
    began = for_each(hosts, lambda host: host.shell("date --utc +%FT%T.%6N").strip())

    def run(host: Host) -> None:
        done = host.run("systemctl", "start", SERVICE, check=False)
        assert done.returncode != 0, host.journal(SERVICE)
        assert host.shell(f"systemctl show --value --property=ExecMainStatus {SERVICE}").strip() == "1"
        host.shell(f"systemctl reset-failed {SERVICE}")

    for_each(hosts, run)

    def check(target: Target) -> None:
        where = f"kind = 'backup' AND database_id = '{target.database_id}' AND started_at >= '{began[target.host]}'"
        runs = target.host.python("catalog.py", where)
        failed = [run for run in runs if run["database"] == BROKEN]
        assert [run["outcome"] for run in failed] == ["failed", "failed"], "the first attempt and one retry"
        assert failed[0]["error"]
        for name in DATABASES:  # what had succeeded was not done again
            assert [run["outcome"] for run in runs if run["database"] == name] == ["success"]
        metrics = target.host.read(f"{TEXTFILES}/vya_backupdb.prom")
        label = f'database="{BROKEN}",database_id="{target.database_id}"'
        assert f"vya_backupdb_last_backup_status{{{label}}} 0.0" in metrics, metrics
        assert target.host.shell(f"find {target.storage}/{BROKEN} -type f 2>/dev/null || true") == ""
        state = target.host.report("status")
        entry = next(
            one for one in state["databases"] if (one["database_id"], one["database"]) == (target.database_id, BROKEN)
        )
        assert entry["last_outcome"] == "failed"

    for_each(targets, check)


def test_the_retry_succeeds_when_the_reason_is_gone(targets: list[Target], broken: None) -> None:
    """A server that is down at first and up again before the retry, five seconds later."""
    down = [target for target in targets if target.family == "postgresql"]
    for_each(targets, lambda target: target.drop(BROKEN))

    def check(target: Target) -> None:
        service, host = target.service, target.host
        began = host.shell("date --utc +%FT%T.%6N").strip()
        where = f"kind = 'backup' AND database_id = '{target.database_id}' AND started_at >= '{began}'"
        host.shell(f"systemctl stop {service}; systemctl start --no-block {SERVICE}")
        until(lambda: bool(host.python("catalog.py", f"{where} AND outcome = 'failed'")), "the first attempt fails")
        host.shell(f"systemctl start {service}")
        host.python("await_service.py", SERVICE, "60")
        result = host.shell(f"systemctl show --value --property=Result {SERVICE}").strip()
        assert result == "success", host.journal(SERVICE)
        ended = [(run["database"], run["outcome"]) for run in reversed(host.python("catalog.py", where))]
        assert ended[0] == ("*", "failed")
        assert sorted(ended[1:]) == sorted((name, "success") for name in DATABASES)

    for_each(down, check)
