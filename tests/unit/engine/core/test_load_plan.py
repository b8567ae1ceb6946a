# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sharing a dump among clients: every row is loaded once, in a session like the dump's own, and in a right order."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmented_dumps import TABLES, mysql, mysql_in_calls, postgresql, segmented

from vya_backupdb.core import load_plan, segmentation
from vya_backupdb.core.load_plan import LoadPlanner, Step, rows_statement
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.segmentation import ROWS
from vya_backupdb.db.loading import Loading
from vya_backupdb.db.mysql_loading import MySqlLoading
from vya_backupdb.db.postgresql_loading import PostgreSqlLoading

MYSQL, POSTGRESQL = MySqlLoading(dollar_quotes=False), PostgreSqlLoading()
FORMS: dict[str, tuple[Callable[[dict[str, list[str]]], bytes], Loading]] = {
    "postgresql": (postgresql, POSTGRESQL),
    "mysql": (mysql, MYSQL),
    "mysql in calls": (mysql_in_calls, MYSQL),
}


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 60)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 20)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)


class Shared:
    """A dump, its segments, and the steps in which it would be loaded."""

    def __init__(self, dump: bytes, loading: Loading, size: int = 50, pieces: int = 30) -> None:
        self.loading = loading
        kept = segmented(loading.reader(), dump, size).segments
        self.contents = [data for _kind, _continued, data, _tables in kept]
        ends = list(accumulate(len(data) for data in self.contents))
        self.segments = [
            Segment(kind, end - len(data), len(data), len(data), 0, tables, continued)
            for (kind, continued, data, tables), end in zip(kept, ends, strict=True)
        ]
        planner = LoadPlanner(self.segments, loading)
        for data in self.contents:
            for start in range(0, len(data), pieces):
                planner.feed(data[start : start + pieces])
        self.steps = planner.steps()

    def alone(self, step: Step) -> bytes:
        """What the one client of a step is given."""
        return step.settings + b"".join(self.contents[number] for number in step.segments)

    def share(self, step: Step, number: int) -> bytes:
        """What a client is given that takes one segment of a step."""
        before, after = self.loading.rows(*rows_statement(self.segments, number))
        return step.settings + self.loading.beginning() + before + self.contents[number] + after

    def sessions(self) -> list[bytes]:
        """What each client is given if each takes one segment."""
        texts: list[bytes] = []
        for step in self.steps:
            texts += [self.share(step, n) for n in step.segments] if step.shared else [self.alone(step)]
        return texts


def loaded_rows(texts: list[bytes], form: str) -> dict[str, list[str]]:
    """Return the rows of each table that clients load, found in another way than the engine's."""
    found: dict[str, list[str]] = {}
    for text in texts:
        if form == "postgresql":
            for name, rows in re.findall(
                r"^COPY public\.(\w) \(c\) FROM stdin;\n(.*?)^\\\.\n", text.decode(), re.M | re.S
            ):
                found.setdefault(name, []).extend(rows.splitlines())
            continue
        for name, values in re.findall(
            r"^INSERT INTO `(\w)` VALUES\n(.*?)\);\n(?=[^(]|\Z)", text.decode(), re.M | re.S
        ):
            rows = re.findall(r"\('((?:[^'\\]|\\.)*)'", values + ")")
            found.setdefault(name, []).extend(row.replace("\\'", "'").replace("\\\\", "\\") for row in rows)
    return found


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(5, 400), pieces=st.integers(1, 200))
def test_every_row_is_loaded_once(form: str, tables: dict[str, list[str]], size: int, pieces: int) -> None:
    make, loading = FORMS[form]
    shared = Shared(make(tables), loading, size, pieces)
    assert sorted(n for step in shared.steps for n in step.segments) == list(range(len(shared.segments)))
    expected = {name: rows for name, rows in tables.items() if rows}
    assert {name: rows for name, rows in loaded_rows(shared.sessions(), form).items() if rows} == expected


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(5, 400))
def test_what_each_client_is_given_is_whole(form: str, tables: dict[str, list[str]], size: int) -> None:
    make, loading = FORMS[form]
    for text in Shared(make(tables), loading, size).sessions():
        reader = loading.reader()
        reader.feed(text + b"--\n")
        assert reader.between_statements


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(5, 400))
def test_only_what_can_wait_is_loaded_after_rows_that_it_stood_before(
    form: str, tables: dict[str, list[str]], size: int
) -> None:
    make, loading = FORMS[form]
    shared = Shared(make(tables), loading, size)
    order = [number for step in shared.steps for number in step.segments]
    for place, number in enumerate(order):
        later = [other for other in order[:place] if other > number]
        if later:
            assert shared.segments[number].kind != ROWS
            assert {shared.segments[other].kind for other in later} == {ROWS}
            heard: list[bytes] = []
            reader = loading.reader()
            reader.tell = heard.append
            reader.feed(shared.contents[number] + b"-- \n")
            assert all(loading.can_wait(statement) for statement in heard)


def session_after(loading: Loading, text: bytes) -> dict[str, str]:
    """Return what a session of MySQL has set after some SQL, beginning with the server's defaults."""
    session: dict[str, str] = {}
    heard: list[bytes] = []
    reader = loading.reader()
    reader.tell = heard.append
    reader.feed(text + b"-- \n")
    for statement in heard:
        found = re.search(rb"\bSET (?!NAMES)([^*;]*)", statement)
        names = re.search(rb"SET NAMES (\w+)", statement)
        if names:
            session["@@CHARACTER_SET_CLIENT"] = names.group(1).decode()
        for part in (found.group(1).decode().split(",") if found else []):
            name, _, value = (word.strip() for word in part.partition("="))
            name = name.upper() if name.startswith("@") else f"@@{name.upper()}"
            session[name] = session.get(value.upper(), f"default {value}") if value.startswith("@") else value
    return session


@given(tables=TABLES, size=st.integers(5, 400))
def test_sessions_have_what_the_dumps_own_has_at_that_place(tables: dict[str, list[str]], size: int) -> None:
    shared = Shared(mysql_in_calls(tables), MYSQL, size)
    for step in shared.steps[1:]:
        place = min(step.segments) if step.shared else max(n for s in shared.steps if s.shared for n in s.segments) + 1
        if step.shared:
            before = b"".join(shared.contents[:place])
            assert session_after(MYSQL, step.settings) == session_after(MYSQL, before)
    # The client that goes on ends as one that runs all of it.
    whole = session_after(MYSQL, b"".join(shared.contents))
    assert session_after(MYSQL, shared.alone(shared.steps[-1])) == whole


def test_other_statements_part_the_rows_before_from_those_after() -> None:
    shared = Shared(mysql({"a": ["x" * 50] * 9, "b": ["y" * 50] * 9}), MYSQL)
    assert [step.shared for step in shared.steps] == [False, True, False, True, False]
    assert b"CREATE TABLE `b`" in shared.alone(shared.steps[2])
    assert shared.steps[3].settings == shared.steps[1].settings == b"/*!40101 SET NAMES utf8mb4 */;\n"


def test_framed_rows_of_all_tables_are_one_step() -> None:
    shared = Shared(mysql_in_calls({"a": ["x" * 50] * 9, "b": ["y" * 50] * 9}), MYSQL)
    assert [step.shared for step in shared.steps] == [False, True, False]
    settings = shared.steps[1].settings
    assert settings.startswith(b"/*M!999999\\- enable the sandbox mode */")  # bars commands of the client's own
    assert b"SET NAMES binary" in settings
    assert b"utf8mb4" not in settings  # of the call before
    assert shared.steps[2].settings == settings
    last = shared.alone(shared.steps[2])
    assert last.index(b"TABLE `a` ENABLE KEYS") < last.index(b"TABLE `b` DISABLE KEYS") < last.index(b"CREATE TRIGGER")


def test_little_is_loaded_by_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 10_000)
    shared = Shared(postgresql({"a": ["x" * 50] * 9}), POSTGRESQL)
    assert shared.steps == [Step(tuple(range(len(shared.segments))), False, b"")]


def test_an_artifact_that_was_not_cut_is_loaded_by_one_client() -> None:
    planner = LoadPlanner([Segment("dump", 0, 9, 9), Segment("postamble", 9, 9, 9)], POSTGRESQL)
    planner.feed(b"SELECT 1;")
    planner.feed(b"SELECT 2;")
    assert planner.steps() == [Step((0, 1), False, b"")]


def test_settings_that_cannot_be_seen_whole_are_not_handed_on() -> None:
    dump = postgresql({"a": ["x" * 50] * 9}).replace(b"'UTF8'", b"'" + b"x" * 1000 + b"'")
    assert [step.shared for step in Shared(dump, POSTGRESQL).steps] == [False]


def test_the_commands_that_bar_the_clients_own_hold_for_all_clients() -> None:
    dump = postgresql({"a": ["x" * 50] * 9}).replace(b"SET client", b"\\restrict abc\n\nSET client")
    shared = Shared(dump, POSTGRESQL)
    assert shared.steps[1].shared
    assert shared.steps[1].settings.split() == [b"\\restrict", b"abc", *b"SET client_encoding = 'UTF8';".split()]


@pytest.mark.parametrize(
    ("statement", "sets"),
    [
        (b"/*!40101 SET NAMES binary */;", True),
        (b"/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;", True),
        (b"SET @@SESSION.SQL_LOG_BIN= 0;", True),
        (b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n--\n/*!40101 SET @OLD_X=@@X */;", True),
        (b"SET GLOBAL general_log=0;", False),
        (b"SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'x';", False),
        (b"SELECT 'SET NAMES binary';", False),
        (b"CREATE TABLE t (c text COMMENT 'SET NAMES');", False),
    ],
)
def test_what_sets_something_for_a_session_of_mysql(statement: bytes, sets: bool) -> None:
    assert MYSQL.sets(statement) is sets


@pytest.mark.parametrize(
    ("statement", "waits"),
    [
        (b"/*!40000 ALTER TABLE `a``b` DISABLE KEYS */;", True),
        (b"/*!40000 ALTER TABLE `a` ENABLE KEYS */;", True),
        (b"COMMIT;", True),
        (b"set autocommit=0;", True),
        (b"SET @OLD_AUTOCOMMIT=@@AUTOCOMMIT, @@AUTOCOMMIT=0;", True),
        (b"SET AUTOCOMMIT=@OLD_AUTOCOMMIT;", True),
        (b"/*!40101 SET NAMES utf8mb4 */;", False),
        (b"/*!40000 ALTER TABLE `a` ADD c int, DISABLE KEYS */;", False),
        (b"SET @@system_versioning_insert_history=1;", False),
    ],
)
def test_what_can_wait_until_after_the_rows_of_mysql(statement: bytes, waits: bool) -> None:
    assert MYSQL.can_wait(statement) is waits
