# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Round trips: what was backed up comes back as it was, object by object and byte by byte."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fingerprint import compare
from servers import Host, Server

from vya_backupdb.core.manifest import read_manifest
from vya_backupdb.core.storage import find_artifact


@pytest.fixture(scope="module")
def sampled(servers: dict[str, Server]) -> Iterator[dict[str, dict[str, object]]]:
    """The sample database on each server, and its fingerprint."""
    prints = {}
    for kind, each in servers.items():
        each.load_sample("vya_sample")
        prints[kind] = each.fingerprint("vya_sample")
    yield prints
    for each in servers.values():
        each.drop("vya_sample")


def test_a_dropped_database_comes_back_whole(server: Server, host: Host, sampled: dict[str, dict[str, object]]) -> None:
    report = host.engine().backup(database_id=server.database_id, databases=["vya_sample"])
    assert report.ok, report.to_dict()
    server.drop("vya_sample")

    restored = host.engine().restore(database_id=server.database_id, database="vya_sample")

    assert restored.outcome == "success"
    assert restored.overwritten is False
    assert compare(sampled[server.kind], server.fingerprint("vya_sample")) == []


def test_a_database_can_be_replaced_by_its_backup(
    server: Server, host: Host, sampled: dict[str, dict[str, object]]
) -> None:
    assert host.engine().backup(database_id=server.database_id, databases=["vya_sample"]).ok

    restored = host.engine().restore(database_id=server.database_id, database="vya_sample", overwrite=True)

    assert restored.overwritten is True
    assert (restored.safety_backup is not None) == (server.kind == "mysql")
    assert compare(sampled[server.kind], server.fingerprint("vya_sample")) == []
    leftovers = [
        n for n in host.engine().info(database_id=server.database_id).instances[0]["databases"] if "_old_" in n
    ]
    assert leftovers == []


def test_a_backup_restores_under_another_name(
    server: Server, host: Host, sampled: dict[str, dict[str, object]]
) -> None:
    assert host.engine().backup(database_id=server.database_id, databases=["vya_sample"]).ok
    other = "Vya % 'öther` \"name_"
    try:
        host.engine().restore(database_id=server.database_id, database="vya_sample", target=other)
        assert compare(sampled[server.kind], server.fingerprint(other)) == []
    finally:
        server.drop(other)
    assert compare(sampled[server.kind], server.fingerprint("vya_sample")) == []


def test_the_vendors_client_alone_can_load_an_artifact(
    server: Server, host: Host, sampled: dict[str, dict[str, object]]
) -> None:
    report = host.engine().backup(database_id=server.database_id, databases=["vya_sample"])
    artifact = Path(str(report.results[0].artifact))
    subprocess.run(["gunzip", "-t", artifact], check=True)
    settings = find_artifact(artifact).manifest.settings
    by_hand = find_artifact(artifact).manifest.restore_by_hand.replace(artifact.name, str(artifact))
    try:
        if server.kind == "mysql":
            server.sql("CREATE DATABASE vya_by_hand;")
        else:
            locale = (
                f"--encoding={settings['encoding']} --lc-collate={settings['collate']} --lc-ctype={settings['ctype']}"
            )
            by_hand = by_hand.replace("createdb", f"createdb {locale}")
            subprocess.run(["chmod", "-R", "a+rX", host.root, *host.root.parents[:3]], check=True)
        script = "set -euo pipefail; " + by_hand.replace("NEW_DATABASE", "vya_by_hand")
        user = ["runuser", "-u", "postgres", "--"] if server.kind == "postgresql" else []
        done = subprocess.run([*user, "bash", "-c", script], capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
        assert compare(sampled[server.kind], server.fingerprint("vya_by_hand")) == []
    finally:
        server.drop("vya_by_hand")


ODD_NAMES = ["sp ace", "quo`te\"d'", "-dash", "per%cent_", "dots..", "ünïcödé-日本", "select", "a=b", "UPPER"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_backed_up_and_restored(
    server: Server, host: Host, make_database: Callable[..., str], name: str
) -> None:
    make_database(name, "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (42);")

    report = host.engine().backup(database_id=server.database_id, databases=[name])

    assert report.ok, report.to_dict()
    artifact = Path(str(report.results[0].artifact))
    assert artifact.resolve().is_relative_to((host.storage / "host1" / server.database_id).resolve())
    assert read_manifest(Path(str(report.results[0].manifest))).database == name
    server.drop(name)
    host.engine().restore(database_id=server.database_id, database=name)
    assert server.sql("SELECT id FROM t;", name) == "42"


def test_the_artifact_is_where_the_design_says_and_describes_itself(server: Server, host: Host, shop: str) -> None:
    result = host.engine().backup(database_id=server.database_id, databases=[shop]).results[0]

    artifact = Path(str(result.artifact))
    manifest = read_manifest(Path(str(result.manifest)))
    moment = manifest.created_at
    folder = host.storage / "host1" / server.database_id / shop / f"{moment:%Y-%m-%d}"
    assert artifact == folder / f"{shop}_{moment:%Y%m%d_%H%M%S}.sql.gz"
    assert manifest.stored_bytes == artifact.stat().st_size == result.stored_bytes
    assert manifest.proof == "sealed"
    assert manifest.dbms["flavour"] == server.flavour
    table, view = ("item", "labels") if server.kind == "mysql" else ("public.item", "public.labels")
    assert manifest.inventory["table"] == [table]
    assert manifest.inventory["view"] == [view]
    with gzip.open(artifact) as stream:
        assert len(stream.read()) == manifest.plain_bytes
    # Each segment is a gzip member by itself.
    content = artifact.read_bytes()
    for segment in manifest.segments:
        member = gzip.decompress(content[segment.offset : segment.offset + segment.length])
        assert len(member) == segment.plain_length
    kinds = [segment.kind for segment in manifest.segments]
    assert kinds[:2] == ["preamble", "definitions"]
    assert sum(sum(segment.tables.values()) for segment in manifest.segments) == 3
    assert {segment.kind for segment in manifest.segments if segment.tables} == {"rows"}


def test_the_newest_before_a_moment_is_restored(server: Server, host: Host, shop: str) -> None:
    engine = host.engine()
    engine.backup(database_id=server.database_id, databases=[shop])
    first = engine.info(database_id=server.database_id, database=shop).artifacts[0]
    server.sql("DELETE FROM item WHERE id = 1;", shop)
    engine.backup(database_id=server.database_id, databases=[shop])
    stored = find_artifact(Path(first["artifact"]))

    engine.restore(
        database_id=server.database_id, database=shop, before=stored.manifest.created_at, target="vya_earlier"
    )

    try:
        assert server.sql("SELECT count(*) FROM item;", "vya_earlier") == "3"
        assert server.sql("SELECT count(*) FROM item;", shop) == "2"
    finally:
        server.drop("vya_earlier")
