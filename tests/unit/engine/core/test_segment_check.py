# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments are unpacked several at a time, and nothing that is wrong with one of them passes."""

from __future__ import annotations

import dataclasses
import io
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vya_backupdb.core import segment_check
from vya_backupdb.core.compression import compressor, plain_pieces
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.segment_check import TAIL_BYTES, check_segments
from vya_backupdb.errors import ArtifactError, DamageError

PIECE = 1000


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a segment of some kilobytes be many pieces."""
    monkeypatch.setattr(segment_check, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(segment_check, "_LOOK_SECONDS", 0.01)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("unpacking")]


def packed(parts: Sequence[bytes], algorithm: str = "gzip") -> tuple[bytes, list[Segment]]:
    """An artifact's content and segments, the first ``preamble`` and the last ``postamble``."""
    content, segments = b"", []
    for number, part in enumerate(parts):
        one = compressor(algorithm, 1)
        stored = one.compress(part) + one.flush()
        kind = "postamble" if number == len(parts) - 1 > 0 else "rows" if number else "preamble"
        segments.append(Segment(kind, len(content), len(stored), len(part)))
        content += stored
    return content, segments


def check(
    content: bytes,
    segments: Sequence[Segment],
    algorithm: str = "gzip",
    jobs: int = 2,
    progress: Callable[[int], None] = lambda _done: None,
    stopped: Callable[[], bool] = lambda: False,
    reader: Any = None,
) -> bytes:
    return check_segments(reader or io.BytesIO(content), segments, algorithm, "It", jobs, progress, stopped)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9 * PIECE), min_size=1, max_size=9),
    algorithm=st.sampled_from(["gzip", "zstd", "none"]),
    jobs=st.integers(1, 4),
    waiting=st.integers(1, 5),
)
def test_what_is_whole_passes(sizes: list[int], algorithm: str, jobs: int, waiting: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_check, "_WAITING_PIECES", waiting)
        parts = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
        told: list[int] = []
        tail = check(*packed(parts, algorithm), algorithm, jobs, told.append)
    dump = b"".join(parts[:-1] if len(parts) > 1 else parts)
    assert tail == dump[-TAIL_BYTES:]
    assert told == [sum(sizes[: number + 1]) for number in range(len(sizes))]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_what_is_damaged_does_not(data: st.DataObject) -> None:
    parts = [random.Random(number).randbytes(50) * 100 for number in range(5)]
    content, segments = packed(parts)
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        check(bytes(damaged), segments)
    except DamageError:
        return
    # Headers and padding hold bits that mean nothing; the checksum of the whole file, which others look at, has them.
    assert b"".join(plain_pieces(iter([bytes(damaged)]), "gzip", "It")) == b"".join(parts)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content, segments: (content + b"x", segments), "goes on after the last"),
        (lambda content, segments: (content[:-1], segments), "its end is missing"),
        (lambda content, segments: (content, segments[:-1]), "goes on after the last"),
        (lambda content, segments: (content, [segments[0], *segments[2:]]), "other parts"),
        (
            lambda content, segments: (
                content,
                [*segments[:2], dataclasses.replace(segments[2], plain_length=1), *segments[3:]],
            ),
            "other parts",
        ),
        (lambda content, segments: (content[: segments[2].offset] + b"x" * 99999, segments), "cannot be decompressed"),
    ],
)
def test_each_defect_is_named(jobs: int, change: Callable[..., Any], message: str) -> None:
    content, segments = packed([random.Random(number).randbytes(7000) for number in range(6)])
    with pytest.raises(DamageError, match=message):
        check(*change(content, segments), jobs=jobs)


def test_the_first_of_several_defects_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    content, segments = packed([random.Random(number).randbytes(3000) for number in range(4)])
    later_failed = threading.Event()

    def unpack(pieces: Iterator[bytes], _algorithm: str, _what: str) -> Iterator[bytes]:
        held = b"".join(pieces)
        if held == content[segments[2].offset :][: segments[2].length]:
            later_failed.set()
            raise DamageError("the second defect")
        if held == content[segments[1].offset :][: segments[1].length]:
            assert later_failed.wait(10)
            raise DamageError("the first defect")
        yield from plain_pieces(iter([held]), "gzip", "It")

    monkeypatch.setattr(segment_check, "plain_pieces", unpack)
    with pytest.raises(DamageError, match="the first defect"):
        check(content, segments, jobs=3)


def test_as_many_are_unpacked_at_a_time_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    content, segments = packed([random.Random(number).randbytes(500) for number in range(9)])
    together = threading.Barrier(3, timeout=10)

    def unpack(pieces: Iterator[bytes], algorithm: str, what: str) -> Iterator[bytes]:
        together.wait()
        return plain_pieces(pieces, algorithm, what)

    monkeypatch.setattr(segment_check, "plain_pieces", unpack)
    check(content, segments, jobs=3)


def test_nothing_may_be_left_of_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    content, segments = packed([b"x" * 90 * PIECE] * 3, "none")
    monkeypatch.setattr(segment_check, "plain_pieces", lambda pieces, _algorithm, _what: iter([next(pieces)]))
    with pytest.raises(DamageError, match="other parts"):
        check(content, segments, "none")


def test_no_more_is_read_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    content, segments = packed([random.Random(number).randbytes(20 * PIECE) for number in range(9)], "none")
    monkeypatch.setattr(segment_check, "_WAITING_PIECES", 25)
    go_on, full = threading.Event(), threading.Event()

    class Reader(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 25 * PIECE:
                full.set()
            return super().read(size)

    def unpack(pieces: Iterator[bytes], _algorithm: str, _what: str) -> Iterator[bytes]:
        assert go_on.wait(10)
        yield from pieces

    monkeypatch.setattr(segment_check, "plain_pieces", unpack)
    reader = Reader(content)
    checking = threading.Thread(target=lambda: check(content, segments, "none", reader=reader))
    checking.start()
    assert full.wait(10)
    assert reader.tell() <= 26 * PIECE  # one more is in hand
    go_on.set()
    checking.join(10)
    assert reader.tell() == len(content)


def test_it_stops_when_it_is_told_to() -> None:
    content, segments = packed([b"x" * 100_000] * 5, "none")
    told = iter([False] * 150 + [True] * 1000)
    with pytest.raises(ArtifactError, match="the run was stopped"):
        check(content, segments, "none", stopped=lambda: next(told))


def test_what_the_disk_says_is_passed_on() -> None:
    content, segments = packed([b"x" * 10_000] * 5, "none")

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 25_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"):
        check(content, segments, "none", reader=Failing(content))
