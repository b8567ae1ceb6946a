# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds: somebody wants an artifact kept, whatever retention's figures say."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..reports import HoldReport
from ..security.identity import acting_user
from ..utils.clock import Clock
from .locks import artifact_in_use
from .marks import Mark, hold_path, read_mark, remove_mark, write_mark
from .storage import find_artifact, storage_error

NO_REASON = "no reason was given"


class Notebook(Protocol):
    """Where a change of holds is put on record."""

    def note(
        self, *, operation: str, database_id: str, result: str, database: str, artifact: str, reason: str | None = None
    ) -> None:
        """Put an operation on record."""


def put_hold(artifact: Path, reason: str, notebook: Notebook, clock: Clock, dry_run: bool) -> HoldReport:
    """Put a hold on an artifact; one that is there keeps its reason unless another is given.

    Args:
        artifact: The artifact's path, or its manifest's.
        reason: Why it is wanted.
        notebook: Where that is put on record.
        clock: What tells the time.
        dry_run: Only say whether that would change anything.

    Raises:
        ArtifactError: There is no such artifact, or retention is just removing it.
        StorageError: The hold cannot be written.
    """
    stored = find_artifact(artifact)
    path = hold_path(stored.path)
    before = read_mark(path)
    if before is not None and reason in ("", before.reason):
        return HoldReport(False, str(stored.path), before.reason, before.reason)
    mark = Mark(reason or NO_REASON, acting_user(), clock())
    if not dry_run:
        with artifact_in_use(stored.path):
            try:
                write_mark(path, mark)
            except OSError as exc:
                raise storage_error(exc, path) from None
        notebook.note(
            operation="hold",
            database_id=stored.manifest.database_id,
            database=stored.manifest.database,
            result="success",
            artifact=str(stored.path),
            reason=mark.reason,
        )
    return HoldReport(True, str(stored.path), before.reason if before else None, mark.reason)


def take_hold_off(artifact: Path, notebook: Notebook, dry_run: bool) -> HoldReport:
    """Take the hold off an artifact; harmless when there is none.

    Args:
        artifact: The artifact's path, or its manifest's.
        notebook: Where that is put on record.
        dry_run: Only say whether that would change anything.

    Raises:
        ArtifactError: There is no such artifact.
        StorageError: The hold cannot be removed.
    """
    stored = find_artifact(artifact)
    path = hold_path(stored.path)
    before = read_mark(path)
    if before is not None and not dry_run:
        try:
            remove_mark(path)
        except OSError as exc:
            raise storage_error(exc, path) from None
        notebook.note(
            operation="release",
            database_id=stored.manifest.database_id,
            database=stored.manifest.database,
            result="success",
            artifact=str(stored.path),
        )
    return HoldReport(before is not None, str(stored.path), before.reason if before else None, None)
