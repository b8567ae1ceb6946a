# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a drill makes of a loaded database and a manifest."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from typing import Any

import pytest

from vya_backupdb.core.drill_comparison import NO_CONTENTS, NO_FIGURES, compare
from vya_backupdb.core.manifest import Manifest
from vya_backupdb.db.figures import Figures

THEN = datetime(2026, 3, 1, 4, 0, tzinfo=timezone.utc)
INVENTORY = {"table": ["item"], "trigger": ["guard"]}
SERVER = Figures(
    {"table": {"item": "t1"}, "trigger": {"guard": "g1"}, "grant": {"reader on item": "p1"}},
    {"numbered": (10, 12)},
    {"item": "3:99"},
)


def manifest(figures: Figures | None = SERVER, **changes: Any) -> Manifest:
    made = Manifest(
        artifact="shop.sql.gz",
        hostname="host1",
        database_id="db",
        database="shop",
        created_at=THEN,
        finished_at=THEN,
        stored_bytes=1,
        plain_bytes=1,
        sha256="",
        dbms={"flavour": "mariadb", "version": "11.8.3"},
        tool={},
        compression={},
        settings={},
        inventory=INVENTORY,
        segments=(),
        policy="all",
        run_id="1",
        engine_version="1",
        restore_by_hand="",
        rows={"item": 3},
        figures=figures.to_document() if figures is not None else None,
    )
    return dataclasses.replace(made, **changes)


def loaded(**changes: Any) -> Figures:
    return dataclasses.replace(SERVER, positions={"numbered": (11, 11)}, **changes)


def test_what_came_back_as_it_was_has_no_differences() -> None:
    found = compare(manifest(), INVENTORY, loaded())

    assert found.differences == ()
    assert (found.objects, found.positions, found.rows, found.contents, found.remarks) == (3, 1, 1, 1, ())


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (loaded(contents={"item": "2:50"}), "table item has 2 rows, of which the server had 3"),
        (loaded(contents={"item": "3:98"}), "table item has other values than it had in the server"),
        (loaded(contents={}), "table item is missing"),
        (loaded(objects={**SERVER.objects, "trigger": {}}), "trigger guard is missing"),
        (
            loaded(objects={**SERVER.objects, "trigger": {"guard": "g2"}}),
            "trigger guard is not as it was in the server",
        ),
        (loaded(objects={**SERVER.objects, "grant": {}}), "grant reader on item is missing"),
        (
            loaded(objects={**SERVER.objects, "grant": {**SERVER.objects["grant"], "thief on item": "p"}}),
            "grant thief on item is unexpected",
        ),
        (dataclasses.replace(loaded(), positions={"numbered": (9, 9)}), "numbered goes on at 9 instead of 10 to 12"),
        (dataclasses.replace(loaded(), positions={"numbered": (13, 13)}), "numbered goes on at 13 instead of 10 to 12"),
        (dataclasses.replace(loaded(), positions={}), "the sequence or automatic number numbered is missing"),
    ],
)
def test_each_difference_is_told(found: Figures, told: str) -> None:
    assert told in "; ".join(compare(manifest(), INVENTORY, found).differences)


def test_rows_that_the_restore_lost_are_told_without_content_checksums_too() -> None:
    old = manifest(dataclasses.replace(SERVER, contents=None))

    found = compare(old, INVENTORY, loaded(contents={"item": "2:50"}))

    assert found.differences == ("table item has 2 rows, of which the artifact has 3",)
    assert found.remarks == (NO_CONTENTS,)
    assert found.contents == 0


def test_an_artifact_of_an_older_engine_is_compared_by_its_inventory_and_rows() -> None:
    found = compare(manifest(None), {"table": ["item"], "trigger": []}, loaded())

    assert found.differences == ("trigger guard is missing",)
    assert found.remarks == (NO_FIGURES, NO_CONTENTS)
    assert found.rows == 1


def test_what_could_not_be_summed_up_is_said_and_not_compared() -> None:
    changed = dataclasses.replace(SERVER, contents={}, left_out={"item": "it was changed while it was dumped"})

    found = compare(manifest(changed), INVENTORY, loaded())

    assert found.differences == ()
    assert found.contents == 0
    assert found.remarks == ("The values of table item were not compared: it was changed while it was dumped.",)


def test_rows_that_were_not_counted_exactly_are_not_compared() -> None:
    doubtful = manifest(dataclasses.replace(SERVER, contents=None), rows={"item": 7}, row_counts={"approximate": True})

    assert compare(doubtful, INVENTORY, loaded()).differences == ()
