# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark's data: the same each time, as large as asked for, and compressible as real data is."""

from __future__ import annotations

import json
import zlib

import pytest
from bench.data import LARGE_TABLES, SMALL, SMALL_ROWS, Source, Table, batches

SIZE = 2_000_000


@pytest.fixture(scope="module")
def content() -> dict[str, bytes]:
    source = Source(SIZE)
    return {table.name: b"".join(batches(source, table, SIZE, "")) for table in LARGE_TABLES}


def test_the_same_size_gives_the_same_data(content: dict[str, bytes]) -> None:
    source = Source(SIZE)
    assert all(b"".join(batches(source, table, SIZE, "")) == content[table.name] for table in LARGE_TABLES)


def test_shares_make_the_whole() -> None:
    assert sum(table.share for table in LARGE_TABLES) == pytest.approx(1)


@pytest.mark.parametrize("table", LARGE_TABLES, ids=lambda table: table.name)
def test_a_table_has_its_share_of_the_size_and_all_its_columns(table: Table, content: dict[str, bytes]) -> None:
    lines = content[table.name].decode().splitlines()
    assert len(content[table.name]) == pytest.approx(SIZE * table.share, rel=0.35)
    assert {line.count("\t") for line in lines} == {len(table.columns) - 1}


def test_documents_are_json(content: dict[str, bytes]) -> None:
    for line in content["event"].decode().splitlines()[:200]:
        assert json.loads(line.rpartition("\t")[2])["ok"] in (True, False)


def test_text_compresses_about_as_well_as_real_text(content: dict[str, bytes]) -> None:
    text = content["article"]
    assert 2.0 < len(text) / len(zlib.compress(text, 6)) < 4.0


def test_small_tables_have_few_rows() -> None:
    source = Source(SIZE)
    assert all(b"".join(batches(source, table, SIZE, "")).count(b"\n") == SMALL_ROWS for table in SMALL)


def test_bytes_get_their_prefix() -> None:
    customer = next(table for table in LARGE_TABLES if table.name == "customer")
    line = next(batches(Source(SIZE), customer, SIZE, r"\\x")).decode().splitlines()[0]
    assert line.split("\t")[7].startswith(r"\\x")
