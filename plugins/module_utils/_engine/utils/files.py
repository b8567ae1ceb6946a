# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""File operations that survive a crash at any moment."""

from __future__ import annotations

import contextlib
import glob
import os
from pathlib import Path


def fsync_directory(path: Path) -> None:
    """Make the directory's entries durable.

    Raises:
        OSError: The directory cannot be opened or synced.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path, mode: int = 0o750) -> list[Path]:
    """Create a directory and its missing parents, each durable in its parent; return those created, outermost first.

    Raises:
        OSError: One cannot be created.
    """
    missing = []
    current = path
    while not current.exists():
        missing.append(current)
        current = current.parent
    created = []
    for directory in reversed(missing):
        try:
            directory.mkdir(mode=mode)
        except FileExistsError:  # another run made it meanwhile
            continue
        fsync_directory(directory.parent)
        created.append(directory)
    return created


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replace a file's content as a whole: afterwards, and after a crash, it is either the old one or the new one.

    The temporary file has its final mode from the start, so that a secret is never readable for a moment.

    Raises:
        OSError: Writing, syncing or renaming failed; the old content is still there.
    """
    _remove_left_over(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        fsync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _remove_left_over(path: Path) -> None:
    """Remove the temporary files of processes that died while they wrote this file; what has our number is one too."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        number = temporary.name.split(".")[-2]
        if number.isdigit() and (int(number) == os.getpid() or not os.path.exists(f"/proc/{number}")):
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                temporary.unlink()
