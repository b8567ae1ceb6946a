# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a sealed artifact says of itself is true: its objects, its rows, its place in the log, its end."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Host, Server, installed

from vya_backupdb.core.manifest import Manifest
from vya_backupdb.core.storage import find_artifact
from vya_backupdb.db import clients

DUMPERS = {"mariadb": "mariadb-dump", "mysql": "mysqldump", "postgresql": "pg_dump"}
LOADERS = {"mariadb": "mariadb", "mysql": "mysql", "postgresql": "psql"}
# Adds options to the real client's call, and ends its output, as if that were all, after a text.
DISHONEST_CLIENT = """#!{python}
import subprocess, sys
arguments = sys.argv[1:]
if "--version" not in arguments:
    place = arguments.index("--") if "--" in arguments else len(arguments)
    arguments[place:place] = {options!r}
output = subprocess.run([{real!r}, *arguments], stdout=subprocess.PIPE, check=True, close_fds=False).stdout
before, found, _after = output.partition({until!r})
sys.stdout.buffer.write(before + found if {until!r} and found else output)
"""


@pytest.fixture(scope="module")
def sampled(servers: dict[str, Server]) -> Iterator[None]:
    """The sample database on each server."""
    for each in servers.values():
        each.load_sample("vya_sample")
    yield
    for each in servers.values():
        each.drop("vya_sample")


def backed_up(host: Host, server: Server, name: str) -> Manifest:
    result = host.engine().backup(database_id=server.database_id, databases=[name]).results[0]
    assert result.outcome == "success", result.error
    return find_artifact(Path(str(result.artifact))).manifest


def true_counts(server: Server, name: str) -> dict[str, int]:
    """Ask the server for the rows of every table that keeps rows of its own."""
    if server.kind == "postgresql":
        tables = server.sql(
            "SELECT json_agg(json_build_array(n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname)))"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
            " AND n.nspname !~ '^(pg_|information_schema)' AND NOT EXISTS"
            " (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e');",
            name,
        )
        return {
            shown: int(server.sql(f"SELECT count(*) FROM ONLY {quoted};", name)) for shown, quoted in json.loads(tables)
        }
    rows = server.sql(
        "SELECT CONCAT('[', GROUP_CONCAT(JSON_ARRAY(TABLE_NAME, TABLE_TYPE)), ']') FROM information_schema.TABLES WHERE"
        f" TABLE_SCHEMA = '{name}' AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND ENGINE <> 'MRG_MyISAM'"
        " AND ENGINE <> 'FEDERATED';".replace("SELECT", "SET group_concat_max_len = 1000000; SELECT", 1)
    )
    counts = {}
    for table, kind in json.loads(rows.replace("\\\\", "\\")):
        history = " FOR SYSTEM_TIME ALL" if kind == "SYSTEM VERSIONED" else ""
        counts[table] = int(server.sql(f"SELECT COUNT(*) FROM {server.quoted(table)}{history};", name))
    return counts


def test_rows_are_counted_exactly(server: Server, host: Host, sampled: None) -> None:
    manifest = backed_up(host, server, "vya_sample")

    assert manifest.rows == true_counts(server, "vya_sample")
    assert manifest.row_counts["approximate"] is False
    accounted = {*manifest.rows, *manifest.row_counts["left_out"]}
    assert accounted >= {*manifest.inventory["table"], *manifest.inventory.get("foreign_table", ())}


@pytest.fixture
def dishonest(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the server's dump client by one that does not do all that it is told, and says that all is well."""
    folder = tmp_path / "clients"
    folder.mkdir(mode=0o755)
    found = {program: str(installed(program)) for program in (DUMPERS[server.flavour], LOADERS[server.flavour])}
    (folder / LOADERS[server.flavour]).symlink_to(found[LOADERS[server.flavour]])

    def make(*options: str, until: str = "") -> None:
        text = DISHONEST_CLIENT.format(
            python=sys.executable,
            options=list(options),
            real=found[DUMPERS[server.flavour]],
            until=until.encode() or b"-",
        )
        if not until:
            text = text.replace("before + found if", "before + found if False and")
        wrapper = folder / DUMPERS[server.flavour]
        wrapper.write_text(text)
        wrapper.chmod(0o755)

    monkeypatch.setattr(clients, "_SEARCH_PATH", str(folder))
    monkeypatch.setattr(clients, "_POSTGRESQL_DIRECTORIES", (str(folder),))
    return make


def refused(host: Host, server: Server, name: str) -> str:
    result = host.engine().backup(database_id=server.database_id, databases=[name]).results[0]
    assert result.outcome == "failed"
    assert host.files() == {}
    return str(result.error)


EVERYTHING = {
    "mysql": "CREATE TABLE item (id integer PRIMARY KEY); INSERT INTO item VALUES (1); CREATE TABLE other (id integer);"
    " CREATE VIEW labels AS SELECT id FROM other; CREATE TRIGGER stamp BEFORE INSERT ON other FOR EACH ROW SET @a = 1;"
    " CREATE PROCEDURE work() SELECT 1; CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;",
    "postgresql": "CREATE SCHEMA side; CREATE TABLE item (id integer PRIMARY KEY); INSERT INTO item VALUES (1);"
    " CREATE TABLE other (id integer); CREATE VIEW labels AS SELECT id FROM other; CREATE TABLE side.deep (id serial);"
    " SELECT lo_create(4711);",
}


@pytest.mark.parametrize(
    ("server", "option", "named"),
    [
        ("mysql", "--ignore-table=vya_all.item", "table item"),
        ("mysql", "--ignore-table=vya_all.labels", "view labels"),
        ("mysql", "--skip-triggers", "trigger stamp"),
        ("mysql", "--skip-routines", "routine procedure work"),
        ("mysql", "--skip-events", "event nightly"),
        ("mysql", "--no-data", "the rows of table item, the rows of table other"),
        ("postgresql", "--exclude-table=item", "table public.item"),
        ("postgresql", "--exclude-table-data=item", "the rows of table public.item"),
        ("postgresql", "--exclude-table=labels", "view public.labels"),
        ("postgresql", "--exclude-schema=side", "sequence side.deep_id_seq"),
        ("postgresql", "--no-blobs", "large object 4711"),
        ("postgresql", "--schema-only", "the rows of table"),
        ("postgresql", "--data-only", "table public.item"),
    ],
    indirect=["server"],
)
def test_what_a_dump_leaves_out_is_noticed(
    server: Server,
    option: str,
    named: str,
    host: Host,
    dishonest: Callable[..., None],
    make_database: Callable[..., str],
) -> None:
    name = make_database("vya_all", EVERYTHING[server.kind])
    dishonest(option)

    error = refused(host, server, name)

    assert f"{DUMPERS[server.flavour]} left out what the server has: " in error
    assert named in error


def test_a_dump_that_leaves_nothing_out_passes_the_same_way(
    server: Server, host: Host, dishonest: Callable[..., None], make_database: Callable[..., str]
) -> None:
    dishonest()
    manifest = backed_up(host, server, make_database("vya_all", EVERYTHING[server.kind]))
    assert manifest.rows
    assert {name.rpartition(".")[2]: count for name, count in manifest.rows.items()}.items() >= {
        ("item", 1),
        ("other", 0),
    }


OWN_DOMAIN = 7
MARKERS = {
    "mysql": "-- Dump completed on 2001-01-01  0:00:00\n",
    "postgresql": "-- PostgreSQL database dump complete\n--\n",
}


def test_a_dump_that_is_cut_off_at_a_text_like_its_end_is_noticed(
    server: Server, host: Host, dishonest: Callable[..., None], make_database: Callable[..., str]
) -> None:
    if server.kind == "mysql":
        statements = (
            "CREATE TABLE item (id integer); INSERT INTO item VALUES (1);\n"
            f"DELIMITER ;;\nCREATE PROCEDURE work()\nBEGIN\nSELECT '\n{MARKERS['mysql']}';\nEND;;\nDELIMITER ;\n"
        )
    else:
        statements = (
            "CREATE TABLE a_marker (line text);"
            " INSERT INTO a_marker VALUES ('--'), ('-- PostgreSQL database dump complete'), ('--'), ('and more');"
        )
    name = make_database("vya_marker", statements)
    dishonest()
    backed_up(host, server, name)
    shutil.rmtree(host.storage)

    dishonest(until=MARKERS[server.kind])

    assert "does not end as a whole dump does: it stops in " in refused(host, server, name)


def test_what_is_made_during_a_dump_is_no_disagreement(
    server: Server, host: Host, make_database: Callable[..., str]
) -> None:
    name = make_database("vya_busy", "CREATE TABLE first (id integer); CREATE VIEW shown AS SELECT id FROM first;")
    numbers = "(WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 600) SELECT n FROM s)"
    server.sql(f"INSERT INTO first SELECT a.n * 1000 + b.n FROM {numbers} a, {numbers} b;", name)
    made = threading.Event()

    def make(state: object) -> None:
        if getattr(state, "phase", "") == "dumping" and not made.is_set():
            made.set()
            server.sql("CREATE TABLE late (id integer); INSERT INTO late VALUES (1);", name)

    report = host.engine().backup(database_id=server.database_id, databases=[name], progress=make)

    assert report.ok, report.to_dict()
    assert made.is_set()
    manifest = find_artifact(Path(str(report.results[0].artifact))).manifest
    held = {table.rpartition(".")[2] for table in manifest.inventory["table"]}
    assert held - {"late"} == {"first"}
    assert {table.rpartition(".")[2] for table in manifest.rows or {}} == held
    try:
        host.engine().restore(database_id=server.database_id, database=name, target="vya_busy_copy")
    finally:
        server.drop("vya_busy_copy")


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "SQL_ASCII"])
def test_names_in_every_encoding_are_recognised(encoding: str, servers: dict[str, Server], host: Host) -> None:
    server, name, word = servers["postgresql"], "vya_encoded", "日本" if encoding == "EUC_JP" else "é"
    table = f"{word}\n; Type: TABLE; Schema: x; Owner: y"
    server.drop(name)
    server.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C';")
    try:
        server.sql(
            f"SET client_encoding = 'UTF8'; CREATE TABLE {server.quoted(table)} (a text);"
            f" INSERT INTO {server.quoted(table)} VALUES ('{word}'), (NULL);"
            f" CREATE VIEW {server.quoted(word)} AS SELECT 1;",
            name,
        )
        manifest = backed_up(host, server, name)
    finally:
        server.drop(name)
    assert manifest.rows == {f"public.{table}": 2}
    assert manifest.inventory["view"] == [f"public.{word}"]


@pytest.fixture
def written_to(server: Server, make_database: Callable[..., str]) -> Iterator[str]:
    """A database to which one row after the other is written, each in a transaction of its own."""
    name = make_database("vya_written", "CREATE TABLE stream (id integer);")
    done = threading.Event()

    # In MariaDB they get numbers of their own, since the server's other work goes on as well.
    own = f"SET SESSION gtid_domain_id = {OWN_DOMAIN};\n" if server.flavour == "mariadb" else ""

    def write() -> None:
        while not done.is_set():
            server.sql(own + "INSERT INTO stream VALUES (1);\n" * 50, name)

    writer = threading.Thread(target=write)
    writer.start()
    yield name
    done.set()
    writer.join()


@pytest.fixture
def binary_log(server: Server) -> Iterator[None]:
    """A MariaDB that writes a binary log; MySQL does anyway, and PostgreSQL has its own."""
    settings = Path("/etc/mysql/mariadb.conf.d/99-vya-binary-log.cnf")
    if server.flavour != "mariadb":
        yield
        return
    settings.write_text("[mariadbd]\nlog_bin = vya\nserver_id = 1\n")
    server.service("stop")
    server.service("start")
    yield
    settings.unlink()
    server.service("stop")
    server.service("start")


def transactions(server: Server, gtid: str) -> int:
    """How many transactions a position includes: in MariaDB only such as write the stream, in MySQL all."""
    numbers = re.findall(rf"\b{OWN_DOMAIN}-\d+-(\d+)" if server.flavour == "mariadb" else r"\d+", gtid)
    return int(numbers[-1]) if numbers else 0


def test_the_position_in_the_log_is_that_of_the_content(
    server: Server, host: Host, binary_log: None, written_to: str
) -> None:
    before, others = 0, 0
    if server.kind == "postgresql":
        before = int(server.sql("SELECT pg_current_wal_lsn() - '0/0';"))
    else:
        variable = "gtid_binlog_pos" if server.flavour == "mariadb" else "gtid_executed"
        query = f"LOCK TABLES stream READ; SELECT @@GLOBAL.{variable}, COUNT(*) FROM stream; UNLOCK TABLES;"
        gtid, count = server.sql(query, written_to).split("\t")
        others = transactions(server, gtid) - int(count)

    manifest = backed_up(host, server, written_to)

    position, rows = manifest.position, manifest.rows
    assert position is not None
    assert rows is not None
    if server.kind == "postgresql":
        points = [
            server.sql(f"SELECT '{lsn}'::pg_lsn - '0/0';") for lsn in (position["from"]["lsn"], position["to"]["lsn"])
        ]
        after = server.sql("SELECT pg_current_wal_lsn() - '0/0';")
        assert before <= int(points[0]) <= int(points[1]) <= int(after)
        assert position["from"]["timeline"] == 1
    else:
        first, last = (transactions(server, position[end]["gtid"]) - others for end in ("from", "to"))
        assert first <= rows["stream"] <= last
        assert position["approximate"] is (first != last)
        assert position["from"]["file"]
        assert position["from"]["offset"]
        if server.flavour == "mariadb":
            assert position["approximate"] is False


def test_without_a_log_the_reason_is_said(server: Server, host: Host, shop: str) -> None:
    if server.flavour != "mariadb":
        pytest.skip("it always writes one")
    assert backed_up(host, server, shop).position == {
        "type": None,
        "reason": "The server writes no binary log (log_bin is off).",
    }


def test_an_md5_is_there_for_those_who_ask(server: Server, host: Host, shop: str) -> None:
    host.write(policies=[{"name": "p", "include": [shop], "checksums": ["sha256", "md5"]}])
    result = host.engine().backup(policy="p", database_id=server.database_id, databases=[shop]).results[0]
    stored = find_artifact(Path(str(result.artifact)))
    assert stored.manifest.md5 == hashlib.md5(stored.path.read_bytes()).hexdigest()
    assert stored.manifest.sha256 == hashlib.sha256(stored.path.read_bytes()).hexdigest()
