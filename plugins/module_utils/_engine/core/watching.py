# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching over a client whose work goes elsewhere than through our hands."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Optional

from ..db.base import Dbms
from ..errors import BackupDbError
from ..utils.processes import Child

_POLL_SECONDS = 0.5


class StalledError(BackupDbError):
    """A client did nothing, or took too long; the message continues a sentence that begins with its name."""


def at_work(dbms: Dbms, database: str) -> bool:
    """Whether a server says that it is at work in a database, so that a client may have nothing to do meanwhile."""
    try:
        return dbms.is_working(database)
    except BackupDbError:  # it does not answer
        return False


def watch(
    child: Child,
    activity: Callable[[], int],
    *,
    stall_timeout: timedelta,
    timeout: Optional[timedelta] = None,
    excused: Callable[[], bool] = lambda: False,
) -> int:
    """Wait for the end of a child and return its exit code.

    Args:
        child: The child.
        activity: Returns a figure that changes while it gets on.
        stall_timeout: Longest time without such a change.
        timeout: Longest time in all.
        excused: Asked once that time is up: whether somebody else is at work for it.

    Raises:
        StalledError: It took longer; it is still there.
    """
    began = changed = time.monotonic()
    figure = 0
    while True:
        try:
            return child.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        now, seen = time.monotonic(), activity()
        if seen != figure:
            figure, changed = seen, now
        if timeout is not None and now - began > timeout.total_seconds():
            raise StalledError(f"was still at work after {timeout}")
        if now - changed > stall_timeout.total_seconds():
            if excused():
                changed = time.monotonic()
                continue
            raise StalledError(
                f"did nothing for {stall_timeout}",
                "Look for locks or a server that no longer answers; limits.stall_timeout sets the time.",
            )
