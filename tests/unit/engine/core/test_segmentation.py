# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cutting a dump into segments: nothing is lost, each begins where it may, rows are where they are said to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmented_dumps import TABLES, mysql, postgresql, segmented

from vya_backupdb.core import segmentation
from vya_backupdb.core.segmentation import DEFINITIONS, ROWS
from vya_backupdb.db.mysql_dump import MySqlDumpReader
from vya_backupdb.db.postgresql_dump import PostgreSqlDumpReader


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 60)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 20)


FORMS = {
    "postgresql": (postgresql, PostgreSqlDumpReader),
    "mysql": (mysql, lambda: MySqlDumpReader(dollar_quotes=False)),
}


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(5, 400))
def test_nothing_is_lost_and_rows_are_where_they_are_said_to_be(
    form: str, tables: dict[str, list[str]], size: int
) -> None:
    make, reader = FORMS[form]
    dump = make(tables)
    kept = segmented(reader(), dump, size)
    assert b"".join(data for _kind, _continued, data, _tables in kept.segments) == dump
    counted: dict[str, int] = {}
    for kind, _continued, _data, held in kept.segments:
        assert bool(held) == (kind == ROWS)
        for table, rows in held.items():
            name = table.split(";")[0]
            counted[name] = counted.get(name, 0) + rows
    assert {name: rows for name, rows in counted.items() if rows} == {n: len(r) for n, r in tables.items() if r}


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(5, 400))
def test_each_segment_is_whole_by_itself(form: str, tables: dict[str, list[str]], size: int) -> None:
    make, reader = FORMS[form]
    for kind, continued, data, held in segmented(reader(), make(tables), size).segments:
        again = reader()
        ended = data
        if form == "postgresql" and kind == ROWS:
            opening = f"--\n-- Data for Name: {next(iter(held))}\n--\n\n{continued}\n" if continued else ""
            closing = "" if b"\\.\n" in data[data.rfind(b"COPY") :] else "\\.\n"
            ended = opening.encode() + data + closing.encode()
        again.feed(ended + b"--\n")
        assert "statement" not in again.unfinished()
        assert "data of" not in again.unfinished()
        assert list(again.rows.values()) == list(held.values()) or kind == DEFINITIONS


def test_a_large_table_is_in_several_segments_and_small_ones_share() -> None:
    dump = postgresql({"a": ["x" * 50] * 9, "b": ["y"], "c": ["z"]})
    kept = segmented(PostgreSqlDumpReader(), dump, 70)
    kinds = [kind for kind, *_ in kept.segments]
    assert kinds[0] == kinds[-1] == DEFINITIONS
    assert set(kinds[1:-1]) == {ROWS}
    assert len(kinds) > 5
    assert kept.segments[2][1] == "COPY public.a (c) FROM stdin;"
    assert kept.segments[0][1] == kept.segments[1][1] == ""
