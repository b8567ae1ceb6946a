# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Restores by several clients at once: the same comes back, and one that fails ends all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fingerprint import compare
from servers import ACCOUNT, Host, Server

from vya_backupdb.core import key_plan, load_plan, segment_load, segmentation
from vya_backupdb.core.load_plan import Step
from vya_backupdb.core.segmentation import ROWS
from vya_backupdb.core.storage import find_artifact
from vya_backupdb.db.mysql_loading import MySqlLoading
from vya_backupdb.db.postgresql_loading import PostgreSqlLoading
from vya_backupdb.errors import RestoreError


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Cut into many small segments, share however few of them there are, and return the steps that were shared.

    Keys are made after the rows of however small tables.
    """
    steps: list[Step] = []
    run = segment_load._SharedStep.run

    def noted(step: segment_load._SharedStep, clients: int) -> None:
        steps.append(step._step)
        run(step, clients)

    monkeypatch.setattr(segmentation, "ROWS_BYTES", 2000)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 200)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(key_plan, "KEYS_ROWS", 0)
    monkeypatch.setattr(segment_load._SharedStep, "run", noted)
    return steps


@pytest.fixture
def sample(server: Server) -> Iterator[str]:
    """The sample database."""
    server.load_sample("vya_sample")
    yield "vya_sample"
    server.drop("vya_sample")


# Rows of some kilobytes in several segments, with a unique key, and what looks like the end of rows in them.
WIDE = """
CREATE TABLE wide (id integer PRIMARY KEY, label varchar(60) UNIQUE, content text);
CREATE TABLE other (id integer PRIMARY KEY, content text);
"""
HOSTILE = r"\.;');-- Dump completed"


def fill(server: Server, database: str, rows: int = 400) -> None:
    """Fill the tables of WIDE."""
    hostile = HOSTILE.replace("'", "''").replace("\\", "\\\\" if server.kind == "mysql" else "\\")
    for table, label in (("wide", "'{} label',"), ("other", "")):
        values = ",".join(f"({n},{label.format(n)}'{hostile}\n{'x' * 9000} {n}')" for n in range(1, rows + 1))
        server.sql(f"INSERT INTO {table} VALUES {values};", database)


def contents(server: Server, database: str) -> str:
    """Return all rows of the tables of WIDE."""
    return server.sql("SELECT * FROM wide ORDER BY id; SELECT * FROM other ORDER BY id;", database)


def test_the_sample_comes_back_whole(server: Server, host: Host, sample: str, shared: list[Step]) -> None:
    print_before = server.fingerprint(sample)
    report = host.engine().backup(database_id=server.database_id, databases=[sample])
    assert report.ok, report.to_dict()
    server.drop(sample)

    restored = host.engine().restore(database_id=server.database_id, database=sample, jobs=3)

    assert restored.outcome == "success"
    assert sum(len(step.segments) for step in shared) > 10
    assert compare(print_before, server.fingerprint(sample)) == []


@pytest.mark.parametrize("algorithm", ["gzip", "zstd", "none"])
def test_rows_of_one_table_are_loaded_by_several_clients(
    server: Server, host: Host, make_database: Callable[..., str], shared: list[Step], algorithm: str
) -> None:
    name = make_database("vya_wide", WIDE)
    fill(server, name)
    before = contents(server, name)
    host.write(policies=[{"name": "all", "compression": {"algorithm": algorithm}}])
    report = host.engine().backup(database_id=server.database_id, databases=[name])
    assert report.ok, report.to_dict()
    target = make_database("vya_wide_copy")

    host.engine().restore(database_id=server.database_id, database=name, target=target, overwrite=True, jobs=4)

    assert contents(server, target) == before
    segments = find_artifact(Path(str(report.results[0].artifact))).manifest.segments
    rows = [number for number, segment in enumerate(segments) if segment.kind == ROWS]
    assert [number for step in shared for number in step.segments] == rows
    assert len(rows) > 4


def test_a_client_that_fails_ends_the_others_and_the_restore(
    server: Server, host: Host, make_database: Callable[..., str], shared: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_database("vya_wide", WIDE)
    fill(server, name)
    before = contents(server, name)
    assert host.engine().backup(database_id=server.database_id, databases=[name]).ok
    taken = []
    loading = MySqlLoading if server.kind == "mysql" else PostgreSqlLoading
    rows = loading.rows

    def spoilt(self: Any, continues: bytes, goes_on: bool) -> tuple[bytes, bytes]:
        taken.append(1)
        before, after = rows(self, continues, goes_on)
        return (b"SELECT 1 FROM no_such_table;\n" if len(taken) == 2 else b"") + before, after

    monkeypatch.setattr(loading, "rows", spoilt)

    with pytest.raises(RestoreError, match="no_such_table"):
        host.engine().restore(database_id=server.database_id, database=name, target="vya_not_made", jobs=2)

    assert shared
    assert not server.exists("vya_not_made")
    assert contents(server, name) == before
    query = (
        f"SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = '{ACCOUNT}' AND COMMAND = 'Query'"
        if server.kind == "mysql"
        else "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vya-backupdb' AND state = 'active'"
    )
    assert server.sql(query) == "0"


INDEXED = """
CREATE TABLE one (id integer PRIMARY KEY, content text UNIQUE);
CREATE TABLE two (id integer PRIMARY KEY, one integer REFERENCES one, content text);
INSERT INTO one SELECT n, 'content ' || n FROM generate_series(1, 500) n;
INSERT INTO two SELECT n, n, 'content ' || n FROM generate_series(1, 500) n;
CREATE INDEX "one by ; half" ON one ((id / 2)) WHERE id > 5;
CREATE INDEX "two by content" ON two (content DESC);
COMMENT ON INDEX "two by content" IS 'CREATE INDEX i ON public.one USING btree (id);';
ALTER TABLE two CLUSTER ON "two by content";
CREATE VIEW grouped AS SELECT id, content FROM one GROUP BY id;
CREATE MATERIALIZED VIEW kept AS SELECT id, content FROM two GROUP BY id;
CREATE INDEX of_kept ON kept (content);
"""


# Other dumps define keys and indexes with their tables.
only_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


@pytest.fixture
def indexed(server: Server, host: Host, make_database: Callable[..., str]) -> str:
    """A backup of a database with keys, indexes, and what needs them."""
    name = make_database("vya_indexed", INDEXED)
    assert host.engine().backup(database_id=server.database_id, databases=[name]).ok
    return name


@only_postgresql
def test_keys_and_indexes_are_made_by_several_clients(
    server: Server, host: Host, indexed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.fingerprint(indexed)
    server.drop(indexed)
    made: list[int] = []
    build = segment_load.Loader._build

    def noted(loader: segment_load.Loader, step: Step) -> None:
        made.append(len(step.builds))
        build(loader, step)

    monkeypatch.setattr(segment_load.Loader, "_build", noted)

    host.engine().restore(database_id=server.database_id, database=indexed, jobs=3)

    assert compare(before, server.fingerprint(indexed)) == []
    assert sum(made) >= 5


@only_postgresql
def test_an_index_that_cannot_be_made_fails_the_restore(
    server: Server, host: Host, indexed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.fingerprint(indexed)
    builds = segment_load.Loader._builds

    def spoilt(loader: segment_load.Loader, step: Step, share: Any) -> Iterator[bytes]:
        yield from builds(loader, step, share)
        yield b"CREATE INDEX ON public.no_such_table (id);\n"

    monkeypatch.setattr(segment_load.Loader, "_builds", spoilt)

    with pytest.raises(RestoreError, match=r"no_such_table.*The old database 'vya_indexed' is untouched"):
        host.engine().restore(database_id=server.database_id, database=indexed, overwrite=True, jobs=2)

    assert compare(before, server.fingerprint(indexed)) == []


SLOW = """
CREATE FUNCTION slow(id integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN id; END $$;
CREATE TABLE item (id integer PRIMARY KEY);
CREATE INDEX by_slow ON item (slow(id));
INSERT INTO item VALUES (1), (2), (3);
CREATE OR REPLACE FUNCTION slow(id integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_catalog.pg_sleep(4); RETURN id; END $$;
"""


@only_postgresql
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_client_is_waited_for_while_the_server_makes_an_index(
    server: Server, host: Host, make_database: Callable[..., str], jobs: int
) -> None:
    name = make_database("vya_slow", SLOW)
    assert host.engine().backup(database_id=server.database_id, databases=[name]).ok
    host.write(policies=[{"name": "all", "limits": {"stall_timeout": "8s"}}])
    target = make_database("vya_slow_copy")

    restored = host.engine().restore(
        database_id=server.database_id, database=name, target=target, overwrite=True, jobs=jobs
    )

    assert restored.outcome == "success"
    assert server.sql("SELECT count(*) FROM item;", target) == "3"


def test_one_job_is_one_client(
    server: Server, host: Host, make_database: Callable[..., str], shared: list[Step]
) -> None:
    name = make_database("vya_wide", WIDE)
    fill(server, name, 10)
    before = contents(server, name)
    assert host.engine().backup(database_id=server.database_id, databases=[name]).ok
    target = make_database("vya_wide_copy")

    host.engine().restore(database_id=server.database_id, database=name, target=target, overwrite=True, jobs=1)

    assert shared == []
    assert contents(server, target) == before
