# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pace: how fast a run may read from its dump clients, all of them together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_SECONDS = 0.5  # what has not been used for that long is lost


class Pace:
    """A bucket of tokens, one for each byte, that fills at a steady rate; whoever takes more than it holds waits."""

    def __init__(
        self,
        bytes_per_second: float,
        wait: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with an empty bucket.

        Args:
            bytes_per_second: The rate.
            wait: Waits for so many seconds, or for the end of the run.
            now: A clock that never goes back, in seconds.
        """
        self._rate = bytes_per_second
        self._wait = wait
        self._now = now
        self._due = now()  # when all that has been taken will be paid for
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Take so many bytes, which have been read already, and wait until they are paid for."""
        with self._lock:
            now = self._now()
            self._due = max(self._due, now - _BURST_SECONDS) + count / self._rate
            delay = self._due - now
        if delay > 0:
            self._wait(delay)
