# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths, partial files, manifests and locks: what a crash at any moment may leave, and what it may not."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import pwd
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.core.dead_partials import remove_dead_partials
from vya_backupdb.core.locks import database_lock
from vya_backupdb.core.manifest import SUFFIX, Manifest, Segment, read_manifest, seal_document
from vya_backupdb.core.packed import opened_file
from vya_backupdb.core.storage import (
    PartialFile,
    Storage,
    find_artifact,
    path_component,
    storage_error,
)
from vya_backupdb.errors import ArtifactError, LockedError, StorageError
from vya_backupdb.security.privileges import call_as_owner
from vya_backupdb.utils.files import make_directories, write_atomically

MOMENT = datetime(2026, 1, 9, 2, 0, 0, tzinfo=timezone.utc)


def manifest(name: str = "mydb_20260109_020000.sql.gz", **changes: object) -> Manifest:
    values = Manifest(
        artifact=name,
        hostname="wfdb02",
        database_id="prod-mysql-01",
        database="mydb",
        created_at=MOMENT,
        finished_at=MOMENT,
        stored_bytes=3,
        plain_bytes=9,
        sha256="ab" * 32,
        dbms={"flavour": "mariadb", "version": "11.8.3", "description": "MariaDB 11.8.3"},
        tool={"name": "mariadb-dump", "version": "11.8.3", "arguments": ["--quick"]},
        compression={"algorithm": "gzip", "level": 1},
        settings={"character_set": "utf8mb4"},
        inventory={"table": ["t"]},
        segments=(Segment("dump", 0, 3, 9),),
        policy="nightly",
        run_id="1",
        engine_version="2",
        restore_by_hand="gunzip",
    )
    return dataclasses.replace(values, **changes)  # type: ignore[arg-type]


def put(storage: Storage, moment: datetime, database: str = "mydb") -> Path:
    path = storage.artifact_path("prod-mysql-01", database, moment)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"abc")
    manifest(path.name, created_at=moment, database=database).write(path.parent)
    return path


def test_the_path_is_the_required_one() -> None:
    path = Storage(Path("/var/backups/x"), "wfdb02").artifact_path("prod-mysql-01", "mydb", MOMENT)
    assert str(path) == "/var/backups/x/wfdb02/prod-mysql-01/mydb/2026-01-09/mydb_20260109_020000.sql.gz"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64))
def test_any_name_is_one_component_that_stays_below_the_root(name: str) -> None:
    component = path_component(name)
    assert component not in ("", ".", "..")
    assert "/" not in component
    assert "\0" not in component
    assert not component.startswith(".")
    assert Path("/root", component).parent == Path("/root")


@given(st.lists(st.text(st.sampled_from("ab%./é \n2F"), min_size=1, max_size=6), unique=True, max_size=8))
def test_no_two_names_share_a_component(names: list[str]) -> None:
    assert len({path_component(name) for name in names}) == len(names)


def test_artifacts_are_listed_newest_first_and_only_whole_ones(tmp_path: Path) -> None:
    storage = Storage(tmp_path, "wfdb02")
    older = put(storage, MOMENT)
    newer = put(storage, MOMENT.replace(day=10))
    put(storage, MOMENT, "other")
    no_manifest = older.with_name("mydb_20260109_030000.sql.gz")
    no_manifest.write_bytes(b"")
    manifest("mydb_20260109_040000.sql.gz").write(older.parent)  # its artifact is gone
    (older.parent / ("mydb_20260109_050000.sql.gz" + SUFFIX)).write_text("{")
    (older.parent.parent / "not-a-date").mkdir()
    assert [s.path for s in storage.artifacts("prod-mysql-01", "mydb")] == [newer, older]
    assert len(storage.artifacts("prod-mysql-01")) == len(storage.artifacts()) == 3
    assert Storage(tmp_path, "another").artifacts() == []
    assert storage.artifacts()[0].manifest_path.name == newer.name + SUFFIX


def test_find_artifact_takes_either_path(tmp_path: Path) -> None:
    path = put(Storage(tmp_path, "wfdb02"), MOMENT)
    assert find_artifact(path).path == find_artifact(path.with_name(path.name + SUFFIX)).path == path
    with pytest.raises(ArtifactError, match="There is no artifact"):
        find_artifact(tmp_path / "none.sql.gz")
    path.with_name(path.name + SUFFIX).unlink()
    with pytest.raises(ArtifactError, match="no manifest"):
        find_artifact(path)


def test_content_and_name_are_made_durable_once_each_and_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "day" / "x.sql.gz"
    partial = PartialFile(final)
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), final.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    for _piece in range(10):
        partial.write(b"x" * 1000)
    assert synced == []
    partial.seal()
    assert synced == [(str(partial.path), False), (str(final.parent), True)]
    partial.settle()
    assert len(synced) == 2


def test_the_disk_gets_a_file_while_it_grows_and_not_all_of_it_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = PartialFile(tmp_path / "x.sql.gz")
    given: list[tuple[int, int, int]] = []
    advise = os.posix_fadvise

    def noted(descriptor: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        given.append((offset, length, os.fstat(descriptor).st_size))
        advise(descriptor, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", noted)
    for _piece in range(50):
        partial.write(b"x" * 500_000)
    assert len(given) == 2  # of 25 MB, eight and a little more at a time
    position = 0
    for offset, length, size in given:
        assert (offset, offset + length) == (position, size)
        position = size
    partial.seal()
    assert partial.final.stat().st_size == 25_000_000
    partial.settle()


def test_a_partial_file_never_has_the_final_name_before_it_is_sealed(tmp_path: Path) -> None:
    final = tmp_path / "a" / "b" / "x.sql.gz"
    partial = PartialFile(final)
    partial.write(b"12")
    assert [p.name for p in final.parent.iterdir()] == [".x.sql.gz.partial"]
    partial.write(b"3")
    partial.seal()
    assert final.read_bytes() == b"123"
    assert final.stat().st_mode & 0o7777 == 0o640
    assert partial.path.exists(), "until there is a manifest, it says what the file is"
    partial.settle()
    assert [p.name for p in final.parent.iterdir()] == ["x.sql.gz"]
    with pytest.raises(StorageError, match="never overwritten"):
        PartialFile(final)


@pytest.mark.parametrize("links", [True, False])
def test_a_name_that_another_writer_has_taken_is_left_to_it(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(_source: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    final = tmp_path / "x.sql.gz"
    partial = PartialFile(final)
    partial.write(b"ours")
    final.write_bytes(b"theirs")
    with pytest.raises(StorageError, match="never overwritten"):
        partial.seal()
    partial.discard()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.sql.gz": b"theirs"}
    final.unlink()
    partial = PartialFile(final)
    partial.write(b"ours")
    partial.seal()
    partial.settle()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.sql.gz": b"ours"}
    partial.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_discarded_file_leaves_nothing(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "a" / "b" / "x.sql.gz")
    partial.write(b"1")
    partial.discard()
    partial.discard()
    assert list(tmp_path.iterdir()) == []


def test_only_the_partial_files_of_the_dead_are_removed(tmp_path: Path) -> None:
    living = PartialFile(tmp_path / "day" / "living.sql.gz")
    dead = tmp_path / "day" / ".dead.sql.gz.partial"
    dead.write_bytes(b"")
    assert remove_dead_partials(tmp_path) == [dead]
    assert living.path.exists()
    living.discard()


def test_an_artifact_whose_writer_died_before_its_manifest_is_removed_too(tmp_path: Path) -> None:
    def died(name: str) -> Path:
        partial = PartialFile(tmp_path / f"{name}.sql.gz")
        partial.write(b"whole")
        partial.seal()
        os.close(partial._descriptor)
        return partial.final

    without, complete, foreign = died("without"), died("complete"), died("foreign")
    complete.with_name(complete.name + SUFFIX).write_text("{}")
    foreign.unlink()
    foreign.write_bytes(b"another file of that name")
    living = PartialFile(tmp_path / "living.sql.gz")
    living.seal()

    remove_dead_partials(tmp_path)

    assert not without.exists()
    assert {path.name for path in tmp_path.iterdir()} == {
        complete.name,
        complete.name + SUFFIX,
        foreign.name,
        living.final.name,
        living.path.name,
    }
    living.discard()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        PartialFile(tmp_path / "file" / "x.sql.gz")
    assert "is full" in str(storage_error(OSError(28, "No space left on device"), tmp_path))
    assert "vya-backupdb" in str(storage_error(PermissionError(13, "Permission denied"), tmp_path))
    assert Storage(tmp_path / "not" / "yet", "h").free_bytes() > 0


def test_a_full_disk_is_said_while_writing(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "x.sql.gz")
    os.close(partial._descriptor)
    partial._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(StorageError, match="is full"):
        partial.write(b"1")
    partial.discard()


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    written = manifest(warnings=("one",)).with_proof("verified", MOMENT)
    path = written.write(tmp_path)
    assert read_manifest(path) == written
    assert written.with_proof("sealed", MOMENT).proof == "verified"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert written.duration == 0


def test_a_manifest_of_an_engine_that_did_not_count_rows_is_read(tmp_path: Path) -> None:
    position = {"type": "lsn", "approximate": False, "from": {"lsn": "0/1"}, "to": {"lsn": "0/1"}}
    written = manifest(rows={"t": 3}, row_counts={"approximate": False}, position=position, md5="cd" * 16)
    path = written.write(tmp_path)
    assert read_manifest(path) == written
    document = json.loads(path.read_text())
    for key in ("rows", "row_counts", "position", "md5"):
        del document[key]
    path.write_bytes(seal_document(document))
    older = read_manifest(path)
    assert (older.rows, older.row_counts, older.position, older.md5) == (None, {}, None, None)
    assert older.inventory == written.inventory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "Upgrade the engine"),
        ({"schema_version": "1"}, "not a manifest"),
        ({"artifact": "another.sql.gz"}, "contradicts"),
        ({"proof": "promised"}, "damaged"),
        ({"created_at": "yesterday"}, "damaged"),
        ({"segments": [{"kind": "dump"}]}, "damaged"),
        ({"sha256": None, "dbms": None}, None),
    ],
)
def test_a_manifest_that_cannot_be_right_is_refused(
    tmp_path: Path, change: dict[str, object], message: str | None
) -> None:
    path = manifest().write(tmp_path)
    path.write_bytes(seal_document({**json.loads(path.read_text()), **change}))
    if message is None:
        read_manifest(path)
    else:
        with pytest.raises(ArtifactError, match=message):
            read_manifest(path)


def test_unknown_fields_of_a_manifest_are_passed_over(tmp_path: Path) -> None:
    path = manifest().write(tmp_path)
    path.write_bytes(seal_document({**json.loads(path.read_text()), "later": 1}))
    assert read_manifest(path).database == "mydb"


def test_a_manifest_that_differs_from_its_own_checksum_is_refused(tmp_path: Path) -> None:
    path = manifest().write(tmp_path)
    whole = path.read_bytes()
    body, _, seal = whole.rpartition(b',\n  "manifest_sha256": "')
    assert seal == hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'
    changed = [whole.replace(b'"mydb"', b'"mxdb"', 1), whole + b"\n", body + b"\n}\n", whole.replace(b"  ", b" ", 1)]
    changed += [whole.replace(b"manifest_sha256", b"manifest_sha255"), whole.replace(seal[:2], b"zz")]
    for content in changed:
        assert content != whole
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="damaged"):
            read_manifest(path)


def test_an_unreadable_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / ("x.sql.gz" + SUFFIX)).mkdir()
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_manifest(tmp_path / ("x.sql.gz" + SUFFIX))


def test_an_atomic_write_makes_the_content_durable_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "manifest"
    path.write_bytes(b"old")
    synced: list[tuple[bool, bytes]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append((os.path.isdir(f"/proc/self/fd/{descriptor}"), path.read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    write_atomically(path, b"new", 0o600)
    assert synced == [(False, b"old"), (True, b"new")]


def test_atomic_writes_keep_the_old_content_when_they_fail(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomically(path, b"old", 0o600)
    with pytest.raises(TypeError):
        write_atomically(path, "text is not bytes", 0o600)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    write_atomically(path, b"new", 0o640)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == 0o640


def test_directories_are_made_outermost_first(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    assert make_directories(deep) == [tmp_path / "a", deep]
    assert make_directories(deep) == []


HOLDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {package!r})
from vya_backupdb.core.locks import database_lock
with database_lock(Path({locks!r}), "i", "d", "a backup"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_holder(tmp_path: Path, engine_environment: dict[str, str]) -> None:
    script = HOLDER.format(package=".", locks=str(tmp_path / "locks"))
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, **engine_environment}
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(LockedError, match=rf"i/d is in use by a backup \(process {holder.pid}\)"),
            database_lock(tmp_path / "locks", "i", "d", "a restore"),
        ):
            pass
        with database_lock(tmp_path / "locks", "i", "other", "a restore"):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with database_lock(tmp_path / "locks", "i", "d", "a restore"):
        pass


def test_a_lock_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("")
    with pytest.raises(StorageError, match="locks"), database_lock(tmp_path / "locks", "i", "d", "a backup"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("closed", ["directory", "artifact", "manifest"])
def test_what_may_not_be_read_is_not_called_missing(closed: str) -> None:
    def read() -> str:
        try:
            with opened_file(find_artifact(path)):
                return "read"
        except ArtifactError as exc:
            return str(exc)

    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        root = Path(name)
        path = put(Storage(root, "wfdb02"), MOMENT)
        for each in (root, *root.rglob("*")):
            each.chmod(0o755)
        nobodys = root / "nobodys"
        nobodys.mkdir()
        os.chown(nobodys, pwd.getpwnam("nobody").pw_uid, -1)
        assert call_as_owner(nobodys, read) == "read"
        {"directory": path.parent, "artifact": path, "manifest": path.with_name(path.name + SUFFIX)}[closed].chmod(0)
        assert "cannot be read: Permission denied. Let the user nobody" in call_as_owner(nobodys, read)
