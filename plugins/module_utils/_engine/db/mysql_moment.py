# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Several clients dump one database of MySQL or MariaDB in one moment: nobody commits until all have begun.

Each client reads in a snapshot of its own (``--single-transaction``). The snapshots are of one moment if nothing is
committed in between, so another connection holds a lock meanwhile: the server's backup lock in MariaDB (``BACKUP STAGE
BLOCK_COMMIT``), ``FLUSH TABLES WITH READ LOCK`` in MySQL, which waits for running statements. ``LOCK TABLES`` would ask
for less, but transactions that write to several of the tables would be ended by it as deadlocks. A client has its
snapshot once the first of its rows has come; that takes tenths of a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..errors import DumpError, ServerError
from ..utils.processes import Command
from .dump_share import DumpShare
from .mysql_inspection import Query, named

LOCK_SECONDS = 5  # of MySQL, whoever writes waits for as long as we wait for the lock
BEGIN_SECONDS = 10
# A host that is cut off or stopped cannot let go: the server does, once it has heard nothing for so long.
_SILENT_SECONDS = 2 * BEGIN_SECONDS
_WAKE_SECONDS = 0.02
_LOCK = {
    "mariadb": ("BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"),
    "mysql": ("FLUSH TABLES WITH READ LOCK",),
}
_UNLOCK = {"mariadb": "BACKUP STAGE END", "mysql": "UNLOCK TABLES"}
_SIZES = (
    "SELECT CAST(TABLE_NAME AS BINARY), COALESCE(DATA_LENGTH, 0) FROM information_schema.TABLES"
    f" WHERE {named('TABLE_SCHEMA')}"
)


def read_sizes(query: Query, database: str) -> dict[str, int]:
    """Return the tables of a database with the server's estimates of their rows' sizes, bytes.

    Args:
        query: Runs a statement with named parameters and returns its rows.
        database: The database.
    """
    return {os.fsdecode(bytes(name)): int(size) for name, size in query(_SIZES, {"database": database})}


def shared_out(tables: Sequence[str], sizes: Mapping[str, int], clients: int) -> list[list[str]]:
    """Give each client tables of about the same size together, the largest first; no client is without one."""
    shares: list[list[str]] = [[] for _client in range(min(clients, len(tables)))]
    loads = [(0, number) for number in range(len(shares))]
    for table in sorted(tables, key=lambda name: (-sizes.get(name, 0), name)):
        size, number = heapq.heappop(loads)
        shares[number].append(table)
        heapq.heappush(loads, (size + max(sizes.get(table, 0), 1), number))
    return shares


@contextlib.contextmanager
def locked(apart: Query, flavour: str) -> Iterator[None]:
    """Let nobody commit for the length of a ``with`` block, or until it is unlocked.

    Args:
        apart: Runs statements on a connection that is used for nothing else, and closed afterwards.
        flavour: The server's make.

    Raises:
        ServerError: The lock could not be had in time, or the account may not have it.
    """
    apart(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}, wait_timeout = {_SILENT_SECONDS}")
    try:
        for statement in _LOCK[flavour]:
            apart(statement)
        yield
    finally:
        with contextlib.suppress(ServerError):  # it ends with the connection in any case
            apart(_UNLOCK[flavour])


class LockedMoment:
    """The moment of a dump by several clients, see :class:`~.dump_share.OneMoment`."""

    def __init__(
        self,
        parts: Sequence[tuple[Command, DumpShare]],
        apart: Query,
        flavour: str,
        passed: Callable[[], None],
        conclude: Callable[[Sequence[DumpShare]], None],
    ) -> None:
        """Begin.

        Args:
            parts: The call of each client, and what follows it.
            apart: Runs statements on the connection that holds the lock.
            flavour: The server's make.
            passed: Called when all clients have begun, while the lock is still held.
            conclude: Called when all have ended well.
        """
        self.parts = parts
        self._apart = apart
        self._unlock = _UNLOCK[flavour]
        self._passed = passed
        self._conclude = conclude

    def pass_on(self, failed: Callable[[], bool]) -> None:
        """Wait until each client has its snapshot, and let others commit; raises as the protocol says."""
        all_begun, lost = False, None
        try:
            all_begun = self._await_begin(failed)
            if all_begun:
                self._passed()
        finally:  # whatever happens, before the clients are waited for
            try:
                self._apart(self._unlock)
            except ServerError as exc:
                lost = exc
        if all_begun and lost is not None:
            raise DumpError(
                "The connection that kept others from committing was lost before it was known that all dump clients had"
                f" begun; they may have seen different moments. {lost.message}",
                "Run the backup again.",
            )

    def _await_begin(self, failed: Callable[[], bool]) -> bool:
        """Wait until each client has its snapshot; False if one has failed."""
        deadline = time.monotonic() + BEGIN_SECONDS
        waiting = [share for _command, share in self.parts]
        while waiting:
            if failed():
                return False
            if time.monotonic() > deadline:
                raise DumpError(
                    f"{len(waiting)} of {len(self.parts)} dump clients had not begun after {BEGIN_SECONDS} s, for which"
                    " nobody could commit; all have been ended, and the lock is gone.",
                    "See how busy the server is and how many connections it takes, or set the policy's strategy to"
                    " logical.",
                )
            waiting[0].begun.wait(_WAKE_SECONDS)
            waiting = [share for share in waiting if not share.begun.is_set()]
        return True

    def conclude(self) -> None:
        """Take note of what the clients wrote."""
        self._conclude([share for _command, share in self.parts])


def parted(command: Command, tables: Sequence[str], shares: Sequence[Sequence[str]]) -> list[Command]:
    """Return one call as several.

    Args:
        command: The call, whose last arguments are the tables.
        tables: These.
        shares: The tables of each client.
    """
    before = command.arguments[: len(command.arguments) - len(tables)]
    return [dataclasses.replace(command, arguments=(*before, *share)) for share in shares]
