# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Room on the disk: a dump that would fill it is refused before it begins, with the figures.

How large an artifact becomes is estimated from the server's own figure for the database and from what became of it the
last time. A first backup is taken for a quarter of the server's figure beyond that of an empty database, which is on
the safe side for most data. What the estimate gets wrong is caught when the disk is full: such a dump fails and leaves
nothing.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..config import Storage as StorageConfig
from ..errors import RestoreError, StorageError
from .catalog import SUCCESS, Catalog
from .storage import Storage

_FIRST_RATIO = 0.25
_EMPTY_BYTES = 8 * 1024**2  # what PostgreSQL says of a database with nothing in it
_MARGIN = 1.1
_NEARLY_FULL = 16 * 1024**2  # servers enlarge their files by several MiB at a time
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Estimate:
    """How large an artifact is expected to become.

    Attributes:
        stored_bytes: The expectation.
        basis: What it rests on, in words.
    """

    stored_bytes: int
    basis: str


def estimate(catalog: Catalog, database_id: str, database: str, server_bytes: int) -> Estimate:
    """Return how large the next artifact of a database is expected to become.

    Args:
        catalog: The records of earlier runs.
        database_id: The instance.
        database: The database.
        server_bytes: The server's own figure for its size.
    """
    earlier = catalog.runs("backup", database_id, database, limit=1, outcome=SUCCESS)
    if not earlier or not earlier[0].stored_bytes:
        expected = round(max(0, server_bytes - _EMPTY_BYTES) * _FIRST_RATIO)
        return Estimate(expected, f"a quarter of the {in_words(server_bytes)} in the server")
    last = earlier[0]
    stored = last.stored_bytes or 0
    if last.server_bytes and server_bytes:
        # Hardly any artifact is larger than its database: where the last one was, the server's figure was wrong.
        grown = min(stored * server_bytes / last.server_bytes, max(stored, server_bytes))
        basis = f"the last one took {in_words(stored)} of {in_words(last.server_bytes)} in the server"
        return Estimate(round(grown * _MARGIN), f"{basis}, which are {in_words(server_bytes)} now")
    return Estimate(round(stored * _MARGIN), f"the last one took {in_words(stored)}")


class Room:
    """What running dumps of this process are expected to take, so that together they do not fill the disk either."""

    def __init__(self, storage: Storage, config: StorageConfig) -> None:
        """Name the storage, and the configuration that says how much of its disk is to stay free."""
        self._storage = storage
        self._config = config
        self._promised = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def promised(self, database: str, expected: Estimate) -> Iterator[None]:
        """Keep room for an artifact for the length of a ``with`` block.

        Raises:
            StorageError: There is not enough; the message has the figures.
        """
        with self._lock:
            free, total = self._storage.space()
            reserve = self._config.reserved_bytes(total)
            if expected.stored_bytes > free - reserve - self._promised:
                others = f", {in_words(self._promised)} are for dumps under way" if self._promised else ""
                raise StorageError(
                    f"The disk of {self._storage.root} has {in_words(free)} free, of which {in_words(reserve)} are to"
                    f" stay free{others}; the backup of {database!r} is expected to take"
                    f" {in_words(expected.stored_bytes)} ({expected.basis}). It was not begun.",
                    "Free space, let retention remove more, or lower storage.reserve.",
                )
            self._promised += expected.stored_bytes
        try:
            yield
        finally:
            with self._lock:
                self._promised -= expected.stored_bytes


def room_for_restore(directory: Path, at_least: int, expected: int, freed: int) -> Optional[str]:
    """Look whether the disk of a server can take a database; return a warning where that is in doubt.

    Args:
        directory: Where the server keeps its data.
        at_least: What the database takes in any case, bytes.
        expected: What it is expected to take, bytes.
        freed: What is dropped before, bytes.

    Raises:
        RestoreError: There is less room than it takes in any case.
    """
    try:
        free = shutil.disk_usage(directory).free
    except OSError:  # a server elsewhere, or one whose directory is not ours to look at
        return None
    figures = f"The disk of {directory} has {in_words(free)} free"
    if freed:
        figures += f", and {in_words(freed)} more once the old database is dropped"
    if free + freed < at_least:
        raise RestoreError(
            f"{figures}; the database takes {in_words(at_least)} at the very least. Nothing was changed.",
            "Free space there, or restore to another server.",
        )
    if free + freed < expected:
        return f"{figures}; the database took {in_words(expected)} where it was backed up."
    return None


def shortage(directory: Optional[Path]) -> str:
    """Say in a sentence that the disk of a server is as good as full; nothing where it is not, or cannot be seen.

    Args:
        directory: Where the server keeps its data, if that is known.
    """
    if directory is None:
        return ""
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return ""
    return f"The disk of {directory} is full: {in_words(free)} are free." if free < _NEARLY_FULL else ""


def in_words(count: int) -> str:
    """Write a number of bytes in binary units."""
    value, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
