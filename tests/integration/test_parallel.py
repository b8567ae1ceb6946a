# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The parallel strategy: a directory comes back as the database was, and one that is not whole is no backup."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fingerprint import compare
from servers import Host, Server

from vya_backupdb.core.manifest import Manifest, read_manifest
from vya_backupdb.core.marks import damage_path
from vya_backupdb.core.storage import find_artifact
from vya_backupdb.db import clients
from vya_backupdb.errors import ArtifactError, RestoreError

SAMPLE = "vya_sample"


@pytest.fixture(scope="module")
def postgresql(servers: dict[str, Server]) -> Server:
    """The server that this strategy is for."""
    return servers["postgresql"]


@pytest.fixture(scope="module")
def sampled(postgresql: Server) -> Iterator[dict[str, Any]]:
    """The sample database, and its fingerprint."""
    postgresql.load_sample(SAMPLE)
    yield postgresql.fingerprint(SAMPLE)
    postgresql.drop(SAMPLE)


@pytest.fixture
def parallel(host: Host) -> Host:
    """A host whose policy asks for directories."""
    return with_policy(host)


def with_policy(host: Host, **changes: Any) -> Host:
    policy = {"name": "parallel", "instances": ["test-postgresql"], "strategy": "parallel", **changes}
    host.write(policies=[policy])
    return host


def backup(host: Host, database: str) -> tuple[Path, Manifest]:
    report = host.engine().backup(database_id="test-postgresql", databases=[database])
    assert report.ok, report.to_dict()
    artifact = Path(str(report.results[0].artifact))
    return artifact, read_manifest(Path(str(report.results[0].manifest)))


def zstd_is_there(postgresql: Server) -> bool:
    return int(postgresql.sql("SHOW server_version_num;")) >= 160000


@pytest.mark.parametrize("algorithm", ["gzip", "zstd", "none"])
def test_a_database_comes_back_whole_from_a_directory(
    host: Host, postgresql: Server, sampled: dict[str, Any], algorithm: str
) -> None:
    with_policy(host, compression={"algorithm": algorithm, "level": "auto"}, checksums=["sha256", "md5"])
    checked = [
        c["status"] for c in host.engine().check(database_id="test-postgresql").checks if c["check"] == "parallel"
    ]
    if algorithm == "zstd" and not zstd_is_there(postgresql):
        assert checked == ["failed"]
        (failed,) = host.engine().backup(database_id="test-postgresql", databases=[SAMPLE]).results
        assert "cannot compress with zstd" in str(failed.error)
        return
    assert checked == ["ok"]
    artifact, manifest = backup(host, SAMPLE)

    assert artifact.name.endswith(".dump.d")
    assert artifact.is_dir()
    assert (manifest.strategy, manifest.format, manifest.segments) == ("parallel", "dump.d", ())
    assert {each.name: each.length for each in manifest.files} == {p.name: p.stat().st_size for p in artifact.iterdir()}
    assert manifest.stored_bytes == sum(each.length for each in manifest.files)
    for each in manifest.files:
        content = (artifact / each.name).read_bytes()
        assert each.sha256 == hashlib.sha256(content).hexdigest()
        assert each.md5 == hashlib.md5(content).hexdigest()
    by_hand = subprocess.run("sha256sum * | sha256sum", shell=True, cwd=artifact, capture_output=True, check=True)
    assert by_hand.stdout.split()[0].decode() == manifest.sha256
    assert stat_of(artifact) == 0o750
    assert {stat_of(path) for path in artifact.iterdir()} == {0o640}
    assert [path.name for path in artifact.parent.iterdir() if path.name.startswith(".")] == []

    assert host.engine().verify(database_id="test-postgresql", database=SAMPLE).ok
    assert find_artifact(artifact).manifest.proof == "verified"
    restored = host.engine().restore(database_id="test-postgresql", database=SAMPLE, overwrite=True)
    assert (restored.outcome, restored.overwritten) == ("success", True)
    assert compare(sampled, postgresql.fingerprint(SAMPLE)) == []


def stat_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_the_vendors_clients_alone_can_load_a_directory(
    parallel: Host, postgresql: Server, sampled: dict[str, Any]
) -> None:
    artifact, manifest = backup(parallel, SAMPLE)
    locale = " ".join(
        f"--{option}={manifest.settings[name]}"
        for option, name in (("encoding", "encoding"), ("lc-collate", "collate"), ("lc-ctype", "ctype"))
    )
    by_hand = manifest.restore_by_hand.replace(artifact.name, str(artifact)).replace("createdb", f"createdb {locale}")
    subprocess.run(["chmod", "-R", "a+rX", parallel.root, *parallel.root.parents[:3]], check=True)
    script = "set -euo pipefail; " + by_hand.replace("NEW_DATABASE", "vya_by_hand")
    try:
        command = ["runuser", "-u", "postgres", "--", "bash", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
        assert compare(sampled, postgresql.fingerprint("vya_by_hand")) == []
    finally:
        postgresql.drop("vya_by_hand")


def test_indexes_of_partitioned_tables_are_valid(host: Host, postgresql: Server) -> None:
    """Several processes that attached the indexes of the last partitions at once would leave the whole one invalid."""
    partitions = "".join(f"CREATE TABLE p{n} PARTITION OF whole FOR VALUES IN ({n});" for n in range(40))
    postgresql.create(
        "vya_partitions",
        f"CREATE TABLE whole (id integer PRIMARY KEY, label text) PARTITION BY LIST (id); {partitions}"
        "CREATE INDEX whole_label ON whole (label); CREATE UNIQUE INDEX whole_both ON whole (id, label);"
        "CREATE TABLE pointing (id integer REFERENCES whole);"
        "INSERT INTO whole SELECT n, md5(n::text) FROM generate_series(0, 39) n; INSERT INTO pointing VALUES (7);",
    )
    try:
        with_policy(host, limits={"jobs": 8})
        artifact, _manifest = backup(host, "vya_partitions")
        numbers = {path.name: path.read_text().count(";") for path in artifact.glob("*.list")}
        assert numbers["2_attach.list"] == 3 * 40
        assert numbers["3_foreign_keys.list"] == 1
        host.engine().restore(database_id="test-postgresql", database="vya_partitions", overwrite=True)
        invalid = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid;"
        assert postgresql.sql(invalid, "vya_partitions") == ""
        assert postgresql.sql("SELECT id FROM pointing;", "vya_partitions") == "7"
    finally:
        postgresql.drop("vya_partitions")


def test_a_directory_shows_one_moment_while_others_write(parallel: Host, postgresql: Server) -> None:
    """Money moves between tables that different processes dump: at every moment the sum is the same."""
    tables = ("a", "b", "c", "d")
    postgresql.create(
        "vya_bank",
        "".join(
            f"CREATE TABLE {each} AS SELECT n AS id, 100 AS cents, repeat(md5(n::text), 20) AS label"
            " FROM generate_series(1, 5000) n;"
            for each in tables
        )
        + "CREATE TABLE log (id serial);",
    )
    stop = threading.Event()

    def write() -> None:
        script = "".join(
            f"BEGIN; UPDATE {one} SET cents = cents - 7; UPDATE {other} SET cents = cents + 7;"
            f" INSERT INTO log DEFAULT VALUES; COMMIT;"
            for one, other in zip(tables, (*tables[1:], tables[0]), strict=True)
        )
        while not stop.is_set():
            postgresql.sql(script, "vya_bank")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while postgresql.sql("SELECT count(*) FROM log;", "vya_bank") == "0":
            time.sleep(0.05)
        _artifact, manifest = backup(parallel, "vya_bank")
    finally:
        stop.set()
        writer.join()
    try:
        parallel.engine().restore(database_id="test-postgresql", database="vya_bank", overwrite=True)
        total = " + ".join(f"(SELECT sum(cents) FROM {each})" for each in tables)
        assert postgresql.sql(f"SELECT {total};", "vya_bank") == str(4 * 5000 * 100)
        assert manifest.rows is not None
        assert manifest.rows["public.log"] == int(postgresql.sql("SELECT count(*) FROM log;", "vya_bank"))
        counted = "counted in the files of the dump after they were written"
        assert (manifest.row_counts["method"], manifest.row_counts["approximate"]) == (counted, False)
    finally:
        postgresql.drop("vya_bank")


# ---- what is not whole


@pytest.fixture
def items(postgresql: Server) -> Iterator[str]:
    """A database with rows, a second schema and a large object."""
    name = "vya_items"
    postgresql.create(
        name,
        "CREATE SCHEMA side; CREATE TABLE side.deep (id serial); CREATE TABLE other (id integer);"
        "CREATE TABLE item AS SELECT n AS id, md5(n::text) AS label FROM generate_series(1, 60000) n;"
        "SELECT lo_from_bytea(4711, 'large');",
    )
    yield name
    postgresql.drop(name)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let a shell script stand in for one of the vendor's clients, which it reaches as "$real"."""
    folder = tmp_path / "clients"
    folder.mkdir(mode=0o755)
    real = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]

    def make(program: str, script: str) -> None:
        for path in real.iterdir():
            (folder / path.name).symlink_to(path)
        (folder / program).unlink()
        head = f'#!/bin/bash\nreal={real / program}\n[ "$1" = --version ] && exec "$real" "$@"\n'
        find = 'for word in "$@"; do case $word in --file=/*) cd "${word#--file=}";; esac; done\n'
        (folder / program).write_text(head + find + script)
        (folder / program).chmod(0o755)
        monkeypatch.setattr(clients, "_POSTGRESQL_DIRECTORIES", (str(folder),))

    return make


@pytest.fixture
def make_slow(postgresql: Server) -> Iterator[Callable[[], str]]:
    """Make a database with an index that takes seconds to build, during which no client has anything to do."""

    def make() -> str:
        postgresql.create(
            "vya_slow",
            "CREATE TABLE item AS SELECT n AS id FROM generate_series(1, 3) n;"
            "CREATE FUNCTION slow(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS"
            " $$ BEGIN RETURN $1; END $$;"
            "CREATE INDEX ON item (slow(id));"
            "CREATE OR REPLACE FUNCTION slow(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS"  # from now on
            " $$ DECLARE ends timestamptz := clock_timestamp() + '4 seconds'; BEGIN"
            " WHILE clock_timestamp() < ends LOOP END LOOP; RETURN $1; END $$;",
        )
        return "vya_slow"

    yield make
    for name in ("vya_slow", "vya_slow_too"):
        postgresql.drop(name)


def refused(host: Host, name: str) -> str:
    result = host.engine().backup(database_id="test-postgresql", databases=[name]).results[0]
    assert result.outcome == "failed", "a false success"
    assert host.files() == {}
    assert not list(host.storage.rglob("*.d"))
    return str(result.error)


LARGEST = "largest=$(ls -S *.dat* | grep -v toc.dat | head -n 1); "
SPOILED = {
    "a file cut off": (LARGEST + 'truncate --size=-9 "$largest"', "not whole|damaged"),
    "a file gone": (LARGEST + 'rm "$largest"', "lacks the file"),
    "a file too many": ("touch 1.dat", "does not name"),
    "the contents cut off": ("truncate --size=-900 toc.dat", "table of contents"),
    "a large object gone": ("rm blob_*", "lacks the file blob_4711"),
    "another end": ("exit 1", "exit code 1"),
    "an error said": ("echo 'pg_dump: error: oh' >&2", "reported an error"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_directory_that_is_not_whole_is_no_backup(
    parallel: Host, items: str, stand_in: Callable[[str, str], None], case: str
) -> None:
    script, said = SPOILED[case]
    stand_in("pg_dump", f'"$real" "$@"; {script}')
    assert any(each in refused(parallel, items) for each in said.split("|"))


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--exclude-table=public.item", "table public.item"),
        ("--exclude-table-data=public.item", "rows of table public.item"),
        ("--exclude-schema=side", "schema side"),
        ("--no-large-objects", "large object 4711"),
    ],
)
def test_what_the_client_leaves_out_is_noticed(
    parallel: Host, items: str, stand_in: Callable[[str, str], None], option: str, named: str
) -> None:
    if option == "--no-large-objects":
        option = "--no-blobs"  # as it was called before PostgreSQL 16, and may still be
    stand_in("pg_dump", f'"$real" "$@" {option}')
    error = refused(parallel, items)
    assert "left out what the server has" in error
    assert named in error


def test_a_worker_that_is_killed_fails_the_backup(host: Host, items: str, stand_in: Callable[[str, str], None]) -> None:
    with_policy(host, compression={"algorithm": "gzip", "level": 9})
    stand_in(
        "pg_dump",
        '"$real" "$@" & leader=$!\n'
        'while kill -0 $leader && read -r worker others < /proc/$leader/task/$leader/children; [ -z "$worker" ]; do :;'
        " done 2> /dev/null\n"
        "kill -KILL $worker; wait $leader",
    )
    assert "pg_dump failed" in refused(host, items)


def test_a_client_that_does_nothing_is_ended(host: Host, items: str, stand_in: Callable[[str, str], None]) -> None:
    artifact, _manifest = backup(with_policy(host), items)
    with_policy(host, limits={"stall_timeout": "2s"})
    stand_in("pg_dump", "exec sleep 300")
    result = host.engine().backup(database_id="test-postgresql", databases=[items]).results[0]
    assert "did nothing for 0:00:02" in str(result.error)
    assert list(host.storage.rglob("*.d")) == [artifact]


def test_a_load_that_does_nothing_is_ended_and_the_old_database_stays(
    host: Host, postgresql: Server, items: str, stand_in: Callable[[str, str], None]
) -> None:
    backup(with_policy(host), items)
    with_policy(host, limits={"stall_timeout": "2s"})
    stand_in("pg_restore", "exec sleep 300")
    with pytest.raises(RestoreError, match=r"did nothing for 0:00:02.*is untouched"):
        host.engine().restore(database_id="test-postgresql", database=items, overwrite=True)
    assert postgresql.sql("SELECT count(*) FROM item;", items) == "60000"


def test_a_load_that_waits_for_the_server_at_work_is_waited_for(
    host: Host, postgresql: Server, make_slow: Callable[[], str]
) -> None:
    name = make_slow()
    backup(with_policy(host), name)
    with_policy(host, limits={"stall_timeout": "8s"})
    restored = host.engine().restore(database_id="test-postgresql", database=name, target="vya_slow_too")
    assert restored.outcome == "success"
    assert postgresql.sql("SELECT count(*) FROM item;", "vya_slow_too") == "3"


def test_a_damaged_directory_is_not_restored(parallel: Host, postgresql: Server, items: str) -> None:
    artifact, _manifest = backup(parallel, items)
    other, _manifest = backup(parallel, items)
    largest = max(artifact.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(ArtifactError, match=largest.name):
        parallel.engine().restore(database_id="test-postgresql", database=items, artifact=artifact, overwrite=True)
    assert postgresql.sql("SELECT count(*) FROM item;", items) == "60000"
    assert not parallel.engine().verify(artifact=artifact).ok
    assert damage_path(artifact).exists()
    # One that was exchanged for another of the same database is noticed too.
    shutil.rmtree(artifact)
    shutil.copytree(other, artifact)
    damage_path(artifact).unlink()
    postgresql.sql("INSERT INTO other VALUES (1);", items)
    newest, _manifest = backup(parallel, items)
    shutil.rmtree(artifact)
    shutil.copytree(newest, artifact)
    assert not parallel.engine().verify(artifact=artifact).ok
