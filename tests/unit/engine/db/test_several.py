# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A restored database is looked at by several connections: everything once, and no failure unsaid."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vya_backupdb.db import mysql_restored, postgresql_restored, several
from vya_backupdb.db.several import by_several
from vya_backupdb.errors import ServerError

TOGETHER_SECONDS = 20.0
Rows = list[tuple[Any, ...]]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further connections are opened without waiting for whether they are needed."""
    monkeypatch.setattr(several, "_ALONE_SECONDS", 0.0)


class FakeServer:
    """Notes what is asked of it by which thread, and waits for as many connections to be at work as it is told."""

    def __init__(self, answers: Mapping[str, Rows] | None = None, at_a_time: int = 1) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []
        self.opened = 0
        self.threads: dict[str, int] = {}
        self._barrier = threading.Barrier(at_a_time, timeout=TOGETHER_SECONDS)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        self.opened += 1
        yield self.query

    def query(self, statement: str, _parameters: Any = ()) -> Rows:
        self.asked.append(statement)
        self.threads[statement] = threading.get_ident()
        for part, answer in self.answers.items():
            if part in statement:
                if statement.startswith(("SELECT count(*)", "SELECT COUNT(*)", "ANALYZE")):
                    self._barrier.wait()
                if answer == ["refused"]:
                    raise ServerError(f"no {part}")
                return answer
        return []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(), max_size=30), st.integers(min_value=1, max_value=5))
def test_each_is_asked_once_and_answers_keep_their_order(items: list[int], connections: int) -> None:
    server = FakeServer()
    seen: list[int] = []

    def ask(_query: Any, item: int) -> int:
        seen.append(item)
        return item * 2

    assert by_several(server.query, server.connection, items, ask, connections) == [item * 2 for item in items]
    assert sorted(seen) == sorted(items)


@pytest.mark.usefixtures("at_once")
def test_all_connections_are_at_work_at_the_same_time() -> None:
    server, barrier = FakeServer(), threading.Barrier(3, timeout=TOGETHER_SECONDS)

    def ask(_query: Any, item: int) -> tuple[int, int]:
        barrier.wait()  # broken, and an error, if fewer than three come
        return item, threading.get_ident()

    answers = by_several(server.query, server.connection, range(6), ask, 3)
    assert [item for item, _thread in answers] == list(range(6))
    assert len({thread for _item, thread in answers}) == 3
    assert server.opened == 2


def test_what_is_done_at_once_opens_no_further_connection() -> None:
    server = FakeServer()
    assert by_several(server.query, server.connection, range(100), lambda _query, item: item, 8) == list(range(100))
    assert server.opened == 0


@pytest.mark.usefixtures("at_once")
def test_a_server_that_admits_no_further_connection_is_asked_by_the_one_that_there_is() -> None:
    refused = threading.Event()

    @contextlib.contextmanager
    def full() -> Iterator[Any]:
        refused.set()
        raise ServerError("too many connections")
        yield

    def ask(_query: Any, item: int) -> int:
        assert refused.wait(TOGETHER_SECONDS)
        return item

    assert by_several(None, full, range(5), ask, 3) == list(range(5))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("own", [True, False])
def test_the_first_failure_of_any_connection_ends_all_and_is_said(own: bool) -> None:
    caller = threading.get_ident()
    failed = threading.Event()
    asked: list[int] = []

    def ask(_query: Any, item: int) -> int:
        asked.append(item)
        if (threading.get_ident() == caller) is own:
            failed.set()
            raise ServerError("the table is broken")
        assert failed.wait(TOGETHER_SECONDS)
        return item

    with pytest.raises(ServerError, match="the table is broken"):
        by_several(None, FakeServer().connection, range(1000), ask, 2)
    assert len(asked) < 1000


TABLES = {"small": 1, "large": 900, "middle": 30, "empty": 0}
POSTGRESQL = {
    "'r' AND": [(f"public.{name}", name) for name in TABLES],
    "relpersistence": [
        *((f"public.{name}", name, False) for name in TABLES),
        ("public.parted", "parted", True),
        ("public.view", "view", False),
    ],
}
MYSQL = {"TABLE_TYPE": [(name, "BASE TABLE") for name in TABLES]}


def test_postgresql_counts_the_largest_tables_first() -> None:
    answers = {f"ONLY {name}": [(rows,)] for name, rows in TABLES.items()}
    server = FakeServer(POSTGRESQL | answers)
    expected = {f"public.{name}": rows for name, rows in TABLES.items() if name != "empty"}
    assert postgresql_restored.count_rows(server.query, server.connection, expected, 1) == expected
    counted = [statement.rpartition(" ")[2] for statement in server.asked if "count" in statement]
    assert counted == ["large", "middle", "small"]


def test_tables_of_one_name_in_the_inventory_are_counted_together() -> None:
    server = FakeServer({"'r' AND": [("a.b.c", '"a.b".c'), ("a.b.c", 'a."b.c"')], "ONLY": [(4,)]})
    assert postgresql_restored.count_rows(server.query, server.connection, {"a.b.c": 8}, 2) == {"a.b.c": 8}


def test_postgresql_analyzes_partitioned_tables_first_then_the_largest() -> None:
    server = FakeServer(POSTGRESQL)
    rows = {f"public.{name}": count for name, count in TABLES.items()}
    assert postgresql_restored.refresh_statistics(server.query, server.connection, rows, 1) == []
    analyzed = [statement.partition(" ")[2] for statement in server.asked if statement.startswith("ANALYZE")]
    assert analyzed[:4] == ["parted", "large", "middle", "small"]
    assert sorted(analyzed) == sorted([*TABLES, "parted", "view"])


@pytest.mark.usefixtures("at_once")
def test_no_connection_waits_for_statistics_to_reach_the_disk() -> None:
    server = FakeServer(POSTGRESQL | {"ANALYZE ": []}, at_a_time=2)
    postgresql_restored.refresh_statistics(server.query, server.connection, {}, 2)
    assert server.asked.count("SET synchronous_commit = off") == 1 + server.opened == 2


@pytest.mark.usefixtures("at_once")
def test_statistics_that_were_not_refreshed_are_said_and_the_rest_is() -> None:
    server = FakeServer(POSTGRESQL | {"ANALYZE middle": ["refused"], "ANALYZE ": []}, at_a_time=2)
    said = postgresql_restored.refresh_statistics(server.query, server.connection, {}, 2)
    assert said == ["The statistics of middle were not refreshed: no ANALYZE middle"]
    assert sum(statement.startswith("ANALYZE") for statement in server.asked) == len(POSTGRESQL["relpersistence"])


@pytest.mark.usefixtures("at_once")
def test_mysql_counts_with_the_past_by_several_connections() -> None:
    answers = {f"`shop`.`{name}`": [(rows,)] for name, rows in TABLES.items()}
    tables = {"TABLE_TYPE": [(name, "SYSTEM VERSIONED" if name == "small" else "BASE TABLE") for name in TABLES]}
    server = FakeServer(tables | answers, at_a_time=2)
    assert mysql_restored.count_rows(server.query, server.connection, "shop", TABLES, 2) == TABLES
    counted = [statement for statement in server.asked if "COUNT" in statement]
    assert len({server.threads[statement] for statement in counted}) == 2
    assert [statement for statement in counted if "SYSTEM_TIME" in statement] == [
        "SELECT COUNT(*) FROM `shop`.`small` FOR SYSTEM_TIME ALL"
    ]


def test_mysql_counts_and_analyzes_the_largest_tables_first() -> None:
    server = FakeServer(MYSQL | {"`shop`": [(0,)]})
    mysql_restored.count_rows(server.query, server.connection, "shop", TABLES, 1)
    counted = [statement.rpartition(".")[2] for statement in server.asked if "COUNT" in statement]
    assert counted == ["`large`", "`middle`", "`small`", "`empty`"]
    server = FakeServer(MYSQL)
    mysql_restored.refresh_statistics(server.query, server.connection, "shop", TABLES, 1)
    analyzed = [statement.rpartition(".")[2] for statement in server.asked if "ANALYZE" in statement]
    assert analyzed == counted


def test_mysql_says_what_it_did_not_analyze() -> None:
    answers: dict[str, Rows] = {
        "`large`": [("shop.large", "analyze", "Error", "it is corrupt"), ("shop.large", "analyze", "status", "failed")],
        "`middle`": ["refused"],  # type: ignore[list-item]
        "ANALYZE": [("shop.x", "analyze", "status", "OK")],
    }
    server = FakeServer(MYSQL | answers)
    assert mysql_restored.refresh_statistics(server.query, server.connection, "shop", TABLES, 1) == [
        "The statistics of large were not refreshed: it is corrupt",
        "The statistics of middle were not refreshed: no `middle`",
    ]
