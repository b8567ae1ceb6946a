# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What SHOW GRANTS of MySQL and MariaDB says, and the GRANT that is missing."""

from __future__ import annotations

import pytest

from vya_backupdb.db.base import Server, version_number
from vya_backupdb.db.mysql_checks import dump_privileges
from vya_backupdb.db.mysql_facts import Account, DatabaseFacts, called_functions
from vya_backupdb.db.mysql_privileges import (
    definer_privileges,
    parse_grants,
    quote_account,
    quote_scope,
    routine_privileges,
    view_functions_are_executed,
)

MARIADB = Server("mariadb", "11.8.6", (11, 8, 6))
MYSQL = Server("mysql", "9.7.4", (9, 7, 4))
ALL_DUMP = "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON *.* TO `b`@`localhost`"


def server(flavour: str, version: str) -> Server:
    return Server(flavour, version, version_number(version))


def lacking(*grants: str, of: Server = MYSQL, databases: tuple[DatabaseFacts, ...] = ()) -> list[str]:
    """The GRANT statements that an account with these grants is told."""
    checks = dump_privileges(of, Account("b@localhost", parse_grants(grants)), databases)
    assert all(check.status == "failed" and check.detail.endswith(".") for check in checks)
    return [check.hint.removeprefix("As an administrator: ") for check in checks]


SHOP = DatabaseFacts("shop", views=("v",))


@pytest.mark.parametrize("privilege", ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"])
@pytest.mark.parametrize("of", [MARIADB, MYSQL, server("mysql", "8.0.11"), server("mysql", "5.7.44")])
def test_each_missing_privilege_is_told_with_its_grant(privilege: str, of: Server) -> None:
    held = [name for name in ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT") if name != privilege]
    line = f"GRANT {', '.join(held)} ON *.* TO `b`@`localhost` IDENTIFIED BY PASSWORD '*AB'"
    assert lacking(line, of=of, databases=(SHOP,)) == [f"GRANT {privilege} ON *.* TO 'b'@'localhost';"]
    assert lacking(ALL_DUMP, of=of, databases=(SHOP,)) == []


def test_all_privileges_are_enough() -> None:
    assert lacking("GRANT ALL PRIVILEGES ON *.* TO `b`@`localhost` WITH GRANT OPTION", databases=(SHOP,)) == []


def test_show_view_is_needed_where_there_are_views() -> None:
    without = "GRANT SELECT, EVENT, TRIGGER ON *.* TO `b`@`localhost`"
    assert lacking(without, databases=(DatabaseFacts("shop"),)) == []
    assert lacking(without, databases=(SHOP,)) == ["GRANT SHOW VIEW ON *.* TO 'b'@'localhost';"]


def test_privileges_on_single_databases_are_enough_for_these() -> None:
    own = "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `shop`.* TO `b`@`localhost`"
    system = "GRANT SELECT ON `mysql`.* TO `b`@`localhost`"
    assert lacking(own, system, of=MARIADB, databases=(SHOP,)) == []
    assert lacking(own, of=MARIADB, databases=(SHOP,)) == ["GRANT SELECT ON `mysql`.* TO 'b'@'localhost';"]
    assert lacking(own, system, databases=(SHOP,)) == ["GRANT SHOW_ROUTINE ON *.* TO 'b'@'localhost';"]
    routine = "GRANT SHOW_ROUTINE ON *.* TO `b`@`localhost`"
    assert lacking(own, system, routine, databases=(SHOP,)) == []
    assert lacking(own, system, of=server("mysql", "8.0.19"), databases=(SHOP,)) == [
        "GRANT SELECT ON *.* TO 'b'@'localhost';"
    ]


def test_an_account_of_single_databases_is_not_told_to_ask_for_all() -> None:
    grants = ("GRANT SELECT ON `a_b`.* TO `b`@`localhost`", "GRANT SELECT ON `mysql`.* TO `b`@`localhost`")
    assert lacking(*grants, of=MARIADB, databases=(DatabaseFacts("a_b"),)) == [
        r"GRANT TRIGGER, EVENT ON `a\_b`.* TO 'b'@'localhost';"
    ]


def test_an_account_without_anything_is_told_all_at_once() -> None:
    assert lacking("GRANT USAGE ON *.* TO `b`@`localhost`", databases=(SHOP,)) == [
        "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO 'b'@'localhost';"
    ]
    assert lacking(databases=()) == ["GRANT SELECT, TRIGGER, EVENT ON *.* TO 'b'@'localhost';"]


def test_a_role_that_is_not_active_is_named() -> None:
    grants = parse_grants(["GRANT USAGE ON *.* TO `b`@`%`", "GRANT `reader`@`%` TO `b`@`%`", "GRANT `r2` TO `b`@`%`"])
    assert grants.roles == ("reader", "r2")
    hint = dump_privileges(MYSQL, Account("b@%", grants), [SHOP])[0].hint
    assert hint.endswith("Or, if a role of it (r2, reader) holds that: make the role a default one.")


@pytest.mark.parametrize(
    ("line", "question", "held"),
    [
        ("GRANT SELECT (`a`, `b``,c`), INSERT ON `d`.`t` TO `u`@`%`", ("SELECT", "d", "t"), False),
        ("GRANT SELECT (`a`, `b``,c`), INSERT ON `d`.`t` TO `u`@`%`", ("INSERT", "d", "t"), True),
        ("GRANT SELECT ON `d`.`t` TO `u`@`%`", ("SELECT", "d"), False),
        (r"GRANT SELECT ON `d\_1`.* TO `u`@`%`", ("SELECT", "d_1"), True),
        (r"GRANT SELECT ON `d\_1`.* TO `u`@`%`", ("SELECT", "dx1"), False),
        ("GRANT SELECT ON `d_1`.* TO `u`@`%`", ("SELECT", "dx1"), True),
        ("GRANT SELECT ON `d%`.* TO `u`@`%`", ("SELECT", "d.x"), True),
        ('GRANT SELECT ON "d""e".* TO "u"@"%"', ("SELECT", 'd"e'), True),
        ("GRANT EXECUTE ON FUNCTION `d`.`F` TO `u`@`%`", ("EXECUTE", "d", "f", "FUNCTION"), True),
        ("GRANT EXECUTE ON PROCEDURE `d`.`f` TO `u`@`%`", ("EXECUTE", "d", "f", "FUNCTION"), False),
        ("GRANT ALL PRIVILEGES ON `d`.* TO `u`@`%`", ("EXECUTE", "d", "f", "FUNCTION"), True),
        ("GRANT ALL PRIVILEGES ON `d`.* TO `u`@`%`", ("SELECT",), False),
        ("GRANT ALL PRIVILEGES ON *.* TO `u`@`%`", ("GRANT OPTION",), False),
        ("GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION", ("GRANT OPTION",), True),
        ("GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION", ("GRANT OPTION",), False),
        ("GRANT EXECUTE ON *.* TO PUBLIC", ("EXECUTE", "d"), True),
        ("SET DEFAULT ROLE `r` FOR `u`@`%`", ("SELECT",), False),
    ],
)
def test_reading_grants(line: str, question: tuple[str, ...], held: bool) -> None:
    assert parse_grants([line]).holds(*question) is held


def test_partial_revokes_take_away_from_a_global_privilege() -> None:
    lines = ["GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `mysql`.* FROM `u`@`%`"]
    grants = parse_grants(lines, literal=True)
    assert grants.holds("SELECT", "shop")
    assert not grants.holds("SELECT", "mysql")
    assert not parse_grants(["GRANT SELECT ON `d_1`.* TO `u`@`%`"], literal=True).holds("SELECT", "dx1")
    assert quote_scope("a_b", literal=True) == "`a_b`.*"


def test_quoting_of_accounts() -> None:
    assert quote_account("o'k@odd@10.%") == "'o''k@odd'@'10.%'"


def test_which_privileges_serve_changed_over_time() -> None:
    assert routine_privileges(server("mysql", "8.0.20")) == ("SHOW_ROUTINE", "SELECT")
    assert routine_privileges(server("mysql", "5.7.44")) == routine_privileges(MARIADB) == ()
    assert definer_privileges(server("mysql", "5.7.44")) == ("SUPER",)
    assert definer_privileges(server("mysql", "8.0.36"))[0] == "SET_USER_ID"
    assert definer_privileges(server("mysql", "8.4.0"))[0] == "SET_ANY_DEFINER"
    assert definer_privileges(server("mariadb", "10.4.1")) == ("SUPER",)
    assert definer_privileges(MARIADB)[0] == "SET USER"
    assert view_functions_are_executed(server("mysql", "5.7.44"))
    assert not view_functions_are_executed(MYSQL)


def test_functions_that_views_call_are_found_through_other_views() -> None:
    views = [
        ("d", "v", "select `f`(`d`.`t`.`id`) AS `x`,concat(`d`.`t`.`n`) AS `y` from `d`.`t`"),
        ("e", "outer", b"select `v`.`x` AS `x`,`e2`.`G``g`(1) AS `z` from `d`.`v`"),
        ("e", "top", "select `outer`.`x` AS `x` from `e`.`outer`"),
        ("e", "plain", "select '`f`(' AS `x`"),
        ("e", "hidden", ""),
    ]
    found = called_functions(views, [("d", "F"), ("e2", "g`g"), ("d", "unused")])
    both = {("d", "F"), ("e2", "g`g")}
    assert found == {("d", "v"): {("d", "F")}, ("e", "outer"): both, ("e", "top"): both}
    # Where functions cannot be seen, what looks like a call is one.
    assert called_functions(views[:1], None) == {("d", "v"): {("d", "f")}}


def test_functions_in_views_need_execute_on_each() -> None:
    facts = DatabaseFacts("shop", views=("v",), functions=frozenset({("shop", "f"), ("lib", "g")}))
    told = lacking(ALL_DUMP, of=MARIADB, databases=(facts,))
    assert told == [
        (
            "GRANT EXECUTE ON FUNCTION `lib`.`g` TO 'b'@'localhost';"
            " GRANT EXECUTE ON FUNCTION `shop`.`f` TO 'b'@'localhost';"
        )
    ]
    one = "GRANT EXECUTE ON FUNCTION `shop`.`f` TO `b`@`localhost`"
    rest = "GRANT EXECUTE ON `lib`.* TO `b`@`localhost`"
    assert lacking(ALL_DUMP, one, of=MARIADB, databases=(facts,)) == [
        "GRANT EXECUTE ON FUNCTION `lib`.`g` TO 'b'@'localhost';"
    ]
    assert lacking(ALL_DUMP, one, rest, of=MARIADB, databases=(facts,)) == []
