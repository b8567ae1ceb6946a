# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of PostgreSQL, from facts alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from vya_backupdb.db.base import Check, Client, Origin, Server, version_number
from vya_backupdb.db.compatibility import Clients
from vya_backupdb.db.postgresql_checks import check_dump, check_instance
from vya_backupdb.db.postgresql_facts import Account, DatabaseFacts, InstanceFacts
from vya_backupdb.db.postgresql_restore_checks import TargetFacts, check_restore
from vya_backupdb.errors import ClientError

READER = Account("ba'ck\"up", reads_all=True, bypasses=True)
SUPERUSER = Account("postgres", superuser=True, bypasses=True, creates=True)


def server(version: str) -> Server:
    return Server("postgresql", version, version_number(version))


def client(version: str) -> Client:
    return Client("/usr/bin/client", "postgresql", version, version_number(version))


def facts(version: str = "17.6", account: Account = SUPERUSER, **changes: Any) -> InstanceFacts:
    clients = Clients(client(version), client(version), "")
    made = InstanceFacts(server(version), account, clients, {"plpgsql": "1.0", "hstore": "1.8"})
    return dataclasses.replace(made, **changes)


def unwell(checks: list[Check]) -> list[tuple[str, str]]:
    """The checks that found something, with their status; all of them are sentences."""
    found = [check for check in checks if check.status != "ok"]
    assert all(check.detail.endswith(".") and check.hint for check in found), found
    return [(check.check, check.status) for check in found]


def told(account: Account, database: DatabaseFacts, version: str = "17.6") -> list[tuple[str, str]]:
    """What an account lacks for one database, with the remedy."""
    found = check_dump(server(version), account, [database])
    assert all(check.status == "failed" and check.database == database.name for check in found)
    assert unwell(found)[: len(found)] == [(check.check, "failed") for check in found]
    return [(check.check, check.hint.split(": ", 1)[1]) for check in found]


@pytest.mark.parametrize("version", ["13.22", "14.19", "15.14", "16.10", "17.6", "18.0"])
def test_where_all_is_well_nothing_is_said(version: str) -> None:
    database = DatabaseFacts("shop", extensions={"plpgsql": "1.0"})
    assert unwell(check_instance(facts(version), [database])) == []
    assert unwell(check_instance(facts(version, READER), [database])) == [("restore-privileges", "warning")]


def test_what_a_role_may_not_read_is_told_with_its_grant() -> None:
    role = '"ba\'ck""up"'
    poor = Account(READER.name)
    hidden = DatabaseFacts("shop", schemas=("s",), relations=("public.item", "s.other"))
    assert told(poor, hidden) == [("privileges", f"GRANT pg_read_all_data TO {role};")]
    older = told(poor, hidden, "13.22")[0][1]
    assert f'GRANT USAGE ON SCHEMA "s" TO {role};' in older
    assert f'GRANT SELECT ON ALL TABLES IN SCHEMA "public" TO {role};' in older
    assert told(READER, DatabaseFacts("shop", row_secured=("public.t",))) == [
        ("row-security", f"ALTER ROLE {role} BYPASSRLS;")
    ]
    assert told(READER, DatabaseFacts('s"h', closed=True)) == [
        ("connect", f'GRANT CONNECT ON DATABASE "s""h" TO {role};')
    ]
    assert told(READER, DatabaseFacts("shop", large_objects=(18, 17))) == [
        ("large-objects", f"GRANT SELECT ON LARGE OBJECT 17, 18 TO {role};")
    ]
    many = told(READER, DatabaseFacts("shop", large_objects=tuple(range(50))))[0][1]
    assert many.startswith("DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT ON LARGE OBJECT %s TO \"ba''ck\"\"up\"'")
    assert [name for name, _ in told(READER, DatabaseFacts("shop", subscriptions=("s",), user_mappings=("m",)))] == [
        "subscriptions",
        "user-mappings",
    ]


def test_nothing_is_hidden_from_a_superuser() -> None:
    hidden = DatabaseFacts("shop", relations=("t",), row_secured=("t",), subscriptions=("s",), large_objects=(1,))
    assert check_dump(server("17.6"), SUPERUSER, [hidden]) == []


@pytest.mark.parametrize(
    ("account", "lacking"),
    [
        (Account("b", bypasses=True), "GRANT pg_read_all_data"),
        (Account("b", reads_all=True), 'ALTER ROLE "b" BYPASSRLS;'),
    ],
)
def test_a_role_that_can_read_all_only_by_chance_is_warned(account: Account, lacking: str) -> None:
    found = check_instance(facts(account=account), [DatabaseFacts("shop")])
    assert unwell(found) == [("privileges", "warning"), ("restore-privileges", "warning")]
    assert lacking in next(check.hint for check in found if check.check == "privileges")


def test_standbys_are_backed_up_but_for_unlogged_tables() -> None:
    standby = dataclasses.replace(SUPERUSER, standby=True)
    database = DatabaseFacts("shop", unlogged=("public.cache",))
    assert unwell(check_instance(facts(account=standby), [DatabaseFacts("shop")])) == [("read-only", "warning")]
    assert ("unlogged-tables", "failed") in unwell(check_instance(facts(account=standby), [database]))
    assert [check.check for check in check_dump(server("17.6"), standby, [database])] == ["unlogged-tables"]
    assert check_dump(server("17.6"), SUPERUSER, [database]) == []


def test_clients_that_do_not_fit() -> None:
    missing = ClientError("No pg_dump of PostgreSQL 17 or later is installed.", "Install it.", check="client-age")
    assert unwell(check_instance(facts(clients=Clients(missing, client("17.6"), "")), [])) == [("client-age", "failed")]
    newer = Clients(client("17.6"), client("17.5"), "")
    assert unwell(check_instance(facts("15.14", clients=newer), [])) == [
        ("dump-settings", "warning"),
        ("restrict-lines", "warning"),
    ]


def test_extensions_that_could_not_be_created_again() -> None:
    found = check_instance(facts(), [DatabaseFacts("shop", extensions={"postgis": "3.5", "hstore": "1.7"})])
    assert unwell(found) == [("extensions", "warning"), ("extensions", "warning")]
    text = " ".join(check.detail for check in found)
    assert "could not create them: postgis." in text
    assert "hstore 1.7 (would be 1.8)" in text


def origin(version: str = "17.6", tool: str = "17.6", **settings: Any) -> Origin:
    dbms = {"flavour": "postgresql", "version": version, "description": f"PostgreSQL {version}"}
    return Origin(dbms, {"name": "pg_dump", "version": tool}, settings, {"extension": ["plpgsql", "hstore"]})


NEEDS = {"roles": ["app", 'o"dd'], "tablespaces": ["fast"], "extensions": {"hstore": "1.8"}}
THERE = TargetFacts({"app", 'o"dd', "postgres"}, {"pg_default", "fast"}, owned_by_others=False)


def refused(made: InstanceFacts, of: Origin, there: TargetFacts = THERE) -> list[str]:
    found = check_restore(made, there, of, "shop")
    assert all(status == "failed" for _check, status in unwell(found))
    return [check.check for check in found]


def test_a_restore_that_fits() -> None:
    assert refused(facts(), origin(needs=NEEDS)) == []
    assert refused(facts("18.0"), origin("13.22", "13.22")) == []
    assert refused(facts(), origin()) == []  # an older artifact, which does not say what it needs


@pytest.mark.parametrize(("version", "expected"), [("18.0", ["version"]), ("17.9", []), ("16.10", [])])
def test_an_artifact_of_a_newer_version(version: str, expected: list[str]) -> None:
    assert refused(facts(), origin(version)) == expected


def test_an_artifact_of_another_make() -> None:
    other = Origin({"flavour": "mysql", "version": "9.7.4", "description": "MySQL 9.7.4"}, {}, {}, {})
    assert refused(facts(), other) == ["make"]


def test_a_restore_is_refused_with_all_reasons_at_once() -> None:
    poor = Account("b", standby=True)
    made = facts("15.13", poor, available={"plpgsql": "1.0"})
    there = TargetFacts({"app"}, {"pg_default"}, owned_by_others=True)
    assert refused(made, origin("15.2", "17.6", needs=NEEDS), there) == [
        "dump-settings",
        "restrict-lines",
        "read-only",
        "extensions",
        "roles",
        "tablespaces",
        "restore-privileges",
        "restore-privileges",
    ]
    hints = " ".join(check.hint for check in check_restore(made, there, origin("15.2", needs=NEEDS), "shop"))
    assert 'CREATE ROLE "o""dd";' in hints
    assert "--accounts" not in hints


def test_roles_that_the_artifact_can_make() -> None:
    there = TargetFacts({"app"}, {"fast"}, owned_by_others=False)
    needs = {"roles": NEEDS["roles"]}
    able = dataclasses.replace(origin(needs=needs), accounts=('o"dd', "app"))
    (check,) = check_restore(facts(), there, able, "shop")
    assert "The artifact can make them: --accounts missing." in check.hint
    assert refused(facts(), dataclasses.replace(able, made=('o"dd',)), there) == []


def test_a_missing_psql_and_a_role_that_only_reads() -> None:
    missing = ClientError("No psql of PostgreSQL 17 or later is installed.", "Install it.")
    made = facts(clients=Clients(missing, missing), account=dataclasses.replace(SUPERUSER, read_only=True))
    assert refused(made, origin()) == ["client-present", "read-only"]
