# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures: what a server says of a database's content, in short."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest

from vya_backupdb.db.base import Server
from vya_backupdb.db.figures import Figures, digest_objects, spans, unchanged_objects
from vya_backupdb.db.mysql_figures import Moment, read_after, read_moment
from vya_backupdb.db.postgresql_figures import _canonical

ALL = Figures({"table": {"a": "1"}}, {"s": (1, 2)}, {"a": "3:4"}, {"b": "why"}, (("u", "h"),))


@pytest.mark.parametrize("figures", [ALL, Figures(), dataclasses.replace(ALL, contents=None, left_out={})])
def test_figures_survive_the_manifest(figures: Figures) -> None:
    assert Figures.from_document(json.loads(json.dumps(figures.to_document()))) == figures


def test_the_order_of_facts_does_not_change_a_digest_and_a_fact_does() -> None:
    one = digest_objects([("table", "a", ["x", 1]), ("table", "a", ["y", 2]), ("view", "a", [None])])
    other = digest_objects([("view", "a", [None]), ("table", "a", ["y", 2]), ("table", "a", ["x", 1])])
    changed = digest_objects([("table", "a", ["x", 1]), ("table", "a", ["y", 3]), ("view", "a", [None])])

    assert one == other
    assert changed["table"]["a"] != one["table"]["a"]
    assert changed["view"] == one["view"]


def test_only_what_was_the_same_before_and_after_counts() -> None:
    assert unchanged_objects({"t": {"a": "1", "b": "1", "c": "1"}}, {"t": {"a": "1", "b": "2"}}) == {"t": {"a": "1"}}
    assert spans({"s": 5, "gone": 1}, {"s": 3, "new": 1}) == {"s": (3, 5)}


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        ("2026-01-01 00:00:00", "2026-01-01 00:00:00", True),
        ("", "", True),
        ("", "2026-01-01 00:00:00", False),
        ("2026-01-01 00:00:00", "2026-01-01 00:00:01", False),
        ("2026-01-01 00:00:00", None, False),
        (None, None, False),
    ],
)
def test_the_sum_of_a_table_counts_if_it_was_certainly_not_changed_during_the_dump(
    before: str | None, after: str | None, counts: bool
) -> None:
    first = Moment({}, {}, (), {"a": before}, {"a": "3:4"}, {})

    figures = first.until(Moment({}, {}, (), {"a": after}))

    assert figures.contents == ({"a": "3:4"} if counts else {})
    assert set(figures.left_out) == (set() if counts else {"a"})


def test_what_postgresql_writes_anew_when_it_has_read_it_makes_no_difference() -> None:
    first = "CHECK (((kind)::text = ANY ((ARRAY['food'::character varying, 'drink'::character varying])::text[])))"
    again = (
        "CHECK (((kind)::text = ANY (ARRAY[('food'::character varying)::text, ('drink'::character varying)::text])))"
    )

    assert _canonical(first) == _canonical(again)
    assert _canonical(first) != _canonical(again.replace("drink", "drugs"))
    assert _canonical("a = 'x::text (y)'") == "a='x::text (y)'"
    assert _canonical("x::numeric(10,2) + y::timestamp(3) without time zone") == "x+y"


class Catalogue:
    """Answers as a MariaDB server with one table would, and keeps what it was asked for."""

    def __init__(self, **changes: Any) -> None:
        self.asked: list[str] = []
        self.table = {"collation": "utf8mb4_bin", "next": 7, "changed": "2026-01-01 00:00:00", **changes}

    def __call__(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        name = re.search(r"FROM (?:information_schema|mysql)\.(\w+)", statement)
        self.asked.append(name.group(1) if name else statement)
        if "UPDATE_TIME" in statement:
            table = self.table
            return [
                ("item", "BASE TABLE", "InnoDB", table["collation"], "", table["next"], table["changed"], 0),
                ("labels", "VIEW", None, None, "VIEW", None, None, None),
                ("numbers", "SEQUENCE", "InnoDB", "utf8mb4_bin", "", None, None, None),
            ]
        if "next_not_cached_value" in statement:
            return [(41,)]
        if "VIEW_DEFINITION" in statement:
            return [("labels", "select 1", "NONE", "root@localhost", "DEFINER")]
        return []


MARIADB = Server("mariadb", "11.8.9", (11, 8, 9))
GRANT = (("reader", "localhost"), "`item`", "", "SELECT")


def test_a_moment_of_mariadb_is_asked_for_once_by_catalogue() -> None:
    catalogue = Catalogue()
    moment = read_moment(catalogue, MARIADB, "shop", False)

    assert catalogue.asked.count("TABLES") == 1
    assert {"VIEWS", "TRIGGERS", "ROUTINES", "PARAMETERS", "EVENTS", "SCHEMA_PRIVILEGES"} <= set(catalogue.asked)
    assert set(moment.objects) == {"table", "view"}
    assert list(moment.objects["table"]) == ["item"]
    assert moment.counters == {"item": 7, "numbers": 41}
    assert moment.changed == {"item": "2026-01-01 00:00:00"}


def test_kinds_that_are_not_there_are_not_looked_at_and_known_grants_not_read_again() -> None:
    before = Catalogue()
    first = read_moment(before, MARIADB, "shop", False, [GRANT], ["table", "view"])
    assert set(before.asked) & {"TRIGGERS", "ROUTINES", "PARAMETERS", "EVENTS", "SCHEMA_PRIVILEGES"} == set()
    assert first.accounts == (("reader", "localhost"),)

    after = Catalogue(next=9)
    figures = read_after(after, MARIADB, "shop", first, [GRANT])
    assert after.asked == before.asked
    assert figures.objects == first.objects
    assert figures.objects["grant"].keys() == {"reader@localhost on `item`"}
    assert figures.positions == {"item": (7, 9), "numbers": (41, 41)}


def test_a_table_that_was_altered_meanwhile_has_no_digest() -> None:
    first = read_moment(Catalogue(), MARIADB, "shop", False, [], ["view"])
    figures = read_after(Catalogue(collation="latin1_bin"), MARIADB, "shop", first, [])
    assert figures.objects.get("table", {}) == {}
    assert figures.objects["view"] == first.objects["view"]
