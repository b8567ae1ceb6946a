# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""All segments of an artifact unpacked and compared with its manifest, several at a time.

One thread reads the file in its order, for its checksum and because age decrypts in no other; what it has read of the
segments that are being unpacked waits in memory, in all no more than a few megabytes.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import ArtifactError, DamageError
from ..utils.memory import PIECE_BYTES
from .compression import plain_pieces
from .encryption import Readable
from .manifest import Segment

AFTER_THE_LAST = ": it goes on after the last of them"
TAIL_BYTES = 4096  # of the end of a dump, where its end marker is
_WAITING_PIECES = 40  # read, but not unpacked yet: more than a segment of rows has, which are some 7 MB
_LOOK_SECONDS = 0.2  # between two looks whether anything has been found


def check_segments(
    packed: Readable,
    segments: Sequence[Segment],
    algorithm: str,
    what: str,
    jobs: int,
    progress: Callable[[int], None],
    stopped: Callable[[], bool],
) -> bytes:
    """Read and unpack all segments, and return the last bytes of the dump itself, ``TAIL_BYTES`` at most.

    Args:
        packed: The artifact's compressed content, at its beginning.
        segments: The manifest's segments.
        algorithm: ``gzip``, ``zstd`` or ``none``.
        what: How to name the artifact in messages.
        jobs: How many segments are unpacked at a time.
        progress: Called with the bytes of SQL so far, by this thread.
        stopped: Whether to stop.

    Raises:
        DamageError: It is cut off, damaged, or has other parts than the manifest says.
        ArtifactError: It cannot be read or decrypted, or it was told to stop.
        OSError: The disk does not give it.
    """
    check = _Check(algorithm, what)
    position = 0
    with ThreadPoolExecutor(jobs, thread_name_prefix="unpacking") as workers:
        try:
            for segment in segments:
                if segment.offset != position:
                    raise other_parts(what)
                check.take_ended(jobs, progress)
                check.read(packed, check.begin(segment, workers), stopped)
                position += segment.length
            check.take_ended(0, progress)
        finally:
            check.end()  # else the workers, for which the pool waits, would wait for more
    if packed.read(1):
        raise other_parts(what, AFTER_THE_LAST)
    return check.tail


def other_parts(what: str, how: str = "") -> DamageError:
    """Return the error of an artifact that is not made of the segments that its manifest lists."""
    return DamageError(f"{what} has other parts than its manifest says{how}.", "Use another artifact.")


@dataclass(frozen=True)
class _Running:
    """A segment that is being read and unpacked: its pieces, an empty one after the last, and what becomes of them."""

    segment: Segment
    pieces: queue.SimpleQueue[bytes]
    unpacked: Future[tuple[int, bytes]]


class _Check:
    """The segments at work, and what is known of those that came before them."""

    def __init__(self, algorithm: str, what: str) -> None:
        self._algorithm = algorithm
        self._what = what
        self._room = threading.Semaphore(_WAITING_PIECES)
        self._failed = threading.Event()
        self._running: deque[_Running] = deque()
        self._done = 0
        self.tail = b""

    def end(self) -> None:
        """Let all end that are still at work."""
        for each in self._running:
            each.unpacked.cancel()
            each.pieces.put(b"")

    def begin(self, segment: Segment, workers: ThreadPoolExecutor) -> _Running:
        """Begin to unpack a segment that is going to be read."""
        pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        running = _Running(segment, pieces, workers.submit(self._unpack, pieces))
        self._running.append(running)
        return running

    def read(self, packed: Readable, running: _Running, stopped: Callable[[], bool]) -> None:
        """Read a segment; in vain, and so not to its end, once anything has been found.

        Raises:
            ArtifactError: It was told to stop.
        """
        length = running.segment.length
        while length and not self._failed.is_set() and (piece := packed.read(min(length, PIECE_BYTES))):
            length -= len(piece)
            while not self._room.acquire(timeout=_LOOK_SECONDS) and not self._failed.is_set():
                pass
            if stopped():
                raise ArtifactError(f"{self._what} was not read to its end: the run was stopped.")
            running.pieces.put(piece)
        running.pieces.put(b"")

    def _unpack(self, pieces: queue.SimpleQueue[bytes]) -> tuple[int, bytes]:
        """Return how long a segment's plain content is, and its end."""
        length, tail = 0, b""
        arriving = self._arriving(pieces)
        try:
            for plain in plain_pieces(arriving, self._algorithm, self._what):
                length += len(plain)
                tail = (tail + plain[-TAIL_BYTES:])[-TAIL_BYTES:]
            if sum(map(len, arriving)):  # what was not unpacked; whoever reads waits until it is taken
                raise other_parts(self._what)
        except BaseException:
            self._failed.set()
            raise
        return length, tail

    def _arriving(self, pieces: queue.SimpleQueue[bytes]) -> Iterator[bytes]:
        while piece := pieces.get():
            self._room.release()
            yield piece

    def take_ended(self, others: int, progress: Callable[[int], None]) -> None:
        """Take note of segments in their order, waiting for them until no more than so many others are at work.

        Args:
            others: How many may be.
            progress: Called with the bytes of SQL so far.

        Raises:
            DamageError: One cannot be unpacked, or is not what the manifest says.
        """
        while self._running and (
            len(self._running) > others or self._running[0].unpacked.done() or self._failed.is_set()
        ):
            length, tail = self._running[0].unpacked.result()
            segment = self._running.popleft().segment
            if length != segment.plain_length:
                raise other_parts(self._what)
            if segment.kind != "postamble":
                self.tail = (self.tail + tail)[-TAIL_BYTES:]
            self._done += length
            progress(self._done)
