# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""File operations that survive a crash at any moment."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

# What file systems without hard links answer (FAT, some network ones).
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)

_TEMPORARY_SUFFIX = ".partial"


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


def make_directories(path: Path) -> list[Path]:
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
            directory.mkdir(mode=0o750)
        except FileExistsError:  # another run made it meanwhile
            continue
        fsync_directory(directory.parent)
        created.append(directory)
    return created


def write_atomically(path: Path, content: bytes, mode: int, *, replace: bool = True) -> None:
    """Replace a file's content as a whole: afterwards, and after a crash, it is either the old one or the new one.

    The temporary file has its final mode from the start, so that a secret is never readable for a moment. It is locked
    (flock) while its writer lives, which tells it from what a dead one left.

    Args:
        path: The file.
        content: What it is to hold.
        mode: Its permissions.
        replace: Whether a file that is there may be replaced.

    Raises:
        FileExistsError: There is such a file, and it may not be replaced.
        OSError: Writing, syncing or renaming failed; the old content is still there.
    """
    write_pieces_atomically(path, (content,), mode, replace=replace)


def write_pieces_atomically(path: Path, pieces: Iterable[bytes], mode: int, *, replace: bool = True) -> None:
    """Do the same with content that comes in pieces; what raises while they are made leaves the old content there."""
    remove_left_over(path)
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}{_TEMPORARY_SUFFIX}")
    descriptor = _create_locked(temporary, mode)
    try:
        os.fchmod(descriptor, mode)
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            give_name(temporary, path)
            temporary.unlink(missing_ok=True)
        fsync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    finally:
        os.close(descriptor)


def give_name(path: Path, name: Path) -> None:
    """Give a file another name that no file has; the first stays beside it, except where there are no hard links.

    Raises:
        FileExistsError: There is a file of that name.
        OSError: It failed otherwise.
    """
    try:
        os.link(path, name)  # unlike renaming, this never takes a name from another file
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        if name.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(name)) from None
        os.rename(path, name)


def _create_locked(path: Path, mode: int) -> int:
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # somebody who cleans up took it for dead before it was locked


def remove_unlocked(path: Path, first: Callable[[Path], None] = lambda _path: None) -> bool:
    """Remove a file unless a living process has locked it; return whether it was removed.

    Args:
        path: The file.
        first: What to do before it is removed, while nobody else can lock it.

    Raises:
        OSError: It cannot be examined or removed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        first(path)
        path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def remove_left_over(path: Path) -> None:
    """Remove the temporary files of processes that died while they wrote this file."""
    beginning = f".{path.name}."
    with contextlib.suppress(OSError):  # without a directory there is nothing in it
        for name in os.listdir(path.parent):
            middle = name.removeprefix(beginning).removesuffix(_TEMPORARY_SUFFIX)
            if name == f"{beginning}{middle}{_TEMPORARY_SUFFIX}" and middle.isdigit():
                with contextlib.suppress(OSError):  # another process was quicker, or it is none of ours
                    remove_unlocked(path.with_name(name))
