# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Artifacts that are directories: how one gets its name, is listed, read back, held and removed."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vya_backupdb.core import directory as directory_module
from vya_backupdb.core.catalog import FAILED, SUCCESS
from vya_backupdb.core.dead_partials import remove_dead_partials
from vya_backupdb.core.directory import DirectoryReader, directory_checksum
from vya_backupdb.core.forms import DIRECTORY_EXTENSION, form_of
from vya_backupdb.core.locks import artifact_in_use
from vya_backupdb.core.manifest import SUFFIX, read_manifest
from vya_backupdb.core.marks import Mark, damage_path, hold_path, write_mark
from vya_backupdb.core.overview import summarize_host
from vya_backupdb.core.partial_directory import PartialDirectory
from vya_backupdb.core.retention import INTERRUPTED, prune_database
from vya_backupdb.core.storage import find_artifact
from vya_backupdb.core.verification import verify_and_record
from vya_backupdb.db.directory import Part
from vya_backupdb.errors import ArtifactError, DamageError, StorageError

ID, SHOP = "prod", "shop"
END = b"\\.\n\n\n"
CONTENTS = Part("toc.dat")


class Format:
    """Directories of which every file but the table of contents holds rows."""

    def __init__(self, _version: tuple[int, ...], _processes: Any) -> None:
        pass

    def parts(self, directory: Path) -> list[Part]:
        names = sorted(set(os.listdir(directory)) - {CONTENTS.name})
        return [CONTENTS, *(Part(name, 1, END) for name in names)]


@pytest.fixture(autouse=True)
def _format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(directory_module.DIRECTORY_FORMATS, "postgresql", Format)


def contents(rows: int = 3) -> dict[str, bytes]:
    plain = b"".join(b"%d\tBread\n" % number for number in range(rows)) + END
    return {"toc.dat": b"PGDMP", "7.dat.gz": gzip.compress(plain), "8.dat": END}


def make_directory(host: Any, nights: int = 0, files: dict[str, bytes] | None = None) -> Path:
    """A sealed directory made so many nights ago."""
    stand_in = host.artifact(host.clock() - timedelta(days=nights, hours=12))
    made = read_manifest(stand_in.with_name(stand_in.name + SUFFIX))
    stand_in.with_name(stand_in.name + SUFFIX).unlink()
    stand_in.unlink()
    path = host.storage.artifact_path(ID, SHOP, made.created_at, DIRECTORY_EXTENSION)
    partial = PartialDirectory(path)
    for name, content in (files or contents()).items():
        partial.add(name, content)
    readings = DirectoryReader(partial.path, 2).read_all(Format((), None).parts(partial.path))
    found = tuple(each.stored_file("item" if each.part.ending else None) for each in readings)
    partial.seal()
    dataclasses.replace(
        made,
        artifact=path.name,
        stored_bytes=sum(each.length for each in found),
        plain_bytes=sum(each.plain_length for each in found),
        sha256=directory_checksum((each.name, each.sha256) for each in found),
        dbms={"flavour": "postgresql", "version": "17.5", "description": "PostgreSQL 17.5"},
        tool={"name": "pg_dump", "version": "17.5"},
        segments=(),
        files=found,
        strategy="parallel",
    ).write(path.parent)
    partial.settle()
    return path


def verify(host: Any, artifact: Path) -> Any:
    return verify_and_record(host.context, find_artifact(artifact))[0]


# ---- getting its name


def test_a_directory_never_has_the_final_name_before_it_is_sealed(tmp_path: Path) -> None:
    final = tmp_path / "a" / "b" / "x.dump.d"
    partial = PartialDirectory(final)
    partial.add("toc.dat", b"123")
    partial.path.chmod(0o700)
    assert sorted(p.name for p in final.parent.iterdir()) == [".x.dump.d.content", ".x.dump.d.partial"]
    partial.seal()
    assert (final / "toc.dat").read_bytes() == b"123"
    assert [path.stat().st_mode & 0o7777 for path in (final, final / "toc.dat")] == [0o750, 0o640]
    assert [p.name for p in final.parent.iterdir() if p != final] == [".x.dump.d.partial"], "until there is a manifest"
    partial.settle()
    assert list(final.parent.iterdir()) == [final]
    with pytest.raises(StorageError, match="never overwritten"):
        PartialDirectory(final)


def test_a_name_that_another_writer_has_taken_is_left_to_it(tmp_path: Path) -> None:
    final = tmp_path / "x.dump.d"
    partial = PartialDirectory(final)
    final.mkdir()
    with pytest.raises(StorageError, match="never overwritten"):
        partial.seal()
    partial.discard()
    assert list(tmp_path.iterdir()) == [final]


def test_two_writers_of_one_name_do_not_meet(tmp_path: Path) -> None:
    first = PartialDirectory(tmp_path / "x.dump.d")
    first.add("toc.dat", b"1")
    with pytest.raises(StorageError):
        PartialDirectory(tmp_path / "x.dump.d")
    assert (first.path / "toc.dat").exists()
    first.discard()


@pytest.mark.parametrize("sealed", [True, False])
def test_a_discarded_directory_leaves_nothing(tmp_path: Path, sealed: bool) -> None:
    partial = PartialDirectory(tmp_path / "a" / "b" / "x.dump.d")
    partial.add("toc.dat", b"1")
    if sealed:
        partial.seal()
    partial.discard()
    partial.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sealed", [True, False])
def test_what_could_not_be_discarded_is_found_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    partial = PartialDirectory(tmp_path / "x.dump.d")
    partial.add("toc.dat", b"1")
    if sealed:
        partial.seal()
    with monkeypatch.context() as failing:
        failing.setattr(shutil, "rmtree", lambda *_arguments, **_options: None)
        partial.discard()
    assert len(list(tmp_path.iterdir())) == 2
    assert len(remove_dead_partials(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_dead_writers_left_and_cannot_be_removed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    partial = PartialDirectory(tmp_path / "x.dump.d")
    partial.add("toc.dat", b"1")
    os.close(partial._descriptor)

    def fail(*_arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "rmtree", fail)
    assert remove_dead_partials(tmp_path) == []
    assert "x.dump.d.partial, which a run that died has left, could not be removed: Input/output error" in caplog.text


def test_what_dead_writers_left_is_told_from_what_is_whole_or_not_theirs(tmp_path: Path) -> None:
    def died(name: str, sealed: bool = True) -> Path:
        partial = PartialDirectory(tmp_path / f"{name}.dump.d")
        partial.add("toc.dat", b"1")
        if sealed:
            partial.seal()
        os.close(partial._descriptor)
        return partial.final

    died("unsealed", sealed=False)
    died("without")
    complete, foreign = died("complete"), died("foreign")
    complete.with_name(complete.name + SUFFIX).write_text("{}")
    foreign.rename(tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", foreign)
    living = PartialDirectory(tmp_path / "living.dump.d")

    remove_dead_partials(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {
        *(complete.name, complete.name + SUFFIX, foreign.name, "elsewhere"),
        *(living.path.name, ".living.dump.d.partial"),
    }
    living.discard()


# ---- being listed


def test_directories_are_listed_with_the_size_of_their_files(host: Any) -> None:
    artifact = make_directory(host)
    (entry,) = host.storage.names(ID, SHOP)[0]
    assert (entry.path, entry.stored_bytes) == (artifact, find_artifact(artifact).manifest.stored_bytes)
    assert entry.stored_bytes == sum(path.stat().st_size for path in artifact.iterdir())
    assert [stored.path for stored in host.storage.artifacts()] == [artifact]


def test_what_is_named_as_one_form_and_is_another_is_no_artifact(host: Any) -> None:
    artifact = make_directory(host)
    shutil.rmtree(artifact)
    artifact.write_bytes(b"")
    file = host.artifact()
    file.unlink()
    file.mkdir()
    assert host.storage.names(ID, SHOP) == ([], [])
    for path in (artifact, file):
        with pytest.raises(ArtifactError, match="no artifact"):
            find_artifact(path)


# ---- being read back


def test_what_is_whole_is_verified(host: Any) -> None:
    artifact = make_directory(host)
    assert verify(host, artifact).outcome == SUCCESS
    manifest = find_artifact(artifact).manifest
    assert manifest.proof == "verified"
    assert {each.name: each.tables for each in manifest.files} == {
        "7.dat.gz": {"item": 3},
        "8.dat": {"item": 0},
        "toc.dat": {},
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_found(host: Any, data: st.DataObject) -> None:
    day = host.storage.directory_of(ID, SHOP)
    shutil.rmtree(day, ignore_errors=True)
    artifact = make_directory(host)
    path = artifact / data.draw(st.sampled_from(sorted(contents())))
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert verify(host, artifact).outcome == FAILED
    assert damage_path(artifact).exists()


def exchange(artifact: Path) -> None:
    (artifact / "7.dat.gz").write_bytes(gzip.compress(b"0\tother\n" + END))


def link(artifact: Path) -> None:
    (artifact / "8.dat").rename(artifact.parent / "8.dat")
    (artifact / "8.dat").symlink_to(artifact.parent / "8.dat")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda artifact: (artifact / "8.dat").unlink(), "other files than its manifest"),
        (lambda artifact: (artifact / "7.dat").write_bytes(END), "other files than its manifest"),
        (lambda artifact: os.truncate(artifact / "7.dat.gz", 20), "is damaged"),
        (lambda artifact: os.truncate(artifact / "8.dat", 3), "not whole"),
        (exchange, "exchanged"),
        (link, "cannot be read"),
    ],
)
def test_files_that_are_missing_added_cut_or_exchanged_are_found(
    host: Any, spoil: Callable[[Path], None], said: str
) -> None:
    artifact = make_directory(host)
    spoil(artifact)
    result = verify(host, artifact)
    assert result.outcome == FAILED
    assert said in str(result.error)
    assert any(str(artifact) in problem for problem in summarize_host(host.context).problems)


def test_a_client_that_does_not_take_what_was_sealed_is_no_damage(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = make_directory(host)

    class Refusing(Format):
        def parts(self, directory: Path) -> list[Part]:
            raise DamageError(f"The table of contents of {directory} cannot be read: libpq is missing")

    monkeypatch.setitem(directory_module.DIRECTORY_FORMATS, "postgresql", Refusing)
    result = verify(host, artifact)
    assert result.outcome == FAILED
    assert "could not be read back, although its table of contents is what it was" in result.error
    assert find_artifact(artifact).damage is None


def test_an_artifact_of_an_unknown_strategy_is_not_called_damaged(host: Any) -> None:
    artifact = host.artifact(strategy="telepathic")
    assert "does not know" in str(verify(host, artifact).error)
    assert not damage_path(artifact).exists()


def test_rows_are_the_lines_before_the_end(tmp_path: Path) -> None:
    for name, plain in {"a": b"\\N\n\\\\.\n" + END, "b": END, "c": b"\n" + END}.items():
        (tmp_path / f"{name}.dat").write_bytes(plain)
    readings = DirectoryReader(tmp_path, 2).read_all([Part(f"{name}.dat", 1, END) for name in "abc"])
    assert [each.rows for each in readings] == [2, 0, 1]
    (tmp_path / "d.dat").write_bytes(b"1" + END)
    with pytest.raises(DamageError, match="not whole"):
        DirectoryReader(tmp_path, 2).read_all([Part("d.dat", 1, END)])


# ---- being held and removed


def test_retention_removes_directories_as_it_does_files(host: Any) -> None:
    artifacts = [make_directory(host, nights) for nights in range(4)]
    report = prune_database(host.context, ID, SHOP, False)
    assert {each["artifact"] for each in report.removed} == {str(path) for path in artifacts[2:]}
    assert [path.exists() for path in artifacts] == [True, True, False, False]
    assert not any(path.parent.exists() for path in artifacts[2:])


def test_what_is_held_or_in_use_stays(host: Any) -> None:
    artifacts = [make_directory(host, nights) for nights in range(4)]
    write_mark(hold_path(artifacts[2]), Mark("audit", "root", host.clock()))
    with artifact_in_use(artifacts[3]):
        assert prune_database(host.context, ID, SHOP, False).removed == ()
    prune_database(host.context, ID, SHOP, False)
    assert [path.exists() for path in artifacts] == [True, True, True, False]


@pytest.mark.parametrize("call", ["rename", "rmtree", "unlink"])
def test_a_removal_that_is_interrupted_anywhere_is_finished(
    host: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Also amid the files of the directory."""

    class Died(BaseException):
        pass

    def die(*_arguments: Any, **_options: Any) -> None:
        raise Died

    def die_halfway(path: Path) -> None:
        next(iter(sorted(path.iterdir()))).unlink()
        raise Died

    artifacts = [make_directory(host, nights) for nights in range(3)]
    with monkeypatch.context() as patch:
        if call == "rmtree":
            patch.setattr(shutil, "rmtree", die_halfway)
        else:
            patch.setattr(*((os, "rename") if call == "rename" else (Path, "unlink")), die)
        with pytest.raises(Died):
            prune_database(host.context, ID, SHOP, False)
    assert artifacts[2].exists() == (call == "rename"), "a directory has its name for as long as it is whole"
    host.catalog.close_vanished()
    report = prune_database(host.context, ID, SHOP, False)
    (removed,) = report.removed
    assert removed["artifact"] == str(artifacts[2])
    assert (INTERRUPTED in removed["reasons"]) == (call != "rename")
    assert not artifacts[2].parent.exists()
    assert not report.missing


def test_finishing_a_removal_is_harmless_where_there_is_nothing(tmp_path: Path) -> None:
    form_of(tmp_path / "x.dump.d").finish_removal(tmp_path / "x.dump.d")
    form_of(tmp_path / "x.sql.gz").finish_removal(tmp_path / "x.sql.gz")
