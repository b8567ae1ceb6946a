# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The one pass over a dump: client → compression → (encryption) → checksum → file, in constant memory.

Lets the client wait while we are busy, once the pipe is full. The bulk of the work (deflate, SHA-256,
read, write) releases Python's global lock, so several dumps run side by side in threads.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Optional, Protocol

from ..errors import DumpError, RestoreError
from ..utils.memory import PIECE_BYTES
from ..utils.processes import Child, Command, ProcessTable, describe_exit, write_all
from .compression import plain_pieces
from .encryption import Decryption, Decryptor, HashedFile, Readable, exchanged
from .manifest import Segment
from .segment_check import AFTER_THE_LAST, other_parts
from .segmentation import Following, Segmenter, SegmentSink

# Clients write a few kilobytes at a time. Whoever reads each of them at once is woken a hundred thousand times for a
# gigabyte, and the client waits for a core meanwhile; the pipe holds what it sends in some milliseconds.
_FEW_BYTES = 64 * 1024
_GATHER_SECONDS = 0.001


def read_child(
    child: Child, *, stall_timeout: timedelta, timeout: timedelta, since: Optional[float] = None
) -> Iterator[bytes]:
    """Yield what a child writes to its standard output until it closes it, in pieces that are worth their handling.

    Args:
        child: A child started with a pipe for its output.
        stall_timeout: Longest time without a byte.
        timeout: Longest time in all.
        since: When that began (``time.monotonic()``); now, unless given.

    Raises:
        DumpError: The child was silent or at work for too long; it has been killed.
    """
    stream = child.process.stdout
    if stream is None:
        raise DumpError(f"{child.program} was started without a pipe.")
    descriptor = stream.fileno()
    deadline = (time.monotonic() if since is None else since) + timeout.total_seconds()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if not poll.poll(max(0.0, min(stall_timeout.total_seconds(), left)) * 1000):
            child.kill()
            if left <= stall_timeout.total_seconds():
                raise DumpError(f"{child.program} was still at work after {timeout} and has been ended.")
            raise DumpError(
                f"{child.program} sent nothing for {stall_timeout} and has been ended.",
                "Look for locks or a server that no longer answers; limits.stall_timeout sets the time.",
            )
        chunk = os.read(descriptor, PIECE_BYTES)
        if not chunk:
            return
        yield chunk
        if len(chunk) < _FEW_BYTES:
            time.sleep(_GATHER_SECONDS)
        if time.monotonic() > deadline:
            child.kill()
            raise DumpError(f"{child.program} was still at work after {timeout} and has been ended.")


class Watch(Following, Protocol):
    """What takes note of a dump in passing and judges its end."""

    def begin(self) -> None:
        """Expect a dump, after the one before has ended."""

    def unfinished(self) -> str:
        """Return where the dump stopped short; empty if its end was the true one."""


class DumpSink(SegmentSink, Protocol):
    """What takes the segments of a dump."""

    waited: float  # seconds that the present segment's bytes were waited for


def dump_segments(
    writer: DumpSink,
    processes: ProcessTable,
    command: Command,
    watch: Watch,
    *,
    stall_timeout: timedelta,
    timeout: timedelta,
    since: Optional[float] = None,
    explain: Callable[[str], str],
    progress: Callable[[], None] = lambda: None,
    pace: Callable[[int], None] = lambda _count: None,
    started: Callable[[Child], None] = lambda _child: None,
) -> str:
    """Run a dump client and write what it sends, cut into segments, or fail.

    Neither the exit code nor the dump's end is enough alone: a forced dump writes its marker after errors, and a
    client may end with 0 after losing its output. Both must be right, and standard error must hold no error.

    Args:
        writer: Where it goes.
        processes: What starts and ends children.
        command: The dump client's call.
        watch: Sees all of the dump, and says whether it ended as it should.
        stall_timeout: Longest time without a byte.
        timeout: Longest time in all.
        since: When that began (``time.monotonic()``); now, unless given.
        explain: Cleans and shortens what the client wrote to standard error.
        progress: Called whenever something has been written.
        pace: Called with the number of bytes that have been read; waits as long as they were too fast.
        started: Told of the client.

    Returns:
        What the client wrote to standard error: warnings, as errors are refused.

    Raises:
        DumpError: The dump is not whole; the message says why.
        StorageError: The disk is full or failing.
    """
    with processes.start(command) as child:
        started(child)
        chunks = read_child(child, stall_timeout=stall_timeout, timeout=timeout, since=since)
        watch.begin()
        segmenter = Segmenter(writer, watch)
        chunk = b""
        while True:
            began = time.perf_counter()
            pace(len(chunk))  # once it has been seen: others may wait for what it tells
            chunk = next(chunks, b"")
            writer.waited += time.perf_counter() - began
            if not chunk:
                break
            segmenter.feed(chunk)
            progress()
        segmenter.finish()
        try:
            code = child.wait(stall_timeout.total_seconds())
        except subprocess.TimeoutExpired:
            child.kill()
            raise DumpError(f"{command.program} closed its output but did not end, and has been killed.") from None
        errors = explain(child.stderr)
    refuse_bad_end(processes, command, code, errors)
    stopped = watch.unfinished()
    if stopped:
        raise DumpError(
            f"The output of {command.program} does not end as a whole dump does: it stops {stopped}.",
            "It was cut off; run the backup again.",
        )
    return child.stderr


def refuse_bad_end(processes: ProcessTable, command: Command, code: int, errors: str) -> None:
    """Refuse a dump whose client did not end well.

    Args:
        processes: What started it.
        command: The client's call.
        code: How it ended.
        errors: What it complained of.

    Raises:
        DumpError: It was stopped, failed, or complained.
    """
    if processes.cancelled.is_set():
        raise DumpError("The run was stopped before the dump was whole.")
    if code != 0:
        raise DumpError(f"{command.program} failed ({describe_exit(code)}): {errors or 'it gave no reason'}")
    if errors:
        raise DumpError(f"{command.program} reported an error although it ended with 0: {errors}")


def load_chunks(
    processes: ProcessTable,
    command: Command,
    chunks: Iterator[bytes],
    *,
    stall_timeout: timedelta,
    explain: Callable[[str], str],
    progress: Optional[Callable[[int], None]] = None,
    started: Callable[[Child], None] = lambda _child: None,
    excused: Callable[[], bool] = lambda: False,
) -> str:
    """Feed SQL to a client that loads it, and return what it wrote to standard error.

    Args:
        processes: What starts and ends children.
        command: The loading client's call.
        chunks: The SQL; what this raises ends the client and goes on to the caller.
        stall_timeout: Longest time without the client taking a byte, and longest for its end.
        explain: Cleans and shortens what the client wrote to standard error.
        progress: Called with the bytes taken so far.
        started: Told of the client.
        excused: Asked once its time is up: whether somebody else, such as the server, is at work for it.

    Raises:
        RestoreError: The client failed or took nothing for too long.
    """
    with processes.start(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        started(child)
        stream, total = child.process.stdin, 0
        if stream is None:
            raise RestoreError(f"{command.program} was started without a pipe.")
        os.set_blocking(stream.fileno(), False)
        try:
            for chunk in chunks:
                _feed(command, stream.fileno(), chunk, stall_timeout, excused)
                total += len(chunk)
                if progress:
                    progress(total)
            stream.close()
            taken = True
        except BrokenPipeError:
            taken = False  # it has ended; its exit code and its words say why
        code = _exit_code(child, stall_timeout, excused)
    if code == 0 and taken:  # also if it was to be stopped just then: what it was given is in the server
        return child.stderr
    if processes.cancelled.is_set():
        raise RestoreError("The restore was stopped.")
    if code == 0:
        raise RestoreError(f"{command.program} ended before it had taken all that is to be loaded.")
    reason = explain(child.stderr) or "it gave no reason"
    raise RestoreError(f"{command.program} failed ({describe_exit(code)}): {reason}")


def _feed(
    command: Command, descriptor: int, chunk: bytes, stall_timeout: timedelta, excused: Callable[[], bool]
) -> None:
    try:
        write_all(descriptor, chunk, stall_timeout, excused)
    except TimeoutError:
        raise RestoreError(f"{command.program} took nothing for {stall_timeout} and has been ended.") from None


def _exit_code(child: Child, stall_timeout: timedelta, excused: Callable[[], bool]) -> int:
    """Wait for the end of a client that has been given all, for as long as somebody else is at work for it."""
    while True:
        try:
            return child.wait(stall_timeout.total_seconds())
        except subprocess.TimeoutExpired:
            if not excused():
                what = f"{child.program} did not end after {stall_timeout} and has been ended."
                raise RestoreError(what) from None


def read_segments(
    descriptor: int,
    expected_sha256: str,
    what: str,
    segments: Sequence[Segment],
    algorithm: str,
    digests: list[bytes],
    unpack: Callable[[Segment], bool],
    decryption: Optional[Decryption],
) -> Iterator[bytes]:
    """Yield the plain content of an artifact, checking everything on the way.

    Args:
        descriptor: An open descriptor at the artifact's beginning.
        expected_sha256: The manifest's checksum.
        what: How to name the artifact in messages.
        segments: The manifest's segments.
        algorithm: ``gzip``, ``zstd`` or ``none``.
        digests: Gets the SHA-256 of each segment's compressed bytes.
        unpack: Asked of each segment; those of which it says no are read, not unpacked, and nothing of them is yielded.
        decryption: What to decrypt it with, where it is encrypted.

    Raises:
        DamageError: It is cut off, damaged, has other parts than the manifest says, or another checksum.
            Content may have been yielded before that.
        ArtifactError: It cannot be decrypted.
    """
    stored = HashedFile(descriptor)
    with contextlib.ExitStack() as stack:
        packed: Readable = stored
        if decryption is not None:
            packed = stack.enter_context(Decryptor(decryption, stored, expected_sha256, what))
        position = 0
        for segment in segments:
            part = hashlib.sha256()
            plain_length = 0
            if unpack(segment):
                for piece in plain_pieces(_hashed(packed, segment.length, part), algorithm, what):
                    plain_length += len(piece)
                    yield piece
            else:
                plain_length = segment.plain_length
                for _chunk in _hashed(packed, segment.length, part):
                    pass
            if segment.offset != position or plain_length != segment.plain_length:
                raise other_parts(what)
            position += segment.length
            digests.append(part.digest())
        if packed.read(1):
            raise other_parts(what, AFTER_THE_LAST)
    if stored.sha256 != expected_sha256:
        raise exchanged(what)


def _hashed(packed: Readable, length: int, part: hashlib._Hash) -> Iterator[bytes]:
    while length and (chunk := packed.read(min(length, PIECE_BYTES))):
        length -= len(chunk)
        part.update(chunk)
        yield chunk
