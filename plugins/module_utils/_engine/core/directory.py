# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the files of an artifact that is a directory: side by side, each as a whole."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from ..db.base import version_number
from ..db.directory import Part
from ..db.factory import DIRECTORY_FORMATS
from ..errors import ArtifactError, DamageError
from ..utils.memory import PIECE_BYTES
from ..utils.processes import ProcessTable
from .compression import plain_pieces
from .manifest import StoredFile
from .storage import StoredArtifact

READERS = 2
_ANOTHER = "Use another artifact."
_ALGORITHMS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class Reading:
    """What a file was found to be.

    Attributes:
        part: The file.
        length: Its size, bytes.
        plain_length: Its size once decompressed, bytes.
        checksums: Of the file, hexadecimal, by :mod:`hashlib`'s names.
        rows: How many rows it holds; None where it holds none by its kind.
    """

    part: Part
    length: int
    plain_length: int
    checksums: Mapping[str, str]
    rows: int | None

    def stored_file(self, table: str | None) -> StoredFile:
        """Return what the manifest says of it.

        Args:
            table: Whose rows it holds.
        """
        return StoredFile(
            self.part.name,
            self.length,
            self.plain_length,
            self.checksums["sha256"],
            self.checksums.get("md5"),
            {} if table is None or self.rows is None else {table: self.rows},
        )


@dataclass
class DirectoryReader:
    """Reads files of a directory.

    Attributes:
        directory: Where they are.
        jobs: How many at a time.
        checksums: Which to take of each, by :mod:`hashlib`'s names.
        tell: Called with the plain bytes read so far, by several threads.
        stopped: Whether to stop.
        unpacked: Whether to decompress them; rows are counted then.
    """

    directory: Path
    jobs: int
    checksums: Sequence[str] = ("sha256",)
    tell: Callable[[int], None] = lambda _done: None
    stopped: Callable[[], bool] = lambda: False
    unpacked: bool = True
    _done: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def read_all(self, parts: Iterable[Part]) -> list[Reading]:
        """Read files, the largest first, and return what each was found to be, by name.

        Raises:
            DamageError: One cannot be decompressed or is not whole.
            ArtifactError: One cannot be read, or it was told to stop.
        """
        sized = sorted(parts, key=lambda part: (-(self.directory / part.name).lstat().st_size, part.name))
        with ThreadPoolExecutor(max(1, min(self.jobs, len(sized)))) as workers:
            running = [workers.submit(self.read, part) for part in sized]
            wait(running, return_when=FIRST_EXCEPTION)
            for each in running:
                each.cancel()  # of those that have not begun, once one has failed
        failed = next((each for each in running if not each.cancelled() and each.exception()), None)
        found = [each.result() for each in ([failed] if failed else running)]
        return sorted(found, key=lambda reading: reading.part.name)

    def read(self, part: Part) -> Reading:
        """Read one file as a whole; raises as :meth:`read_all`."""
        path = self.directory / part.name
        what = f"The file {path}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                return self._read(descriptor, part, what)
            finally:
                os.close(descriptor)
        except OSError as exc:
            error = DamageError if exc.errno in (errno.EIO, errno.ENOENT, errno.ELOOP) else ArtifactError
            raise error(f"{what} cannot be read: {exc.strerror}.", "See to the disk; use another artifact.") from None

    def _read(self, descriptor: int, part: Part, what: str) -> Reading:
        hashes = {name: hashlib.new(name, usedforsecurity=False) for name in self.checksums}
        length = plain_length = lines = 0
        tail = b""

        def stored() -> Iterator[bytes]:
            nonlocal length
            while chunk := os.read(descriptor, PIECE_BYTES):
                length += len(chunk)
                for each in hashes.values():
                    each.update(chunk)
                yield chunk

        ending = part.ending if self.unpacked else b""
        algorithm = _ALGORITHMS.get(Path(part.name).suffix, "none") if self.unpacked else "none"
        for piece in plain_pieces(stored(), algorithm, what):
            if self.stopped():
                raise ArtifactError(f"{what} was not read to its end: the run was stopped.")
            plain_length += len(piece)
            if ending:
                lines += piece.count(b"\n")
                tail = (tail + piece[-len(ending) - 1 :])[-len(ending) - 1 :]
            self._tell_more(len(piece))
        if ending and tail != ending and not tail.endswith(b"\n" + ending):
            raise DamageError(f"{what} is not whole: it does not end as a file of rows does.", _ANOTHER)
        rows = lines - ending.count(b"\n") if ending else None
        return Reading(part, length, plain_length, {name: each.hexdigest() for name, each in hashes.items()}, rows)

    def _tell_more(self, count: int) -> None:
        with self._lock:
            self._done += count
            done = self._done
        self.tell(done)


def directory_checksum(checksums: Iterable[tuple[str, str]]) -> str:
    """Return the checksum of a directory: the SHA-256 of what ``sha256sum *`` prints in it.

    Args:
        checksums: The name of each file and its SHA-256, hexadecimal.
    """
    listing = "".join(f"{checksum}  {name}\n" for name, checksum in sorted(checksums))
    return hashlib.sha256(listing.encode()).hexdigest()


def verify_directory(
    stored: StoredArtifact,
    processes: ProcessTable,
    progress: Callable[[int], None],
    *,
    jobs: int = READERS,
    unpacked: bool = True,
) -> None:
    """Read an artifact that is a directory back as a whole.

    Args:
        stored: The artifact.
        processes: What starts and ends children.
        progress: Called with the bytes read so far.
        jobs: How many files to read at a time.
        unpacked: Whether to decompress them too. Without, that they are the same bytes as when they were sealed is
            what there is to see: then they were decompressed.

    Raises:
        DamageError: It is damaged, cut off or exchanged.
        ArtifactError: It cannot be read.
        ClientError: The vendor's client that reads its table of contents is missing.
    """
    manifest, what = stored.manifest, f"The artifact {stored.path}"
    expected = {each.name: each for each in manifest.files}
    if directory_checksum((each.name, each.sha256) for each in manifest.files) != manifest.sha256:
        raise DamageError(f"{what} has a manifest that contradicts itself.", _ANOTHER)
    directories = DIRECTORY_FORMATS.get(manifest.dbms.get("flavour", ""))
    if directories is None:
        raise ArtifactError(f"{what} is of a server whose directories are unknown.", _ANOTHER)
    differing = sorted(expected.keys() ^ set(os.listdir(stored.path)))
    if differing:
        raise DamageError(f"{what} has other files than its manifest says: {', '.join(differing[:10])}.", _ANOTHER)
    reader = DirectoryReader(stored.path, jobs, tell=progress, stopped=processes.cancelled.is_set, unpacked=unpacked)
    with_rows = {name for name, each in expected.items() if each.tables}
    # The table of contents is checked before the vendor's client is given it.
    _refuse_others(reader.read_all([Part(name) for name in expected.keys() - with_rows]), expected, what, unpacked)
    if unpacked:
        version = version_number(str(manifest.tool.get("version", "")))
        try:
            found = directories(version, processes).parts(stored.path)
        except DamageError as exc:  # its files are those that were sealed, and read well then
            raise ArtifactError(
                f"{what} could not be read back, although its table of contents is what it was: {exc.message}",
                "See to the vendor's client.",
            ) from None
        parts = [part for part in found if part.name in with_rows]
    else:
        parts = [Part(name) for name in with_rows]
    _refuse_others(reader.read_all(parts), expected, what, unpacked)


def _refuse_others(found: Iterable[Reading], expected: Mapping[str, StoredFile], what: str, unpacked: bool) -> None:
    """Refuse files that are not what the manifest says."""
    for each in found:
        named = expected[each.part.name]
        same = (each.length, each.checksums["sha256"]) == (named.length, named.sha256)
        if unpacked:
            same = same and (each.plain_length, each.rows or 0) == (named.plain_length, sum(named.tables.values()))
        if not same:
            raise DamageError(f"{what} is damaged or was exchanged: {named.name} is not what it was.", _ANOTHER)
