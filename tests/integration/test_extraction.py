# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""One table taken out of an artifact loads by itself and is what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Host, Server

from vya_backupdb.core import extraction, segmentation
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.packed import Packed
from vya_backupdb.core.storage import StoredArtifact, find_artifact
from vya_backupdb.errors import ArtifactError, DamageError

TABLES = """
CREATE TABLE before_it (id integer PRIMARY KEY, label varchar(100));
CREATE TABLE wanted (id integer PRIMARY KEY, label varchar(100) UNIQUE, content text);
CREATE INDEX by_label ON wanted (label, id);
CREATE TABLE wanted_too (id integer PRIMARY KEY, label varchar(100));
"""


def fill(server: Server, database: str) -> None:
    """Fill the tables with rows that look like those of others."""
    hostile = "INSERT INTO `wanted` VALUES (1);\nCOPY public.wanted (id) FROM stdin;"
    rows = ",".join(f"({n},'label {n}','{hostile} {'x' * 3000}')" for n in range(300))
    server.sql(f"INSERT INTO wanted VALUES {rows};", database)
    for table in ("before_it", "wanted_too"):
        server.sql(f"INSERT INTO {table} VALUES (1, '{hostile}'), (2, 'b');", database)


@pytest.mark.parametrize("rows_bytes", [20_000, 16_000_000])
def test_a_table_loads_by_itself(
    server: Server, host: Host, make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, rows_bytes: int
) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", rows_bytes)
    name = make_database("vya_tables", TABLES)
    fill(server, name)
    report = host.engine().backup(database_id=server.database_id, databases=[name])
    assert report.ok, report.to_dict()
    for table in ("before_it", "wanted", "wanted_too"):
        target = make_database("vya_extracted")
        named = table if server.kind == "mysql" else f"public.{table}"
        content = b"".join(host.engine().extract(database_id=server.database_id, database=name, table=named))

        server.sql(content.decode(), target)

        assert server.sql(f"SELECT * FROM {table} ORDER BY id;", target) == server.sql(
            f"SELECT * FROM {table} ORDER BY id;", name
        )
        listed = "SHOW TABLES;" if server.kind == "mysql" else "SELECT relname FROM pg_stat_user_tables;"
        assert server.sql(listed, target) == table
        keys = {
            "mysql": "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS"
            f" WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' ORDER BY 1, 2;",
            "postgresql": f"SELECT indexdef FROM pg_indexes WHERE tablename = '{table}' ORDER BY 1;",
        }[server.kind]
        assert server.sql(keys, target) == server.sql(keys, name)


def test_only_what_is_needed_is_read(
    server: Server, host: Host, make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 1)
    name = make_database("vya_tables", TABLES)
    fill(server, name)
    report = host.engine().backup(database_id=server.database_id, databases=[name])
    read: list[int] = []
    plain = extraction._plain

    def noted(stored: StoredArtifact, packed: Packed, segment: Segment) -> Iterator[bytes]:
        read.append(segment.plain_length)
        return plain(stored, packed, segment)

    monkeypatch.setattr(extraction, "_plain", noted)
    table = "before_it" if server.kind == "mysql" else "public.before_it"
    assert b"".join(host.engine().extract(database_id=server.database_id, database=name, table=table))
    assert sum(read) < find_artifact(Path(str(report.results[0].artifact))).manifest.plain_bytes / 10


def test_a_table_that_is_not_there_is_refused(server: Server, host: Host, shop: str) -> None:
    assert host.engine().backup(database_id=server.database_id, databases=[shop]).ok
    with pytest.raises(ArtifactError, match="holds no table 'nowhere'"):
        next(host.engine().extract(database_id=server.database_id, database=shop, table="nowhere"))


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("encoding", "name"), [("LATIN1", "café"), ("UTF8", "two\nlines")])
def test_tables_are_found_by_names_that_a_dump_writes_otherwise(
    server: Server, host: Host, encoding: str, name: str
) -> None:
    server.drop("vya_tables")
    server.sql(f"CREATE DATABASE vya_tables ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0;")
    try:
        server.sql(
            f'SET client_encoding = \'UTF8\'; CREATE TABLE "{name}" (id integer); INSERT INTO "{name}" VALUES (7);',
            "vya_tables",
        )
        assert host.engine().backup(database_id=server.database_id, databases=["vya_tables"]).ok
        found = host.engine().extract(database_id=server.database_id, database="vya_tables", table=f"public.{name}")
        content = b"".join(found)
    finally:
        server.drop("vya_tables")
    assert b"CREATE TABLE public." in content
    assert b"\n7\n\\.\n" in content


def test_a_changed_byte_is_found_also_where_nothing_was_compressed(server: Server, host: Host, shop: str) -> None:
    host.write(policies=[{"name": "p", "include": [shop], "compression": {"algorithm": "none"}}])
    report = host.engine().backup(policy="p", database_id=server.database_id)
    artifact = Path(str(report.results[0].artifact))
    table = "item" if server.kind == "mysql" else "public.item"
    assert b"".join(host.engine().extract(database_id=server.database_id, database=shop, table=table))
    content = bytearray(artifact.read_bytes())
    content[len(content) // 2] ^= 1
    artifact.write_bytes(content)
    with pytest.raises(DamageError, match=r"checksum|exchanged|damaged"):
        next(host.engine().extract(database_id=server.database_id, database=shop, table=table))
