# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What every operation works with, put together once by the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from ..config import Config, Instance
from ..db.base import Dbms
from ..errors import BackupDbError
from ..security.age_identity import AgeIdentity
from ..utils.clock import Clock
from ..utils.processes import ProcessTable
from .catalog import FAILED, IMPOSSIBLE, LOST, SUCCESS, Catalog, RunRecord
from .encryption import Decryption
from .events import Batch, Observers
from .ownership import Ownership
from .space import Room
from .storage import Storage

Connect = Callable[[Instance], Dbms]


@dataclass(frozen=True)
class Context:
    """The parts that operations share.

    Attributes:
        config: The host's configuration.
        storage: The artifacts.
        catalog: The records.
        observers: Who is told of ended runs.
        processes: What starts and ends children.
        connect: Returns the driver of an instance; raises BackupDbError where its credentials do not open.
        clock: What tells the time.
        trigger: ``timer``, ``command`` or ``ansible``.
        identity: What encrypted artifacts are read with; None without one, an error where it cannot be used.
        room: What is left on the storage's disk, beside what running dumps will take.
    """

    config: Config
    storage: Storage
    catalog: Catalog
    observers: Observers
    processes: ProcessTable
    connect: Connect
    clock: Clock
    trigger: str
    identity: Optional[Union[AgeIdentity, BackupDbError]] = None
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", Room(self.storage, self.config.storage))

    @property
    def ownership(self) -> Ownership:
        """Whose storage it is."""
        return Ownership(self.storage.home, self.storage.hostname, self.clock)

    @property
    def decryption(self) -> Decryption:
        """What encrypted artifacts are read with."""
        return Decryption(self.processes, self.identity)

    @property
    def lock_directory(self) -> Path:
        """Where lock files are."""
        return self.config.state_directory / "locks"

    def start(
        self,
        kind: str,
        database_id: str,
        database: str,
        policy: Optional[str] = None,
        *,
        artifact: Optional[str] = None,
        reason: Optional[str] = None,
    ) -> RunRecord:
        """Put on record that a run begins; see :meth:`.Catalog.start`."""
        return self.catalog.start(
            kind, database_id, database, policy=policy, trigger=self.trigger, artifact=artifact, reason=reason
        )

    def finish(
        self,
        run: RunRecord,
        error: Optional[str] = None,
        *,
        lost: bool = False,
        impossible: bool = False,
        artifact: Optional[str] = None,
        stored_bytes: Optional[int] = None,
        plain_bytes: Optional[int] = None,
        server_bytes: Optional[int] = None,
    ) -> RunRecord:
        """Put on record how a run ended (with an error: failed) and tell the observers.

        Args:
            run: The run.
            error: Why it failed.
            lost: A restore failed and the old database could not be brought back.
            impossible: A drill could not be made on this host.
            artifact: The artifact's path.
            stored_bytes: Its size.
            plain_bytes: The size of the SQL text in it.
            server_bytes: The server's own figure for the size of the database.
        """
        record = self.catalog.finish(
            run.run_id,
            LOST if lost else IMPOSSIBLE if impossible else FAILED if error else SUCCESS,
            error=error,
            artifact=artifact,
            stored_bytes=stored_bytes,
            plain_bytes=plain_bytes,
            server_bytes=server_bytes,
        )
        self.observers.run_finished(record)
        return record

    def finish_batch(self, kind: str, policy: Optional[str], records: list[RunRecord]) -> None:
        """Tell the observers that a whole command has ended."""
        self.observers.batch_finished(Batch(kind, policy, self.trigger, tuple(records)))

    def close_vanished(self) -> None:
        """Put on record the runs whose processes died without a word, and tell the observers."""
        gone = self.catalog.close_vanished()
        for record in gone:
            self.observers.run_finished(record)
        for kind in sorted({record.kind for record in gone}):
            self.observers.batch_finished(Batch(kind, None, self.trigger, tuple(r for r in gone if r.kind == kind)))
