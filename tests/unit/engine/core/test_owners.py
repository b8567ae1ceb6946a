# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other owners while an artifact is loaded: statements are changed, rows, bodies and comments are not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vya_backupdb.core.definition_mapper import DefinitionMapper
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.owners import mapped_settings, refuse_unmappable
from vya_backupdb.core.part import WHOLE, Part
from vya_backupdb.db.mysql_loading import MySqlLoading
from vya_backupdb.db.mysql_owners import with_definer
from vya_backupdb.db.postgresql_loading import PostgreSqlLoading
from vya_backupdb.db.postgresql_owners import with_roles
from vya_backupdb.errors import RestoreError

OWNER = b"ALTER TABLE public.item OWNER TO app;\n"
BODY = b"CREATE FUNCTION f() RETURNS text AS $$\n" + OWNER + b"$$;\n\n--\n-- Name: x; Type: TABLE; Owner: app\n--\n\n"
NEW = OWNER.replace(b"app;", b'"new";')
DEFINITIONS, ROWS = Segment("definitions", 0, 0, 0), Segment("rows", 0, 0, 0)


def change(kind: str, text: bytes) -> bytes:
    return with_roles(text, {"app": "new"}) if kind == "definitions" else b"<" + kind.encode() + b" " + text + b">"


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_only_statements_are_changed(size: int) -> None:
    mapper = DefinitionMapper(PostgreSqlLoading(), change)

    def mapped(segment: Segment, text: bytes) -> bytes:
        pieces = (text[start : start + size] for start in range(0, len(text), size))
        return b"".join(mapper.mapped(segment, pieces))

    copy = b"COPY public.item (a) FROM stdin;\n" + OWNER + b"\\.\n"
    assert mapped(Segment("preamble", 0, 0, 0), b"x").startswith(b"<preamble x")
    assert mapped(DEFINITIONS, BODY + OWNER + b"\n--\n") == BODY + NEW + b"\n--\n"
    assert mapped(ROWS, copy) == copy
    assert mapped(DEFINITIONS, OWNER + BODY + OWNER) == NEW + BODY + NEW
    assert mapped(Segment("postamble", 0, 0, 0), b"y").startswith(b"<postamble y")


def test_definers_after_other_delimiters() -> None:
    owners = {("app", "%"): ("new", "%")}
    mapper = DefinitionMapper(MySqlLoading(dollar_quotes=False), lambda _kind, text: with_definer(text, owners))
    trap = b"CREATE DEFINER=`app`@`%` x;\n"
    text = b"DELIMITER ;;\nCREATE DEFINER=`app`@`%` PROCEDURE `p`()\nBEGIN\n" + trap + b"END ;;\nDELIMITER ;\n"
    found = b"".join(mapper.mapped(DEFINITIONS, iter([text])))
    assert found == text.replace(b"`app`@`%` PROCEDURE", b"`new`@`%` PROCEDURE")


def test_settings_name_the_new_owners() -> None:
    settings = {
        "owner": "app",
        "encoding": "UTF8",
        "acl": [[None, "CONNECT", False], ["app", "CREATE", True], ["other", "CREATE", False]],
        "configuration": [["app", ["a=app"]], [None, ["b=app"]]],
        "extension_owners": {"hstore": "app"},
        "needs": {"roles": ["app", "other"], "definers": ["app"], "engines": ["app"]},
    }
    assert mapped_settings(settings, {"app": "new"}) == {
        "owner": "new",
        "encoding": "UTF8",
        "acl": [[None, "CONNECT", False], ["new", "CREATE", True], ["other", "CREATE", False]],
        "configuration": [["new", ["a=app"]], [None, ["b=app"]]],
        "extension_owners": {"hstore": "new"},
        "needs": {"roles": ["new", "other"], "definers": ["new"], "engines": ["app"]},
    }
    assert mapped_settings({}, {"app": "new"}) == {}


def manifest(**changes: Any) -> Any:
    facts = {
        "artifact": "shop.sql.gz",
        "strategy": "logical",
        "segments": (DEFINITIONS, ROWS),
        "accounts": {"names": ["user"]},
        "settings": {"needs": {"roles": ["app"], "definers": ["definer@%"]}},
        **changes,
    }
    return SimpleNamespace(**facts)


SERVER: Any = SimpleNamespace(existing_accounts=lambda: {"new"})


def test_what_can_be_replaced() -> None:
    refuse_unmappable(SERVER, manifest(), WHOLE, {"app": "new", "definer@%": "made", "user": "new"}, ["made"])
    refuse_unmappable(SERVER, manifest(strategy="parallel"), Part(("item",)), {}, [])


@pytest.mark.parametrize(
    ("changes", "owners", "message"),
    [
        ({"strategy": "parallel"}, {"app": "new"}, "no single stream"),
        ({"segments": (Segment("dump", 0, 0, 0),)}, {"app": "new"}, "an earlier engine made it"),
        ({"settings": {"encoding": "LATIN1", "needs": {"roles": ["é"]}}}, {"é": "new"}, "encoded in LATIN1"),
        ({}, {"ap": "new"}, r"names no account ap; nothing was changed\. It names: app, definer@%, user\."),
        ({}, {"app": "gone"}, "do not exist: gone; nothing was changed"),
    ],
)
def test_what_cannot_be_replaced(changes: dict[str, Any], owners: dict[str, str], message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        refuse_unmappable(SERVER, manifest(**changes), WHOLE, owners, ["made"])


def test_parts_keep_their_owners() -> None:
    with pytest.raises(RestoreError, match="with its own owners only"):
        refuse_unmappable(SERVER, manifest(), Part(("item",)), {"app": "new"}, [])
