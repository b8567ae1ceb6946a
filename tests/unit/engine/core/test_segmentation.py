# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cutting a dump into segments: nothing is lost, each begins where it may, rows are where they are said to be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.core import segmentation
from vya_backupdb.core.segmentation import DEFINITIONS, ROWS, Segmenter
from vya_backupdb.db.dump_reader import Cut, DumpReader
from vya_backupdb.db.mysql_dump import MySqlDumpReader
from vya_backupdb.db.postgresql_dump import PostgreSqlDumpReader


class Kept:
    """Segments in memory."""

    def __init__(self) -> None:
        self.segments: list[tuple[str, str, bytes, dict[str, int]]] = []
        self._open: tuple[str, str] | None = None
        self._data = b""

    def begin(self, kind: str, continued: str = "") -> None:
        assert self._open is None
        self._open, self._data = (kind, continued), b""

    def write(self, data: memoryview | bytes) -> None:
        self._data += bytes(data)

    def end(self, tables: dict[str, int]) -> None:
        assert self._open is not None
        self.segments.append((*self._open, self._data, dict(tables)))
        self._open = None

    @property
    def segment_bytes(self) -> int:
        return len(self._data)


class Reading:
    """A reader as a session shows it."""

    def __init__(self, reader: DumpReader) -> None:
        self.reader = reader

    def feed(self, chunk: bytes) -> Sequence[Cut]:
        return self.reader.feed(chunk)

    @property
    def settled(self) -> int:
        return self.reader.settled

    def rows_so_far(self, table: str) -> int:
        return self.reader.rows[table]

    def opening(self, table: str) -> str:
        return self.reader.opening(table)


def segmented(reader: DumpReader, dump: bytes, size: int) -> Kept:
    kept = Kept()
    segmenter = Segmenter(kept, Reading(reader))
    for start in range(0, len(dump), size):
        segmenter.feed(dump[start : start + size])
    segmenter.finish()
    return kept


def postgresql(tables: dict[str, list[str]]) -> bytes:
    made = ["--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n"]
    for name in tables:
        made.append(f"--\n-- Name: {name}; Type: TABLE; Schema: public; Owner: me\n--\n\n")
        made.append(f"CREATE TABLE public.{name} (c text);\n\n")
    for name, rows in tables.items():
        made.append(f"--\n-- Data for Name: {name}; Type: TABLE DATA; Schema: public; Owner: me\n--\n\n")
        made.append(f"COPY public.{name} (c) FROM stdin;\n" + "".join(f"{row}\n" for row in rows) + "\\.\n\n\n")
    made.append("--\n-- Name: i; Type: INDEX; Schema: public; Owner: me\n--\n\nCREATE INDEX i ON public.a (c);\n\n")
    made.append("--\n-- PostgreSQL database dump complete\n--\n\n")
    return "".join(made).encode()


def mysql(tables: dict[str, list[str]]) -> bytes:
    made = ["-- MariaDB dump 10.19\n/*!40101 SET NAMES utf8mb4 */;\n"]
    for name, rows in tables.items():
        made.append(f"CREATE TABLE `{name}` (\n  `c` text\n);\n/*!40000 ALTER TABLE `{name}` DISABLE KEYS */;\n")
        for start in range(0, len(rows), 3):
            quoted = ",\n".join("('" + row.replace("\\", "\\\\").replace("'", "\\'") + "')" for row in rows[start:][:3])
            made.append(f"INSERT INTO `{name}` VALUES\n{quoted};\n")
        made.append(f"/*!40000 ALTER TABLE `{name}` ENABLE KEYS */;\n")
    made.append("/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n-- Dump completed on 2026-01-01  1:01:01\n")
    return "".join(made).encode()


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 60)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 20)


NAMES = st.sampled_from(["a", "b", "c"])
ROW = st.text(st.sampled_from("ab';()\\`-\"$ "), max_size=30).map(lambda text: "r" + text.replace("\\", "/"))
TABLES = st.dictionaries(NAMES, st.lists(ROW, max_size=12), min_size=1)
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
    kept = segmented(reader(), dump, size)  # type: ignore[operator]
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
    for kind, continued, data, held in segmented(reader(), make(tables), size).segments:  # type: ignore[operator]
        again = reader()  # type: ignore[operator]
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
