# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where artifacts live, and how one comes to have its final name.

``{root}/{hostname}/{database_id}/{database}/YYYY-MM-DD/{database}_{YYYYMMDD}_{HHMMSS}.sql.gz``, beside it its manifest.
Dates and times in paths are UTC: local time would write the same name twice when clocks are set back.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional, Union

from ..errors import ArtifactError, StorageError
from ..utils.files import fsync_directory, give_name, make_directories
from .candidates import contradiction_of
from .forms import form_of
from .listing import Entry, Orphan, path_component, walk_storage
from .manifest import SUFFIX, Manifest, cannot_be_read, read_manifest
from .marks import Mark, damage_path, hold_path, read_mark

PARTIAL_SUFFIX = ".partial"
_WRITEBACK_BYTES = 8 * 1024 * 1024  # so much is given to the disk at a time


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact with its manifest, as found in the storage."""

    path: Path
    manifest: Manifest

    @property
    def manifest_path(self) -> Path:
        """Where its manifest is."""
        return self.path.with_name(self.path.name + SUFFIX)

    @property
    def hold(self) -> Optional[Mark]:
        """The hold that somebody put on it."""
        return read_mark(hold_path(self.path))

    @property
    def damage(self) -> Optional[Mark]:
        """The finding that it is damaged."""
        return read_mark(damage_path(self.path))


class Storage:
    """The artifacts of one host below the storage root."""

    def __init__(self, root: Path, hostname: str) -> None:
        self.root = root
        self.hostname = hostname

    def directory_of(self, database_id: str, database: str) -> Path:
        """Return the directory that holds all artifacts of a database."""
        return self.root / self.hostname / database_id / path_component(database)

    def artifact_path(self, database_id: str, database: str, moment: datetime, extension: str = ".sql.gz") -> Path:
        """Return the final path of an artifact whose dump begins at that moment, and whose name ends like that."""
        moment = moment.astimezone(timezone.utc)
        name = f"{path_component(database)}_{moment:%Y%m%d_%H%M%S}{extension}"
        return self.directory_of(database_id, database) / f"{moment:%Y-%m-%d}" / name

    @property
    def home(self) -> Path:
        """The directory that holds all artifacts of this host."""
        return self.root / self.hostname

    def names(
        self, database_id: Optional[str] = None, database: Optional[str] = None
    ) -> tuple[list[Entry], list[Orphan]]:
        """Return what the names alone tell: artifacts, and manifests whose artifact is gone; nothing is opened.

        Raises:
            StorageError: A directory cannot be read.
        """
        entries: list[Entry] = []
        orphans: list[Orphan] = []
        for found in self.walk(database_id, database):
            if isinstance(found, Entry):
                entries.append(found)
            else:
                orphans.append(found)
        return entries, orphans

    def walk(self, database_id: Optional[str] = None, database: Optional[str] = None) -> Iterator[Union[Entry, Orphan]]:
        """Yield the same one by one: of a hundred thousand artifacts, a list takes more memory than a backup.

        Raises:
            StorageError: A directory cannot be read.
        """
        return walk_storage(self.home, database_id, database)

    def load(self, entry: Entry) -> StoredArtifact:
        """Return an artifact with its whole manifest.

        Raises:
            ArtifactError: The manifest is damaged, or does not belong to this host or to this place.
        """
        manifest = read_manifest(entry.manifest_path)
        contradiction = contradiction_of(entry, self.hostname, vars(manifest), manifest.created_at)
        if contradiction:
            raise ArtifactError(f"{entry.path} is none of this host's artifacts: {contradiction}.")
        return StoredArtifact(entry.path, manifest)

    def artifacts(self, database_id: Optional[str] = None, database: Optional[str] = None) -> list[StoredArtifact]:
        """Return every artifact that has a readable manifest, newest first.

        Files without one, and manifests without their artifact, are left out: neither is a backup.
        """
        found = []
        for entry in self.names(database_id, database)[0]:
            with contextlib.suppress(ArtifactError):
                found.append(self.load(entry))
        return sorted(found, key=lambda stored: (stored.manifest.created_at, stored.path.name), reverse=True)

    def free_bytes(self) -> int:
        """Return the bytes that are free for us where artifacts go; see :meth:`space`."""
        return self.space()[0]

    def space(self) -> tuple[int, int]:
        """Return the bytes that are free for us where artifacts go, and how many the disk has in all.

        Raises:
            StorageError: Neither the root nor a directory above it can be examined.
        """
        path = self.root
        while not path.exists() and path != path.parent:
            path = path.parent
        try:
            usage = shutil.disk_usage(path)
        except OSError as exc:
            raise storage_error(exc, path) from None
        return usage.free, usage.total


def find_artifact(path: Path) -> StoredArtifact:
    """Return the artifact at a path, wherever it is.

    Raises:
        ArtifactError: The file is missing, or it has no usable manifest.
    """
    if path.name.endswith(SUFFIX):
        path = path.with_name(path.name.removesuffix(SUFFIX))
    try:
        path.stat()  # Path.is_file() says of what we may not look at, from Python 3.14 on, that it is not there
        found = form_of(path).is_at(path)
    except (FileNotFoundError, NotADirectoryError):
        found = False
    except OSError as exc:
        raise cannot_be_read("artifact", path, exc) from None
    if not found:
        raise ArtifactError(f"There is no artifact {path}.", "List what exists: vya-backupdb list.")
    return StoredArtifact(path, read_manifest(path.with_name(path.name + SUFFIX)))


def storage_error(exc: OSError, path: Path) -> StorageError:
    """Say in words what went wrong with the storage, and what to do."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"The disk of {path} is full.", "Free space, or let retention remove more, and run again.")
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"{path} cannot be written: {exc.strerror}.",
            "It must belong to the user vya-backupdb; the role vya.backupdb.runtime sets that.",
        )
    return StorageError(f"{path} cannot be used: {exc.strerror or exc}.")


def already_there(path: Path) -> StorageError:
    """Return the error that an artifact of that name exists."""
    return StorageError(f"The artifact {path} exists already; artifacts are never overwritten.")


class PartialFile:
    """A file on its way to becoming an artifact: hidden, locked while its writer lives, without its final name.

    The lock (flock) tells a partial file of a living run from one that a dead run left behind.
    """

    def __init__(self, final: Path) -> None:
        """Create it.

        Args:
            final: The artifact's final path.

        Raises:
            StorageError: The directory or the file cannot be made, or the artifact exists already.
        """
        self.final = final
        self.path = final.with_name(f".{final.name}{PARTIAL_SUFFIX}")
        self._created: list[Path] = []
        self._has_name = False  # until then, a file of the final name is another writer's
        self._written = self._on_its_way = 0  # bytes: all, and those of them that the disk was given
        try:
            self._created = make_directories(final.parent)
            if final.exists():
                raise already_there(final)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
        except OSError as exc:
            self._remove_directories()
            raise storage_error(exc, final.parent) from None
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            StorageError: The disk is full or failing.
        """
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._written += len(data)
            if self._written - self._on_its_way >= _WRITEBACK_BYTES:
                self._begin_writeback()
        except OSError as exc:
            raise storage_error(exc, self.final.parent) from None

    def _begin_writeback(self) -> None:
        # Else the system keeps what it has room for until the sync at the end, which then waits for the disk.
        # Pages that are not on the disk yet are not dropped by this, but begun to be written (Linux, mm/fadvise.c).
        length = self._written - self._on_its_way
        os.posix_fadvise(self._descriptor, self._on_its_way, length, os.POSIX_FADV_DONTNEED)
        self._on_its_way = self._written

    def seal(self) -> None:
        """Make the content durable and give the file its final name, which no other file may have.

        The first name stays beside it until :meth:`settle`: if we die before the manifest is there, it tells those who
        clean up what the file without a manifest is.

        Raises:
            StorageError: Syncing or renaming failed, or another writer has made the artifact meanwhile.
        """
        try:
            os.fsync(self._descriptor)
            give_name(self.path, self.final)
            self._has_name = True
            fsync_directory(self.final.parent)
        except FileExistsError:
            raise already_there(self.final) from None
        except OSError as exc:
            raise storage_error(exc, self.final.parent) from None

    def settle(self) -> None:
        """Give up the first name, now that the manifest is there; where that fails, the next run cleans up."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    def discard(self) -> None:
        """Remove whatever there is of it, and the directories made for it; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        for path in (self.final, self.path) if self._has_name else (self.path,):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        self._remove_directories()

    def _remove_directories(self) -> None:
        for directory in reversed(self._created):
            with contextlib.suppress(OSError):  # another run may have put something there
                directory.rmdir()
