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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Optional

from ..config import Config, HoldBack, Limits
from ..db.base import Dbms, Load
from ..errors import DumpError, PrivilegeError, ServerError
from .storage import storage_error

Tell = Callable[[str], None]

WAITING_FOR_DUMPS, WAITING_FOR_SERVER = "waiting for other dumps", "waiting for a busy server"
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
        self._busy_since: dict[tuple[str, HoldBack], float] = {}

    @contextlib.contextmanager
    def taken(self, dbms: Dbms, limits: Limits, tell: Tell = lambda _phase: None) -> Iterator[Optional[str]]:
        """Wait for a server that is not busy and for a place, and hold the place for the length of a ``with`` block.

        A server that stays busy is waited for once, not once for each of its databases; and whoever waits for it keeps
        no place from others.

        Args:
            dbms: The server that is to be dumped from.
            limits: How long to wait, and what is busy.
            tell: Told what is waited for.

        Yields:
            That the server is busy, or does not say, in a sentence, where the policy lets the dump be made all the
            same.

        Raises:
            DumpError: The wait was too long, or the run is being stopped.
            PrivilegeError: The account may not ask how busy the server is.
            StorageError: The files cannot be used.
        """
        instance, hold_back = dbms.instance, limits.hold_back
        deadline = time.monotonic() + limits.timeout.total_seconds()
        limited = instance.max_dumps is not None or self._config.max_dumps is not None
        while True:
            said = self._calm(dbms, hold_back, tell)
            # Always in this order, so that no two of them wait for each other.
            with (
                self._place(f"instance-{instance.database_id}", instance.max_dumps, deadline, tell),
                self._place("host", self._config.max_dumps, deadline, tell),
            ):
                # While a place was waited for, the server may have become busy.
                if said or not limited or not _busyness_of(dbms, hold_back):
                    yield said
                    return

    @contextlib.contextmanager
    def _place(self, name: str, count: Optional[int], deadline: float, tell: Tell) -> Iterator[None]:
        if count is None:
            yield
            return
        # Whoever is next holds a file of its own until it has a place. So a place that becomes free is not taken by
        # one who has come later, least of all by the run that has just given it up.
        places = [f"{name}.{number}.place" for number in range(count)]
        descriptors: list[int] = []
        try:
            for files in ([f"{name}.next"], places):
                while (descriptor := self._first_free(files)) is None:
                    if time.monotonic() > deadline:
                        raise DumpError(
                            f"{count} other dumps held all places of {name.replace('-', ' ')} for as long as"
                            " limits.timeout lets a dump wait.",
                            "Spread the schedules, or raise max_dumps.",
                        )
                    tell(WAITING_FOR_DUMPS)
                    self._pause(_PLACE_SECONDS)
                descriptors.append(descriptor)
            os.close(descriptors.pop(0))
            yield
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _first_free(self, names: Sequence[str]) -> Optional[int]:
        """Lock the first of these files that nobody holds; return its descriptor, None if there is none."""
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            for name in names:
                path = self._directory / name
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

    def _calm(self, dbms: Dbms, hold_back: HoldBack, tell: Tell) -> Optional[str]:
        """Wait until the server is not busy; return how it is where the dump is to be made all the same."""
        proceed, key = hold_back.then == "proceed", (dbms.instance.database_id, hold_back)
        try:
            while busy := _busyness_of(dbms, hold_back):
                # Kept for the other databases of this server, until it is found less busy.
                since = self._busy_since.setdefault(key, time.monotonic())
                left = since + hold_back.wait.total_seconds() - time.monotonic()
                if left <= 0:
                    said = f"The server {dbms.instance.database_id} was busy for {hold_back.wait}: {busy}"
                    if proceed:
                        return f"{said}; it was dumped all the same."
                    raise DumpError(
                        f"{said}; the dump was not begun.",
                        "Choose another time, or change limits.hold_back of the policy.",
                    )
                tell(WAITING_FOR_SERVER)
                self._pause(min(_LOAD_SECONDS, left))
        except PrivilegeError as exc:
            if proceed:
                return f"{exc.message} It was dumped all the same. {exc.hint}".rstrip()
            raise
        self._busy_since.pop(key, None)
        return None

    def _pause(self, seconds: float) -> None:
        if self._wait(seconds):
            raise DumpError("The run was stopped before this database was begun.")


def _busyness_of(dbms: Dbms, hold_back: HoldBack) -> str:
    """Ask a server, and say in what it is busier than it may be, for the end of a sentence; empty if it is not."""
    if not hold_back.wanted:
        return ""
    try:
        return busyness(dbms.load(hold_back.replication_lag is not None), hold_back)
    except PrivilegeError:
        raise
    except ServerError as exc:  # one that takes no more connections is as busy as can be
        return f"it cannot be asked ({exc.message.rstrip('.')})"


def busyness(load: Load, hold_back: HoldBack) -> str:
    """Say in what a server is busier than it may be, for the end of a sentence; empty if it is not."""
    found = []
    if hold_back.running is not None and load.running > hold_back.running:
        found.append(f"{load.running} statements are at work, more than {hold_back.running}")
    if hold_back.replication_lag is not None and load.lag > hold_back.replication_lag.total_seconds():
        stopped = load.lag == float("inf")
        behind = f"is {load.lag:.0f} s behind, more than {hold_back.replication_lag.total_seconds():.0f}"
        found.append(f"its replication {'does not run' if stopped else behind}")
    return ", ".join(found)
