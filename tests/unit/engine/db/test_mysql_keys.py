# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys that can be made after the rows: only plain ones, in their order, and none that anything needs before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.db.loading import Later
from vya_backupdb.db.mysql_dump import MySqlDumpReader
from vya_backupdb.db.mysql_keys import MySqlKeys, parse_table

TAIL = ") ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='a; KEY `b` (`c`)'"


def table(*lines: str, name: str = "`t`", tail: str = TAIL) -> str:
    """A definition as the server writes it, with a number and a primary key before these lines."""
    columns = ("`id` int(11) NOT NULL", "`a` int(11) DEFAULT 5", "`b` varchar(9) DEFAULT 'b'")
    before = [] if lines and lines[0].startswith("`") else [*columns, "PRIMARY KEY (`id`)"]
    return f"CREATE TABLE {name} (\n" + ",\n".join(f"  {each}" for each in (*before, *lines)) + f"\n{tail};"


def found(*statements: str, before: str = "", piece: int = 1000) -> tuple[list[bytes], Sequence[Optional[Later]]]:
    """What is found in a dump, and the definitions that it was found in."""
    dump = "".join(f"-- x\n{each}\n" for each in (before, *statements) if each).encode()
    reader = MySqlDumpReader(dollar_quotes=False)
    keys = MySqlKeys(reader)
    tables: list[bytes] = []
    position = 0

    def heard(statement: bytes) -> None:
        nonlocal position
        text, position = dump[position : reader.told], reader.told
        if keys.heard(statement, text):
            tables.append(statement)

    reader.tell = heard
    for start in range(0, len(dump), piece):
        reader.feed(dump[start : start + piece])
    return tables, keys.found()


def moved(*statements: str, **more: str) -> list[list[str]]:
    """The lines that are made later, of each definition that is recognised; none where nothing is."""
    tables, laters = found(*statements, **more)
    lines: list[list[str]] = []
    for text, later in zip(tables, laters, strict=True):
        if later is None:
            lines.append([])
            continue
        cut = text[later.start : later.end].decode()
        assert cut.startswith(",\n  ")
        lines.append(cut[4:].split(",\n  "))
        added = later.statement.decode().split("\n  ADD ", 1)[1]
        assert added.removesuffix(";").split(",\n  ADD ") == lines[-1]
    return lines


def test_plain_keys_are_left_out_and_added() -> None:
    text = table(
        "UNIQUE KEY `u` (`a`,`b`)", "KEY `k``1` (`b`(3) DESC,`a`) COMMENT 'it''s'", "KEY `k2` (`a`) USING BTREE"
    )
    _tables, (later,) = found(text)
    assert later is not None
    assert later.table == "t"
    assert text.encode()[: later.start].endswith(b"  UNIQUE KEY `u` (`a`,`b`)")
    assert text.encode()[later.end :] == f"\n{TAIL};".encode()
    assert later.statement.decode() == (
        "ALTER TABLE `t`\n  ADD KEY `k``1` (`b`(3) DESC,`a`) COMMENT 'it''s',\n  ADD KEY `k2` (`a`) USING BTREE;"
    )


def test_names_are_those_of_rows() -> None:
    _tables, (later,) = found(table("KEY `k` (`a`)", name="`a``é `"))
    assert later is not None
    assert later.table == "a`é "
    assert later.statement.startswith("ALTER TABLE `a``é `\n".encode())


@pytest.mark.parametrize(
    "key",
    [
        "KEY `k` (`a`) /*!80000 INVISIBLE */",
        "KEY `k` (`a`) IGNORED",
        "KEY `k` (`a`) COMMENT 'a,\\n  KEY `x` (`y`)' /*!80000 INVISIBLE */",
        "KEY `a,b (``c``)` (`a`,`b`)",
        "KEY `k` (`a` DESC,`b`(10))",
    ],
)
def test_what_a_key_says_of_itself_stays(key: str) -> None:
    assert moved(table(key)) == [[key]]


@pytest.mark.parametrize(
    "column",
    [
        "`c` enum('x','a,\\n  KEY `z` (`z`),\\n','it''s','\\\\') DEFAULT NULL COMMENT '-- # /* ; \"'",
        "`c` int(11) DEFAULT (1 - -2) /*!80023 INVISIBLE */",
        "`c` blob /*M!100301 COMPRESSED*/ DEFAULT NULL",
        "`c ``;` double DEFAULT (floor(7 / 2 * 3))",
        "`as` int(11) NOT NULL COMMENT 'GENERATED ALWAYS AS'",
    ],
)
def test_other_lines_may_say_what_they_like(column: str) -> None:
    assert moved(table(column, "KEY `k` (`c`)", "CONSTRAINT `c` CHECK (`c` <> ' KEY `x` (`x`)')")) == [
        ["KEY `k` (`c`)"]
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ("KEY `k` (`a`)", "FULLTEXT KEY `f` (`b`)"),
        ("SPATIAL KEY `f` (`b`)", "KEY `k` (`a`)"),
        ("VECTOR KEY `f` (`b`)", "KEY `k` (`a`)"),
        ("UNIQUE KEY `f` (`b`) USING HASH", "KEY `k` (`a`)"),
        ("KEY `k` (`a`)", "UNIQUE KEY `f` (`b`)"),
        ("KEY `k` ((`a` + 1))", "KEY `l` (`a`)"),
        ("KEY `k` (`a`) KEY_BLOCK_SIZE=4",),
        ("KEY `k` (`a`) `option`=1",),
        ("`a` int(11)", "`g` int(11) GENERATED ALWAYS AS (`a` + 1) VIRTUAL", "KEY `k` (`a`)"),
        ("`a` int(11)", "`s` timestamp(6) GENERATED ALWAYS AS ROW START", "KEY `k` (`a`)"),
        ("`a` int(11)", "PERIOD FOR `p` (`s`, `e`)", "KEY `k` (`a`)"),
        ("`a` int(11) COMMENT 'a\n  KEY `k` (`a`)'", "KEY `k` (`a`)"),
        ("`a` int(11) COMMENT 'a\\' COMMENT '", "KEY `k` (`a`)"),
        ('`a` int(11) COMMENT "a"', "KEY `k` (`a`)"),
        ("`a` int(11) /* a */", "KEY `k` (`a`)"),
        ("`a` int(11) -- a", "KEY `k` (`a`)"),
        ("`a` int(11) # a", "KEY `k` (`a`)"),
        ("`a\nb` int(11)", "KEY `k` (`a`)"),
        ("KEY `k` (`a`)", "SOMETHING `new` (`a`)"),
        (),
    ],
)
def test_what_is_not_plain_is_left_alone(lines: tuple[str, ...]) -> None:
    assert not any(moved(table(*lines)))


@pytest.mark.parametrize(
    "tail",
    [
        ") ENGINE=MyISAM DEFAULT CHARSET=utf8mb4",
        ") ENGINE=InnoDBx DEFAULT CHARSET=utf8mb4",
        ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 WITH SYSTEM VERSIONING",
        ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4\n PARTITION BY HASH (`id`)\nPARTITIONS 3",
        ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4\n/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS 3 */",
        ") ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4",
        ") ENGINE=InnoDB COMMENT='a\nb'",
        ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 SECONDARY_ENGINE=RAPID",
        ") ENGINE=InnoDB DATA DIRECTORY='/x/'",
        ") ENGINE=InnoDB /*!50100 TABLESPACE `x` */",
        ")",
    ],
)
def test_other_tables_are_left_alone(tail: str) -> None:
    assert moved(table("KEY `k` (`a`)", tail=tail)) == []


@pytest.mark.parametrize(
    "options", ["", " `PAGE_COMPRESSED`='1'", " STATS_PERSISTENT=1 ROW_FORMAT=DYNAMIC COMMENT='it''s'"]
)
def test_options_of_a_table_do_not_matter(options: str) -> None:
    assert moved(table("KEY `k` (`a`)", tail=f") ENGINE=InnoDB{options}")) == [["KEY `k` (`a`)"]]


def test_keys_before_one_that_must_stay_stay() -> None:
    text = table(
        "`n` int(11) NOT NULL AUTO_INCREMENT", "KEY `a` (`a`)", "KEY `n` (`N`)", "KEY `b` (`b`)", "KEY `c` (`c`,`n`)"
    )
    assert moved(text) == [["KEY `b` (`b`)", "KEY `c` (`c`,`n`)"]]


def test_keys_of_foreign_keys_stay() -> None:
    text = table(
        "KEY `k` (`a`)",
        "KEY `p` (`b`,`a`)",
        "KEY `q` (`id`)",
        "CONSTRAINT `f` FOREIGN KEY (`B`, `c`) REFERENCES `other` (`x`, `y`) ON DELETE CASCADE",
    )
    assert moved(text) == [["KEY `q` (`id`)"]]


@pytest.mark.parametrize("parent_first", [True, False])
@pytest.mark.parametrize("reference", ["`T`", "`elsewhere`.`t`"])
def test_keys_that_foreign_keys_point_to_stay(parent_first: bool, reference: str) -> None:
    parent = table("KEY `k` (`a`)", "KEY `b` (`b`)", "KEY `c` (`id`)")
    child = table(f"CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES {reference} (`x`,`B`)", name="`child`")
    expected = [["KEY `c` (`id`)"], []]
    assert moved(*([parent, child] if parent_first else [child, parent])) == (
        expected if parent_first else expected[::-1]
    )


@pytest.mark.parametrize("reference", ["`t`", "`d`.`t`", "t", "`t\n`, REFERENCES `t`"])
def test_a_table_that_something_unknown_points_to_is_left_alone(reference: str) -> None:
    child = table(f"CONSTRAINT `f` FOREIGN KEY (`b`) SOMEHOW REFERENCES {reference} (`b`)", name="`child`")
    assert moved(table("KEY `k` (`a`)"), child) == [[]]


VIEW = "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`x` */\n/*!50001 VIEW `v` AS select 1 from `t` {} */;"


@pytest.mark.parametrize(
    "hint",
    ["FORCE INDEX (`B`)", "USE INDEX (PRIMARY,`b`)", "IGNORE KEY FOR ORDER BY (b) USE INDEX ()", "use index(`x`, b)"],
)
def test_keys_that_a_view_names_stay(hint: str) -> None:
    definition = table("KEY `a` (`a`)", "KEY `b` (`b`)", "KEY `c` (`a`,`b`)")
    assert moved(definition, VIEW.format(hint)) == [["KEY `c` (`a`,`b`)"]]


@pytest.mark.parametrize(
    "statement",
    [
        VIEW.format("FORCE INDEX somehow"),
        VIEW.format("where `force index` = 1"),
        "ALTER TABLE `x` ADD KEY `y` (`z`);",
        "/*!40000 ALTER TABLE `x` DROP KEY `y` */;",
        "RENAME TABLE `x` TO `t`;",
        "CREATE INDEX `y` ON `t` (`a`);",
    ],
)
def test_nothing_is_moved_where_something_else_may_need_keys(statement: str) -> None:
    assert moved(table("KEY `k` (`a`)"), statement) == [[]]


@pytest.mark.parametrize(
    "statement",
    [
        "/*!40000 ALTER TABLE `t` DISABLE KEYS */;",
        "CREATE DEFINER=`x`@`y` PROCEDURE p() ALTER TABLE t ADD z int;",
        "CREATE PROCEDURE p() SELECT 1 FROM t USE INDEX (k);",
        "CREATE FUNCTION f() RETURNS int RETURN 'FORCE INDEX REFERENCES t';",
        VIEW.format("where `forced index` = 1"),
        "DROP TABLE IF EXISTS `t`;",
    ],
)
def test_other_statements_do_not_matter(statement: str) -> None:
    assert moved(table("KEY `k` (`a`)"), statement) == [["KEY `k` (`a`)"]]


def test_a_table_that_is_defined_twice_is_left_alone() -> None:
    assert moved(table("KEY `k` (`a`)"), "DROP TABLE `t`;", table("KEY `k` (`a`)")) == [[], []]
    assert moved(table("KEY `k` (`a`)"), table("KEY `k` (`a`)", tail=") ENGINE=Aria")) == [[]]


def test_definitions_in_other_character_sets_are_left_alone() -> None:
    text = table("KEY `k` (`a`)")
    assert moved(text, before="/*!40101 SET character_set_client = sjis */;") == []
    assert moved(text, before="/*!40101 SET character_set_client = utf8 */;") == [["KEY `k` (`a`)"]]


def test_definitions_that_are_not_known_whole_are_left_alone() -> None:
    long = table("`c` int(11) COMMENT '" + "x" * 70_000 + "'", "KEY `k` (`a`)", name="`long`")
    child = table(
        *(f"`c{n}` int(11) COMMENT '{'x' * 900}'" for n in range(80)),
        "CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `t` (`a`)",
        name="`c`",
    )
    assert moved(table("KEY `k` (`a`)"), long, child) == [[]]


# Anything that the server may write between quotes, and what would mislead who looks for lines only.
SIGNS = ["'", "\\", "`", "\n", "\\n", '"', "--", " -- ", "#", "/*", "*/", "/*!50000 ", ";", "(", ")", ",", "\0", "é☃"]
WORDS = [
    " KEY ",
    "PRIMARY KEY",
    "FULLTEXT",
    "AS",
    "a",
    ",\n  KEY `x` (`y`),\n",
    "\n) ENGINE=InnoDB;",
    "CREATE TABLE `z` (\n",
]
HOSTILE = st.lists(st.sampled_from([*SIGNS, *WORDS]), max_size=6).map("".join)


def quoted(text: str) -> str:
    """As servers quote texts; some of them write line ends as they are."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def name(text: str) -> str:
    return "`" + ("n" + text).replace("`", "``").replace("\0", "") + "`"


KINDS = st.sampled_from(["KEY", "UNIQUE KEY", "FULLTEXT KEY"])
KEYS = st.lists(st.tuples(KINDS, HOSTILE, HOSTILE, st.booleans()), max_size=5)


@given(columns=st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=3), keys=KEYS, comment=HOSTILE, title=HOSTILE)
def test_what_is_cut_out_are_whole_keys(
    columns: list[tuple[str, str]], keys: list[tuple[str, str, str, bool]], comment: str, title: str
) -> None:
    lines = [f"{name(each)} int(11) DEFAULT {quoted(text)} COMMENT {quoted(text)}" for each, text in columns]
    keys = sorted(keys, key=lambda each: ["UNIQUE KEY", "KEY", "FULLTEXT KEY"].index(each[0]))
    first = name(columns[0][0])
    lines += [
        f"{kind} {name(each)} ({first})" + (f" COMMENT {quoted(text)}" if commented else "")
        for kind, each, text, commented in keys
    ]
    text = table(*lines, name=name(title), tail=f") ENGINE=InnoDB COMMENT={quoted(comment)}")
    made = text.encode()
    last = [line for line, (kind, *_rest) in zip(lines[len(columns) :], keys, strict=True) if kind == "KEY"]

    tables, laters = found(text, piece=50)

    for heard, later in zip(tables, laters, strict=True):
        assert heard == made
        if later is None:
            continue
        assert made[: later.start] + made[later.end :] == made.replace(
            b"".join(b",\n  " + line.encode() for line in last), b"", 1
        )
        assert (
            later.statement
            == b"ALTER TABLE "
            + name(title).encode()
            + b"\n"
            + b",\n".join(b"  ADD " + line.encode() for line in last)
            + b";"
        )
    parts = [title, comment, *(part for pair in columns for part in pair), *(part for key in keys for part in key[1:3])]
    if last and not any("\n" in part for part in parts):
        assert any(laters) is not any(kind == "FULLTEXT KEY" for kind, *_rest in keys)


@given(
    text=st.text(st.sampled_from("`'\",() \n\\KEYCONSTRAINTabc;-#/*!5")),
    place=st.integers(0, 200),
    length=st.integers(0, 9),
)
def test_damaged_definitions_are_refused_or_have_whole_lines(text: str, place: int, length: int) -> None:
    whole = table("KEY `k` (`a`)", "KEY `l` (`b`) COMMENT 'x'", "CONSTRAINT `c` CHECK (`a` > 1)")
    made = (whole[:place] + text + whole[place + length :]).encode()
    parsed = parse_table(made)
    for key in parsed.keys if parsed else ():
        assert made[key.start : key.end] == b",\n  " + key.text or made[key.start : key.end] == b"\n  " + key.text
