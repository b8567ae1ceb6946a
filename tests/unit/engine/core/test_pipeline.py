# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The pipeline: what passes it arrives whole, and what is not whole is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vya_backupdb.core.compression import Level
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.pipeline import dump_segments, load_chunks, read_child, read_segments
from vya_backupdb.core.storage import PartialFile
from vya_backupdb.core.writer import ArtifactWriter, Store
from vya_backupdb.db.dump_reader import Cut
from vya_backupdb.errors import ArtifactError, DumpError, RestoreError
from vya_backupdb.utils.processes import Child, Command, ProcessTable, describe_exit, secret_descriptor

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class Watch:
    """Sees all of a dump; one that ends with a line of its own is whole."""

    def __init__(self) -> None:
        self.seen = b""

    def begin(self) -> None:
        self.seen = b""

    def feed(self, chunk: bytes) -> Sequence[Cut]:
        self.seen += chunk
        return ()

    @property
    def settled(self) -> int:
        return len(self.seen)

    def rows_so_far(self, table: str) -> int:
        raise AssertionError(table)

    def opening(self, table: str) -> str:
        raise AssertionError(table)

    def unfinished(self) -> str:
        return "" if self.seen.endswith(b"\n-- end\n") else "before the end marker"


def shell(script: str) -> Command:
    return Command(("/bin/sh", "-c", script))


def artifact_writer(store: Store, level: int) -> ArtifactWriter:
    return ArtifactWriter(store.write, "gzip", Level("gzip", level, 0))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ArtifactWriter]:
    partial = PartialFile(tmp_path / "x.sql.gz")
    yield artifact_writer(Store(partial), 1)
    partial.discard()


def dump(writer: ArtifactWriter, script: str, processes: ProcessTable | None = None, **limits: Any) -> str:
    limits = {"stall_timeout": MINUTE, "timeout": MINUTE, **limits}
    explain = lambda text: " / ".join(line for line in text.splitlines() if "warning" not in line)  # noqa: E731
    return dump_segments(writer, processes or ProcessTable(), shell(script), Watch(), explain=explain, **limits)


def test_what_was_read_is_seen_before_it_is_paid_for(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "x.sql.gz")
    watch = Watch()
    paid: list[tuple[int, int]] = []
    dump_segments(
        artifact_writer(Store(partial), 1),
        ProcessTable(),
        shell("printf 'row\\n'; sleep 0.2; printf 'another\\n-- end\\n'"),
        watch,
        stall_timeout=MINUTE,
        timeout=MINUTE,
        explain=lambda _text: "",
        pace=lambda count: paid.append((count, len(watch.seen))),
    )
    partial.discard()
    assert paid == [(0, 0), (4, 4), (15, 19)]


def test_after_a_small_piece_more_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    large = b"x" * 64 * 1024
    written_meanwhile = [[b"a", b"b", b"c"], [large], []]

    def sleep(_seconds: float) -> None:
        for piece in written_meanwhile.pop(0):
            os.write(writer, piece)

    monkeypatch.setattr("vya_backupdb.core.pipeline.time.sleep", sleep)
    with os.fdopen(reader, "rb") as output:
        client = cast(Child, SimpleNamespace(program="client", process=SimpleNamespace(stdout=output)))
        pieces = read_child(client, stall_timeout=MINUTE, timeout=MINUTE)
        os.write(writer, b"first")
        assert [next(pieces) for _ in range(3)] == [b"first", b"abc", large]
        os.write(writer, b"z")
        assert next(pieces) == b"z"
        assert written_meanwhile == [[]]  # nothing was waited for after the large one
        os.close(writer)
        assert not list(pieces)


def test_a_whole_dump_is_stored_counted_and_hashed(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "x.sql.gz")
    store = Store(partial, ("sha256", "md5"))
    writer = artifact_writer(store, 6)
    watch = Watch()
    writer.add_text("preamble", "-- first\n")
    seen: list[int] = []
    complaints = dump_segments(
        writer,
        ProcessTable(),
        shell("echo 'a warning' >&2; i=0; while [ $i -lt 9 ]; do echo row $i; i=$((i+1)); done; printf '\\n-- end\\n'"),
        watch,
        stall_timeout=MINUTE,
        timeout=MINUTE,
        explain=lambda _text: "",
        progress=lambda: seen.append(writer.plain_bytes),
    )
    writer.add_text("postamble", "")
    partial.seal()
    partial.settle()
    stored = (tmp_path / "x.sql.gz").read_bytes()
    plain = gzip.decompress(stored)
    assert complaints == "a warning"
    assert plain.startswith(b"-- first\nrow 0\n")
    assert (len(stored), len(plain)) == (store.stored_bytes, writer.plain_bytes)
    assert store.checksum("sha256") == hashlib.sha256(stored).hexdigest()
    assert store.checksum("md5") == hashlib.md5(stored).hexdigest()
    assert watch.seen == plain.removeprefix(b"-- first\n")
    assert [s.kind for s in writer.segments] == ["preamble", "definitions"]
    assert seen[-1] == writer.plain_bytes


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("printf 'row\\n-- end\\n'; exit 3", r"sh failed \(exit code 3\): it gave no reason"),
        ("printf 'row\\n-- end\\n'; echo no such table >&2; exit 2", "no such table"),
        ("printf 'row\\n-- end\\n'; echo lost something >&2", "reported an error although it ended with 0"),
        ("echo row", "does not end as a whole dump does: it stops before the end marker"),
        ("printf 'row\\n-- end\\n'; echo and more", "does not end as a whole dump does"),
        ("true", "does not end as a whole dump does"),
        ("printf '\\n-- end\\n'; kill -9 $$", "killed by SIGKILL"),
    ],
)
def test_what_is_not_whole_is_refused(writer: ArtifactWriter, script: str, message: str) -> None:
    with pytest.raises(DumpError, match=message):
        dump(writer, script)


def test_silence_slowness_and_refusing_to_end_are_given_up(writer: ArtifactWriter) -> None:
    with pytest.raises(DumpError, match="sent nothing for 0:00:01"):
        dump(writer, "echo row; sleep 60", stall_timeout=SECOND)
    with pytest.raises(DumpError, match="still at work after 0:00:01"):
        dump(writer, "while :; do echo row; sleep 0.1; done", timeout=SECOND)
    with pytest.raises(DumpError, match="still at work after 0:01:00"):
        dump(writer, "while :; do echo row; sleep 0.1; done", timeout=MINUTE, since=time.monotonic() - 59)
    with pytest.raises(DumpError, match="did not end"):
        dump(writer, "printf '\\n-- end\\n'; exec >&-; sleep 60", stall_timeout=SECOND)


def test_a_cancelled_dump_is_said_to_be_stopped(writer: ArtifactWriter) -> None:
    processes = ProcessTable()
    processes.cancel()
    with pytest.raises(DumpError, match="was stopped"):
        dump(writer, "sleep 60", processes)


def test_grandchildren_end_with_the_child(writer: ArtifactWriter, tmp_path: Path) -> None:
    with pytest.raises(DumpError):
        dump(writer, f"sleep 600 & echo $! > {tmp_path}/pid; echo row; wait", stall_timeout=SECOND)
    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def members(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, 1) for part in parts)


def described(stored: bytes) -> list[Segment]:
    """The gzip members of a file as its manifest has them."""
    found: list[Segment] = []
    rest = stored
    while rest:
        member = zlib.decompressobj(31)
        plain = member.decompress(rest)
        offset, rest = len(stored) - len(rest), member.unused_data
        found.append(Segment("rows", offset, len(stored) - offset - len(rest), len(plain)))
    return found


def everything(_segment: Segment) -> bool:
    """Unpack all."""
    return True


def read(path: Path, stored: bytes, sha256: str, segments: Sequence[Segment]) -> bytes:
    path.write_bytes(stored)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"".join(read_segments(descriptor, sha256, "It", segments, "gzip", [], everything, None))
    finally:
        os.close(descriptor)


@settings(max_examples=60)
@given(parts=st.lists(st.binary(max_size=5000), min_size=1, max_size=6), level=st.integers(1, 9))
def test_what_was_written_is_read_back(
    parts: list[bytes], level: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pipeline")
    partial = PartialFile(folder / "x.sql.gz")
    store = Store(partial)
    writer = artifact_writer(store, level)
    for part in parts:
        writer.begin("rows")
        writer.write(part[:100])
        writer.write(part[100:])
        writer.end({})
    partial.seal()
    partial.settle()
    stored = (folder / "x.sql.gz").read_bytes()
    assert gzip.GzipFile(fileobj=io.BytesIO(stored)).read() == b"".join(parts)
    assert read(folder / "copy", stored, store.checksum("sha256") or "", writer.segments) == b"".join(parts)
    for segment, part in zip(writer.segments, parts, strict=True):
        alone = stored[segment.offset : segment.offset + segment.length]
        assert zlib.decompress(alone, 31) == part


@settings(max_examples=60)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(position: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    stored = bytearray(members(os.urandom(3000), b"text " * 500, b"\n-- end\n"))
    digest, segments = hashlib.sha256(stored).hexdigest(), described(bytes(stored))
    stored[position % len(stored)] ^= 1 << bit
    with pytest.raises(ArtifactError, match=r"is damaged|other parts"):
        read(tmp_path_factory.mktemp("flip") / "x", bytes(stored), digest, segments)


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_any_cut_is_noticed(position: int) -> None:
    stored = members(b"one", b"two" * 900)
    descriptor = os.memfd_create("cut")
    try:
        os.write(descriptor, stored[: position % len(stored)])
        os.lseek(descriptor, 0, os.SEEK_SET)
        with pytest.raises(ArtifactError, match=r"is damaged|other parts"):
            list(
                read_segments(
                    descriptor,
                    hashlib.sha256(stored).hexdigest(),
                    "It",
                    described(stored),
                    "gzip",
                    [],
                    everything,
                    None,
                )
            )
    finally:
        os.close(descriptor)


def test_what_compresses_a_thousandfold_is_read_in_pieces(tmp_path: Path) -> None:
    stored = gzip.compress(bytes(50_000_000), 9)
    digest = hashlib.sha256(stored).hexdigest()
    path = tmp_path / "zeros"
    path.write_bytes(stored)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        read = read_segments(descriptor, digest, "It", described(stored), "gzip", [], everything, None)
        pieces = [len(piece) for piece in read]
    finally:
        os.close(descriptor)
    assert sum(pieces) == 50_000_000
    assert max(pieces) <= 4 * 1024 * 1024


def test_what_follows_the_last_part_is_noticed(tmp_path: Path) -> None:
    stored = members(b"one", b"two")
    more = stored + b"x"
    with pytest.raises(ArtifactError, match="it goes on after the last of them"):
        read(tmp_path / "more", more, hashlib.sha256(more).hexdigest(), described(stored))


def load(script: str, chunks: Iterator[bytes], stall: timedelta = MINUTE) -> str:
    return load_chunks(ProcessTable(), shell(script), chunks, stall_timeout=stall, explain=lambda text: text)


def test_a_client_gets_all_and_its_end_decides(tmp_path: Path) -> None:
    assert load(f"cat > {tmp_path}/out; echo remark >&2", iter((b"a" * 3_000_000, b"b"))) == "remark"
    assert (tmp_path / "out").stat().st_size == 3_000_001
    with pytest.raises(RestoreError, match=r"failed \(exit code 4\): no"):
        load("head -c 1 >/dev/null; echo no >&2; exit 4", iter((b"x" * 5_000_000,)))
    with pytest.raises(RestoreError, match="took nothing for 0:00:01"):
        load("sleep 60", iter((b"x" * 5_000_000,)), SECOND)
    with pytest.raises(RestoreError, match="did not end after 0:00:01"):
        load("cat >/dev/null; sleep 60", iter((b"x",)), SECOND)


def test_what_a_client_has_taken_is_in_the_server_also_if_it_was_to_be_stopped_just_then() -> None:
    processes = ProcessTable()

    def chunks() -> Iterator[bytes]:
        yield b"COMMIT;"
        processes.cancelled.set()

    loaded = load_chunks(processes, shell("cat >&2"), chunks(), stall_timeout=MINUTE, explain=lambda text: text)
    assert loaded == "COMMIT;"


def test_a_client_that_ends_well_before_it_has_taken_all_has_not_loaded_it() -> None:
    with pytest.raises(RestoreError, match="ended before it had taken all"):
        load("head -c 10 >/dev/null", iter((b"x" * 5_000_000,)))


def test_a_client_that_the_server_works_for_is_waited_for(tmp_path: Path) -> None:
    asked = []

    def working() -> bool:
        asked.append(1)
        return len(asked) < 3

    def run(script: str, chunks: Iterator[bytes]) -> None:
        asked.clear()
        stall = timedelta(milliseconds=50)
        table = ProcessTable()
        load_chunks(table, shell(script), chunks, stall_timeout=stall, explain=lambda text: text, excused=working)

    with pytest.raises(RestoreError, match="took nothing for"):
        run("sleep 60", iter((b"x" * 5_000_000,)))
    assert len(asked) == 3
    with pytest.raises(RestoreError, match="did not end after"):
        run("cat >/dev/null; sleep 60", iter((b"x",)))
    assert len(asked) == 3


def test_a_damaged_artifact_ends_the_client() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise ArtifactError("It is damaged.")

    with pytest.raises(ArtifactError, match="It is damaged"):
        load("cat >/dev/null", broken())


def test_a_secret_is_read_by_the_child_and_shown_to_nobody(tmp_path: Path) -> None:
    command = Command(
        ("/bin/sh", "-c", "cat {secret}; cat $FILE; tr '\\0' '\\n' < /proc/$$/cmdline; env", "{secret}"),
        {"FILE": "{secret}"},
        b"hunter2",
    )
    code, output, _errors = ProcessTable().run(command)
    assert code == 0
    assert output.count("hunter2") == 2
    assert "hunter2" not in repr(command)
    with secret_descriptor(b"x") as descriptor:
        assert os.fstat(descriptor).st_mode & 0o7777 == 0o600


def test_our_own_environment_does_not_steer_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("MYSQL_PWD", "hunter2")
    assert "elsewhere" not in ProcessTable().run(shell("env"))[1]
    assert "hunter2" not in ProcessTable().run(shell("env"))[1]


def test_how_a_process_ended_in_words() -> None:
    assert describe_exit(1) == "exit code 1"
    assert describe_exit(-15) == "killed by SIGTERM"
    assert describe_exit(-99) == "killed by signal 99"
