# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How a dump becomes an artifact: segments are compressed, perhaps encrypted, hashed and stored, all in passing."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Optional

from ..errors import DumpError
from .compression import Compressor, Level, compressor
from .manifest import Segment
from .segmentation import ROWS
from .storage import PartialFile


class Store:
    """Writes an artifact's bytes into its partial file, and counts and hashes them."""

    def __init__(self, partial: PartialFile, checksums: Sequence[str] = ("sha256",)) -> None:
        """Begin.

        Args:
            partial: Where the artifact goes.
            checksums: Which to take of it, by :mod:`hashlib`'s names.
        """
        self._partial = partial
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in checksums}
        self.stored_bytes = 0

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            StorageError: The disk is full or failing.
        """
        for each in self._hashes.values():
            each.update(data)
        self._partial.write(data)
        self.stored_bytes += len(data)

    def checksum(self, name: str) -> Optional[str]:
        """Return a checksum of all that was stored, hexadecimal; None if it was not asked for."""
        return self._hashes[name].hexdigest() if name in self._hashes else None


class ArtifactWriter:
    """Compresses segments, and counts and describes what passes."""

    def __init__(self, sink: Callable[[bytes], object], algorithm: str, level: Level) -> None:
        """Begin.

        Args:
            sink: Takes the compressed bytes.
            algorithm: Of compression: ``gzip``, ``zstd`` or ``none``.
            level: Chooses the level of each segment.
        """
        self._sink = sink
        self._algorithm = algorithm
        self._level = level
        self._compressor: Optional[Compressor] = None
        self._segment = Segment("", 0, 0, 0)
        self._compressing = 0.0
        self._plain_start = 0
        self._packed_bytes = 0
        self.plain_bytes = 0
        self.segments: list[Segment] = []
        self.waited = 0.0  # seconds that the present segment's bytes were waited for

    def add_text(self, kind: str, text: str) -> None:
        """Write a segment that is at hand as a whole; an empty one is left out."""
        if text:
            self.begin(kind)
            self.write(text.encode("utf-8"))
            self.end({})

    def begin(self, kind: str, continues: str = "") -> None:
        """Begin a segment.

        Args:
            kind: As in :class:`~.manifest.Segment`.
            continues: Likewise.
        """
        level = 0 if self._algorithm == "none" else self._level.current
        self._compressor = compressor(self._algorithm, level)
        self._segment = Segment(kind, self._packed_bytes, 0, 0, level, {}, continues)
        self._plain_start, self._compressing, self.waited = self.plain_bytes, 0.0, 0.0

    def write(self, data: bytes | memoryview) -> None:
        """Add to the segment.

        Raises:
            DumpError: What encrypts it has failed.
            StorageError: The disk is full or failing.
        """
        if self._compressor is None:
            raise DumpError("No segment has begun.")
        began = time.perf_counter()
        packed = self._compressor.compress(data)
        self._compressing += time.perf_counter() - began
        self.plain_bytes += len(data)
        self._hand_on(packed)

    def end(self, tables: dict[str, int]) -> None:
        """End the segment; raises as :meth:`write`.

        Args:
            tables: Whose rows it holds, and how many of each.
        """
        if self._compressor is None:
            raise DumpError("No segment has begun.")
        self._hand_on(self._compressor.flush())
        self._compressor = None
        begun = self._segment
        self.segments.append(
            dataclasses.replace(
                begun,
                length=self._packed_bytes - begun.offset,
                plain_length=self.segment_bytes,
                tables=tables,
            )
        )
        if begun.kind == ROWS:
            self._level.learn(self.waited, self._compressing)

    def append(self, segment: Segment, packed: Sequence[bytes]) -> None:
        """Write a segment that another writer has packed.

        Args:
            segment: What is in it.
            packed: Its bytes, in pieces.

        Raises:
            DumpError: What encrypts it has failed.
            StorageError: The disk is full or failing.
        """
        placed = dataclasses.replace(segment, offset=self._packed_bytes)
        for piece in packed:
            self._hand_on(piece)
        self.plain_bytes += segment.plain_length
        self.segments.append(placed)

    @property
    def segment_bytes(self) -> int:
        """Plain bytes in the segment so far."""
        return self.plain_bytes - self._plain_start

    def _hand_on(self, packed: bytes) -> None:
        if packed:
            self._sink(packed)
            self._packed_bytes += len(packed)
