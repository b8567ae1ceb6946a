# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Several clients' dumps as one: whatever the order in which they come, all rows are there, and settings once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmented_dumps import TABLES, mysql_rows

from vya_backupdb.core import interleaving, segmentation
from vya_backupdb.core.compression import Level
from vya_backupdb.core.interleaving import Interleaver
from vya_backupdb.core.load_plan import LoadPlanner
from vya_backupdb.core.segmentation import ROWS, Segmenter
from vya_backupdb.core.writer import ArtifactWriter
from vya_backupdb.db.dump_share import DumpShare
from vya_backupdb.db.mysql_dump import MySqlDumpReader
from vya_backupdb.db.mysql_loading import MySqlLoading
from vya_backupdb.db.mysql_moment import shared_out
from vya_backupdb.errors import DumpError

LOADING = MySqlLoading(dollar_quotes=False)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 60)
    monkeypatch.setattr("vya_backupdb.core.load_plan.PARALLEL_BYTES", 0)


class Client:
    """One client's dump, which comes in pieces."""

    def __init__(self, interleaver: Interleaver, dump: bytes, size: int) -> None:
        self.share = DumpShare(MySqlDumpReader(dollar_quotes=False), LOADING.can_wait)
        self._strand = interleaver.strand(self.share)
        self._segmenter = Segmenter(self._strand, self.share)
        self._pieces = [dump[start : start + size] for start in range(0, len(dump), size)]
        self.share.begin()

    def go_on(self) -> bool:
        """Let the next piece come; whether there was one."""
        if not self._pieces:
            return False
        self._segmenter.feed(self._pieces.pop(0))
        return True

    def finish(self) -> None:
        while self.go_on():
            pass
        self._segmenter.finish()
        assert self.share.unfinished() == ""
        self._strand.finish()


class Joined:
    """What several clients wrote, as one."""

    def __init__(self, dumps: list[bytes], order: list[int], size: int) -> None:
        self._stored: list[bytes] = []
        self.writer = ArtifactWriter(self._stored.append, "none", Level("none", 1, 0))
        interleaver = Interleaver(self.writer, "none", lambda: Level("none", 1, 0))
        self.clients = [Client(interleaver, dump, size) for dump in dumps]
        for number in order:
            self.clients[number % len(dumps)].go_on()
        for client in self.clients:
            client.finish()
        interleaver.finish()

    @property
    def text(self) -> bytes:
        return b"".join(self._stored)


@given(tables=TABLES, order=st.lists(st.integers(0, 2), max_size=60), size=st.integers(5, 400))
def test_nothing_is_lost_whatever_the_order(tables: dict[str, list[str]], order: list[int], size: int) -> None:
    dumps = [mysql_rows({name: rows}) for name, rows in tables.items()]
    joined = Joined(dumps, order, size)
    reader = MySqlDumpReader(dollar_quotes=False)
    reader.feed(joined.text)
    assert reader.unfinished() == ""
    assert reader.rows == {name: len(rows) for name, rows in tables.items()}
    for line in {line for dump in dumps for line in dump.splitlines() if line}:
        once = line.startswith((b"/*!40101", b"/*M!", b"-- "))
        assert joined.text.splitlines().count(line) == (1 if once else sum(d.splitlines().count(line) for d in dumps))

    counted: dict[str, int] = dict.fromkeys(tables, 0)
    position = 0
    for segment in joined.writer.segments:
        assert segment.offset == position
        position += segment.length
        for name, rows in segment.tables.items():
            counted[name] += rows
    assert position == len(joined.text) == joined.writer.plain_bytes
    assert counted == reader.rows


@given(order=st.lists(st.integers(0, 2), max_size=60))
def test_all_rows_can_be_loaded_by_several_clients_at_once(order: list[int]) -> None:
    joined = Joined([mysql_rows({name: ["row"] * 40}) for name in "abc"], order, 100)
    segments = joined.writer.segments
    planner = LoadPlanner(segments, LOADING)
    for segment in segments:
        planner.feed(joined.text[segment.offset : segment.offset + segment.length])
    shared = [step for step in planner.steps() if step.shared]
    assert [set(step.segments) for step in shared] == [{n for n, each in enumerate(segments) if each.kind == ROWS}]
    assert b"SET NAMES binary" in shared[0].settings


def test_clients_that_do_not_begin_or_end_alike_are_no_dump() -> None:
    dump = mysql_rows({"a": ["row"]})
    for other, how in (
        (dump.replace(b"SET NAMES binary", b"SET NAMES latin1"), "begin"),
        (dump.replace(b"CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT", b"TIME_ZONE=@OLD_TIME_ZONE"), "end"),
    ):
        with pytest.raises(DumpError, match=f"do not {how} alike"):
            Joined([dump, other], [], 100)


@pytest.mark.parametrize("size", [50, 10_000])
@pytest.mark.parametrize("rows", [["row"], []])
def test_what_is_set_between_the_rows_of_two_tables_is_refused(rows: list[str], size: int) -> None:
    dump = mysql_rows({"a": ["row"], "b": rows})
    place = re.compile(rb"SET @OLD_AUTOCOMMIT=[^\n]*\n/\*!40000 ALTER TABLE `b`")
    with pytest.raises(DumpError, match="sets something between the rows of two tables"):
        Joined([place.sub(lambda found: b"SET insert_id = 7;\n" + found.group(), dump)], [], size)


def test_a_client_that_writes_something_else_than_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleaving, "_TEXT_BYTES", 1000)
    with pytest.raises(DumpError, match="wrote more than rows"):
        Joined([b"SET a = 1;\n" * 200 + mysql_rows({"a": ["row"]})], [], 100)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 100), min_size=1), st.integers(1, 8))
def test_every_table_is_some_clients_and_no_client_is_idle(sizes: dict[str, int], clients: int) -> None:
    shares = shared_out(list(sizes), sizes, clients)
    assert sorted(name for share in shares for name in share) == sorted(sizes)
    assert all(shares)
    assert len(shares) == min(clients, len(sizes))
    loads = [sum(max(sizes[name], 1) for name in share) for share in shares]
    assert max(loads) - min(loads) <= max(*sizes.values(), 1)
