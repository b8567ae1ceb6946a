# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A directory on its way to becoming an artifact.

What a file on its way tells by its own lock and by its second name, a marker beside the directory tells here: an empty
file with the same name as a partial file has, locked while the writer lives, that holds the directory's inode number.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from ..utils.files import fsync_directory, make_directories
from .storage import PARTIAL_SUFFIX, already_there, storage_error

CONTENT_SUFFIX = ".content"


class PartialDirectory:
    """A hidden directory whose writer lives, without its final name.

    Attributes:
        final: The artifact's final path.
        path: Where its files are written.
    """

    def __init__(self, final: Path) -> None:
        """Create it.

        Args:
            final: The artifact's final path.

        Raises:
            StorageError: It cannot be made, or the artifact exists already.
        """
        self.final = final
        self._marker = final.with_name(f".{final.name}{PARTIAL_SUFFIX}")
        self.path = content_of(self._marker)
        self._created: list[Path] = []
        self._descriptor = -1
        self._has_name = False
        self._durable: set[str] = set()
        try:
            self._created = make_directories(final.parent)
            if final.exists():
                raise already_there(final)
            self._descriptor = os.open(self._marker, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.mkdir(mode=0o750)
            os.write(self._descriptor, identity_of(self.path))
            os.fsync(self._descriptor)
        except OSError as exc:
            self.discard()
            raise storage_error(exc, final.parent) from None

    def add(self, name: str, content: bytes) -> None:
        """Add a small file.

        Raises:
            StorageError: The disk is full or failing.
        """
        try:
            (self.path / name).write_bytes(content)
        except OSError as exc:
            raise storage_error(exc, self.path) from None

    def sync(self) -> None:
        """Make the files that there are now durable, each once; no more is written to them.

        Raises:
            StorageError: The disk is full or failing.
        """
        try:
            for name in sorted(set(os.listdir(self.path)) - self._durable):
                _make_durable(self.path / name)
                self._durable.add(name)
        except OSError as exc:
            raise storage_error(exc, self.path) from None

    def seal(self) -> None:
        """Make all files durable and give the directory its final name, which nothing else may have.

        Raises:
            StorageError: Syncing or renaming failed, or another writer has made the artifact meanwhile.
        """
        try:
            self.path.chmod(0o750)  # PostgreSQL's client from 18 on makes it its user's alone
            self.sync()
            fsync_directory(self.path)
            if self.final.exists():  # an empty directory would be replaced, and nothing else
                raise already_there(self.final)
            os.rename(self.path, self.final)
            self._has_name = True
            fsync_directory(self.final.parent)
        except OSError as exc:
            raise storage_error(exc, self.final.parent) from None

    def settle(self) -> None:
        """Remove the marker, now that the manifest is there; where that fails, the next run cleans up."""
        with contextlib.suppress(OSError):
            self._marker.unlink()
        self._close()

    def discard(self) -> None:
        """Remove whatever there is of it, and the directories made for it; harmless when repeated."""
        if self._descriptor >= 0:
            paths = (self.final, self.path) if self._has_name else (self.path,)
            for path in paths:
                shutil.rmtree(path, ignore_errors=True)
            if not any(path.exists() for path in paths):  # else the next run finds what is left by its marker
                self._marker.unlink(missing_ok=True)
            self._close()
        for directory in reversed(self._created):
            with contextlib.suppress(OSError):  # another run may have put something there
                directory.rmdir()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def content_of(marker: Path) -> Path:
    """Return where the directory is that a marker stands for, before it has its final name."""
    return marker.with_name(marker.name.removesuffix(PARTIAL_SUFFIX) + CONTENT_SUFFIX)


def identity_of(directory: Path) -> bytes:
    """Return what a marker holds: renaming does not change it."""
    return f"{directory.stat().st_ino}\n".encode("ascii")


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o640)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
