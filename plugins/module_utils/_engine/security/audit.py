# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log: who did what to which database, and how it ended, one JSON object a line."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StorageError
from ..utils.clock import Clock, to_text, utc_now
from .identity import acting_user

if TYPE_CHECKING:
    from ..core.catalog import RunRecord
    from ..core.events import Batch


class AuditLog:
    """Observer that adds a line for every run. Lines are only ever appended, and durable once written."""

    def __init__(self, path: Path, clock: Clock = utc_now) -> None:
        """Name the log; it is made with its first line.

        Args:
            path: The log file; its directory must exist.
            clock: What tells the time.
        """
        self.path = path
        self._clock = clock

    def run_finished(self, record: RunRecord) -> None:
        """Put an ended run on record.

        Raises:
            StorageError: The log cannot be written.
        """
        self.note(
            operation=record.kind,
            database_id=record.database_id,
            database=record.database,
            result=record.outcome,
            user=record.user,
            run_id=record.run_id,
            artifact=record.artifact,
            reason=record.reason,
        )

    def batch_finished(self, batch: Batch) -> None:
        """Do nothing: each of its runs has its line."""

    def note(
        self,
        *,
        operation: str,
        database_id: str,
        result: str,
        database: str | None = None,
        user: str | None = None,
        run_id: str | None = None,
        artifact: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Put any operation on record, also one that is no run, such as a change of credentials.

        Args:
            operation: What was done.
            database_id: On which instance.
            result: How it ended.
            database: On which database, if on one.
            user: Who did it; unless given, whoever is logged in.
            run_id: The run in the catalog, if it is one.
            artifact: The artifact's path, if there is one.
            reason: Why it was done, if there is a reason.

        Raises:
            StorageError: The log cannot be written.
        """
        line = {
            "time": to_text(self._clock()),
            "user": user or acting_user(),
            "operation": operation,
            "database_id": database_id,
            "database": database,
            "result": result,
            "run_id": run_id,
            **{key: value for key, value in (("artifact", artifact), ("reason", reason)) if value is not None},
        }
        try:
            self._append(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        except OSError as exc:
            raise StorageError(
                f"The audit log {self.path} cannot be written: {exc.strerror}.",
                "Its directory must belong to the user vya-backupdb and have space left.",
            ) from None

    def _append(self, line: bytes) -> None:
        # Root may write here into a directory of an unprivileged user, so links and pipes put in our way are refused.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self.path, flags, 0o640)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OSError(0, "it is not a file of its own")
            directory = self.path.parent.stat()
            if status.st_uid == os.geteuid() != directory.st_uid:
                os.fchown(descriptor, directory.st_uid, directory.st_gid)
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
