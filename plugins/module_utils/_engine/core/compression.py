# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compression: which library does it, which level pays, and reading it back in constant memory.

A segment of an artifact is a gzip member or a zstd frame of its own, so that each may have another level and any
``gunzip`` or ``zstd -d`` reads the file as one.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..errors import DamageError
from ..utils.memory import PIECE_BYTES

if TYPE_CHECKING:
    from zstandard import ZstdCompressionParameters

EXTENSIONS = {"gzip": ".sql.gz", "zstd": ".sql.zst", "none": ".sql"}
UNPACKERS = {"gzip": "gunzip -c", "zstd": "zstd -dc", "none": "cat"}  # what anyone has at hand
AUTO = "auto"

_GZIP_WINDOW = 31  # zlib's window bits for a gzip header and trailer
_SMALL_BYTES = 16 * 1024 * 1024  # what the middle levels compress in a fraction of a second

# ISA-L's levels give at least zlib's ratio of the same number, at several times its speed; zlib-ng's those of zlib
# from 4 on, at twice its speed. Its 9 gives less than its 8 on text of databases.
_ISAL_LEVELS = (1, 2, 3)
_ZLIB_NG_LEVELS = {4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 8}
# Dumps repeat themselves over megabytes. A window of 4 MiB, which any decoder takes (at least 8 MiB: RFC 8878, section
# 3.1.1.1.2), makes what the levels below 9 write some 3 % smaller in the same time; those above have it themselves. At
# 2 to 4 a table for more places pays as well: at 3 so much that the fastest strategy finds more with it than the
# library's level 3, in three quarters of the time (tests/benchmark has both: "ours, zstd 3" and "dump | zstd -3").
_ZSTD_WINDOW_LOG = 22
_ZSTD_FAST = 1  # ZSTD_fast, zstd.h
_ZSTD_CHANGES = {
    2: {"strategy": _ZSTD_FAST, "min_match": 7, "hash_log": 17},
    3: {"strategy": _ZSTD_FAST, "min_match": 7, "hash_log": 18},
    4: {"hash_log": 19},
}
# Megabytes of a database's text in a second on one core, measured side by side: only their ratios matter.
_SPEED = {
    "gzip": {1: 355, 2: 285, 3: 221, 4: 72, 5: 71, 6: 55, 7: 36, 8: 31},
    "zstd": {1: 285, 2: 215, 3: 164, 5: 87, 7: 41, 9: 29, 12: 12},
}
_SMALL_LEVEL = {"gzip": 6, "zstd": 5}
_SPARE = 0.8  # of the time that the compressor waits, this much may be spent on a better ratio
_HARDLY = 0.05


class Compressor(Protocol):
    """What compresses one segment."""

    def compress(self, data: Any) -> bytes:
        """Return what is ready of the stored form, after more bytes."""

    def flush(self) -> bytes:
        """Return the rest of the stored form."""


class _Plain:
    """No compression."""

    def compress(self, data: Any) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


def compressor(algorithm: str, level: int) -> Compressor:
    """Return a compressor for one segment.

    Args:
        algorithm: ``gzip``, ``zstd`` or ``none``.
        level: 1 to 9 for gzip, 1 to 19 for zstd.
    """
    if algorithm == "none":
        return _Plain()
    if algorithm == "zstd":
        import zstandard

        return cast(Compressor, zstandard.ZstdCompressor(compression_params=_zstd_parameters(level)).compressobj())
    if level in _ISAL_LEVELS:
        from isal import isal_zlib

        return cast(Compressor, isal_zlib.compressobj(level, isal_zlib.DEFLATED, _GZIP_WINDOW))
    from zlib_ng import zlib_ng

    return cast(Compressor, zlib_ng.compressobj(_ZLIB_NG_LEVELS[level], zlib.DEFLATED, _GZIP_WINDOW))


@functools.cache
def _zstd_parameters(level: int) -> ZstdCompressionParameters:
    """Return how a level of zstd compresses a dump."""
    import zstandard

    of_level = zstandard.ZstdCompressionParameters.from_level
    window_log = max(of_level(level).window_log, _ZSTD_WINDOW_LOG)
    return of_level(level, window_log=window_log, write_checksum=True, **_ZSTD_CHANGES.get(level, {}))


class Level:
    """The level of each segment: the policy's, or the highest that does not slow the dump down.

    A dump client that cannot fill the pipe as fast as it is emptied leaves time to compress better. How much is seen
    anew with each segment. On a single core there is no such time: what is spent here the client or the server lacks.
    """

    def __init__(self, algorithm: str, level: int | str, size_bytes: int, earlier: int | None = None) -> None:
        """Begin.

        Args:
            algorithm: ``gzip``, ``zstd`` or ``none``.
            level: The policy's level, or ``auto``.
            size_bytes: The server's estimate of the database's size.
            earlier: The level that most of this database's last artifact has, where that was found in the same way.
        """
        self._speed = _SPEED.get(algorithm, {1: 1})
        level = 0 if algorithm == "none" else level  # whatever the policy says of it
        self._fixed = level != AUTO
        if not self._fixed:
            fastest = min(self._speed)
            small = size_bytes < _SMALL_BYTES
            alone = (os.cpu_count() or 1) < 2
            level = _SMALL_LEVEL[algorithm] if small else fastest if alone else (earlier or fastest)
            self._fixed = alone  # the server's estimate may be wrong: what was to be small is seen to be large
        self.current = int(level) if int(level) in self._speed or self._fixed else min(self._speed)

    def learn(self, waited: float, compressed: float) -> None:
        """Choose the next segment's level.

        Args:
            waited: Seconds that this segment's bytes were waited for.
            compressed: Seconds that their compression took.
        """
        if self._fixed or compressed <= 0:
            return
        if waited < compressed * _HARDLY:  # perhaps the client waits for us: a lower level shows it
            self.current = max((level for level in self._speed if level < self.current), default=self.current)
            return
        budget = compressed + waited * _SPARE
        speed = self._speed[self.current]
        affordable = [level for level in self._speed if compressed * speed / self._speed[level] <= budget]
        self.current = max(affordable, default=min(self._speed))


def plain_pieces(stored: Iterator[bytes], algorithm: str, what: str) -> Iterator[bytes]:
    """Yield the plain content of what segments hold, in pieces of ``PIECE_BYTES`` at most.

    A megabyte that holds a gigabyte of zeros does not cost a gigabyte of memory.

    Args:
        stored: The stored bytes: whole segments, one after the other.
        algorithm: ``gzip``, ``zstd`` or ``none``.
        what: How to name the artifact in messages.

    Raises:
        DamageError: They cannot be decompressed or break off. Content may have been yielded before that.
    """
    if algorithm == "none":
        return stored
    return _zstd_pieces(stored, what) if algorithm == "zstd" else _gzip_pieces(stored, what)


def _damaged(what: str, how: str) -> DamageError:
    return DamageError(f"{what} is damaged: {how}.", "Use another artifact.")


def _gzip_pieces(stored: Iterator[bytes], what: str) -> Iterator[bytes]:
    from isal import isal_zlib

    damage = cast("type[Exception]", isal_zlib.error)  # its stub calls it an instance
    decompressor, in_member = isal_zlib.decompressobj(_GZIP_WINDOW), False
    for chunk in stored:
        rest = chunk
        while rest:
            in_member = True
            try:
                plain = decompressor.decompress(rest, PIECE_BYTES)
            except damage:
                raise _damaged(what, "it cannot be decompressed") from None
            if plain:
                yield plain
            rest = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
            if decompressor.eof:
                decompressor, in_member = isal_zlib.decompressobj(_GZIP_WINDOW), False
    if in_member:
        raise _damaged(what, "its end is missing")


class _Readable:
    """Turns pieces of bytes into what a reader of streams asks for; knows how much was taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        data = self._rest or next(self._pieces, b"")
        self._rest = data[size:]
        return data[:size]


def _zstd_pieces(stored: Iterator[bytes], what: str) -> Iterator[bytes]:
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(cast(Any, _Readable(stored)), read_across_frames=True)
    while True:
        try:
            plain = reader.read(PIECE_BYTES)
        except zstandard.ZstdError:
            raise _damaged(what, "it cannot be decompressed") from None
        if not plain:
            return
        yield plain
