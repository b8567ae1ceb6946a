# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys and indexes by several clients: each is made once, where it may be, and all else in the dump's order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmented_dumps import segmented

from vya_backupdb.core import load_plan, segmentation
from vya_backupdb.core.build_plan import BuildStatement, shares
from vya_backupdb.core.load_plan import LoadPlanner, Step
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.segment_load import _parts
from vya_backupdb.core.segmentation import ROWS
from vya_backupdb.db.loading import Build
from vya_backupdb.db.postgresql_loading import PostgreSqlLoading

LOADING = PostgreSqlLoading()
BEGIN = "\\restrict key\n\nSET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n"
KEY = "ALTER TABLE ONLY public.{0}\n    ADD CONSTRAINT {0}_pkey PRIMARY KEY (c);\n"
INDEX = "CREATE INDEX {0}_i ON public.{0} USING btree (c);\n"
HARMLESS = "COMMENT ON INDEX public.{0}_i IS 'CREATE INDEX x ON public.a USING btree (c);';\n"
SPACE = "SET default_tablespace = '{0}';\n"
VIEW = "CREATE VIEW public.v{0} AS SELECT 1;\n"
FOREIGN = "ALTER TABLE ONLY public.{0}\n    ADD CONSTRAINT f FOREIGN KEY (c) REFERENCES public.a(c);\n"


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 20)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 20)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)


def plan(*after: str, skip: bool = False) -> tuple[list[Step], list[bytes], list[Segment]]:
    """Return the steps of a dump with these statements after its rows, and its segments."""
    dump = BEGIN + "".join(f"CREATE TABLE public.{name} (c text);\n" for name in "ab")
    for name in "ab":
        dump += f"--\n-- Data for Name: {name}; Type: TABLE DATA; Schema: public; Owner: me\n--\n\n"
        dump += f"COPY public.{name} (c) FROM stdin;\n" + "row row row row row\n" * 9 + "\\.\n\n\n"
    dump += "".join(f"--\n-- Name: x; Type: X; Schema: public; Owner: me\n--\n\n{each}" for each in after)
    dump += "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict key\n\n"
    kept = segmented(LOADING.reader(), dump.encode(), 1000).segments
    segments = [Segment(kind, 0, len(data), len(data), 0, tables, more) for kind, more, data, tables in kept]
    planner = LoadPlanner(segments, LOADING)
    for segment, (_kind, _more, data, _tables) in zip(segments, kept, strict=True):
        if skip and segment.kind == ROWS:
            planner.skip()
        else:
            planner.feed(data)
    assert planner.rows == {"public.a": 9, "public.b": 9}
    return planner.steps(), [data for _kind, _more, data, _tables in kept], segments


def text(step: Step, contents: list[bytes]) -> bytes:
    """What the one client of a step is given, or several of one that builds together."""
    if step.builds:
        return step.settings + b"".join(each.settings + each.text for each in step.builds)
    pieces = [
        b"".join(_parts(iter([contents[number]]), step.parts[number])) if number in step.parts else contents[number]
        for number in step.segments
    ]
    return step.settings + b"".join(pieces)


def statements(content: bytes) -> list[str]:
    """The statements of a text, found in another way than the engine's."""
    lines = re.sub(r"^--.*\n", "", content.decode(), flags=re.M)
    return [each.strip() for each in re.split(r"(?<=;\n)|(?<=key\n)", lines) if each.strip()]


@pytest.mark.parametrize("skip", [False, True])
def test_keys_come_first_then_indexes_then_what_needs_them(skip: bool) -> None:
    steps, contents, _segments = plan(
        *(KEY.format(name) for name in "ab"),
        *(line.format(name) for name in "ab" for line in (INDEX, HARMLESS)),
        FOREIGN.format("b"),
        skip=skip,
    )
    before, keys, indexes, after = [step for step in steps[1:] if not step.shared]
    assert [each.build for each in keys.builds] == [Build("public.a", True), Build("public.b", True)]
    assert [each.build for each in indexes.builds] == [Build("public.a", False), Build("public.b", False)]
    assert statements(text(keys, contents))[-1] == KEY.format("b").strip()
    assert "INDEX" not in text(before, contents).decode()
    last = [each for each in statements(text(after, contents)) if not each.startswith(("SET", "SELECT", "\\restrict"))]
    assert last == [
        HARMLESS.format("a").strip(),
        HARMLESS.format("b").strip(),
        FOREIGN.format("b").strip(),
        "\\unrestrict key",
    ]


def test_each_client_has_the_settings_of_the_place() -> None:
    steps, contents, _segments = plan(
        SPACE.format("one"), INDEX.format("a"), SPACE.format("two"), INDEX.format("b"), VIEW.format(1)
    )
    (building,) = [step for step in steps if step.builds]
    assert building.settings.count(b"\\restrict key\n") == 1
    assert b"search_path" in building.settings
    assert [re.findall(r"tablespace = '(\w+)'", each.settings.decode()) for each in building.builds] == [
        ["one"],
        ["two"],
    ]
    assert all(b"\\restrict" not in each.settings for each in building.builds)
    content = text(steps[-1], contents).decode()
    assert content.count("\\restrict") == 1
    assert content.index("'one'") < content.index("'two'") < content.index("CREATE VIEW")


def test_what_an_index_may_need_is_made_before_it() -> None:
    steps, contents, _segments = plan(
        *(INDEX.format(name) for name in "ab"), VIEW.format(1), *(INDEX.format(name) for name in "ba")
    )
    kinds = [("build" if step.builds else "shared" if step.shared else "alone") for step in steps]
    assert kinds == ["alone", "shared", "alone", "build", "alone", "build", "alone"]
    assert b"CREATE VIEW" in text(steps[4], contents)
    assert b"CREATE VIEW" not in text(steps[6], contents)


def test_a_single_index_is_left_where_it_is() -> None:
    steps, _contents, _segments = plan(INDEX.format("a"))
    assert [step.shared for step in steps] == [False, True, False]
    assert not any(step.builds or step.parts for step in steps)


def test_a_setting_that_cannot_be_seen_whole_leaves_all_to_one_client() -> None:
    steps, _contents, _segments = plan(SPACE.format("x" * 300), *(INDEX.format(name) for name in "ab"))
    assert not any(step.builds for step in steps)


AFTER = st.lists(
    st.tuples(st.sampled_from([KEY, INDEX, HARMLESS, SPACE, VIEW, FOREIGN]), st.sampled_from("ab")).map(
        lambda pair: pair[0].format(pair[1])
    ),
    max_size=12,
)


@given(after=AFTER)
def test_nothing_is_lost_and_the_rest_keeps_its_order(after: list[str]) -> None:
    steps, contents, segments = plan(*after)
    made = [each.text for step in steps for each in step.builds]
    found = sorted(each for one in made for each in statements(one))
    alone = b"".join(
        text(step, contents)[len(step.settings) :] for step in steps if not step.builds and not step.shared
    )
    rest = statements(alone)
    rows = [number for step in steps if step.shared for number in step.segments]
    whole = [data for number, data in enumerate(contents) if number not in rows]
    expected = statements(b"".join(whole))
    assert sorted([*found, *rest]) == sorted(expected)
    remaining = list(found)
    kept = []
    for each in expected:  # the same without one for each that was made elsewhere
        if each in remaining and each not in rest:
            remaining.remove(each)
        else:
            kept.append(each)
    assert [each for each in rest if "INDEX" not in each and "PRIMARY" not in each] == [
        each for each in kept if "INDEX" not in each and "PRIMARY" not in each
    ]
    assert [number for number, segment in enumerate(segments) if segment.kind == ROWS] == rows


@pytest.mark.parametrize(
    ("statement", "build"),
    [
        (b"CREATE UNIQUE INDEX i ON public.t USING btree (a, b);", Build("public.t", False)),
        (b'CREATE INDEX "i ON x.y USING" ON ONLY "S ""1""".t USING gin (a);', Build('S "1".t', False)),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k UNIQUE (a);", Build("public.t", True)),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k EXCLUDE USING gist (a WITH &&);", Build("public.t", True)),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES public.u(a);", None),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k CHECK (a > 0) NOT VALID;", None),
        (b"ALTER TABLE ONLY public.p ATTACH PARTITION public.t DEFAULT;", None),
        (b"CREATE VIEW public.v AS SELECT 'CREATE INDEX i ON public.t USING btree (a)';", None),
    ],
)
def test_what_makes_something_of_rows(statement: bytes, build: Build | None) -> None:
    assert LOADING.build(statement) == build


@pytest.mark.parametrize(
    ("statement", "follows"),
    [
        (b"COMMENT ON INDEX public.i IS 'x';", True),
        (b"ALTER TABLE public.t CLUSTER ON i;", True),
        (b"ALTER TABLE ONLY public.t REPLICA IDENTITY USING INDEX i;", True),
        (b"ALTER INDEX public.i ATTACH PARTITION public.j;", True),
        (b"ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;", False),
        (b"COMMENT ON TABLE public.t IS 'x';", False),
    ],
)
def test_what_may_as_well_come_after_indexes(statement: bytes, follows: bool) -> None:
    assert LOADING.follows_builds(statement) is follows


def statement(table: str, alone: bool = False) -> BuildStatement:
    return BuildStatement(Build(table, alone), table.encode(), b"", len(table))


def test_clients_have_about_as_much_to_do() -> None:
    builds = [*(statement("small") for _ in range(9)), statement("large"), statement("middle")]
    first, second = shares(builds, {"large": 1000, "middle": 900, "small": 10}, 2)
    assert [each.build.table for each in first] == ["large"]
    assert [each.build.table for each in second] == ["middle", *["small"] * 9]


def test_what_locks_its_table_is_made_by_one_client_in_its_order() -> None:
    builds = [statement("a", alone=True), statement("b", alone=True), statement("a", alone=True)]
    assert sorted(len(share) for share in shares(builds, {"a": 5, "b": 5}, 3)) == [1, 2]
    assert len(shares(builds[:1], {}, 8)) == 1
