# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps of MySQL and MariaDB are understood in passing, whatever is in them and wherever they are cut into pieces."""

from __future__ import annotations

import tracemalloc

import pytest
from hostile_dumps import Dump, check_any_cut_off_is_noticed, hostile, read
from hypothesis import given, settings
from hypothesis import strategies as st

from vya_backupdb.db import mysql_dump
from vya_backupdb.db.mysql_dump import MySqlDumpReader
from vya_backupdb.db.mysql_statements import defined_object

HEADER = (
    "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n--\n-- Host: localhost    Database: shop\n\n"
    "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n"
    "/*!40103 SET TIME_ZONE='+00:00' */;\n\n"
)
FOOTER = (
    "/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n\n/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n"
    "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n"
)
DUALITY_VIEW = (
    "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`TABLE`@`x` SQL SECURITY DEFINER */\n"
    "/*!50001 JSON RELATIONAL DUALITY VIEW `duality` AS select 1 */;"
)
END = "-- Dump completed on 2026-11-23  7:31:48\n"
PIECES = st.lists(st.integers(1, 60), min_size=1, max_size=6)


def reader(*, dollar_quotes: bool = True) -> MySqlDumpReader:
    return MySqlDumpReader(dollar_quotes=dollar_quotes)


def name(text: str) -> str:
    return "`" + text.replace("`", "``") + "`"


def escaped(text: str) -> str:
    """Quote as the clients do."""
    for plain, written in (("\\", "\\\\"), ("\0", "\\0"), ("\n", "\\n"), ("\r", "\\r"), ("'", "\\'"), ('"', '\\"')):
        text = text.replace(plain, written)
    return f"'{text}'"


def doubled(text: str) -> str:
    """Quote as others might: line ends as they are, quotes doubled."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def comment(text: str) -> str:
    return "/* " + text.replace("*/", "* /").replace("/*", "/ *") + " */ -- " + text.replace("\n", " ") + "\n"


names = hostile.map(lambda text: text[:60] or "n")
line_values = st.one_of(
    hostile.map(escaped),
    hostile.map(lambda text: "_binary " + escaped(text)),
    st.sampled_from(["NULL", "0", "-1.5e-10", "0x00FF5C2722", "''"]),
)
values = st.one_of(line_values, hostile.map(doubled))


@st.composite
def rows(draw: st.DrawFn, table: str) -> tuple[str, int]:
    """The data of one table, in any number of statements."""
    text, count = f"/*!40000 ALTER TABLE {name(table)} DISABLE KEYS */;\n", 0
    for _ in range(draw(st.integers(0, 3))):
        columns = draw(st.one_of(st.just(""), st.lists(names, min_size=1, max_size=3).map(columns_of)))
        one_each = draw(st.booleans())
        row = st.lists(line_values if one_each else values, min_size=1, max_size=4)
        several = draw(st.lists(row, min_size=1, max_size=5))
        text += f"INSERT INTO {name(table)} {columns}VALUES" + ("\n" if one_each else " ")
        text += (",\n" if one_each else ",").join(f"({','.join(row)})" for row in several) + ";\n"
        count += len(several)
    return text + f"/*!40000 ALTER TABLE {name(table)} ENABLE KEYS */;\n", count


def columns_of(columns: list[str]) -> str:
    return "(" + ", ".join(map(name, columns)) + ", row_start, row_end) "


@st.composite
def body(draw: st.DrawFn, mode: str) -> str:
    """The body of a routine under an sql_mode: code, texts and comments."""
    plain = "NO_BACKSLASH_ESCAPES" in mode
    text = draw(hostile)
    literal = "'" + text.replace("'", "''") + "'" if plain else escaped(text)
    other = '"' + text.replace('"', '""').replace("\\", "" if "ANSI" not in mode else "\\") + '"'
    parts = [f"SET @a = {literal};", f"SELECT {other};", comment(text), f"SELECT {name(text)};", "SELECT 5--3;\n"]
    return "BEGIN\n" + "\n".join(draw(st.permutations(parts))) + "\nEND"


@st.composite
def stored(draw: st.DrawFn) -> tuple[str, tuple[str, str, bytes]]:
    """A trigger, event or routine with its surroundings."""
    called, definer = draw(names), f"DEFINER={name(draw(names))}@{name(draw(names))}"
    mode = draw(st.sampled_from(["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ORACLE"]))
    code = draw(body(mode))
    form, kind, sort = draw(
        st.sampled_from(
            [
                (
                    "/*!50003 CREATE*/ /*!50017 {d}*/ /*!50003 TRIGGER {n} BEFORE INSERT ON t FOR EACH ROW {c} */",
                    "trigger",
                    "",
                ),
                ("/*!50106 CREATE*/ /*!50117 {d}*/ /*!50106 EVENT {n} ON SCHEDULE EVERY 1 DAY DO {c} */ ", "event", ""),
                ("CREATE {d} FUNCTION {n}(a INT) RETURNS int\n{c} ", "routine", "function"),
                ("CREATE {d} AGGREGATE FUNCTION {n}(a INT) RETURNS int\n{c} ", "routine", "function"),
                ("CREATE {d} PROCEDURE {n}()\n{c} ", "routine", "procedure"),
                ("CREATE {d} PACKAGE BODY {n} AS\n{c} ", "routine", "package body"),
                ("CREATE LIBRARY {n}\n LANGUAGE JAVASCRIPT\nAS $code$ let x = '; // {js} $code$ ", "library", ""),
            ]
        )
    )
    script = draw(hostile).replace("$code$", "")
    statement = form.format(d=definer, n=name(called), c=code, js=script + ("" if not script.endswith("$") else " "))
    text = (
        "/*!50003 SET @saved_sql_mode       = @@sql_mode */ ;\n/*!50003 SET character_set_client  = utf8mb3 */ ;\n"
        f"/*!50003 SET sql_mode              = '{mode}' */ ;\nDELIMITER ;;\n{statement};;\nDELIMITER ;\n"
        "/*!50003 SET sql_mode              = @saved_sql_mode */ ;\n"
        "/*!50003 SET character_set_client  = @saved_cs_client */ ;\n"
    )
    return text, (kind, sort, called.encode())


@st.composite
def view(draw: st.DrawFn) -> tuple[str, tuple[str, str, bytes]]:
    called, text = draw(names), draw(hostile)
    stand_in = f"/*!50001 CREATE VIEW {name(called)} AS SELECT\n 1 AS {name(text or 'x')} */;\n"
    final = (
        f"/*!50001 CREATE ALGORITHM=MERGE */\n/*!50013 DEFINER={name(draw(names))}@`%` SQL SECURITY INVOKER */\n"
        f"/*!50001 VIEW {name(called)} AS select {escaped(text)} AS {name(text or 'x')} */\n"
        "/*!50002 WITH CASCADED CHECK OPTION */;\n"
    )
    return stand_in + final, ("view", "", called.encode())


@st.composite
def dumps(draw: st.DrawFn) -> Dump:
    text, dump = HEADER, Dump(b"")
    for table in draw(st.lists(names, max_size=4, unique=True)):
        remark = "".join(f"-- {line}\n" for line in f"Table structure for table {name(table)}".split("\n"))
        text += f"--\n{remark}--\n\nDROP TABLE IF EXISTS {name(table)};\nCREATE TABLE {name(table)} (\n  `a` int(11)"
        text += f" DEFAULT {escaped(draw(hostile))} COMMENT {escaped(draw(hostile))}\n) ENGINE=InnoDB;\n"
        dump.defined.append(("table", "", table.encode()))
        more, dump.rows[table] = draw(rows(table))
        text += more
        for statement, truth in draw(st.lists(stored(), max_size=2)):
            text += statement
            dump.defined.append(truth)
    for statement, truth in draw(st.lists(view(), max_size=2)):
        text += statement
        dump.defined.append(truth)
    dump.data = (text + FOOTER + END).encode()
    return dump


@settings(max_examples=300)
@given(dumps(), PIECES)
def test_a_dump_is_understood_whatever_is_in_it(dump: Dump, sizes: list[int]) -> None:
    following = reader()
    cuts = read(following, dump.data, sizes)

    assert following.unfinished() == ""
    assert following.doubt == ""
    assert following.rows == dump.rows
    assert [(d.kind, d.type, d.name) for d in following.definitions] == dump.defined
    counted = dict.fromkeys(dump.rows, 0)
    for cut in cuts:
        rest = dump.data[cut.offset :]
        if cut.table is None:
            assert not rest.startswith(b"INSERT INTO ")
            assert dump.data[: cut.offset].rstrip().endswith(b";")
        else:
            assert rest.startswith(f"INSERT INTO {name(cut.table)} ".encode())
            assert cut.rows >= counted[cut.table]
            counted[cut.table] = cut.rows
    assert read(reader(), dump.data, [len(dump.data)]) == cuts


@settings(max_examples=200)
@given(dumps(), st.integers(0, 1_000_000))
def test_any_cut_off_is_noticed(dump: Dump, at: int) -> None:
    check_any_cut_off_is_noticed(reader, dump.data, at)


def test_a_marker_in_a_row_is_not_the_end() -> None:
    start = HEADER + "CREATE TABLE `t` (\n a text\n);\nINSERT INTO `t` VALUES ('" + FOOTER.replace("'", "")
    for text in (start + END, start + "\n" + END, start + "');\n" + END, HEADER + END):
        following = reader()
        following.feed(text.encode())
        assert following.unfinished()


@pytest.mark.parametrize(
    "after", ["SELECT 1;\n", "-- and more\n", "x", END + "-- \n", HEADER + "SELECT 1;\n" + FOOTER + END]
)
def test_nothing_follows_the_end(after: str) -> None:
    following = reader()
    following.feed((HEADER + FOOTER + END).encode())
    assert following.unfinished() == ""
    following.feed(after.encode())
    assert following.unfinished()


def test_where_a_dump_stopped_is_said() -> None:
    for text, where in (
        ("INSERT INTO `a``b` VALUES\n(1),(2", "in the data of table a`b"),
        ("CREATE TABLE `t` (", "in a statement"),
        ("DELIMITER ;;\n", "in a statement"),
        ("", "before the end marker"),
    ):
        following = reader()
        following.feed((HEADER + text).encode())
        assert following.unfinished() == where


@given(PIECES, st.sampled_from(["('a\nb')", "('),\n')", "('\n(')", "(1,',\n(')", "(';\n')", "('\n')"]))
def test_a_client_that_does_not_escape_line_ends_is_noticed(sizes: list[int], first: str) -> None:
    several = f"(1),\n(2),\n{first},\n('),\n('),\n(');\n'),\n(3)"
    text = f"INSERT INTO `t` VALUES\n{several};\nCREATE TABLE `u` (\n);\n"
    following = reader()
    read(following, (HEADER + text + FOOTER + END).encode(), sizes)
    assert following.unfinished() == ""
    assert following.doubt == ""
    assert following.rows == {"t": 6}
    assert [each.name for each in following.definitions] == [b"u"]


@pytest.mark.parametrize("size", [1, 1000, 70_000, 1_000_000])
def test_rows_that_are_long_lines_are_counted(size: int) -> None:
    long = "('" + "x\\n\\'),(" * 10_000 + "')"
    text = "INSERT INTO `t` VALUES\n(1),\n" + f"{long},\n(2),\n{long};\nINSERT INTO `t` VALUES\n(3);\n"
    following = reader()
    read(following, (HEADER + text + FOOTER + END).encode(), [size])
    assert following.unfinished() == ""
    assert following.rows == {"t": 5}


def test_brackets_within_rows_do_not_make_rows() -> None:
    following = reader()
    read(following, b"INSERT INTO `t` VALUES (f((1),2),'x'),(g(')('),(2)),\n(((3)));\n", [7])
    assert following.rows == {"t": 3}
    assert following.doubt == ""


def test_forms_that_are_not_known_are_doubted() -> None:
    following = reader()
    following.feed(b"INSERT INTO `t` VALUES (1); INSERT INTO `t` VALUES (2);\n")
    assert following.doubt
    following = reader()
    following.feed(b"INSERT INTO `t` SELECT '" + b"x" * 3_000_000)
    assert following.doubt


@pytest.mark.parametrize(
    ("statement", "defined"),
    [
        ("CREATE TABLE `a` (", ("table", "", b"a")),
        ("/*!50001 CREATE TABLE `a` (", None),
        ("/*!50001 CREATE VIEW `a` AS SELECT", None),
        ("CREATE SEQUENCE `s` start with 1", ("sequence", "", b"s")),
        ("/*!50003 CREATE*/ /*!50017 DEFINER=`r`*/ /*!50003 TRIGGER trg_1 BEFORE", ("trigger", "", b"trg_1")),
        ("CREATE TRIGGER IF NOT EXISTS /* hi */ cs . `a``b` -- x\n BEFORE", ("trigger", "", b"a`b")),
        ('CREATE DEFINER="root"@"localhost" PACKAGE "p""q"    COMMENT', ("routine", "package", b'p"q')),
        (DUALITY_VIEW, ("view", "", b"duality")),
        ("INSERT INTO `CREATE` VALUES", None),
        ("DROP TABLE IF EXISTS `a`", None),
        ("(CREATE TABLE x", None),
        ("", None),
    ],
)
def test_what_a_statement_defines(statement: str, defined: tuple[str, str, bytes] | None) -> None:
    assert defined_object(statement.encode()) == defined


def test_letters_whose_second_byte_is_a_backslash_or_a_quote() -> None:
    body = "SELECT '表'; -- 表\n".encode("sjis")  # 0x95 0x5C
    text = (
        b"/*!50003 SET character_set_client  = sjis */ ;\nDELIMITER ;;\nCREATE PROCEDURE `p`()\n" + body + b" ;;\n"
        b"DELIMITER ;\n/*!50003 SET character_set_client  = @saved_cs_client */ ;\nCREATE TABLE `t` (\n);\n"
    )
    for sizes in ([1], [3], [1000]):
        following = reader()
        read(following, HEADER.encode() + text + (FOOTER + END).encode(), sizes)
        assert following.unfinished() == ""
        assert [(d.name, d.charset) for d in following.definitions] == [(b"p", "sjis"), (b"t", "utf8mb4")]


def test_dollars_are_part_of_names_where_the_server_says_so() -> None:
    text = HEADER + "CREATE VIEW v AS select a$$b, $$ from t;\nCREATE TABLE `t` (\n);\n" + FOOTER + END
    following = reader(dollar_quotes=False)
    following.feed(text.encode())
    assert following.unfinished() == ""
    assert len(following.definitions) == 2


def test_the_position_that_the_dump_says_is_remembered_and_others_are_not() -> None:
    following = reader()
    following.feed(
        b"-- CHANGE MASTER TO MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=1372;\n"
        b"CREATE TABLE `t` (\n a text comment '\n-- SET GLOBAL gtid_slave_pos=\\'9-9-9\\';\n');\n"
        b"-- SET GLOBAL gtid_slave_pos='0-1-7';\n"
    )
    assert [remark.split()[-1] for remark in following.remarks] == ["MASTER_LOG_POS=1372;", "gtid_slave_pos='0-1-7';"]


def test_statements_of_any_length_are_read_in_constant_memory() -> None:
    following = reader()
    tracemalloc.start()
    for begin, piece, end in (
        (b"INSERT INTO `t` VALUES ('", b"\\'\\\\", b"');\n"),
        (b"INSERT INTO `t` VALUES ('", b"','", b"');\n"),
        (b"INSERT INTO `t` VALUES\n(1),\n('", b"\\'\\\\", b"');\n"),
        (b"INSERT INTO `t` VALUES\n(1)", b",\n('x')", b";\n"),
        (b"CREATE TABLE `t` (a text comment '", b"\\'\\\\", b"');\n"),
        (b"CREATE TABLE `t` (a text comment '", b"','", b"');\n"),
        (b"-- ", b"'\\`", b"\n;\n"),
        (b"/* ", b"'*\\", b"*/;\n"),
    ):
        following.feed(begin)
        for _ in range(8):
            following.feed(piece * 250_000)
        following.feed(end)
    following.feed((FOOTER + END).encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert following.unfinished() == ""
    assert following.rows == {"t": 2 + 2 + 2_000_001}
    assert peak < 20_000_000


@given(st.binary().map(lambda text: text.replace(b"\x00", b"\\").replace(b"\x01", b"'")), st.integers(1, 60))
def test_escapes_are_found_alike_whether_they_are_few_or_many(text: bytes, few: int) -> None:
    text = text.rstrip(b"\\")
    quotes, position = 0, 0
    while position < len(text):
        quotes += text[position : position + 1] == b"'"
        position += 2 if text[position : position + 1] == b"\\" else 1
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mysql_dump, "_BYTES_FOR_AN_ESCAPE", few)
        assert mysql_dump._without_escapes(text).count(b"'") == quotes
