# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of MySQL and MariaDB, from facts alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from vya_backupdb.db.base import Check, Client, Origin, Server, version_number
from vya_backupdb.db.compatibility import Clients
from vya_backupdb.db.mysql_checks import authentication_plugin, check_dump, check_instance, client_age, client_options
from vya_backupdb.db.mysql_facts import Account, DatabaseFacts, InstanceFacts
from vya_backupdb.db.mysql_privileges import parse_grants
from vya_backupdb.db.mysql_restore_checks import check_restore
from vya_backupdb.errors import ClientError

ALL = "GRANT ALL PRIVILEGES ON *.* TO `b`@`localhost` WITH GRANT OPTION"
DUMP = "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO `b`@`localhost`"


def server(flavour: str, version: str) -> Server:
    return Server(flavour, version, version_number(version))


def client(flavour: str, version: str) -> Client:
    return Client("/usr/bin/client", flavour, version, version_number(version))


def facts(flavour: str = "mariadb", version: str = "11.8.6", *grants: str, **changes: Any) -> InstanceFacts:
    fitting = client(flavour, version)
    made = InstanceFacts(
        server=server(flavour, version),
        configured=flavour,
        account=Account("b@localhost", parse_grants(grants or (ALL,))),
        clients=Clients(fitting, fitting, ""),
        variables={"max_allowed_packet": "67108864", "event_scheduler": "ON", "lower_case_table_names": "0"},
        plugins={"b@localhost": "unix_socket", "app@%": "unix_socket"},
        engines=frozenset({"InnoDB", "MyISAM", "SEQUENCE"}),
        collations=frozenset({"utf8mb4", "utf8mb4_bin"}),
    )
    variables = {**made.variables, **changes.pop("variables", {})}
    return dataclasses.replace(made, variables=variables, **changes)


def unwell(checks: list[Check]) -> dict[str, str]:
    """The checks that found something, with their status; all of them are sentences."""
    found = [check for check in checks if check.status != "ok"]
    assert all(check.detail.endswith(".") and check.hint for check in found), found
    return {check.check: check.status for check in found}


def examined(made: InstanceFacts, *databases: DatabaseFacts) -> dict[str, str]:
    return unwell(check_instance(made, databases))


@pytest.mark.parametrize(
    ("flavour", "version"),
    [("mariadb", "10.5.29"), ("mariadb", "11.8.6"), ("mysql", "5.7.44"), ("mysql", "8.0.36"), ("mysql", "9.7.4")],
)
def test_where_all_is_well_nothing_is_said(flavour: str, version: str) -> None:
    database = DatabaseFacts("shop", views=("v",), engines={"InnoDB": ("t",)}, definers={"app@%": ("v",)})
    assert examined(facts(flavour, version), database) == {}


@pytest.mark.parametrize(
    ("flavour", "of_server", "of_client", "status"),
    [
        ("mysql", "9.7.4", "9.7.4", "ok"),
        ("mysql", "8.0.36", "9.7.4", "ok"),
        ("mysql", "9.7.4", "9.1.0", "warning"),
        ("mysql", "8.4.1", "8.0.36", "warning"),
        ("mysql", "9.0.1", "8.4.1", "failed"),
        ("mysql", "8.0.36", "5.7.44", "failed"),
        ("mariadb", "11.8.6", "11.8.2", "ok"),
        ("mariadb", "11.8.6", "10.11.14", "warning"),
        ("mariadb", "10.11.14", "10.5.29", "warning"),
        ("mariadb", "10.5.29", "10.2.44", "failed"),
        ("mariadb", "10.2.44", "10.1.48", "warning"),
    ],
)
def test_the_age_of_the_client(flavour: str, of_server: str, of_client: str, status: str) -> None:
    found = client_age(server(flavour, of_server), client(flavour, of_client))
    assert [(check.check, check.status) for check in found] == [("client-age", status)]
    if status != "ok":
        assert of_client in found[0].detail
        assert f"Install {flavour}-client {'.'.join(of_server.split('.')[:2])} or later." == found[0].hint


def test_a_client_that_does_not_know_the_history_says_what_is_lost() -> None:
    versioned = DatabaseFacts("shop", versioned=("prices",))
    old, new = client("mariadb", "10.6.22"), client("mariadb", "10.11.2")
    found = client_options(server("mariadb", "10.6.22"), old, [versioned])
    assert unwell(found) == {"client-options": "warning"}
    assert "shop.prices" in found[0].detail
    assert unwell(client_options(server("mariadb", "10.6.22"), new, [versioned])) == {}
    assert unwell(client_options(server("mariadb", "10.6.22"), old, [DatabaseFacts("shop")])) == {}
    says = client_options(server("mysql", "5.7.44"), client("mysql", "5.7.44"), [])[0].detail
    assert says == "--column-statistics not known and not used; PROCESS is not needed."


@pytest.mark.parametrize(
    ("plugin", "of_client", "status"),
    [
        ("caching_sha2_password", "5.7.22", "failed"),
        ("caching_sha2_password", "5.7.23", "ok"),
        ("caching_sha2_password", "9.7.4", "ok"),
        ("mysql_native_password", "8.4.0", "ok"),
        ("mysql_native_password", "9.0.1", "warning"),
    ],
)
def test_the_plugin_by_which_the_account_logs_in(plugin: str, of_client: str, status: str) -> None:
    made = facts("mysql", "8.0.36", plugins={"b@localhost": plugin})
    found = authentication_plugin(made, client("mysql", of_client))
    assert [(check.check, check.status) for check in found] == [("authentication-plugin", status)]
    assert (status == "ok") is (found[0].hint == "")


def test_a_plugin_that_cannot_be_looked_up_is_no_finding() -> None:
    assert authentication_plugin(facts(plugins=None), client("mariadb", "11.8.6")) == []
    assert "definers" not in {check.check for check in check_instance(facts(plugins=None), [])}


def test_clients_that_do_not_fit_each_other_or_the_server() -> None:
    old = client("mariadb", "11.4.1")
    assert examined(facts(clients=Clients(client("mariadb", "11.8.6"), old, ""))) == {"sandbox-comment": "warning"}
    missing = ClientError("No mariadb-dump of MariaDB is installed.", "Install it.")
    assert examined(facts(clients=Clients(missing, old, ""))) == {"client-present": "failed"}
    assert examined(facts(clients=Clients(old, old, "ERROR 2059"))) == {
        "client-age": "warning",
        "client-login": "failed",
    }
    assert examined(facts(configured="mysql")) == {"dbms": "warning"}


def test_an_account_for_backups_only() -> None:
    assert examined(facts("mysql", "9.7.4", DUMP, variables={"log_bin": "ON"})) == {
        "log-position": "warning",
        "restore-privileges": "warning",
    }
    assert examined(facts("mariadb", "11.8.6", DUMP, variables={"log_bin": "ON"})) == {"restore-privileges": "warning"}
    told = [check for check in check_instance(facts("mysql", "9.7.4", DUMP), []) if check.status == "warning"]
    assert "SET_ANY_DEFINER" in told[0].detail
    assert "GRANT OPTION" in told[0].detail


def test_what_fails_foretells_a_failing_dump() -> None:
    broken = DatabaseFacts("shop", views=("v",), unreadable={"v": "View 'shop.v' references invalid table(s)"})
    made = facts("mariadb", "11.8.6", "GRANT SELECT, SHOW VIEW, TRIGGER ON *.* TO `b`@`localhost`")
    failed = {name for name, status in examined(made, broken).items() if status == "failed"}
    assert failed == {"privileges", "views"}
    found = check_dump(made.server, made.account, client("mariadb", "11.8.6"), [broken])
    assert {check.check for check in found if check.status == "failed"} == failed
    detail = next(check.detail for check in found if check.check == "views")
    assert "v (View 'shop.v' references" in detail
    assert check_dump(made.server, made.account, None, [broken]) != []


def test_views_that_call_what_may_not_be_executed_are_not_called_broken() -> None:
    made = facts("mariadb", "11.8.6", DUMP)
    database = DatabaseFacts(
        "shop",
        views=("v",),
        functions=frozenset({("shop", "f")}),
        unreadable={"v": "execute command denied", "t": "Unknown storage engine 'SPIDER'"},
    )
    found = {check.check: check for check in check_dump(made.server, made.account, None, [database])}
    assert "EXECUTE" in found["privileges"].hint
    assert "t (Unknown storage engine" in found["views"].detail
    assert "v" not in found["views"].detail.split("(")[0].split(": ")[-1]


def test_storage_engines() -> None:
    assert examined(facts(), DatabaseFacts("shop", engines={"MyISAM": ("logs",)})) == {"storage-engines": "warning"}
    assert examined(facts(), DatabaseFacts("shop", engines={"ROCKSDB": ("t",)})) == {"storage-engines": "warning"}
    disabled = facts("mysql", "9.7.4", variables={"disabled_storage_engines": "MyISAM, innodb"})
    found = check_instance(disabled, [DatabaseFacts("shop", engines={"InnoDB": ("t",)})])
    assert "not available: InnoDB" in next(check.detail for check in found if check.check == "storage-engines")


def test_definers_that_do_not_exist_are_named() -> None:
    database = DatabaseFacts("shop", definers={"gone@%": ("v",), "app@%": ("p",), "a_role": ("q",)})
    accounts = {"app@%": "", "a_role@": "", "b@localhost": ""}
    found = check_instance(facts(plugins=accounts), [database])
    told = next(check for check in found if check.check == "definers")
    assert told.status == "warning"
    assert "do not exist: gone@%." in told.detail


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"read_only": "ON"}, {"read-only": "warning"}),
        ({"read_only": "OFF", "super_read_only": "ON"}, {"read-only": "warning"}),
        ({"max_allowed_packet": "4194304"}, {"max-allowed-packet": "warning"}),
        ({"sql_require_primary_key": "ON"}, {"primary-keys": "warning"}),
        ({"sql_require_primary_key": "OFF"}, {}),
        ({"event_scheduler": "OFF", "lower_case_table_names": "1", "sql_mode": "ANSI_QUOTES"}, {}),
    ],
)
def test_settings_that_a_restore_would_meet(variables: dict[str, str], expected: dict[str, str]) -> None:
    assert examined(facts("mysql", "9.7.4", variables=variables), DatabaseFacts("shop", unkeyed=("t",))) == expected


def origin(flavour: str = "mariadb", version: str = "11.8.6", tool: str = "11.8.6", **settings: Any) -> Origin:
    inventory = settings.pop("inventory", {"table": ["t"], "view": []})
    dbms = {"flavour": flavour, "version": version, "description": f"{flavour} {version}"}
    known = {"character_set": "utf8mb4", "collation": "utf8mb4_bin", **settings}
    return Origin(dbms, {"name": "dump", "version": tool}, known, inventory)


NEEDS = {"engines": ["InnoDB"], "collations": ["utf8mb4_bin"], "definers": ["app@%"], "tables_without_primary_key": 2}


def refused(made: InstanceFacts, of: Origin) -> list[str]:
    found = check_restore(made, of, "shop")
    assert all(check.status == "failed" and check.detail.endswith(".") and check.hint for check in found), found
    return [check.check for check in found]


def test_a_restore_that_fits() -> None:
    assert refused(facts(), origin(needs=NEEDS)) == []
    assert refused(facts(), origin()) == []  # an older artifact, which does not say what it needs


@pytest.mark.parametrize(
    ("flavour", "version", "expected"),
    [
        ("mysql", "9.7.4", ["make"]),
        ("mariadb", "11.9.1", ["version"]),
        ("mariadb", "12.0.1", ["version"]),
        ("mariadb", "11.8.99", []),
        ("mariadb", "10.5.2", []),
    ],
)
def test_an_artifact_of_another_make_or_a_newer_version(flavour: str, version: str, expected: list[str]) -> None:
    assert refused(facts(), origin(flavour, version)) == expected


def test_a_restore_is_refused_with_all_reasons_at_once() -> None:
    old = client("mariadb", "10.11.7")
    grants = "GRANT SELECT, INSERT, CREATE ON *.* TO `b`@`localhost`"
    variables = {"read_only": "ON", "lower_case_table_names": "1", "sql_require_primary_key": "ON"}
    made = facts("mariadb", "11.8.6", grants, clients=Clients(old, old), variables=variables, engines=frozenset())
    needs = {**NEEDS, "collations": ["utf8mb4_uca9999_ai_ci"]}
    of = origin(needs=needs, inventory={"table": ["Orders"]})
    assert refused(made, of) == [
        "sandbox-comment",
        "read-only",
        "storage-engines",
        "collations",
        "lower-case-names",
        "primary-keys",
        "restore-privileges",
        "definers",
    ]


@pytest.mark.parametrize(("tool", "expected"), [("10.11.8", ["sandbox-comment"]), ("10.11.7", [])])
def test_the_artifacts_own_client_counts_at_a_restore(tool: str, expected: list[str]) -> None:
    old = client("mariadb", "11.4.1")
    assert refused(facts(clients=Clients(old, old)), origin(tool=tool)) == expected


def test_a_missing_loader_is_among_the_reasons() -> None:
    missing = ClientError("No mariadb of MariaDB is installed.", "Install it.")
    assert refused(facts(clients=Clients(missing, missing)), origin()) == ["client-present"]


def test_collations_that_have_another_name_by_now() -> None:
    made = facts(collations=frozenset({"utf8mb3", "utf8mb3_bin", "utf8mb4", "utf8mb4_bin"}))
    assert refused(made, origin(character_set="utf8", collation="utf8_bin")) == []
    assert refused(made, origin(character_set="utf8", collation="utf8_none_ci")) == ["collations"]


def test_definers_of_others_need_a_privilege() -> None:
    base = "GRANT SELECT, INSERT, CREATE, DROP, ALTER, INDEX, REFERENCES, LOCK TABLES, CREATE VIEW, SHOW VIEW,"
    base += " CREATE ROUTINE, ALTER ROUTINE, TRIGGER, EVENT ON `shop`.* TO `b`@`localhost`"
    mysql = facts("mysql", "9.7.4", base)
    others, own = origin("mysql", "9.7.4", needs=NEEDS), origin("mysql", "9.7.4", needs={"definers": ["b@localhost"]})
    assert refused(mysql, own) == []
    assert refused(mysql, others) == ["definers"]
    may = facts("mysql", "9.7.4", base, "GRANT SET_ANY_DEFINER ON *.* TO `b`@`localhost`")
    assert refused(may, others) == []
    gone = origin("mysql", "9.7.4", needs={"definers": ["gone@%"]})
    assert "ALLOW_NONEXISTENT_DEFINER" in check_restore(may, gone, "shop")[0].hint
    assert refused(may, dataclasses.replace(gone, made=("gone@%",))) == []
