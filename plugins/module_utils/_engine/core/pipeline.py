# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The one pass over a dump: client → compression → checksum → file, in constant memory.

Reads as much as the pipe holds, and lets the client wait while we are busy. The bulk of the work (deflate, SHA-256,
read, write) releases Python's global lock, so several dumps run side by side in threads.
"""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Optional, Protocol, cast

from ..errors import DamageError, DumpError, RestoreError
from ..utils.processes import PIPE_BYTES, Child, Command, ProcessTable, describe_exit
from .manifest import Segment
from .storage import PartialFile

_PLAIN_BYTES = 4 * 1024 * 1024  # so that a megabyte that holds a gigabyte of zeros does not cost a gigabyte
_GZIP_WINDOW = 31  # zlib's window bits for a gzip header and trailer
_ISAL_LEVEL = {1: 1, 2: 2, 3: 3}


def gzip_compressor(level: int) -> Any:
    """Return a compressor for one gzip member.

    Levels 1 to 3 are ISA-L's of the same number (five to ten times zlib's speed), 4 to 9 zlib's.
    """
    if level in _ISAL_LEVEL:
        from isal import isal_zlib

        return isal_zlib.compressobj(_ISAL_LEVEL[level], isal_zlib.DEFLATED, _GZIP_WINDOW)
    return zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)


class ArtifactWriter:
    """Compresses segments into a partial file, and counts and hashes what passes."""

    def __init__(self, partial: PartialFile, level: int, checksums: Sequence[str] = ("sha256",)) -> None:
        """Begin.

        Args:
            partial: Where the artifact goes.
            level: Of compression, 1 to 9.
            checksums: Which to take of the artifact, by :mod:`hashlib`'s names.
        """
        self._partial = partial
        self._level = level
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in checksums}
        self.stored_bytes = 0
        self.plain_bytes = 0
        self.segments: list[Segment] = []

    def add_text(self, kind: str, text: str) -> None:
        """Write a segment that is at hand as a whole; an empty one is left out."""
        if text:
            self.add_stream(kind, iter((text.encode("utf-8"),)))

    def add_stream(self, kind: str, chunks: Iterator[bytes]) -> None:
        """Write a segment from chunks.

        Raises:
            StorageError: The disk is full or failing.
        """
        compressor = gzip_compressor(self._level)
        offset, plain_start = self.stored_bytes, self.plain_bytes
        for chunk in chunks:
            self.plain_bytes += len(chunk)
            self._store(compressor.compress(chunk))
        self._store(compressor.flush())
        self.segments.append(Segment(kind, offset, self.stored_bytes - offset, self.plain_bytes - plain_start))

    def _store(self, data: bytes) -> None:
        if data:
            for each in self._hashes.values():
                each.update(data)
            self._partial.write(data)
            self.stored_bytes += len(data)

    def checksum(self, name: str) -> Optional[str]:
        """Return a checksum of all that was stored, hexadecimal; None if it was not asked for."""
        return self._hashes[name].hexdigest() if name in self._hashes else None


def read_child(
    child: Child, *, stall_timeout: timedelta, timeout: timedelta, progress: Optional[Callable[[int], None]] = None
) -> Iterator[bytes]:
    """Yield what a child writes to its standard output until it closes it.

    Args:
        child: A child started with a pipe for its output.
        stall_timeout: Longest time without a byte.
        timeout: Longest time in all.
        progress: Called with the bytes read so far.

    Raises:
        DumpError: The child was silent or at work for too long; it has been killed.
    """
    stream = child.process.stdout
    if stream is None:
        raise DumpError(f"{child.program} was started without a pipe.")
    descriptor, total, deadline = stream.fileno(), 0, time.monotonic() + timeout.total_seconds()
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
        chunk = os.read(descriptor, PIPE_BYTES)
        if not chunk:
            return
        total += len(chunk)
        if progress:
            progress(total)
        yield chunk
        if time.monotonic() > deadline:
            child.kill()
            raise DumpError(f"{child.program} was still at work after {timeout} and has been ended.")


class Watch(Protocol):
    """What takes note of a dump in passing."""

    def feed(self, chunk: bytes) -> None:
        """Take note of the next bytes."""

    def unfinished(self) -> str:
        """Return where the dump stopped short; empty if its end was the true one."""


def dump_segment(
    writer: ArtifactWriter,
    processes: ProcessTable,
    command: Command,
    watch: Watch,
    *,
    stall_timeout: timedelta,
    timeout: timedelta,
    explain: Callable[[str], str],
    progress: Optional[Callable[[int], None]] = None,
) -> str:
    """Run a dump client and write what it sends as one segment, or fail.

    Neither the exit code nor the dump's end is enough alone: a forced dump writes its marker after errors, and a
    client may end with 0 after losing its output. Both must be right, and standard error must hold no error.

    Args:
        writer: Where it goes.
        processes: What starts and ends children.
        command: The dump client's call.
        watch: Sees all of the dump, and says whether it ended as it should.
        stall_timeout: Longest time without a byte.
        timeout: Longest time in all.
        explain: Cleans and shortens what the client wrote to standard error.
        progress: Called with the bytes read so far.

    Returns:
        What the client wrote to standard error: warnings, as errors are refused.

    Raises:
        DumpError: The dump is not whole; the message says why.
        StorageError: The disk is full or failing.
    """
    with processes.start(command) as child:
        chunks = read_child(child, stall_timeout=stall_timeout, timeout=timeout, progress=progress)
        writer.add_stream("dump", _watched(chunks, watch))
        try:
            code = child.wait(stall_timeout.total_seconds())
        except subprocess.TimeoutExpired:
            child.kill()
            raise DumpError(f"{command.program} closed its output but did not end, and has been killed.") from None
        errors = explain(child.stderr)
    if processes.cancelled.is_set():
        raise DumpError("The run was stopped before the dump was whole.")
    if code != 0:
        raise DumpError(f"{command.program} failed ({describe_exit(code)}): {errors or 'it gave no reason'}")
    if errors:
        raise DumpError(f"{command.program} reported an error although it ended with 0: {errors}")
    stopped = watch.unfinished()
    if stopped:
        raise DumpError(
            f"The output of {command.program} does not end as a whole dump does: it stops {stopped}.",
            "It was cut off; run the backup again.",
        )
    return child.stderr


def _watched(chunks: Iterator[bytes], watch: Watch) -> Iterator[bytes]:
    for chunk in chunks:
        watch.feed(chunk)
        yield chunk


def load_chunks(
    processes: ProcessTable,
    command: Command,
    chunks: Iterator[bytes],
    *,
    stall_timeout: timedelta,
    explain: Callable[[str], str],
    progress: Optional[Callable[[int], None]] = None,
) -> str:
    """Feed SQL to a client that loads it, and return what it wrote to standard error.

    Args:
        processes: What starts and ends children.
        command: The loading client's call.
        chunks: The SQL; what this raises ends the client and goes on to the caller.
        stall_timeout: Longest time without the client taking a byte, and longest for its end.
        explain: Cleans and shortens what the client wrote to standard error.
        progress: Called with the bytes taken so far.

    Raises:
        RestoreError: The client failed or took nothing for too long.
    """
    with processes.start(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        stream, total = child.process.stdin, 0
        if stream is None:
            raise RestoreError(f"{command.program} was started without a pipe.")
        os.set_blocking(stream.fileno(), False)
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        try:
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    if not poll.poll(stall_timeout.total_seconds() * 1000):
                        raise RestoreError(f"{command.program} took nothing for {stall_timeout} and has been ended.")
                    view = view[os.write(stream.fileno(), view) :]
                total += len(chunk)
                if progress:
                    progress(total)
            stream.close()
        except BrokenPipeError:
            pass  # it has ended; its exit code and its words say why
        try:
            code = child.wait(stall_timeout.total_seconds())
        except subprocess.TimeoutExpired:
            raise RestoreError(f"{command.program} did not end after {stall_timeout} and has been ended.") from None
    if processes.cancelled.is_set():
        raise RestoreError("The restore was stopped.")
    if code != 0:
        reason = explain(child.stderr) or "it gave no reason"
        raise RestoreError(f"{command.program} failed ({describe_exit(code)}): {reason}")
    return child.stderr


def read_segments(
    path_descriptor: int, expected_sha256: str, what: str, segments: Optional[Sequence[Segment]] = None
) -> Iterator[bytes]:
    """Yield the plain content of a ``.sql.gz``, checking everything on the way.

    Args:
        path_descriptor: An open descriptor at the artifact's beginning.
        expected_sha256: The manifest's checksum.
        what: How to name the artifact in messages.
        segments: The manifest's segments, one for each gzip member; None to take them as they come.

    Raises:
        DamageError: It is cut off, damaged, has other members than the manifest says, or another checksum.
            Content may have been yielded before that.
    """
    from isal import isal_zlib

    damage = cast("type[Exception]", isal_zlib.error)  # its stub calls it an instance
    digest = hashlib.sha256()
    found: list[tuple[int, int, int]] = []
    start = position = plain_length = 0
    decompressor, in_member = isal_zlib.decompressobj(_GZIP_WINDOW), False
    while chunk := os.read(path_descriptor, PIPE_BYTES):
        digest.update(chunk)
        while chunk:
            in_member = True
            try:
                plain = decompressor.decompress(chunk, _PLAIN_BYTES)
            except damage:
                raise DamageError(f"{what} is damaged: it cannot be decompressed.", "Use another artifact.") from None
            if plain:
                plain_length += len(plain)
                yield plain
            rest = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
            position += len(chunk) - len(rest)
            chunk = rest
            if decompressor.eof:
                found.append((start, position - start, plain_length))
                start, plain_length = position, 0
                decompressor, in_member = isal_zlib.decompressobj(_GZIP_WINDOW), False
    if in_member:
        raise DamageError(f"{what} is damaged: its end is missing.", "Use another artifact.")
    if digest.hexdigest() != expected_sha256:
        raise DamageError(
            f"{what} is damaged or was exchanged: its SHA-256 is not that of its manifest.", "Use another artifact."
        )
    if segments is not None and found != [
        (segment.offset, segment.length, segment.plain_length) for segment in segments
    ]:
        raise DamageError(f"{what} has other parts than its manifest says.", "Use another artifact.")
