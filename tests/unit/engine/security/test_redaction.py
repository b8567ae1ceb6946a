# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets are found in every spelling; what only looks a little like one stays readable."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.security.redaction import MASK, Redactor

AWKWARD = "p@ss 'w\"o\\rd/ü%"


@given(secret=st.text(min_size=4).filter(lambda text: text not in MASK), before=st.text(), after=st.text())
def test_a_known_secret_never_stays(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).text(before + secret + after).replace(MASK, "\n" * 2)


@pytest.mark.parametrize(
    "spelling",
    [
        AWKWARD,
        quote(AWKWARD),
        quote(AWKWARD, safe=""),
        quote_plus(AWKWARD),
        AWKWARD.replace("'", "''"),
        AWKWARD.replace('"', '""'),
        AWKWARD.replace("\\", "\\\\").replace("'", "\\'"),
        repr(AWKWARD)[1:-1],
        json.dumps(AWKWARD)[1:-1],
    ],
)
def test_other_spellings_are_known(spelling: str) -> None:
    assert Redactor([AWKWARD]).text(f"near {spelling} at") == f"near {MASK} at"


def test_the_longest_goes_first() -> None:
    assert Redactor(["pass", "password-long", "password"]).text("a password-long b password c pass d") == (
        f"a {MASK} b {MASK} c {MASK} d"
    )


def test_the_mask_does_not_tell_the_length() -> None:
    assert Redactor(["abcd"]).text("abcd") == Redactor(["abcd" * 20]).text("abcd" * 20) == MASK


def test_short_secrets_deface_nothing() -> None:
    text = "a database on a host"
    assert Redactor(["", "a", "on", "dat"]).text(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("CREATE USER 'x'@'%' IDENTIFIED BY 'hunter22' REQUIRE SSL", "CREATE USER 'x'@'%' IDENTIFIED BY * REQUIRE SSL"),
        ("identified by password '*2470C0C06DEE' x", "identified by password * x"),
        ("IDENTIFIED WITH caching_sha2_password AS 'a''b\\'c' x", "IDENTIFIED WITH caching_sha2_password AS * x"),
        ("IDENTIFIED VIA ed25519 USING PASSWORD('hunter22')", "IDENTIFIED VIA ed25519 USING PASSWORD(*)"),
        ("SET PASSWORD = PASSWORD('hunter22');", "SET PASSWORD = *);"),
        ("SET PASSWORD FOR 'x'@'%' = 'hunter22'", "SET PASSWORD FOR 'x'@'%' = *"),
        ("SET PASSWORD FOR x = PASSWORD('hunter22');", "SET PASSWORD FOR x = PASSWORD(*);"),
        ("ALTER ROLE x PASSWORD 'hunter22'", "ALTER ROLE x PASSWORD *"),
        ('password="hunter 22"', "password=*"),
        ("password='hunter22' port=1", "password=* port=1"),
        ("password=hunter22;port=1", "password=*;port=1"),
        ("PGPASSWORD=hunter22 pg_dump", "PGPASSWORD=* pg_dump"),
        ("MYSQL_PWD=hunter22", "MYSQL_PWD=*"),
        ("--password=hunter22 --user=x", "--password=* --user=x"),
        ("{'passwd': 'hunter22', 'a': 1}", "{'passwd': *, 'a': 1}"),
        ('{"password": "hunter22", "a": 1}', '{"password": *, "a": 1}'),
        ("Password: hunter22", "Password: *"),
        ("postgresql://backup:hunter22@db1:5432/x", "postgresql://backup:*@db1:5432/x"),
        ("mysql+pymysql://backup:hunt@er@db1/x y", "mysql+pymysql://backup:*@db1/x y"),
        ("https://:hunter22@host", "https://:*@host"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, clean: str) -> None:
    assert Redactor().text(text) == clean.replace("*", MASK)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Access denied for user 'backup'@'localhost' (using password: YES)",
        "Access denied for user 'backup'@'localhost' (using password: NO)",
        'FATAL:  password authentication failed for user "backup"',
        "fe_sendauth: no password supplied",
        'connection to server at "db1" (10.0.0.1), port 5432 failed',
        "https://www.postgresql.org/docs/current/libpq-connect.html",
        "postgresql://backup@db1:5432/x",
        "The table 'passwords' has 3 rows",
        'column "password" does not exist',
        "dumping shop at 02:30:00, see ssh://user@host",
    ],
)
def test_what_only_looks_a_little_like_one_stays(text: str) -> None:
    assert Redactor().text(text) == text


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = Redactor(["hunter22"]).text(text)
    assert Redactor(["hunter22"]).text(once) == once


def test_its_representation_shows_nothing() -> None:
    assert "hunter22" not in repr(Redactor(["hunter22"]))
