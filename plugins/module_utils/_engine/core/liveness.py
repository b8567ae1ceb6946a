# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Signs of life: which of the runs on record as under way still have a process.

Each run holds a ``flock`` on a file of its own. The kernel frees it when the process ends, however it ends, and anyone
who may write to the state directory can see that, also where other users' processes are hidden.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path

from ..errors import StorageError


class Liveness:
    """The signs of life of all runs that share a state directory."""

    def __init__(self, directory: Path) -> None:
        """Name the directory of the signs; it is made with the first one."""
        self._directory = directory
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, run_id: str) -> None:
        """Show that a run is alive, until :meth:`end` or the end of this process.

        Raises:
            StorageError: The sign cannot be made.
        """
        path = self._path(run_id)
        try:
            self._directory.mkdir(mode=0o750, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as exc:
            raise StorageError(
                f"{path} cannot be used: {exc.strerror}.",
                "Its directory must belong to the user vya-backupdb and have space left.",
            ) from None
        with self._lock:
            self._held[run_id] = descriptor

    def end(self, run_id: str) -> None:
        """Take the sign of a run away; harmless when there is none."""
        with self._lock:
            descriptor = self._held.pop(run_id, None)
        with contextlib.suppress(OSError):  # once it is closed, a sign without a lock stands for nobody
            self._path(run_id).unlink()
        if descriptor is not None:
            os.close(descriptor)

    def is_alive(self, run_id: str) -> bool:
        """Whether a process holds the run's sign; a sign that cannot be examined counts as held."""
        try:
            descriptor = os.open(self._path(run_id), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _path(self, run_id: str) -> Path:
        return self._directory / f"{run_id}.alive"
