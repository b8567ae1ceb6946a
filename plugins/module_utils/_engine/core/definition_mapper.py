# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Has the definitions of an artifact name other accounts while they are loaded; rows pass as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..db.loading import Loading
from .manifest import Segment
from .segmentation import DEFINITIONS, ROWS


class DefinitionMapper:
    """Follows what is loaded statement by statement, as the planner of a load does, and has each changed.

    A text in a row, in the body of a routine or in a comment is no statement, whatever it says.
    """

    def __init__(self, loading: Loading, change: Callable[[str, bytes], bytes]) -> None:
        """Begin.

        Args:
            loading: What is known of the kind of dump.
            change: Returns a statement of the definitions, with what stands before it, as it is to be loaded, or all of
                a segment of another kind; given the kind first.
        """
        self._change = change
        self._reader = loading.reader()
        self._reader.tell = self._heard
        self._text = bytearray()  # what has passed since the statement before
        self._position = 0  # where that ended, in bytes from the reader's beginning
        self._changed: list[bytes] = []

    def mapped(self, segment: Segment, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the content of a segment with other accounts in it.

        Args:
            segment: Which it is; segments come in their order.
            chunks: Its content, of which statements and parts of them may be left out.
        """
        if segment.kind == ROWS:
            yield from chunks
        elif segment.kind == DEFINITIONS:
            yield from self._followed(chunks)
        else:
            yield self._change(segment.kind, b"".join(chunks))

    def _followed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._text += chunk
            self._reader.feed(chunk)
            yield b"".join(self._changed)
            self._changed.clear()
        yield bytes(self._text)
        self._position += len(self._text)
        self._text.clear()

    def _heard(self, _statement: bytes) -> None:
        length = self._reader.told - self._position
        self._changed.append(self._change(DEFINITIONS, bytes(self._text[:length])))
        del self._text[:length]
        self._position += length
