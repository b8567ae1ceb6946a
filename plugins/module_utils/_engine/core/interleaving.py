# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The dumps of several clients as one: rows of different tables by turns, and once what all of them have in common.

Each client writes a dump of its own. What these set at their beginnings and set back at their ends is the same, so the
artifact has it once, around the rows of all of them. A segment of rows is packed by the thread that reads its client,
and joins the artifact when it is whole; so the artifact is one ordinary stream of SQL, and no more than one segment of
each client waits in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Optional

from ..db.dump_share import DumpShare
from ..errors import DumpError
from .compression import Level
from .manifest import Segment
from .segmentation import DEFINITIONS, ROWS
from .writer import ArtifactWriter

_TEXT_BYTES = 4 * 1024 * 1024  # between the rows of two tables there is far less


class Interleaver:
    """Joins what the clients write."""

    def __init__(self, writer: ArtifactWriter, algorithm: str, level: Callable[[], Level]) -> None:
        """Begin.

        Args:
            writer: The artifact's.
            algorithm: Of compression: ``gzip``, ``zstd`` or ``none``.
            level: Makes what chooses the level of a client's segments.
        """
        self._writer = writer
        self._algorithm = algorithm
        self._level = level
        self._lock = threading.Lock()
        self._opening: Optional[list[bytes]] = None
        self._closing: Optional[list[bytes]] = None
        self._end = b""

    def strand(self, share: DumpShare) -> Strand:
        """Return what takes the segments of one client."""
        return Strand(self, share, self._algorithm, self._level())

    def take_rows(self, share: DumpShare, start: int, text: bytes, segment: Segment, packed: Sequence[bytes]) -> None:
        """Take a segment of rows, and what the client wrote before it beside rows.

        Args:
            share: Follows the client.
            start: Where the text begins, in bytes from the beginning of what the client wrote.
            text: What it wrote; of what all have in common the first is kept.
            segment: The segment of rows.
            packed: Its bytes, in pieces.

        Raises:
            DumpError: The clients do not begin alike.
            StorageError: The disk is full or failing.
        """
        with self._lock:
            self._add_text(self._own(share, start, text))
            self._writer.append(segment, packed)

    def take_end(self, share: DumpShare, start: int, text: bytes) -> None:
        """Take what a client wrote after all rows.

        Args:
            share: Follows the client.
            start: Where the text begins, in bytes from the beginning of what the client wrote.
            text: What it wrote.

        Raises:
            DumpError: The clients do not begin or end alike.
            StorageError: The disk is full or failing.
        """
        framed = _line_end(text, share.framed_end - start)
        with self._lock:
            self._add_text(self._own(share, start, text[:framed]))
            if self._closing is None:
                self._closing, self._end = share.closing_statements, text[framed:]
            elif self._closing != share.closing_statements:
                raise _unlike("end")

    def _own(self, share: DumpShare, start: int, text: bytes) -> bytes:
        """Return of a text what is to be kept: the settings that come first only once."""
        opening = _line_end(text, share.opening_end - start)
        if not opening:
            return text
        if self._opening is None:
            self._opening = share.opening_statements
            return text
        if self._opening != share.opening_statements:
            raise _unlike("begin")
        return text[opening:]

    def finish(self) -> None:
        """Write the end that all have in common, after all of them have ended.

        Raises:
            StorageError: The disk is full or failing.
        """
        self._add_text(self._end)

    def _add_text(self, text: bytes) -> None:
        if text:
            self._writer.begin(DEFINITIONS)
            self._writer.write(text)
            self._writer.end({})


class Strand:
    """What one client writes, segment by segment; used by one thread.

    Attributes:
        waited: Seconds that the present segment's bytes were waited for.
    """

    def __init__(self, interleaver: Interleaver, share: DumpShare, algorithm: str, level: Level) -> None:
        self._interleaver = interleaver
        self._share = share
        self._pieces: list[bytes] = []
        self._packer = ArtifactWriter(self._pieces.append, algorithm, level)
        self._kind = ""
        self._text = bytearray()
        self._text_start = 0
        self._passed = 0
        self.waited = 0.0

    def begin(self, kind: str, continued: str = "") -> None:
        """Begin a segment."""
        self._kind = kind
        if kind == ROWS:
            self._packer.begin(kind, continued)
            self.waited = 0.0

    def write(self, data: memoryview | bytes) -> None:
        """Add to the segment.

        Raises:
            DumpError: There is far more beside rows than a client writes there.
        """
        self._passed += len(data)
        if self._kind == ROWS:
            self._packer.write(data)
            return
        self._text += data
        if len(self._text) > _TEXT_BYTES:
            raise DumpError("The dump client wrote more than rows, which it was not asked for.")

    def end(self, tables: dict[str, int]) -> None:
        """End the segment, naming the tables whose rows it holds, and how many; raises as the interleaver."""
        if self._kind == ROWS:
            self._packer.waited = self.waited
            self._packer.end(tables)
            segment = self._packer.segments.pop()
            self._interleaver.take_rows(self._share, self._text_start, bytes(self._text), segment, self._pieces)
            self._pieces.clear()
            self._text.clear()
            self._text_start = self._passed

    def finish(self) -> None:
        """Hand on what came after all rows, once the dump is known to have ended well; raises as the interleaver."""
        self._interleaver.take_end(self._share, self._text_start, bytes(self._text))

    @property
    def segment_bytes(self) -> int:
        """Plain bytes in the segment so far."""
        return self._packer.segment_bytes if self._kind == ROWS else len(self._text)


def _line_end(text: bytes, position: int) -> int:
    """Return where the line ends that a statement ends in; 0 where the statement has ended before the text."""
    if position <= 0:
        return 0
    return position + text.startswith(b"\n", position)


def _unlike(how: str) -> DumpError:
    return DumpError(
        f"The dump clients of one database do not {how} alike, so that what they wrote is not one dump.",
        "Set the policy's strategy to logical.",
    )
