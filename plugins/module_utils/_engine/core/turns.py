# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns: a dump waits for its turn, where no more than so many may be made at a time, and for a server that is busy.

The places of a host and of each of its instances are files that are locked (``flock``), so that timers, modules and the
command line count together, and a place is free again when its holder ends, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Optional

from ..config import Config, HoldBack, Limits
from ..db.base import Dbms, Load
from ..errors import DumpError
from .storage import storage_error

_PLACE_SECONDS = 0.2  # between two looks whether a place is free
_LOAD_SECONDS = 5.0  # between two looks at a server that is busy


class Turns:
    """Lets the dumps of this process begin when it is their turn."""

    def __init__(self, config: Config, directory: Path, wait: Callable[[float], bool]) -> None:
        """Take what to work with.

        Args:
            config: Says how many dumps may be made at a time.
            directory: Where the files of the places are.
            wait: Waits for so many seconds, and tells whether the run is being stopped.
        """
        self._config = config
        self._directory = directory
        self._wait = wait

    @contextlib.contextmanager
    def taken(self, dbms: Dbms, limits: Limits) -> Iterator[Optional[str]]:
        """Wait for a place and for a server that is not busy, and hold the place for the length of a ``with`` block.

        Args:
            dbms: The server that is to be dumped from.
            limits: How long to wait, and what is busy.

        Yields:
            That the server is still busy, in a sentence, where the policy lets the dump be made all the same.

        Raises:
            DumpError: The wait was too long, or the run is being stopped.
            ServerError: The server does not say how busy it is.
            StorageError: The files cannot be used.
        """
        instance = dbms.instance
        # Always in this order, so that no two of them wait for each other.
        with (
            self._place(f"instance-{instance.database_id}", instance.max_dumps, limits.timeout),
            self._place("host", self._config.max_dumps, limits.timeout),
        ):
            yield self._calm(dbms, limits.hold_back)

    @contextlib.contextmanager
    def _place(self, name: str, count: Optional[int], patience: timedelta) -> Iterator[None]:
        if count is None:
            yield
            return
        deadline = time.monotonic() + patience.total_seconds()
        while (descriptor := self._free_place(name, count)) is None:
            if time.monotonic() > deadline:
                raise DumpError(
                    f"{count} other dumps held all places of {name.replace('-', ' ')} for {patience}.",
                    "Spread the schedules, or raise max_dumps.",
                )
            self._pause(_PLACE_SECONDS)
        try:
            yield
        finally:
            os.close(descriptor)

    def _free_place(self, name: str, count: int) -> Optional[int]:
        """Return the locked file of a free place; None if there is none."""
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            for number in range(count):
                path = self._directory / f"{name}.{number}.place"
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                else:
                    return descriptor
        except OSError as exc:
            raise storage_error(exc, self._directory) from None
        return None

    def _calm(self, dbms: Dbms, hold_back: HoldBack) -> Optional[str]:
        """Wait until the server is not busy; return how it is where the dump is to be made all the same."""
        if hold_back.running is None and hold_back.replication_lag is None:
            return None
        deadline = time.monotonic() + hold_back.wait.total_seconds()
        while busy := busyness(dbms.load(hold_back.replication_lag is not None), hold_back):
            if time.monotonic() + _LOAD_SECONDS > deadline:
                said = f"The server {dbms.instance.database_id} was busy for {hold_back.wait}: {busy}"
                if hold_back.then == "proceed":
                    return f"{said}; it was dumped all the same."
                raise DumpError(
                    f"{said}; the dump was not begun.",
                    "Choose another time, or change limits.hold_back of the policy.",
                )
            self._pause(_LOAD_SECONDS)
        return None

    def _pause(self, seconds: float) -> None:
        if self._wait(seconds):
            raise DumpError("The run was stopped before this database was begun.")


def busyness(load: Load, hold_back: HoldBack) -> str:
    """Say in what a server is busier than it may be, for the end of a sentence; empty if it is not."""
    found = []
    if hold_back.running is not None and load.running > hold_back.running:
        found.append(f"{load.running} statements are at work, more than {hold_back.running}")
    if hold_back.replication_lag is not None and load.lag > hold_back.replication_lag.total_seconds():
        behind = "does not run" if load.lag == float("inf") else f"is {load.lag:.0f} s behind"
        found.append(f"its replication {behind}, more than {hold_back.replication_lag} is too much")
    return ", ".join(found)
