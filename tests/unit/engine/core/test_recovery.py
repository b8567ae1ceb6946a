# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a restore that died leaves: recognised in every state, put right where that is certain, said where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from vya_backupdb.core.catalog import FAILED, LOST, SUCCESS, VANISHED
from vya_backupdb.core.locks import database_lock
from vya_backupdb.core.overview import check_instances, summarize_host
from vya_backupdb.core.recovery import (
    ACCOUNTS,
    BESIDE,
    EXISTED,
    LEFT,
    MADE,
    OLD,
    SAFETY,
    explain_unfinished,
    leftovers,
    recover_restores,
    unfinished_restores,
)
from vya_backupdb.core.retention import accept_database, prune_database
from vya_backupdb.errors import ServerError

ID, SHOP = "prod", "shop"
SIDE, FORMER = "shop_restore_1", "shop_old_1"
ALL = {EXISTED: "yes", BESIDE: SIDE, MADE: "yes", OLD: FORMER}


class Server:
    """A server that can rename, as far as a recovery asks it."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.closed = {SHOP}

    def all_databases(self) -> set[str]:
        return set(self.names)

    def rename_database(self, old: str, new: str) -> None:
        self.names = {*(self.names - {old}), new}
        self.closed.discard(new)

    def discard_database(self, name: str) -> None:
        self.names.remove(name)

    def let_in(self, name: str) -> None:
        self.closed.discard(name)


def died(host: Any, traces: dict[str, str]) -> None:
    """Put a restore on record that has vanished."""
    run = host.catalog.start("restore", ID, SHOP)
    host.catalog.note(run.run_id, traces)
    host.catalog.finish(run.run_id, VANISHED)


@pytest.mark.parametrize(
    ("traces", "found", "left", "said"),
    [
        # In the order in which a restore goes on.
        ({EXISTED: "yes"}, {SHOP}, {SHOP}, "Nothing had been changed"),
        ({EXISTED: "yes", BESIDE: SIDE}, {SHOP}, {SHOP}, "is complete"),
        ({EXISTED: "yes", BESIDE: SIDE}, {SHOP, SIDE}, {SHOP, SIDE}, "is complete"),
        ({EXISTED: "yes", BESIDE: SIDE, MADE: "yes"}, {SHOP, SIDE}, {SHOP}, "is complete"),
        (ALL, {SHOP, SIDE}, {SHOP}, "is complete"),
        (ALL, {FORMER, SIDE}, {SHOP}, "was brought back"),
        (ALL, {SHOP, FORMER}, {SHOP, FORMER}, "is complete and in its place"),
        (ALL, {SHOP}, {SHOP}, "is complete"),
        # Where there was none before.
        ({EXISTED: "", BESIDE: SIDE}, set(), set(), "no database of that name, as before"),
        ({EXISTED: "", BESIDE: SIDE, MADE: "yes"}, {SIDE}, set(), "no database of that name, as before"),
        ({EXISTED: "", BESIDE: SIDE, MADE: "yes"}, {SHOP}, {SHOP}, "is complete"),
    ],
)
def test_every_state_is_put_right(
    host: Any, traces: dict[str, str], found: set[str], left: set[str], said: str
) -> None:
    died(host, traces)
    server = Server(*found, "other")
    host.connect = lambda _instance: server
    recover_restores(host.context)
    assert server.names == {*left, "other"}
    assert SHOP not in server.closed or SHOP not in left or not traces.get(BESIDE)
    (record,) = host.catalog.runs("recovery")
    assert record.outcome == SUCCESS
    assert said in str(record.reason)
    assert record.traces.get(LEFT) == next(iter(left - {SHOP}), None)
    assert unfinished_restores(host.catalog) == []
    assert len(leftovers(host.catalog)) == len(left - {SHOP})
    recover_restores(host.context)
    assert len(host.catalog.runs("recovery")) == 1


def test_what_is_left_is_said_until_somebody_says_that_it_is_gone(host: Any) -> None:
    host.nights(4)
    died(host, ALL)
    server = Server(SHOP, FORMER)
    host.connect = lambda _instance: server
    recover_restores(host.context)
    (problem,) = summarize_host(host.context).problems
    assert f"'{FORMER}' is left of a restore" in problem
    assert prune_database(host.context, ID, SHOP, False).removed, "the database is complete, so retention goes on"
    host.catalog.finish(host.catalog.start("restore", ID, SHOP).run_id, SUCCESS)
    assert summarize_host(host.context).problems == (problem,), "a later restore takes nothing away from that"
    assert accept_database(host.context, ID, SHOP, "dropped it", dry_run=False)
    assert summarize_host(host.context).problems == ()


def test_accounts_that_it_made_are_named(host: Any) -> None:
    died(host, {**ALL, ACCOUNTS: "app, readers"})
    (run,) = unfinished_restores(host.catalog)
    assert "accounts, which are left: app, readers." in explain_unfinished(run)
    host.connect = lambda _instance: Server(SHOP)
    recover_restores(host.context)
    (record,) = host.catalog.runs("recovery")
    assert "app, readers" in str(record.reason)


def test_a_missing_database_of_which_nothing_is_left_stays_on_record(host: Any) -> None:
    died(host, ALL)
    host.connect = lambda _instance: Server("other")
    recover_restores(host.context)
    assert len(unfinished_restores(host.catalog)) == 1


@pytest.mark.parametrize(
    ("traces", "said"),
    [
        ({EXISTED: "yes", SAFETY: "/b/safety.sql.gz"}, "restore prod shop --artifact /b/safety.sql.gz --overwrite"),
        ({EXISTED: "", MADE: "yes"}, "an incomplete one may be there"),
    ],
)
def test_where_databases_cannot_be_renamed_people_are_told(host: Any, traces: dict[str, str], said: str) -> None:
    died(host, traces)
    recover_restores(host.context)
    (run,) = unfinished_restores(host.catalog)
    assert said in explain_unfinished(run)
    assert said in summarize_host(host.context).problems[0]
    check = check_instances(host.context, host.context.config.instances)
    assert not check.ok
    assert said in check.checks[0]["detail"]
    host.run("restore", SUCCESS)
    assert unfinished_restores(host.catalog) == []


def test_a_lost_database_is_said_until_a_restore_succeeds(host: Any) -> None:
    host.run("restore", LOST, error="Its sealed backup is /b/safety.sql.gz.")
    host.run("restore", FAILED, database="other")
    assert ["/b/safety.sql.gz" in problem for problem in summarize_host(host.context).problems] == [True]
    recover_restores(host.context)
    assert len(unfinished_restores(host.catalog)) == 1


def test_a_server_out_of_reach_is_asked_the_next_time(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    died(host, ALL)
    recover_restores(host.context)
    assert "could not be put right now" in caplog.text
    assert "'shop_old_1' (the old database)" in caplog.text
    server = Server(FORMER, SIDE)
    host.connect = lambda _instance: server
    recover_restores(host.context)
    assert server.names == {SHOP}


def test_a_failing_server_leaves_it_for_the_next_time(host: Any) -> None:
    class Refuses(Server):
        def rename_database(self, old: str, new: str) -> None:
            raise ServerError("no")

    died(host, ALL)
    host.connect = lambda _instance: Refuses(FORMER)
    recover_restores(host.context)
    assert host.catalog.runs("recovery") == []


def test_a_database_in_use_is_left_alone(host: Any) -> None:
    died(host, ALL)
    server = Server(FORMER)
    host.connect = lambda _instance: server
    with database_lock(host.context.lock_directory, ID, SHOP, "a restore"):
        recover_restores(host.context)
    assert server.names == {FORMER}


def test_an_instance_that_is_no_longer_configured_is_left_alone(host: Any) -> None:
    died(host, ALL)
    host.settings["instances"] = []
    recover_restores(host.context)
    assert len(unfinished_restores(host.catalog)) == 1


def test_runs_that_died_are_a_problem_before_they_are_on_record(host: Any) -> None:
    run = host.catalog.start("backup", ID, SHOP)
    assert summarize_host(host.context).problems == ()
    (host.root / "state" / "runs" / f"{run.run_id}.alive").unlink()
    assert "A backup of prod/shop from 2026-06-15T12:00:00Z has died" in summarize_host(host.context).problems[0]
    host.context.close_vanished()
    assert summarize_host(host.context).problems == ()
    assert [getattr(event, "outcome", None) or event.records[0].outcome for event in host.events] == [VANISHED] * 2


def test_a_missing_artifact_is_a_problem(host: Any) -> None:
    host.artifact().unlink()
    assert "is missing: only its manifest is there" in summarize_host(host.context).problems[0]
