# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes roles of PostgreSQL again."""

from __future__ import annotations

from typing import Any

from vya_backupdb.db.postgresql_accounts import read_accounts

PLAIN = {
    "rolsuper": False,
    "rolinherit": True,
    "rolcreaterole": False,
    "rolcreatedb": False,
    "rolcanlogin": True,
    "rolreplication": False,
    "rolbypassrls": False,
    "rolconnlimit": -1,
    "rolvaliduntil": None,
    "rolconfig": None,
}
WORDS = "NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS"


class Catalogue:
    """Answers as a server does."""

    def __init__(self, *roles: tuple[Any, ...], readable: bool = True, memberships: Any = ()) -> None:
        self.roles = roles
        self.memberships = memberships
        self.readable = readable
        self.asked: list[str] = []

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        self.asked.append(statement)
        if "has_table_privilege" in statement:
            return [(self.readable,)]
        if "rolpassword IS NOT NULL" in statement:
            return [("app", "SCRAM-SHA-256$it's")]
        return list(self.memberships if "pg_auth_members" in statement else self.roles)


def test_all_that_settings_name_is_made() -> None:
    settings = {
        "owner": "owner",
        "needs": {"roles": ["app"]},
        "acl": [[None, "CONNECT", False], ["guest", "CONNECT", False]],
        "configuration": [["tuned", ["a=b"]], [None, ["c=d"]]],
        "extension_owners": {"hstore": "extender"},
    }
    names = ("owner", "app", "guest", "tuned", "extender", "stranger")
    found = read_accounts(Catalogue(*((name, PLAIN, None, False) for name in names)), settings, passwords=False)
    assert found.names == ("app", "extender", "guest", "owner", "tuned")
    assert not found.passwords
    assert "only where the artifact is encrypted" in found.reason


def test_a_role_is_as_it_was() -> None:
    attributes = {
        **PLAIN,
        "rolsuper": True,
        "rolconnlimit": 3,
        "rolvaliduntil": "infinity",
        "rolconfig": ['search_path="$user", public', "my.option=it's"],
    }
    words, until, password = WORDS.replace("NOSUPER", "SUPER"), "'infinity'", "'SCRAM-SHA-256$it''s'"
    found = read_accounts(Catalogue(("app", attributes, "the app", False)), {"owner": "app"}, passwords=True)
    assert [each.sql for each in found.statements] == [
        f'CREATE ROLE "app" WITH {words} CONNECTION LIMIT 3 VALID UNTIL {until} PASSWORD {password}',
        'ALTER ROLE "app" SET "search_path" TO "$user", public',
        'ALTER ROLE "app" SET "my"."option" TO \'it\'\'s\'',
        "COMMENT ON ROLE \"app\" IS 'the app'",
    ]
    assert found.passwords
    assert found.reason == ""


def test_passwords_are_asked_for_only_where_they_may_be_read() -> None:
    catalogue = Catalogue(("app", PLAIN, None, False), readable=False)
    found = read_accounts(catalogue, {"owner": "app"}, passwords=True)
    assert not found.passwords
    assert "may not read pg_authid" in found.reason
    assert not any("rolpassword IS" in statement for statement in catalogue.asked)


def test_memberships_of_old_and_new_servers() -> None:
    roles = [(name, PLAIN, None, name.startswith("pg_")) for name in ("app", "staff", "pg_monitor", "other")]
    old = [
        ("staff", "app", {"admin_option": True}),
        ("pg_monitor", "staff", {"admin_option": False}),
        ("other", "app", {"admin_option": False}),
    ]
    new = [
        ("staff", "app", {"admin_option": False, "inherit_option": True, "set_option": False}),
        ("staff", "app", {"admin_option": True, "inherit_option": False, "set_option": False}),
    ]
    found = read_accounts(Catalogue(*roles, memberships=old), {"owner": "staff"}, passwords=False)
    assert [(each.accounts, each.sql) for each in found.statements[2:]] == [
        (("staff",), 'GRANT "pg_monitor" TO "staff"'),
        (("staff", "app"), 'GRANT "staff" TO "app" WITH ADMIN OPTION'),
    ]
    found = read_accounts(Catalogue(*roles, memberships=new), {"owner": "staff"}, passwords=False)
    assert found.statements[-1].sql == 'GRANT "staff" TO "app" WITH ADMIN TRUE, INHERIT TRUE, SET FALSE'
