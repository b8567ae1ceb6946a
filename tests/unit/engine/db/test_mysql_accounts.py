# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes an account of MySQL or MariaDB again: nothing of a password where none is to be kept."""

from __future__ import annotations

from typing import Any

import pytest

from vya_backupdb.db import mysql_accounts
from vya_backupdb.db.base import Server
from vya_backupdb.db.mysql_accounts import read_accounts

MYSQL = Server("mysql", "9.7.0", (9, 7, 0))
MARIADB = Server("mariadb", "11.8.3", (11, 8, 3))
TAIL = " REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK PASSWORD HISTORY DEFAULT PASSWORD REQUIRE CURRENT DEFAULT"
HASH = "0x24412430303524" + "AB" * 60


class Catalogue:
    """Answers as a server does."""

    def __init__(self, definition: str = "", grants: tuple[str, ...] = (), **tables: list[tuple[Any, ...]]) -> None:
        self.definition = definition
        self.grants = grants
        self.tables = {"mysql.user": [("app", "%")], **{key.replace("__", "."): rows for key, rows in tables.items()}}
        self.asked: list[str] = []

    def __call__(self, statement: str, _parameters: Any = None) -> list[tuple[Any, ...]]:
        self.asked.append(statement)
        if statement.startswith("SHOW CREATE USER"):
            return [(self.definition,)]
        if statement.startswith("SHOW GRANTS"):
            return [(text,) for text in self.grants]
        if "default_role" in statement:
            return []
        return next((rows for key, rows in self.tables.items() if f"FROM {key}" in statement), [])


@pytest.fixture(autouse=True)
def _no_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_accounts, "read_privileges", lambda _query, _database: [])


def made(server: Server, catalogue: Catalogue, passwords: bool = False) -> Any:
    return read_accounts(catalogue, server, "shop", ["app@%"], passwords)


@pytest.mark.parametrize(
    ("server", "identified", "rest"),
    [
        (MYSQL, f"IDENTIFIED WITH 'caching_sha2_password' AS {HASH}", TAIL),
        (MYSQL, f"IDENTIFIED WITH 'mysql_native_password' AS '*{HASH}'", TAIL),
        (MYSQL, f"IDENTIFIED WITH 'caching_sha2_password' AS {HASH} AND IDENTIFIED WITH 'totp' AS '{HASH}'", TAIL),
        (
            MARIADB,
            f"IDENTIFIED BY PASSWORD '*{HASH}'",
            " REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 7 PASSWORD EXPIRE NEVER",
        ),
        (MARIADB, f"IDENTIFIED VIA unix_socket OR ed25519 USING '{HASH}'", " ACCOUNT LOCK PASSWORD EXPIRE"),
        (MARIADB, f"IDENTIFIED VIA ed25519 USING '{HASH}'", ""),
        (MARIADB, f"IDENTIFIED VIA a_plugin_of_tomorrow WITHIN '{HASH}' USING '{HASH}'", " IDENTIFIED ANEW"),
        (MARIADB, f"IDENTIFIED VIA ed25519 USING '{HASH}''\\' ACCOUNT LOCK'", ""),
    ],
)
def test_without_a_password_an_account_is_locked(server: Server, identified: str, rest: str) -> None:
    found = made(server, Catalogue(f"CREATE USER `app`@`%` {identified}{rest}"))
    (statement,) = found.statements
    assert statement.sql.startswith("CREATE USER IF NOT EXISTS 'app'@'%'")
    assert statement.sql.count("ACCOUNT LOCK") == 1
    assert "ACCOUNT UNLOCK" not in statement.sql
    assert "AB" * 5 not in statement.sql
    assert "IDENTIFIED" not in statement.sql
    assert not found.passwords
    assert "only where the artifact is encrypted" in found.reason


@pytest.mark.parametrize("identified", ["IDENTIFIED WITH 'auth_socket'", "IDENTIFIED VIA unix_socket", ""])
def test_an_account_without_a_secret_is_as_it_was(identified: str) -> None:
    found = made(MYSQL, Catalogue(f"CREATE USER `app`@`%` {identified}{TAIL}"))
    assert found.statements[0].sql == f"CREATE USER IF NOT EXISTS 'app'@'%' {identified}{TAIL}"
    assert found.reason == ""


def test_with_its_password_an_account_is_as_it_was() -> None:
    definition = f"CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS {HASH}{{}}{TAIL}"
    catalogue = Catalogue(definition.format(" DEFAULT ROLE `staff`@`%`"))
    found = made(MYSQL, catalogue, passwords=True)
    assert found.statements[0].sql == definition.format("").replace(
        "CREATE USER `app`@`%`", "CREATE USER IF NOT EXISTS 'app'@'%'"
    )
    assert found.passwords
    assert found.reason == ""
    assert "SET SESSION print_identified_with_as_hex = ON" in catalogue.asked


def test_a_password_that_the_server_hides_is_missing() -> None:
    catalogue = Catalogue(f"CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '<secret>'{TAIL}")
    found = made(MYSQL, catalogue, passwords=True)
    assert "ACCOUNT LOCK" in found.statements[0].sql
    assert not found.passwords
    assert "may not read them" in found.reason


def test_what_is_not_understood_is_not_repeated() -> None:
    found = made(MYSQL, Catalogue(f"CREATE ACCOUNT app IDENTIFIED AS {HASH}"))
    assert found.statements[0].sql == "CREATE USER IF NOT EXISTS 'app'@'%' ACCOUNT LOCK"


def test_only_privileges_on_everything_are_its_own() -> None:
    grants = (
        "GRANT USAGE ON *.* TO `app`@`%`",
        "GRANT RELOAD, PROCESS ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL WITH GRANT OPTION",
        "GRANT SELECT ON *.* TO `staff`",
        "GRANT SELECT ON `shop`.* TO `app`@`%`",
        "GRANT `staff`@`%` TO `app`@`%`",
        "REVOKE SELECT ON `mysql`.* FROM `app`@`%`",
    )
    found = made(MYSQL, Catalogue("CREATE USER `app`@`%`", grants))
    assert [each.sql for each in found.statements[1:]] == [
        "GRANT RELOAD, PROCESS ON *.* TO 'app'@'%' WITH GRANT OPTION",
        "REVOKE SELECT ON `mysql`.* FROM `app`@`%`",
    ]


def test_roles_of_mariadb() -> None:
    catalogue = Catalogue(
        "CREATE USER `app`@`%`",
        mysql__user=[(b"app", b"%"), ("staff", ""), ("PUBLIC", ""), ("other", ""), ("lead", ""), ("root", "localhost")],
        mysql__roles_mapping=[
            ("staff", "", "app", "%", "N"),
            ("staff", "", "root", "localhost", "Y"),
            ("staff", "", "lead", "", "Y"),
            ("other", "", "app", "%", "N"),
        ],
    )
    found = read_accounts(catalogue, MARIADB, "shop", ["staff"], passwords=False)
    assert found.names == ("app@%", "lead@", "staff@")
    assert [each.sql for each in found.statements] == [
        "CREATE USER IF NOT EXISTS 'app'@'%'",
        "CREATE ROLE IF NOT EXISTS `lead`",
        "CREATE ROLE IF NOT EXISTS `staff`",
        "GRANT `staff` TO 'app'@'%'",
        "GRANT `staff` TO `lead` WITH ADMIN OPTION",
        "REVOKE `lead` FROM CURRENT_USER",
        "REVOKE `staff` FROM CURRENT_USER",
    ]


def test_accounts_of_the_system_and_such_as_are_gone_are_left_out() -> None:
    catalogue = Catalogue(mysql__user=[("mysql.sys", "localhost"), ("ghost", "")])
    assert (
        read_accounts(catalogue, MYSQL, "shop", ["mysql.sys@localhost", "gone@%", "ghost@"], passwords=False).names
        == ()
    )
