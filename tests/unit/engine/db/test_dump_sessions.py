# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps are compared with what the server has, and say where in its log they stand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from vya_backupdb.db.base import DumpPlan, Inspection, Server
from vya_backupdb.db.mysql_inspection import Query
from vya_backupdb.db.mysql_position import Point, current_point, position_of
from vya_backupdb.db.mysql_session import MySqlDumpSession
from vya_backupdb.db.postgresql_inventory import KINDS, ROWS, Expected, Objects
from vya_backupdb.db.postgresql_session import PostgreSqlDumpSession, Snapshot, take_snapshot
from vya_backupdb.errors import DumpError, ServerError
from vya_backupdb.utils.processes import Command

NO_LOG = Point(reason="no log")


def plan(program: str) -> DumpPlan:
    return DumpPlan((Command((program,)),), "1", "", "", "")


MYSQL_KINDS = ("table", "view", "sequence", "trigger", "routine", "event")


def inventory(**names: list[str]) -> dict[str, list[str]]:
    return {kind: names.get(kind, []) for kind in MYSQL_KINDS}


class FakeMySql:
    """A server that answers what the session asks, by the catalogue it asks."""

    def __init__(self, after: Mapping[str, list[str]], engines: Mapping[str, str] | None = None) -> None:
        self.after = after
        self.engines = engines or {}
        self.offset = 100
        self.columns = {"a": (1, 7)}

    @contextlib.contextmanager
    def connected(self) -> Iterator[Query]:
        yield self.answer

    def answer(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        if "CRC32" in statement:
            return [(name, *found) for name, found in self.columns.items()]
        if "ENGINE" in statement:
            return list(self.engines.items())
        if "log_bin" in statement:
            return [(1,)]
        if "STATUS" in statement:
            self.offset += 1
            return [("binlog.000002", self.offset, "", "", "uuid:1-9")]
        if statement.startswith("SELECT CONVERT("):
            assert parameters is not None
            return [(parameters["name"].decode("latin-1"),)]
        types = {"table": "BASE TABLE", "view": "VIEW", "sequence": "SEQUENCE"}
        return [(types.get(kind, kind), name.encode()) for kind, names in self.after.items() for name in names]


def session(before: dict[str, list[str]], server: FakeMySql, point: Point = NO_LOG) -> MySqlDumpSession:
    return MySqlDumpSession(
        server.connected,
        Server("mysql", "8.4.0", (8, 4, 0)),
        "shop",
        Inspection({}, before, 0, columns={"a": "1/7"}),
        plan("mysqldump"),
        point,
    )


def table(name: str, rows: str = "") -> bytes:
    text = f"CREATE TABLE `{name}` (\n a int\n);\n/*!40000 ALTER TABLE `{name}` DISABLE KEYS */;\n{rows}"
    return text.encode()


def test_what_was_there_before_and_after_must_be_in_a_dump_of_mysql() -> None:
    both = inventory(table=["a", "b"], view=["v"], event=["gone"])
    watching = session(both, FakeMySql({**both, "event": []}))
    watching.feed(table("a", "INSERT INTO `a` VALUES (1),(2);\n"))
    with pytest.raises(DumpError, match=r"mysqldump left out what the server has: table b, view v\."):
        watching.conclude()


def test_what_is_in_a_dump_of_mysql_must_have_been_there() -> None:
    watching = session(inventory(table=["a"]), FakeMySql(inventory(table=["a", "b"])))
    watching.feed(table("a") + table("b") + table("c"))
    with pytest.raises(DumpError, match=r"wrote what the server does not have: table c\."):
        watching.conclude()


def test_a_dump_of_mysql_that_agrees_says_what_it_holds() -> None:
    before = inventory(table=["a", "merged", "dropped"], routine=["function f"])
    after = inventory(table=["a", "merged", "new"], routine=["function f"])
    watching = session(before, FakeMySql(after, {"merged": "MRG_MyISAM", "a": "InnoDB"}))
    watching.feed(table("a", "INSERT INTO `a` VALUES (1),(2);\n") + table("new") + b"CREATE TABLE `merged` (\n);\n")
    watching.feed(b"DELIMITER ;;\nCREATE DEFINER=`x`@`y` AGGREGATE FUNCTION `f`(x int) RETURNS int\nBEGIN END ;;\n")
    facts = watching.conclude()
    assert facts.inventory == inventory(table=["a", "merged", "new"], routine=["function f"])
    assert facts.rows == {"a": 2, "new": 0}
    assert facts.row_counts["approximate"] is False
    assert list(facts.row_counts["left_out"]) == ["merged"]
    assert facts.position == {"type": None, "reason": "no log"}


def test_definitions_that_change_between_those_and_the_rows_are_noticed() -> None:
    both = inventory(table=["a"])
    server = FakeMySql(inventory(table=["a", "new"]))
    watching = session(both, server)
    watching.feed(table("a") + b"INSERT INTO `new` VALUES (1);\n")
    server.columns = {"a": (2, 8), "new": (1, 9)}
    with pytest.raises(DumpError, match=r"not have: the rows of table new, table a with other columns\."):
        watching.conclude()


def test_a_table_of_mysql_without_its_rows_is_noticed() -> None:
    both = inventory(table=["a"])
    watching = session(both, FakeMySql(both, {"a": "InnoDB"}))
    watching.feed(b"CREATE TABLE `a` (\n a int\n);\n")
    with pytest.raises(DumpError, match="left out what the server has: the rows of table a"):
        watching.conclude()


def test_rows_that_may_be_miscounted_are_said_to_be() -> None:
    both = inventory(table=["a"])
    watching = session(both, FakeMySql(both))
    watching.feed(table("a", "INSERT INTO `a` VALUES (1); SELECT 1;\n"))
    facts = watching.conclude()
    assert facts.row_counts["approximate"] is True
    assert facts.row_counts["reason"]


@pytest.mark.parametrize("written", ["é".encode(), "é".encode("latin-1")])
def test_names_in_the_character_set_of_a_body_are_recognised(written: bytes) -> None:
    both = inventory(trigger=["trg_é"])
    watching = session(both, FakeMySql(both))
    watching.feed(
        b"/*!50003 SET character_set_client  = latin1 */ ;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`x`@`y`*/"
        b" /*!50003 TRIGGER `trg_" + written + b"` BEFORE INSERT ON t FOR EACH ROW SET @a=1 */;;\n"
    )
    assert watching.conclude().inventory["trigger"] == ["trg_é"]


def test_the_position_of_mysql_is_asked_for_before_and_right_after_the_snapshot() -> None:
    both = inventory(table=["a"])
    server = FakeMySql(both)
    before = current_point(server.answer, Server("mysql", "8.4.0", (8, 4, 0)))
    watching = session(both, server, before)
    watching.feed(b"-- MySQL dump\n")
    server.offset = 150
    watching.feed(table("a"))
    server.offset = 999
    position = watching.conclude().position
    assert (position["from"]["offset"], position["to"]["offset"]) == (101, 151)
    assert position["from"]["gtid"] == "uuid:1-9"
    assert position["approximate"] is True


def test_a_position_that_did_not_move_is_exact() -> None:
    point = Point("binlog.000002", 4, "uuid:1-9")
    position = position_of([], point, point)
    assert position["approximate"] is False
    assert position["from"] == position["to"] == {"file": "binlog.000002", "offset": 4, "gtid": "uuid:1-9"}


def test_the_position_that_mariadb_noted_for_its_snapshot_is_exact() -> None:
    remarks = [
        "-- CHANGE MASTER TO MASTER_LOG_FILE='bin.7', MASTER_LOG_POS=328;",
        "-- SET GLOBAL gtid_slave_pos='0-1-7';",
    ]
    position = position_of(remarks, Point("bin.7", 1), Point("bin.7", 900))
    assert position["approximate"] is False
    assert position["from"] == position["to"] == {"file": "bin.7", "offset": 328, "gtid": "0-1-7"}


def test_why_a_position_is_not_known_is_said() -> None:
    mariadb, mysql = Server("mariadb", "11.8.3", (11, 8, 3)), Server("mysql", "8.0.40", (8, 0, 40))

    def refuse(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if "log_bin" in statement:
            return [(1,)]
        raise ServerError("The account lacks a privilege.")

    assert "no binary log" in current_point(lambda *_: [(0,)], mariadb).reason
    assert "lacks a privilege" in current_point(refuse, mysql).reason
    silent = {"SELECT @@GLOBAL.log_bin": [("ON",)], "SHOW MASTER STATUS": []}
    assert current_point(lambda statement: silent[statement], mysql).reason


def test_mariadb_says_where_its_log_stands_without_a_privilege() -> None:
    def answer(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if "SHOW STATUS" in statement:
            return [("Binlog_snapshot_file", "bin.000001"), ("Binlog_snapshot_position", "774")]
        return [("0-1-3",)] if "gtid" in statement else [("1",)]

    assert current_point(answer, Server("mariadb", "11.8.3", (11, 8, 3))) == Point("bin.000001", 774, "0-1-3")


SNAPSHOT = Snapshot("1-1", "5:5:", ("0/1", 1), ("0/1", 1))
FOOTER = b"--\n-- PostgreSQL database dump complete\n--\n\n"


def expected(kind: str, name: str, entry: str, *, required: bool = True) -> Expected:
    return Expected(kind, name, entry, required)


PUBLIC_FILM = (
    expected("table", "public.film", "film; Type: TABLE; Schema: public"),
    expected(ROWS, "public.film", "film; Type: TABLE DATA; Schema: public"),
)


def watch(*objects: Expected, large: frozenset[int] = frozenset()) -> PostgreSqlDumpSession:
    known = Objects(objects, large, ())
    return PostgreSqlDumpSession(Inspection({}, known.inventory(), 0), plan("pg_dump"), known, SNAPSHOT)


def entry(said: str, owner: str = "me", label: str = "") -> bytes:
    return f"--\n-- {label}Name: {said}; Owner: {owner}\n--\n\n".encode()


FILM = entry("film; Type: TABLE; Schema: public") + b"CREATE TABLE public.film (\n);\n"
FILM_ROWS = (
    entry("film; Type: TABLE DATA; Schema: public", label="Data for ")
    + b"COPY public.film (a) FROM stdin;\n1\n2\n\\.\n\n"
)


def test_a_dump_of_postgresql_that_agrees_says_what_it_holds() -> None:
    watching = watch(
        *PUBLIC_FILM,
        expected("schema", "public", "public; Type: SCHEMA; Schema: -", required=False),
        expected("foreign_table", "public.far", "far; Type: FOREIGN TABLE; Schema: public"),
        expected("table", "public.parted", "parted; Type: TABLE; Schema: public"),
        large=frozenset([7]),
    )
    watching.feed(
        FILM + entry("far; Type: FOREIGN TABLE; Schema: public") + entry("parted; Type: TABLE; Schema: public")
    )
    watching.feed(b"SELECT pg_catalog.lo_create('7');\n" + FILM_ROWS + b"SELECT pg_catalog.lo_open('7', 131072);\n")
    watching.feed(entry("TABLE film; Type: COMMENT; Schema: public") + FOOTER)
    assert watching.unfinished() == ""
    facts = watching.conclude()
    assert facts.rows == {"public.film": 2}
    assert facts.inventory["schema"] == ["public"]
    assert facts.inventory["large_object"] == ["7"]
    assert set(facts.inventory) == set(KINDS)
    assert set(facts.row_counts["left_out"]) == {"public.far", "public.parted"}
    assert facts.position["approximate"] is False


@pytest.mark.parametrize(
    ("dump", "missing"),
    [
        (FILM_ROWS, r"table public\.film\."),
        (FILM, r"the rows of table public\.film\."),
        (b"", r"table public\.film, the rows of table public\.film\."),
    ],
)
def test_what_a_dump_of_postgresql_lacks_is_named(dump: bytes, missing: str) -> None:
    watching = watch(*PUBLIC_FILM)
    watching.feed(dump)
    with pytest.raises(DumpError, match=f"pg_dump left out what the server has: {missing}"):
        watching.conclude()


def test_large_objects_without_content_are_named() -> None:
    watching = watch(large=frozenset([7, 8]))
    watching.feed(b"SELECT pg_catalog.lo_create('7');\n")
    with pytest.raises(DumpError, match="large object 8, the content of large object 7"):
        watching.conclude()


def test_what_the_server_does_not_have_is_named() -> None:
    watching = watch(*PUBLIC_FILM)
    watching.feed(FILM + FILM_ROWS + entry("other; Type: VIEW; Schema: public"))
    with pytest.raises(DumpError, match="wrote what the server does not have: other; Type: VIEW; Schema: public"):
        watching.conclude()


def test_names_that_look_like_the_dumps_own_words_do_not_mislead() -> None:
    odd = "film; Type: VIEW; Schema: x; Owner: y"
    watching = watch(
        expected("table", f"public.{odd}", f"{odd}; Type: TABLE; Schema: public"),
        expected("schema", "s", "s; Type: SCHEMA; Schema: -"),
        expected("schema", "s; Owner: t", "s; Owner: t; Type: SCHEMA; Schema: -"),
    )
    watching.feed(
        entry(f"{odd}; Type: TABLE; Schema: public", "a; Owner: b")
        + entry(f"TABLE {odd}; Type: COMMENT; Schema: public", "a; Owner: b")
        + entry("s; Type: SCHEMA; Schema: -", "s; Owner: t; Type: SCHEMA; Schema: -")
        + entry("s; Owner: t; Type: SCHEMA; Schema: -")
    )
    assert watching.conclude().inventory["table"] == [f"public.{odd}"]


def test_two_objects_that_a_dump_names_alike_must_both_be_there() -> None:
    same = "a b; Type: VIEW; Schema: public"
    objects = (expected("view", "public.a b", same), expected("view", "public.a\nb", same))
    watching = watch(*objects)
    watching.feed(entry(same))
    with pytest.raises(DumpError, match="left out"):
        watching.conclude()
    watching = watch(*objects)
    watching.feed(entry(same) * 2)
    assert watching.conclude().inventory["view"] == ["public.a\nb", "public.a b"]


def test_a_snapshot_is_taken_between_two_looks_at_the_log() -> None:
    asked: list[str] = []

    def answer(statement: str) -> list[tuple[Any, ...]]:
        asked.append(statement)
        if "pg_export_snapshot" in statement:
            return [("0000-1", "7:9:8")]
        return [(f"0/{len(asked)}", 1)] if "lsn" in statement else []

    snapshot = take_snapshot(answer)
    assert snapshot.name == "0000-1"
    assert asked.index("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") not in (0, len(asked) - 1)
    position = snapshot.position()
    assert (position["from"]["lsn"], position["to"]["lsn"]) == ("0/1", f"0/{len(asked)}")
    assert position["approximate"] is True
    assert position["transactions"] == "7:9:8"


def test_a_server_that_does_not_tell_its_position_is_backed_up_all_the_same() -> None:
    def answer(statement: str) -> list[tuple[Any, ...]]:
        if "lsn" in statement:
            raise ServerError("function is not supported.")
        return [("0000-1", "7:7:")] if "pg_export_snapshot" in statement else []

    position = take_snapshot(answer).position()
    assert position["type"] is None
    assert "not supported" in position["reason"]
