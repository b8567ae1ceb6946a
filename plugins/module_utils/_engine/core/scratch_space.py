# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where scratch servers live: one at a time, and what a drill leaves that dies is removed by the next run.

A lock on the directory says whether a drill is under way. The kernel frees it when the drill ends, however that ends;
so whoever gets it knows that all that is there is of the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import LockedError
from .storage import storage_error

logger = logging.getLogger("vya_backupdb")

_PREFIX = "drill-"
_LOCK = ".lock"
_SECONDS_TO_DIE = 10


class ScratchSpace:
    """The directory in which drills put their servers."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only drill on this host for the length of a ``with`` block, after what dead ones left is removed.

        Raises:
            LockedError: Another drill is at work.
            StorageError: The directory cannot be made.
        """
        try:
            # Servers may run as somebody else, who has to get through to their own directories and no further.
            self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                self._root.chmod(0o711)
            descriptor = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as exc:
            raise storage_error(exc, self._root) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError("Another drill is at work on this host.", "Wait for its end.") from None
            self._sweep()
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def directory(self) -> Iterator[Path]:
        """Make a directory for one server, which is gone after the ``with`` block with all that runs in it.

        Raises:
            StorageError: It cannot be made.
        """
        try:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._root))
        except OSError as exc:
            raise storage_error(exc, self._root) from None
        try:
            yield path
        finally:
            _remove(path)

    def remove_dead(self) -> None:
        """Remove what drills have left whose processes died; harmless while one is at work, and where none ever was."""
        if self._root.is_dir():
            with contextlib.suppress(LockedError), self.turn():
                pass

    def _sweep(self) -> None:
        for path in sorted(self._root.glob(f"{_PREFIX}*")):
            _remove(path)


def _remove(path: Path) -> None:
    """End what still runs in a directory and remove it."""
    _end_processes(path)
    with contextlib.suppress(OSError, ValueError, IndexError):
        _remove_shared_memory(path / "data" / "postmaster.pid")
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        logger.warning("%s, which a drill has left, cannot be removed by this user.", path)


def _end_processes(path: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while found := _processes_in(path):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _processes_in(path: Path) -> list[int]:
    """Return the processes of the directory's owner that work in it: servers do so in their data directory."""
    found = []
    owner = path.stat().st_uid
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            # One that is dead and not yet collected by its parent has no directory any more.
            if entry.stat().st_uid == owner and Path(os.readlink(entry / "cwd")).is_relative_to(path):
                found.append(int(entry.name))
    return found


def _remove_shared_memory(pid_file: Path) -> None:
    """Remove the segment by which PostgreSQL tells that a data directory is in use: a killed server leaves it."""
    segment = pid_file.read_text(encoding="ascii").splitlines()[6].split()[1]
    ipcrm = shutil.which("ipcrm")
    if ipcrm is not None:
        subprocess.run([ipcrm, "-m", str(int(segment))], capture_output=True, check=False)
