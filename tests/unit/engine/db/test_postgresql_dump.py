# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps of PostgreSQL are understood in passing, whatever is in them and wherever they are cut into pieces."""

from __future__ import annotations

import tracemalloc

import pytest
from hostile_dumps import Dump, check_any_cut_off_is_noticed, hostile, read
from hypothesis import given, settings
from hypothesis import strategies as st

from vya_backupdb.db.postgresql_dump import PostgreSqlDumpReader

HEADER = (
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict 3twctmrqNuhfmMEbk1\n\n-- Dumped from database version 17.12\n\n"
    "SET statement_timeout = 0;\nSET standard_conforming_strings = on;\n\n"
)
FOOTER = "--\n-- PostgreSQL database dump complete\n--\n\n"
RELEASE = "\\unrestrict 3twctmrqNuhfmMEbk1\n\n"
PIECES = st.lists(st.integers(1, 60), min_size=1, max_size=6)

names = hostile.map(lambda text: text.replace("\0", "")[:60] or "n")


def name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def escaped_literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def dollar_literal(text: str) -> str:
    tag = "$_$"
    while tag[:-1] in text:
        tag = f"{tag[:-1]}x$"
    return tag + text + tag


def sanitized(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ")


def entry(label: str, called: str, kind: str, schema: str, owner: str) -> tuple[str, str]:
    said = sanitized(f"{called}; Type: {kind}; Schema: {schema}; Owner: {owner}")
    return f"--\n-- {label}Name: {said}\n--\n\n", said.encode().decode("latin-1")


def copied(value: str | None) -> str:
    if value is None:
        return "\\N"
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


cells = st.one_of(st.none(), hostile.map(lambda text: text.replace("\0", "")))
texts = hostile.map(lambda text: text.replace("\0", ""))
expressions = st.one_of(
    texts.map(text_literal),
    texts.map(escaped_literal),
    texts.map(name),
    st.sampled_from(
        ["$1", "a - b", "a / b", "date '2020-01-01'", "somee'x'", "B'01'", "a.begin", "CASE WHEN a THEN b END"]
    ),
)


@st.composite
def definition(draw: st.DrawFn) -> tuple[str, str]:
    """A statement and the type of its object."""
    called, text, expression = draw(names), draw(texts), draw(expressions)
    steps = "".join(f"  SELECT {each};\n" for each in draw(st.lists(expressions, max_size=3)))
    steps += " SELECT CASE WHEN true THEN 1 ELSE 2 END AS x;\n"
    remark = text.replace("/*", "").replace("*/", "")
    forms = {
        "VIEW": f"CREATE VIEW public.{name(called)} AS\n SELECT {expression} AS x,\n (1 + (2)) AS y;\n",
        "TABLE": f"CREATE TABLE public.{name(called)} (\n    a text DEFAULT {expression}\n);\n",
        "COMMENT": f"COMMENT ON TABLE public.{name(called)} IS {text_literal(text)};\n",
        "FUNCTION": f"CREATE FUNCTION public.f(a text) RETURNS text\n LANGUAGE sql\n AS {dollar_literal(text)};\n",
        "ATOMIC": f'CREATE FUNCTION public.f("begin" int) RETURNS int\n BEGIN ATOMIC\n{steps}END;\n',
        "PROCEDURE": "CREATE PROCEDURE public.p()\n LANGUAGE sql\n BEGIN ATOMIC\nEND;\n",
        # psql takes this name for the beginning of another block; what follows must be seen all the same.
        "UNCLOSED": "CREATE FUNCTION public.f() RETURNS int\n BEGIN ATOMIC\n SELECT t.begin;\nEND;\n",
        "RULE": f"CREATE RULE r AS ON INSERT TO t DO INSTEAD (SELECT {expression};\n SELECT 2;\n);\n",
        "BLOBS": f"SELECT pg_catalog.lowrite(0, '\\x00ff');\n/* a /* nested */ ; {remark} */\nSELECT 1;\n",
    }
    kind = draw(st.sampled_from(sorted(forms)))
    return forms[kind], kind


@st.composite
def dumps(draw: st.DrawFn) -> Dump:
    text, dump = HEADER, Dump(b"")
    for statement, kind in draw(st.lists(definition(), max_size=5)):
        remark, said = entry("", draw(names), kind, draw(names), draw(names))
        text += remark + statement + "\n\n"
        dump.defined.append(said)
    for number in range(draw(st.integers(0, 4))):
        remark, said = entry("Data for ", f"t{number}{draw(names)}", "TABLE DATA", draw(names), draw(names))
        columns = draw(st.lists(names, max_size=3))
        lines = draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)), max_size=6))
        text += f"{remark}COPY public.{name(draw(names))} ({', '.join(map(name, columns))}) FROM stdin;\n"
        dump.begins[said] = len(text.encode())
        text += "".join("\t".join(map(copied, line)) + "\n" for line in lines) + "\\.\n\n\n"
        dump.rows[said] = len(lines)
    dump.data = (text + FOOTER + draw(st.sampled_from(["", RELEASE]))).encode()
    return dump


@settings(max_examples=300)
@given(dumps(), PIECES)
def test_a_dump_is_understood_whatever_is_in_it(dump: Dump, sizes: list[int]) -> None:
    following = PostgreSqlDumpReader()
    cuts = read(following, dump.data, sizes)

    assert following.unfinished() == ""
    assert following.rows == dump.rows
    assert following.entries == dump.defined
    assert {cut.table for cut in cuts if cut.table is not None} == dump.rows.keys()
    for cut in cuts:
        if cut.table is None:
            assert dump.data[: cut.offset].endswith(b"\n\\.\n")
        elif cut.offset < dump.begins[cut.table]:
            assert dump.data[cut.offset :].startswith(b"COPY ")
        else:
            assert dump.data[cut.offset - 1 : cut.offset] == b"\n"
            assert dump.data.count(b"\n", dump.begins[cut.table], cut.offset) == cut.rows


@settings(max_examples=200)
@given(dumps(), st.integers(0, 1_000_000))
def test_any_cut_off_is_noticed(dump: Dump, at: int) -> None:
    end = dump.data.index(FOOTER.encode(), len(dump.data) - len(FOOTER) - len(RELEASE)) + len(FOOTER) - len("--\n\n")
    check_any_cut_off_is_noticed(PostgreSqlDumpReader, dump.data[:end], at)


def test_a_marker_in_a_row_is_not_the_end() -> None:
    begin = (
        HEADER
        + "--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: me\n--\n\nCOPY public.t (a) FROM stdin;\n"
    )
    for text in (begin + FOOTER, begin + "x\n" + FOOTER, HEADER + "COMMENT ON TABLE t IS '\n" + FOOTER):
        following = PostgreSqlDumpReader()
        following.feed(text.encode())
        assert following.unfinished()


@pytest.mark.parametrize(
    "after", ["SELECT 1;\n", "-- and more\n", "\\connect x\n", "x", HEADER + "SELECT 1;\n" + FOOTER + RELEASE]
)
def test_nothing_follows_the_end(after: str) -> None:
    following = PostgreSqlDumpReader()
    following.feed((HEADER + FOOTER + RELEASE).encode())
    assert following.unfinished() == ""
    following.feed(after.encode())
    assert following.unfinished()


def test_where_a_dump_stopped_is_said() -> None:
    data = "--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: me\n--\n\nCOPY public.t FROM stdin;\n1\n"
    for text, where in ((data, "in the data of t; Type: TABLE DATA"), ("CREATE TABLE t (", "in a statement")):
        following = PostgreSqlDumpReader()
        following.feed((HEADER + text).encode())
        assert following.unfinished().startswith(where)


def test_a_body_that_is_ended_by_the_next_comment_may_end_with_a_piece() -> None:
    body = (
        b"--\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: me\n--\n\nCREATE FUNCTION public.f() RETURNS int\n"
    )
    body += b" BEGIN ATOMIC\n SELECT t.begin;\nEND;\n\n\n"
    reader = PostgreSqlDumpReader()
    reader.feed(body)
    reader.feed(b"--\n-- PostgreSQL database dump complete\n--\n\n")
    assert reader.unfinished() == ""


def test_large_objects_are_seen_with_and_without_content() -> None:
    following = PostgreSqlDumpReader()
    read(
        following,
        b"SELECT pg_catalog.lo_create('500001');\nSELECT pg_catalog.lo_create('500002');\n"
        b"BEGIN;\n\nSELECT pg_catalog.lo_open('500001', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00');\nCOMMIT;\n",
        [11],
    )
    assert following.large_objects == {500001, 500002}
    assert following.large_objects_with_data == {500001}


def test_statements_and_rows_of_any_length_are_read_in_constant_memory() -> None:
    following = PostgreSqlDumpReader()
    chunk = b"''\\\\" * 250_000
    tracemalloc.start()
    for begin, end in (
        (
            "--\n-- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: o\n--\n\nCOPY public.t (a) FROM stdin;\n",
            "\n\\.\n",
        ),
        ("COMMENT ON TABLE t IS '", "';\n"),
        ("SELECT E'", "';\n"),
        ("CREATE FUNCTION f() AS $$", "$$;\n"),
        ("-- ", "\n;\n"),
    ):
        following.feed(begin.encode())
        for _ in range(8):
            following.feed(chunk)
        following.feed(end.encode())
    following.feed(FOOTER.encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert following.unfinished() == ""
    assert peak < 20_000_000
