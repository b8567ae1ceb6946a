# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dump clients that die, hang, lie or leave things out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from apparatus.stand_ins import dumper, in_place_of, mounted
from apparatus.table import Table
from apparatus.tool import Tool
from apparatus.witness import Witness
from servers import Host, Server, installed

LIMITS = {"stall_timeout": "2s"}


@dataclass(frozen=True)
class Fault:
    """What a dump client does wrong.

    Attributes:
        name: In the table.
        script: What stands in for the client.
        only: The only kind of server that it makes sense for.
    """

    name: str
    script: str
    only: str = ""


# The stream is cut after a line that looks like the last one of a whole dump: in the body of a routine.
CUT_AT_MARKER = """"$real" "$@" | sed -E '/^-- (Dump completed|PostgreSQL database dump complete)/q'; exit 0"""


def with_option(option: str, *tables: str) -> str:
    """Call MySQL's or MariaDB's client with one more option, and with only some tables."""
    return (
        f'words=(); for word in "$@"; do [ "$word" = -- ] && words+=({option}); words+=("$word"); done;'
        f' "$real" "${{words[@]}}" {" ".join(tables)}'
    )


FAULTS = [
    Fault("client: nothing written, exit code 0", "exit 0"),
    Fault("client: nothing written, exit code 1, no word", "exit 1"),
    Fault("client: output cut after 700 bytes, exit code 0", '"$real" "$@" | head -c 700; exit 0'),
    Fault("client: last 20 bytes missing, exit code 0", '"$real" "$@" | head -c -20; exit 0'),
    Fault("client: cut at the end marker's text in a routine", CUT_AT_MARKER),
    Fault("client: whole dump, then exit code 3", '"$real" "$@"; exit 3'),
    Fault(
        "client: whole dump, error text, exit code 0",
        '"$real" "$@"; echo "client: error: Error: 2013: Lost connection to server" >&2; exit 0',
    ),
    Fault("client: kills itself (SIGSEGV) after a whole dump", '"$real" "$@"; kill -SEGV $$'),
    Fault("client: closes its output but does not end", '"$real" "$@"; exec >&-; sleep 1000'),
    Fault("client: stops in mid-dump and does not end", '"$real" "$@" | head -c 700; sleep 1000'),
    Fault("client: ends, a child of it holds the pipe", '"$real" "$@" | head -c 700; sleep 1000 & exit 0'),
    Fault(
        "client: 8 MB of complaints that block it if unread",
        'head -c 8000000 /dev/zero | tr "\\0" x | fold >&2; "$real" "$@"; exit 1',
    ),
    Fault("client: trailing garbage after a whole dump", '"$real" "$@"; echo "INSERT INTO item VALUES (9,9);"'),
    Fault("client: the dump written twice", '"$real" "$@"; "$real" "$@"'),
    Fault("client: forced past errors (--force)", with_option("--force", "item", "no_such"), "mysql"),
    Fault(
        "client: forced past errors, exit code 0",
        with_option("--force", "item", "no_such") + "; exit 0",
        "mysql",
    ),
    Fault(
        "client: forced past errors, exit code 0, no word",
        with_option("--force", "item", "no_such") + " 2>/dev/null; exit 0",
        "mysql",
    ),
    Fault("dump lacks the routines", with_option("--skip-routines"), "mysql"),
    Fault("dump lacks the triggers", with_option("--skip-triggers"), "mysql"),
    Fault("dump lacks the events", with_option("--skip-events"), "mysql"),
    Fault("dump lacks a view", with_option("--ignore-table=vya_odd.labels"), "mysql"),
    Fault("dump lacks the rows of all tables", with_option("--no-data"), "mysql"),
    Fault("dump lacks some rows of a table", with_option("--where='id < 3'", "item"), "mysql"),
    Fault("dump lacks routines, types and views", '"$real" "$@" --table=item --table=log', "postgresql"),
    Fault("dump lacks triggers and indexes", '"$real" "$@" --section=pre-data --section=data', "postgresql"),
    Fault("dump lacks a schema", '"$real" "$@" --exclude-schema=extra', "postgresql"),
    Fault("dump lacks the rows of a table", '"$real" "$@" --exclude-table-data=item', "postgresql"),
]

OBJECTS = {
    "mysql": """
        CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));
        CREATE TABLE log (id integer PRIMARY KEY);
        INSERT INTO item VALUES (1, 'Bread'), (2, '-- Dump completed'), (3, '\n-- Dump completed on 2026-01-09\n');
        CREATE VIEW labels AS SELECT label FROM item;
        CREATE TRIGGER noted AFTER INSERT ON item FOR EACH ROW INSERT INTO log VALUES (NEW.id);
        CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO DELETE FROM log;
        CREATE FUNCTION odd() RETURNS varchar(200) DETERMINISTIC RETURN '
-- Dump completed on 2026-01-09  2:00:00
';""",
    "postgresql": """
        CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));
        CREATE TABLE log (id integer PRIMARY KEY);
        CREATE SCHEMA extra;
        CREATE TABLE extra.more (id integer);
        CREATE TYPE mood AS ENUM ('good', 'bad');
        INSERT INTO item VALUES (1, 'Bread'), (2, '-- PostgreSQL database dump complete');
        CREATE VIEW labels AS SELECT label FROM item;
        CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
--
-- PostgreSQL database dump complete
--

INSERT INTO log VALUES (NEW.id); RETURN NEW; END $$;
        CREATE TRIGGER noted AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION odd();""",
}


@pytest.fixture
def odd(server: Server, host: Host, tool: Tool, make_database: Callable[..., str]) -> str:
    """A database with an object of each kind, of which there is a good artifact of the day before."""
    name = make_database("vya_odd", OBJECTS[server.kind])
    policy = {"name": "nightly", "instances": [server.database_id], "include": [name], "limits": LIMITS}
    host.write(policies=[{**policy, "retention": {"daily": 1, "weekly": 0, "monthly": 0}}])
    tool.now -= timedelta(days=1)
    assert tool.policy().code == 0
    tool.now += timedelta(days=1)
    return name


CASES = [(fault, kind) for fault in FAULTS for kind in ("mysql", "postgresql") if fault.only in ("", kind)]


@pytest.mark.parametrize(
    ("fault", "server"), CASES, ids=[f"{fault.name}-{kind}" for fault, kind in CASES], indirect=["server"]
)
def test_no_bad_dump_becomes_a_backup(
    fault: Fault, server: Server, host: Host, tool: Tool, odd: str, table: Table, public: Path
) -> None:
    witness = Witness(host, server, odd)
    with table.row(fault.name, server.kind) as row:
        with in_place_of(dumper(server), fault.script, public):
            ran = tool.policy(patience=30)
        row.noticed = ran.said
        row.problems += witness.problems(ran)
        if set(witness.artifacts()) != set(witness.good):
            row.problems.append("the artifacts are not those of before")
        row.problems += witness.problems_of_the_next(tool, began=False)


def test_a_missing_client(server: Server, host: Host, tool: Tool, odd: str, table: Table, public: Path) -> None:
    witness = Witness(host, server, odd)
    nothing = public / "nothing"
    nothing.touch(0o644)
    with table.row("client: not installed", server.kind) as row:
        with mounted(nothing, installed(dumper(server))):
            ran = tool.policy()
        row.noticed = ran.said
        row.problems += witness.problems(ran) + witness.problems_of_the_next(tool, began=False)
