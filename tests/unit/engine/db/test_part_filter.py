# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump only a part: named tables with what belongs to them, or definitions without rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmented_dumps import TABLES, mysql, mysql_in_calls, postgresql

from vya_backupdb.db import postgresql_statements as sql
from vya_backupdb.db.factory import part_filter
from vya_backupdb.db.mysql_grants import _statement as grant
from vya_backupdb.db.part_filter import PartFilter
from vya_backupdb.errors import ArtifactError, RestoreError

FORMS = {"postgresql": postgresql, "mysql": mysql, "mysql in calls": mysql_in_calls}


def made(flavour: str, dump: bytes, tables: list[str], *, rows: bool = True, **inventory: list[str]) -> PartFilter:
    chosen = part_filter(flavour, {"table": [*tables, "other"], **inventory}, tables, rows)
    chosen.learn(dump)
    chosen.learned()
    return chosen


def passed(chosen: PartFilter, dump: bytes, size: int = 1000) -> bytes:
    pieces = [piece for start in range(0, len(dump), size) for piece in chosen.feed(dump[start : start + size])]
    return b"".join([*pieces, *chosen.finish()])


def postgresql_with(*statements: str) -> bytes:
    more = "".join(f"--\n-- Name: x; Type: Y; Schema: public; Owner: me\n--\n\n{each}\n\n" for each in statements)
    end = b"--\n-- PostgreSQL database dump complete"
    return postgresql({"a": ["in a"], "b": ["in b"]}).replace(end, more.encode() + end)


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(1, 400))
def test_definitions_pass_and_no_rows(form: str, tables: dict[str, list[str]], size: int) -> None:
    dump = FORMS[form]({name: [f"MARK{row}" for row in rows] for name, rows in tables.items()})
    flavour = "postgresql" if form == "postgresql" else "mysql"
    definitions = passed(made(flavour, dump, [], rows=False), dump, size)
    assert b"MARK" not in definitions
    for name in tables:
        assert f"CREATE TABLE {'public.' if form == 'postgresql' else '`'}{name}".encode() in definitions
        assert form != "mysql in calls" or f"CREATE TRIGGER t_{name}".encode() in definitions


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [True, False])
@given(tables=TABLES, size=st.integers(1, 400))
def test_several_tables_pass_and_no_other(form: str, rows: bool, tables: dict[str, list[str]], size: int) -> None:
    dump = FORMS[form]({**{name: ["WANTED"] for name in tables}, "other": ["MARK"]})
    names = [f"public.{name}" if form == "postgresql" else name for name in tables]
    chosen = made("postgresql" if form == "postgresql" else "mariadb", dump, names, rows=rows)
    content = passed(chosen, dump, size)
    assert b"MARK" not in content
    assert b"TABLE public.other" not in content
    assert b"`other`" not in content
    assert content.count(b"WANTED") == (len(tables) if rows else 0)
    assert chosen.objects["table"] == set(names)


GRANTS = [
    (("reader", "%"), "`it's`", "", ["SELECT"], False),
    (("reader", "%"), "`it's`", "", ["SELECT (`a,b) ON x`)"], False),
    (("reader", "%"), "`it``s\\too`", "", ["INSERT"], True),
    (("reader", "%"), "*\0shop", "", ["SELECT"], False),
    (("reader", "%"), "`it's`", "PROCEDURE ", ["EXECUTE"], False),
]


@pytest.mark.parametrize(("table", "count"), [("it's", 2), ("it`s\\too", 1), ("shop", 0)])
def test_grants_of_mysql_on_the_tables_pass(table: str, count: int) -> None:
    grants = "".join(grant("shop", *each) for each in GRANTS)
    assert passed(made("mysql", b"", [table]), grants.encode()).count(b"EXECUTE vya_statement") == count


def test_of_mysql_triggers_and_what_surrounds_them_pass() -> None:
    dump = b"""ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
ALTER DATABASE `shop` CHARACTER SET latin1 COLLATE latin1_bin ;
ALTER DATABASE READ ONLY = 1;
DROP TABLE IF EXISTS `a`;
/*!50001 CREATE VIEW `a` AS SELECT 1 */;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`me`@`%`*/ /*!50003 TRIGGER of_a AFTER INSERT ON a FOR EACH ROW BEGIN END */;;
/*!50003 CREATE*/ /*!50003 TRIGGER of_b AFTER INSERT ON b FOR EACH ROW BEGIN END */;;
CREATE PROCEDURE p () SELECT 1;;
DELIMITER ;
"""
    chosen = made("mysql", dump, ["a"], view=["b"], trigger=["of_a", "of_b"])
    content = passed(chosen, dump)
    assert [line[:22] for line in content.splitlines() if line] == [
        b"ALTER DATABASE CHARACT",
        b"ALTER DATABASE `shop` ",
        b"DELIMITER ;;",
        b"/*!50003 CREATE*/ /*!5",
        b"DELIMITER ;",
    ]
    assert chosen.objects["trigger"] == {"of_a"}


def test_a_trigger_of_no_known_table_is_refused() -> None:
    dump = b"DELIMITER ;;\nCREATE TRIGGER t AFTER INSERT ON nowhere FOR EACH ROW BEGIN END ;;\nDELIMITER ;\n"
    with pytest.raises(RestoreError, match="'nowhere', which the manifest does not name"):
        passed(made("mysql", dump, ["a"]), dump)


def test_a_trigger_in_another_character_set_is_found() -> None:
    text = "SET character_set_client = latin1;\nCREATE TRIGGER tré AFTER INSERT ON é FOR EACH ROW SET @x = 1;\n"
    chosen = made("mysql", b"", ["é"], trigger=["tré"])
    assert b"TRIGGER" in passed(chosen, text.encode("latin-1"))
    assert chosen.objects["trigger"] == {"tré"}


def test_foreign_keys_of_mysql_to_other_tables_are_told() -> None:
    dump = b"""CREATE TABLE `a` (
  `id` int COMMENT 'CONSTRAINT `no` FOREIGN KEY (`x`) REFERENCES `no` (`y`)',
  CONSTRAINT `to``b` FOREIGN KEY (`id`,`b)`) REFERENCES `b` (`id`) ON DELETE CASCADE,
  CONSTRAINT `to_a` FOREIGN KEY (`id`) REFERENCES `a` (`id`)
);
"""
    chosen = made("mysql", dump, ["a"])
    passed(chosen, dump)
    assert [sentence.split(":")[0] for sentence in chosen.left_out] == [
        "The foreign key to`b of a points to b, which was not restored"
    ]


WANTED = [
    "ALTER TABLE public.a OWNER TO me;",
    "ALTER TABLE ONLY public.a\n    ADD CONSTRAINT a_pkey PRIMARY KEY (c);",
    'ALTER TABLE ONLY public.a\n    ADD CONSTRAINT "f k" FOREIGN KEY (c, ") REFERENCES b(") REFERENCES public.a(c);',
    "ALTER TABLE public.a ENABLE ROW LEVEL SECURITY;",
    "CREATE INDEX i2 ON public.a USING btree (c);",
    "ALTER INDEX public.i2 ALTER COLUMN 1 SET STATISTICS 100;",
    "COMMENT ON INDEX public.i2 IS 'x';",
    'CREATE STATISTICS public.s ON c, "x FROM public.b;" FROM public.a;',
    "ALTER STATISTICS public.s OWNER TO me;",
    (
        'CREATE CONSTRAINT TRIGGER "ON public.b " AFTER INSERT OR UPDATE OF c, "ON " ON public.a FOR EACH ROW EXECUTE'
        " FUNCTION f();"
    ),
    "CREATE RULE r AS\n    ON INSERT TO public.a DO NOTHING;",
    "CREATE POLICY p ON public.a;",
    "COMMENT ON COLUMN public.a.c IS 'ON public.b';",
    "COMMENT ON CONSTRAINT a_pkey ON public.a IS 'x';",
    'GRANT SELECT("x ON TABLE public.b ") ON TABLE public.a TO r;',
    "REVOKE ALL ON TABLE public.a FROM PUBLIC;",
    "CREATE SEQUENCE public.free\n    START WITH 1;",
    "SELECT pg_catalog.setval('public.free', 3, true);",
    "GRANT USAGE ON SEQUENCE public.free TO r;",
    "CREATE UNLOGGED SEQUENCE public.fast\n    START WITH 1;",
    "SELECT pg_catalog.setval('public.fast', 4, true);",
    "DO $vya$BEGIN NULL; END$vya$;",
    "RESET ROLE;",
]
UNWANTED = [
    "ALTER TABLE public.b OWNER TO me;",
    'CREATE INDEX "ON public.a " ON public.b USING btree (c);',
    "COMMENT ON INDEX public.i IS 'of b';",
    "ALTER TABLE ONLY public.a\n    ADD CONSTRAINT to_b FOREIGN KEY (c) REFERENCES public.b(c);",
    "CREATE TRIGGER t BEFORE INSERT ON public.b FOR EACH ROW EXECUTE FUNCTION f(' ON public.a ');",
    'GRANT SELECT("x ON TABLE public.a ") ON TABLE public.b TO r;',
    "CREATE VIEW public.v AS SELECT 1;",
    "REFRESH MATERIALIZED VIEW public.m;",
    "CREATE PUBLICATION p;",
    "ALTER PUBLICATION p ADD TABLE ONLY public.a;",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();",
    "SELECT pg_catalog.lo_create('5');",
    "CREATE FOREIGN TABLE public.f (c text)\nSERVER s;",
    "ALTER TABLE ONLY public.b ATTACH PARTITION public.a DEFAULT;",
]


def test_what_belongs_to_tables_of_postgresql_passes() -> None:
    dump = postgresql_with(*WANTED, *UNWANTED).replace(b"ON public.a (c);", b"ON public.b (c);", 1)
    chosen = made("postgresql", dump, ["public.a"])
    content = passed(chosen, dump, 7)
    for statement in WANTED:
        assert statement.encode() in content, statement
    for statement in UNWANTED:
        assert statement.encode() not in content, statement
    assert b"in a" in content
    assert b"in b" not in content
    assert chosen.objects["index"] == {"public.a_pkey", "public.i2"}
    assert chosen.objects["trigger"] == {"public.a.ON public.b "}
    assert chosen.objects["policy"] == {"a.p"}
    assert chosen.objects["sequence"] == {"public.free", "public.fast"}
    assert chosen.left_out == [
        "The foreign key to_b of public.a to public.b was not restored.",
        "public.a was not made a partition of public.b.",
    ]


def test_sequences_of_the_tables_pass_and_those_of_others_do_not() -> None:
    dump = postgresql_with(
        *("CREATE SEQUENCE public.of_a\n    START WITH 1;", "CREATE SEQUENCE public.of_b\n    START WITH 1;"),
        *("ALTER SEQUENCE public.of_a OWNED BY public.a.c;", "ALTER SEQUENCE public.of_b OWNED BY public.b.c;"),
        "ALTER TABLE public.a ALTER COLUMN c ADD GENERATED BY DEFAULT AS IDENTITY (\n    SEQUENCE NAME public.own\n);",
        *(f"SELECT pg_catalog.setval('public.{name}', 3, true);" for name in ("of_a", "of_b", "own")),
    )
    chosen = made("postgresql", dump, ["public.a"])
    content = passed(chosen, dump)
    assert b"of_b" not in content
    assert content.count(b"setval") == 2
    assert chosen.objects["sequence"] == {"public.of_a", "public.own"}
    without_rows = passed(made("postgresql", dump, ["public.a"], rows=False), dump)
    assert b"setval" not in without_rows
    assert b"CREATE SEQUENCE public.of_a" in without_rows


def test_what_tables_are_made_of_may_fail_for_want_of_other_tables() -> None:
    function = "CREATE FUNCTION public.f(public.b) RETURNS text\n    LANGUAGE sql\n    AS $vya$it's$vya$;"
    dump = postgresql_with(function, "ALTER FUNCTION public.f(public.b) OWNER TO me;", "GRANT ALL ON SCHEMA s TO r;")
    content = passed(made("postgresql", dump, ["public.a"]), dump).decode()
    lines = [line for line in content.replace(function, "<function>").splitlines() if line.startswith("DO ")]
    assert len(lines) == 3
    assert "EXECUTE $vya_$<function>$vya_$" in lines[0]
    assert "RAISE WARNING USING MESSAGE = 'FUNCTION public.f was left out: ' || SQLERRM" in lines[0]
    assert "THEN NULL;" in lines[1]


def test_definitions_alone_are_those_of_the_vendors_option() -> None:
    dump = postgresql_with(*WANTED, *UNWANTED)
    content = passed(made("postgresql", dump, [], rows=False), dump)
    for gone in (b"setval", b"REFRESH", b"lo_create", b"in a"):
        assert gone not in content
    for kept in (b"CREATE VIEW", b"CREATE SEQUENCE", b"to_b", b"CREATE PUBLICATION"):
        assert kept in content


def test_a_table_that_the_dump_does_not_define_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"does not define public\.c"):
        made("postgresql", postgresql({"a": []}), ["public.a", "public.c"])


def test_a_statement_in_an_unknown_form_is_refused() -> None:
    dump = postgresql_with("CREATE INDEX CONCURRENTLY i2 ON public.a (c);")
    with pytest.raises(RestoreError, match="form that is not known: CREATE INDEX CONCURRENTLY"):
        passed(made("postgresql", dump, ["public.a"]), dump)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ('CREATE UNLOGGED TABLE "a.b"."c ""d" (\n', 'a.b.c "d'),
        ("ALTER TABLE ONLY s.t ALTER COLUMN c SET STORAGE MAIN;", "s.t"),
        ("CREATE UNIQUE INDEX i ON ONLY s.t USING btree (c);", "s.t"),
        ("SECURITY LABEL FOR p ON COLUMN s.t.c IS 'x';", "s.t"),
        ("CREATE TYPE s.t AS ENUM ();", None),
    ],
)
def test_the_relation_of_a_statement(statement: str, table: str | None) -> None:
    found = sql.relation(statement.encode())
    assert (sql.unquoted(found) if found else None) == table


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("UTF8", "utf-8"), ("LATIN1", "iso8859-1"), ("WIN1252", "cp1252"), ("KOI8R", "koi8-r"), ("SQL_ASCII", "utf-8")],
)
def test_the_codec_of_an_encoding(encoding: str, codec: str) -> None:
    assert sql.codec_of(encoding) == codec


def test_a_long_definition_is_passed_over_by_its_name() -> None:
    made_of = f"CREATE DOMAIN public.d AS text DEFAULT '{'é' * 300}'::text;"
    assert "MESSAGE = 'DOMAIN public.d was left out: ' ||" in sql.tolerated(made_of.encode()).decode()
