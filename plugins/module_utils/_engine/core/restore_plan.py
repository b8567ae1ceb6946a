# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans of restores: what is going to be done, once all has been looked at that would stand in its way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Optional

from ..config import Limits
from ..db.base import Dbms, Origin
from ..db.row_copy import RowCopy
from ..errors import ConfigError, RestoreError
from ..utils.processes import ProcessTable
from .accounts import NONE, lacking, names_of
from .encryption import Decryption
from .extraction import refuse_missing
from .loads import Load, LoadTask, load_of
from .manifest import Manifest
from .owners import mapped_settings, refuse_unmappable
from .part import WHOLE, Part
from .part_load import part_load_of
from .space import room_for_restore
from .storage import StoredArtifact

_DENSEST = 3  # as often as its own size on a disk do servers hold text, at most: they may compress it


@dataclass(frozen=True)
class RestorePlan:
    """What a restore is going to do.

    Attributes:
        stored: The artifact.
        dbms: The server that takes it.
        target: The database that it becomes.
        exists: Whether there is a database of that name, which will be replaced.
        stall_timeout: Longest time without progress.
        warnings: What is to be thought of first, in sentences.
        jobs: How many processes may load at a time.
        part: Which part of the artifact is restored.
        accounts: The accounts that are made first.
        owners: By what accounts are called in the artifact, what they are to be called.
    """

    stored: StoredArtifact
    dbms: Dbms
    target: str
    exists: bool
    stall_timeout: timedelta
    warnings: tuple[str, ...] = ()
    jobs: int = 1
    part: Part = WHOLE
    accounts: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)


class RestorePlanner:
    """Makes plans; everything it works with is handed to it."""

    def __init__(self, processes: ProcessTable, decryption: Decryption) -> None:
        self._processes = processes
        self._decryption = decryption

    def plan(
        self,
        stored: StoredArtifact,
        dbms: Dbms,
        target: str,
        overwrite: bool,
        limits: Limits,
        jobs: Optional[int] = None,
        part: Part = WHOLE,
        accounts: str = NONE,
        owners: Optional[Mapping[str, str]] = None,
    ) -> RestorePlan:
        """Examine whether a restore can be made; changes nothing.

        Args:
            stored: The artifact.
            dbms: The server that takes it.
            target: The name to restore into.
            overwrite: Whether an existing target may be replaced.
            limits: Of the policy.
            jobs: How many processes may load at a time, where that is not what the policy says.
            part: Which part of the artifact is restored.
            accounts: Which accounts of the artifact are made: ``missing`` or ``none``.
            owners: By what accounts are called in the artifact, what they are to be called.

        Raises:
            RestoreError: The server cannot take the artifact, or the target exists and may not be overwritten.
            CredentialsError: The artifact is encrypted, and there is no identity.
            ArtifactError: It does not hold the part, or parts of it cannot be restored.
            ConfigError: There is no such number of processes.
        """
        if jobs is not None and jobs < 1:
            raise ConfigError(
                f"A restore by {jobs} processes is none.", "Give 1 or more jobs, or leave the number out."
            )
        if not target or "\0" in target:
            raise RestoreError("The name of the database to restore into is empty or impossible.")
        manifest = stored.manifest
        refuse_missing(stored, part.tables)
        if manifest.encryption is not None:
            self._decryption.identity_for(f"The artifact {stored.path}")
        owners = owners or {}
        made, left_out = lacking(dbms, manifest, accounts, owners)
        refuse_unmappable(dbms, manifest, part, owners, made)
        settings = mapped_settings(manifest.settings, owners)
        origin = Origin(manifest.dbms, manifest.tool, settings, manifest.inventory, names_of(manifest), made)
        dbms.refuse_incompatible(origin, target)
        dbms.load_command(target)
        exists = target in dbms.all_databases()
        if not part.definitions:
            return self._plan_rows(stored, dbms, target, exists, limits, part, made, left_out)
        if exists and not overwrite:
            raise RestoreError(
                f"The database {target!r} exists on {dbms.instance.database_id}; nothing was changed.",
                (
                    "Ask for overwriting explicitly, or restore into another name."
                    if part.is_whole
                    else "Restore into another name."
                ),
            )
        room = _room(dbms, manifest, target if exists else None) if part.is_whole else ()
        warnings = (*left_out, *room, *(_connected(dbms, target) if exists else ()))
        jobs, stall = jobs or limits.jobs, limits.stall_timeout
        plan = RestorePlan(stored, dbms, target, exists, stall, warnings, jobs, part, made, owners)
        if not part.is_whole:
            load_of_plan(
                plan, stored, self._processes, self._decryption
            )  # refuses an artifact of which parts cannot be loaded
        return plan

    def _plan_rows(
        self,
        stored: StoredArtifact,
        dbms: Dbms,
        target: str,
        exists: bool,
        limits: Limits,
        part: Part,
        accounts: tuple[str, ...],
        warnings: tuple[str, ...],
    ) -> RestorePlan:
        """Examine whether rows can be added to tables of a database."""
        if not exists:
            raise RestoreError(
                f"There is no database {target!r} on {dbms.instance.database_id} that rows could be added to.",
                "Restore the definitions first (content schema), or everything.",
            )
        manifest = stored.manifest
        copy = row_copy_of(dbms, manifest, target, part)
        copy.refuse_impossible()
        if not part.tables:
            warnings = (*warnings, *_room(dbms, manifest, None), *copy.left_out(manifest.inventory))
        plan = RestorePlan(stored, dbms, target, False, limits.stall_timeout, warnings, part=part, accounts=accounts)
        self._refuse_unloadable(plan)
        return plan

    def _refuse_unloadable(self, plan: RestorePlan) -> None:
        """Refuse an artifact of which parts cannot be loaded."""
        load_of_plan(plan, plan.stored, self._processes, self._decryption)


def load_of_plan(plan: RestorePlan, stored: StoredArtifact, processes: ProcessTable, decryption: Decryption) -> Load:
    """Return what loads an artifact as a plan has it: that of the plan, or the safety backup of what it replaces."""
    wanted = stored is plan.stored  # else the old state comes back as it was, in the way that asks for least
    task = LoadTask(
        processes,
        plan.dbms,
        stored,
        plan.jobs,
        plan.stall_timeout,
        decryption,
        plan.owners if wanted else {},
        keys_later=wanted,
    )
    if plan.part.is_whole:
        return load_of(task)
    tables = stored.manifest.inventory.get("table", ())
    return part_load_of(task, plan.part if plan.part.definitions else plan.part.with_definitions(tables))


def row_copy_of(dbms: Dbms, manifest: Manifest, target: str, part: Part) -> RowCopy:
    """Return what adds the rows of a part to the tables of a database."""
    tables = part.tables or manifest.inventory.get("table", ())
    return dbms.row_copy(target, tables, all_sequences=not part.tables)


def _room(dbms: Dbms, manifest: Manifest, replaced: Optional[str]) -> Iterator[str]:
    """Refuse what the server's disk surely cannot take; yield a warning where that is in doubt."""
    directory = data_directory_of(dbms)
    if directory is not None:
        freed = 0 if dbms.can_rename or replaced is None else dbms.databases().get(replaced, 0)
        expected = manifest.server_bytes or manifest.plain_bytes
        warning = room_for_restore(directory, min(manifest.plain_bytes // _DENSEST, expected), expected, freed)
        if warning:
            yield warning


def data_directory_of(dbms: Dbms) -> Optional[Path]:
    """Return where a server of this host keeps its data; None where it is elsewhere or does not say."""
    return dbms.data_directory() if dbms.instance.is_local else None


def _connected(dbms: Dbms, target: str) -> Iterator[str]:
    """Yield a warning that names those who are connected to a database that is to be replaced."""
    found = dbms.connections(target)
    if found:
        who = ", ".join(f"{name} ({count})" for name, count in list(found.items())[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        what_becomes = "Those connections will be ended" if dbms.can_rename else "What they do meanwhile is lost"
        yield f"Connected to {target!r}: {who}{more}. {what_becomes}."
