# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading single segments of an artifact: anywhere in the file, or in their order where it is encrypted."""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import Iterator

from ..errors import ArtifactError
from ..utils.memory import PIECE_BYTES
from .encryption import Decryption, Decryptor, HashedFile
from .manifest import Segment, cannot_be_read
from .storage import StoredArtifact

_SMALL_BYTES = 1024 * 1024


class Packed(abc.ABC):
    """The compressed content of an artifact."""

    def __init__(self, stored: StoredArtifact, descriptor: int) -> None:
        self._stored = stored
        self._what = f"The artifact {stored.path}"
        self._descriptor = descriptor

    def seek(self, segment: Segment) -> None:
        """Get ready for segments from this one on; called by a thread that outlives their reading."""
        return

    def close(self) -> None:
        """Give up what reading needs but the descriptor."""
        return

    @abc.abstractmethod
    def stream(self, segment: Segment) -> Iterator[bytes]:
        """Yield the bytes of a segment, of which there are less if the file has become shorter.

        Where it is encrypted, segments are read in their order, and each before the next is asked for.

        Raises:
            DamageError: It cannot be decrypted.
            ArtifactError: It cannot be read.
        """

    @abc.abstractmethod
    def fetch(self, segment: Segment) -> Iterator[bytes]:
        """Yield the same, but any time later, beside other readers; the segments are fetched by one at a time."""


class _Plain(Packed):
    """What anybody may read anywhere."""

    def stream(self, segment: Segment) -> Iterator[bytes]:
        offset, end = segment.offset, segment.offset + segment.length
        while offset < end:
            try:
                chunk = os.pread(self._descriptor, min(end - offset, PIECE_BYTES), offset)
            except OSError as exc:
                raise unreadable(self._what, exc) from None
            if not chunk:
                return
            offset += len(chunk)
            yield chunk

    def fetch(self, segment: Segment) -> Iterator[bytes]:
        return self.stream(segment)


class _Encrypted(Packed):
    """What age decrypts from the beginning on; to go back is to begin again.

    The last segment is kept if it is small: definitions after the rows are read in several parts.
    """

    def __init__(self, stored: StoredArtifact, descriptor: int, decryption: Decryption) -> None:
        super().__init__(stored, descriptor)
        self._decryption = decryption
        self._position = 0
        self._kept: tuple[int, list[bytes]] = (-1, [])  # where the segment begins, and what it holds
        self._decryptor = self._begin()

    def _begin(self) -> Decryptor:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._position = 0
        file = HashedFile(self._descriptor)
        return Decryptor(self._decryption, file, self._stored.manifest.sha256, self._what)

    def seek(self, segment: Segment) -> None:
        if segment.offset < self._position and segment.offset != self._kept[0]:
            self._decryptor.close()
            self._decryptor = self._begin()

    def close(self) -> None:
        self._decryptor.close()

    def stream(self, segment: Segment) -> Iterator[bytes]:
        if segment.offset == self._kept[0]:
            yield from self._kept[1]
            return
        for _skipped in self._read(segment.offset - self._position):
            pass
        self._kept = (-1, [])
        if segment.length <= _SMALL_BYTES:
            self._kept = (segment.offset, list(self._read(segment.length)))
            yield from self._kept[1]
        else:
            yield from self._read(segment.length)

    def fetch(self, segment: Segment) -> Iterator[bytes]:
        return iter(list(self.stream(segment)))

    def _read(self, length: int) -> Iterator[bytes]:
        try:
            while length and (chunk := self._decryptor.read(min(length, PIECE_BYTES))):
                length -= len(chunk)
                self._position += len(chunk)
                yield chunk
        except OSError as exc:
            raise unreadable(self._what, exc) from None


@contextlib.contextmanager
def opened_file(stored: StoredArtifact) -> Iterator[int]:
    """Open the file that an artifact is, and yield its descriptor.

    Raises:
        ArtifactError: It cannot be opened.
    """
    try:
        descriptor = os.open(stored.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise cannot_be_read("artifact", stored.path, exc) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def opened(stored: StoredArtifact, decryption: Decryption) -> Iterator[Packed]:
    """Open an artifact that is one file.

    Args:
        stored: The artifact.
        decryption: What to decrypt it with, where it is encrypted.

    Raises:
        ArtifactError: It cannot be read.
        CredentialsError: It is encrypted, and there is no identity.
    """
    with opened_file(stored) as descriptor:
        encrypted = stored.manifest.encryption is not None
        packed = _Encrypted(stored, descriptor, decryption) if encrypted else _Plain(stored, descriptor)
        with contextlib.closing(packed):
            yield packed


def unreadable(what: str, exc: OSError) -> ArtifactError:
    """Return the error of an artifact that the disk does not give."""
    return ArtifactError(f"{what} cannot be read: {exc.strerror}.", "See to the disk.")
