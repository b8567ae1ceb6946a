# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The forms that an artifact has on the disk: one file, or a directory of files. Its name tells which."""

from __future__ import annotations

import abc
import contextlib
import os
import shutil
from pathlib import Path

from ..utils.files import fsync_directory
from .compression import EXTENSIONS
from .encryption import EXTENSION as ENCRYPTED

DIRECTORY_EXTENSION = ".dump.d"
ARTIFACT_EXTENSIONS = (*EXTENSIONS.values(), *(each + ENCRYPTED for each in EXTENSIONS.values()), DIRECTORY_EXTENSION)


class Form(abc.ABC):
    """What differs between the forms for those who keep artifacts without looking into them.

    Attributes:
        lock_flags: With which flags of :func:`os.open` an artifact is opened to lock it against all others.
    """

    lock_flags: int

    @abc.abstractmethod
    def is_at(self, path: Path) -> bool:
        """Whether there is something of this form at a path, links followed."""

    @abc.abstractmethod
    def is_entry(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry of a directory is of this form, links not followed."""

    @abc.abstractmethod
    def stored_bytes(self, path: Path) -> int:
        """Return the size of an artifact.

        Raises:
            OSError: It cannot be examined.
        """

    @abc.abstractmethod
    def remove(self, path: Path) -> None:
        """Remove an artifact durably; at no moment does a part of it have its name.

        Raises:
            OSError: It could not be removed.
        """

    def finish_removal(self, path: Path) -> None:
        """Remove what an interrupted :meth:`remove` may have left; harmless where there is nothing.

        Raises:
            OSError: It could not be removed.
        """
        return


class FileForm(Form):
    """One file."""

    lock_flags = os.O_RDWR | os.O_NOFOLLOW  # NFS wants it opened for writing

    def is_at(self, path: Path) -> bool:
        """Whether there is a file."""
        return path.is_file()

    def is_entry(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is a file."""
        return entry.is_file(follow_symlinks=False)

    def stored_bytes(self, path: Path) -> int:
        """Return the size of the file."""
        return path.stat().st_size

    def remove(self, path: Path) -> None:
        """Unlink the file."""
        path.unlink()
        fsync_directory(path.parent)


class DirectoryForm(Form):
    """A directory of files, none of which is in a directory below it."""

    lock_flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY

    def is_at(self, path: Path) -> bool:
        """Whether there is a directory."""
        return path.is_dir()

    def is_entry(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is a directory."""
        return entry.is_dir(follow_symlinks=False)

    def stored_bytes(self, path: Path) -> int:
        """Return the sizes of its files together."""
        with os.scandir(path) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)

    def remove(self, path: Path) -> None:
        """Take its name away, then its content, so that what is left after a crash is no artifact any more."""
        os.rename(path, _nameless(path))
        fsync_directory(path.parent)
        self.finish_removal(path)

    def finish_removal(self, path: Path) -> None:
        """Remove the content of a directory that has lost its name."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(_nameless(path))


_FILE, _DIRECTORY = FileForm(), DirectoryForm()


def form_of(path: Path) -> Form:
    """Return the form of an artifact by its name."""
    return _DIRECTORY if path.name.endswith(DIRECTORY_EXTENSION) else _FILE


def _nameless(path: Path) -> Path:
    return path.with_name(f".{path.name}.removed")
