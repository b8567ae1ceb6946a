# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading an artifact by several clients: all of it arrives, and the first failure ends all of them."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from segmented_dumps import postgresql, segmented
from shell_clients import ShellClients

from vya_backupdb.core import load_plan, segmentation
from vya_backupdb.core.encryption import Decryption
from vya_backupdb.core.segment_load import Loader, survey_artifact
from vya_backupdb.core.storage import StoredArtifact
from vya_backupdb.db.postgresql_loading import PostgreSqlLoading
from vya_backupdb.errors import ArtifactError, DamageError, RestoreError
from vya_backupdb.utils.processes import ProcessTable

ROWS = [f"row {number} {'x' * 50}" for number in range(200)]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 500)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)


@pytest.fixture
def stored(host: Any) -> StoredArtifact:
    """An artifact of PostgreSQL with many segments of rows."""
    artifact: StoredArtifact = host.artifact_in_segments(
        segmented(PostgreSqlLoading().reader(), postgresql({"a": ROWS}), 700).segments,
        dbms={"flavour": "postgresql", "version": "17.5", "description": "PostgreSQL 17.5"},
    )
    return artifact


LOADING = PostgreSqlLoading()


class Renaming(ShellClients):
    """One that names the database in place of the schema."""

    def renamed(self, chunks: Iterator[bytes], old: str, new: str) -> Iterator[bytes]:
        return (chunk.replace(b"TABLE public", f"TABLE {new}".encode()) for chunk in chunks)


Load = Callable[..., str]


@pytest.fixture
def load(stored: StoredArtifact) -> Load:
    """Survey the artifact and load it."""

    def run(script: str, jobs: int = 3, between: Callable[[], None] = lambda: None, **changes: Any) -> str:
        survey = survey_artifact(stored, LOADING, jobs, Decryption(ProcessTable()))
        between()
        processes = ProcessTable()
        dbms: Any = Renaming(LOADING, script)
        told: list[int] = []
        settings = {"stall_timeout": timedelta(seconds=20), "progress": told.append, **changes}
        try:
            return Loader(processes, dbms, survey, "copy", jobs=jobs, **settings).load()
        finally:
            assert not processes._children
            assert told == sorted(told)

    return run


def test_all_of_it_arrives_from_several_clients(load: Load, stored: StoredArtifact, tmp_path: Path) -> None:
    told: list[int] = []
    said = load(f"cat > {tmp_path}/$$; echo NOTICE $1 >&2", progress=told.append)

    texts = [path.read_text() for path in tmp_path.iterdir() if path.is_file() and path.name.isdigit()]
    assert len(texts) == 5  # one before the rows, three for them, one after
    assert told[-1] == stored.manifest.plain_bytes
    assert said == "\n".join(["NOTICE copy"] * 5)
    lines = Counter(line for text in texts for line in text.splitlines())
    assert {row: lines[row] for row in ROWS} == dict.fromkeys(ROWS, 1)
    assert lines["CREATE TABLE copy.a (c text);"] == 1
    assert lines["CREATE INDEX i ON public.a (c);"] == 1
    assert lines["SET client_encoding = 'UTF8';"] == 5
    assert (
        lines["COPY public.a (c) FROM stdin;"]
        == lines["\\."]
        == sum(segment.kind == segmentation.ROWS for segment in stored.manifest.segments)
    )


def test_one_job_is_one_client_and_the_stream_as_it_is(load: Load, tmp_path: Path) -> None:
    load(f"cat > {tmp_path}/$$", jobs=1)
    (text,) = (path.read_bytes() for path in tmp_path.iterdir() if path.name.isdigit())
    assert text == LOADING.session + postgresql({"a": ROWS}).replace(b"TABLE public", b"TABLE copy")


def test_the_first_client_that_fails_ends_the_others(load: Load) -> None:
    # The others have had all that there was, and would not end.
    script = (
        "while read -r line; do case $line in 'row 100 '*) echo ERROR: no >&2; exit 3;; 'row '*) rows=some;; esac; done"
    )
    with pytest.raises(RestoreError, match=r"^sh failed \(exit code 3\): ERROR: no; it was given rows of a; Type"):
        load(f"{script}; [ -z $rows ] || sleep 300")


def test_a_client_that_takes_nothing_ends_all(load: Load) -> None:
    with pytest.raises(RestoreError, match="did not end after 0:00:01"):
        load("exec sleep 300", stall_timeout=timedelta(seconds=1))


def test_what_changed_after_it_was_read_is_not_loaded(load: Load, stored: StoredArtifact) -> None:
    segment = stored.manifest.segments[5]
    changed = gzip.compress(b"x" * segment.plain_length)

    def exchange() -> None:
        content = stored.path.read_bytes()
        stored.path.write_bytes(
            content[: segment.offset]
            + changed.ljust(segment.length, b"\0")
            + content[segment.offset + segment.length :]
        )

    with pytest.raises(DamageError):
        load("cat > /dev/null", between=exchange)


def test_what_is_gone_cannot_be_loaded(load: Load, stored: StoredArtifact) -> None:
    with pytest.raises(ArtifactError, match="cannot be read: No such file"):
        load("cat > /dev/null", between=stored.path.unlink)


def test_what_is_cut_off_after_it_was_read_is_noticed(load: Load, stored: StoredArtifact) -> None:
    def cut() -> None:
        stored.path.write_bytes(stored.path.read_bytes()[: stored.manifest.segments[4].offset])

    with pytest.raises(DamageError, match="has changed while it was restored"):
        load("cat > /dev/null", between=cut)


def test_being_told_to_stop_ends_all_clients(stored: StoredArtifact) -> None:
    processes = ProcessTable()
    dbms: Any = Renaming(LOADING, "cat > /dev/null")
    loader = Loader(
        processes,
        dbms,
        survey_artifact(stored, LOADING, 2, Decryption(processes)),
        "copy",
        jobs=2,
        stall_timeout=timedelta(seconds=20),
        progress=lambda done: processes.cancel() if done > 2000 else None,
    )
    with pytest.raises(RestoreError, match="The restore was stopped"):
        loader.load()
    assert not processes._children


@pytest.mark.parametrize("thorough", [True, False])
def test_a_damaged_artifact_is_not_surveyed(stored: StoredArtifact, thorough: bool) -> None:
    damaged = dataclasses.replace(stored, manifest=dataclasses.replace(stored.manifest, sha256="0" * 64))
    with pytest.raises(DamageError, match="SHA-256"):
        survey_artifact(damaged, LOADING, 2, Decryption(ProcessTable()), thorough=thorough)


@pytest.mark.parametrize("jobs", [1, 3])
def test_rows_that_are_not_unpacked_are_planned_alike(stored: StoredArtifact, jobs: int) -> None:
    told: list[int] = []
    decryption = Decryption(ProcessTable())
    quick = survey_artifact(stored, LOADING, jobs, decryption, told.append, thorough=False)
    assert quick == survey_artifact(stored, LOADING, jobs, decryption)
    assert told[-1] == stored.manifest.plain_bytes


def test_rows_that_were_sealed_damaged_are_found_before_all_is_loaded(load: Load, stored: StoredArtifact) -> None:
    """Their checksum is right: it is that of what cannot be unpacked, or of other rows."""
    manifest = stored.manifest
    for change in (lambda data: b"\0" * len(data), lambda data: gzip.compress(b"few")[:10] + data[10:]):
        segment = manifest.segments[4]
        content = bytearray(stored.path.read_bytes())
        place = slice(segment.offset, segment.offset + segment.length)
        content[place] = change(bytes(content[place]))
        stored.path.write_bytes(content)
        sealed = dataclasses.replace(manifest, sha256=hashlib.sha256(content).hexdigest())
        exchanged = dataclasses.replace(stored, manifest=sealed)
        survey = survey_artifact(exchanged, LOADING, 2, Decryption(ProcessTable()), thorough=False)
        dbms: Any = Renaming(LOADING, "cat > /dev/null")
        stall = timedelta(seconds=20)
        loader = Loader(ProcessTable(), dbms, survey, "copy", jobs=2, stall_timeout=stall, progress=lambda _done: None)
        with pytest.raises(DamageError):
            loader.load()
