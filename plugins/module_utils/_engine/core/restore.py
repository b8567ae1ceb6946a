# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Restore of one database: everything comes back and is compared with the manifest, or the old state is there still.

Where databases can be renamed (PostgreSQL) the artifact is loaded beside the old database and swapped in once it is
complete. Where they cannot (MySQL, MariaDB) a sealed safety backup of the old one is made first, and loaded again when
the restore fails. Rows without definitions are loaded beside with their definitions, and copied from there into the
tables that are there and empty, in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Optional

from ..db.base import Dbms
from ..db.row_copy import RowCopy
from ..errors import BackupDbError, DatabaseLostError, RestoreError, ServerError, with_state
from ..utils.clock import Clock
from ..utils.processes import ProcessTable
from .accounts import NewAccounts
from .backup import BackupResult, Progress, ProgressCallback
from .comparison import inventory_differences, refuse_differences, row_differences
from .encryption import Decryption
from .loads import Load
from .pipeline import load_chunks
from .recovery import BESIDE, EXISTED, MADE, OLD, SAFETY
from .restore_plan import RestorePlan, data_directory_of, load_of_plan, row_copy_of
from .restored import Findings, look_at_definitions, look_at_rows, refuse_other_objects
from .space import shortage
from .storage import StoredArtifact, find_artifact
from .watching import at_work

_SIDE_NAME = "{name}_{purpose}_{moment:%Y%m%d%H%M%S}"
_LONGEST_NAME = 63  # bytes, PostgreSQL's NAMEDATALEN - 1
_NOTHING_LEFT = "Nothing was left behind."
_IN_PLACE = "The restored database is in its place all the same."
_SERVER_SECONDS = 120  # more than a server takes that its supervisor starts again


@dataclass(frozen=True)
class RestoreOutcome:
    """What a successful restore did.

    Attributes:
        safety_backup: The artifact made of the old database first, where one was made.
        differences: What the database has otherwise than the manifest says, where others may have changed it already.
        warnings: What the loading client remarked, and what could not be made ready or looked at.
    """

    safety_backup: Optional[str]
    differences: tuple[str, ...]
    warnings: tuple[str, ...]


SafetyBackup = Callable[[], BackupResult]
Leave = Callable[[Mapping[str, str]], None]


class Restorer:
    """Carries out restores; everything it works with is handed to it."""

    def __init__(self, processes: ProcessTable, clock: Clock, decryption: Decryption) -> None:
        self._processes = processes
        self._clock = clock
        self._decryption = decryption

    def restore(
        self,
        plan: RestorePlan,
        safety_backup: SafetyBackup,
        leave: Leave,
        progress: Optional[ProgressCallback] = None,
    ) -> RestoreOutcome:
        """Carry out a plan.

        Args:
            plan: From :meth:`plan`.
            safety_backup: Makes a sealed backup of the target; called only where it is needed.
            leave: Puts on record what would be left if this process died, before anything of it is made.
            progress: Told how far it is.

        Raises:
            ArtifactError: The artifact is damaged; nothing was changed.
            RestoreError: It failed; the message says what state the target is in.
            ServerError: The server refused something; likewise.
        """
        tell = progress or (lambda _progress: None)
        total = plan.stored.manifest.plain_bytes
        load = self._load_of(plan, plan.stored)
        load.examine(
            lambda done: tell(Progress(plan.dbms.instance.database_id, plan.target, "verifying", done, total)),
            thorough=plan.exists and not plan.dbms.can_rename,
        )
        leave({EXISTED: "yes" if plan.exists or not plan.part.definitions else ""})
        with NewAccounts(plan.dbms, plan.stored.manifest, plan.accounts, self._decryption).there(leave):
            if not plan.part.definitions:
                return self._add_rows(plan, load, leave, tell)
            if plan.dbms.can_rename:
                return self._beside_and_swap(plan, load, leave, tell)
            return self._in_place(plan, load, safety_backup, leave, tell)

    def _beside_and_swap(self, plan: RestorePlan, load: Load, leave: Leave, tell: ProgressCallback) -> RestoreOutcome:
        dbms, target = plan.dbms, plan.target
        names = dbms.all_databases()
        beside, old = self._side_name(target, "restore", names), self._side_name(target, "old", names)
        state = f"The old database {target!r} is untouched." if plan.exists else _NOTHING_LEFT
        leave({BESIDE: beside})
        try:
            dbms.create_database(beside, plan.stored.manifest.settings)
            leave({MADE: "yes"})
            warnings = self._run(plan, load, beside, tell)
            refuse_other_objects(dbms, load, beside)
            lost, unsure = look_at_rows(dbms, load, beside, plan.jobs)
            refuse_differences(lost)  # nobody else writes here yet
            differences, unseen = self._definitions(plan, beside)
            warnings += unsure + unseen
            self._refuse_if_stopped()
        except BaseException as exc:
            raise with_state(exc, self._discarded(dbms, beside, state)) from None
        try:
            if plan.exists:
                leave({OLD: old})
                dbms.rename_database(target, old)
            dbms.rename_database(beside, target)
        except BaseException as exc:
            undone = self._swapped_back(plan, beside, old, exc)
            if undone is not None or not isinstance(exc, BackupDbError):
                raise with_state(exc, self._discarded(dbms, beside, undone or _IN_PLACE)) from None
        if not plan.exists:
            return RestoreOutcome(None, differences, warnings)
        try:
            dbms.drop_database(old)
        except BackupDbError as exc:
            warnings = (*warnings, f"The old database is still there as {old!r} and can be dropped: {exc.message}")
        return RestoreOutcome(None, differences, warnings)

    @staticmethod
    def _swapped_back(plan: RestorePlan, beside: str, old: str, failure: BaseException) -> Optional[str]:
        """Put the old database back where a swap failed half-way, as by a restart of the server.

        Returns:
            How it is now, in a sentence; None where the new database is in its place all the same.

        Raises:
            DatabaseLostError: The server did not come back, or refuses that; the message says where the database is.
        """
        dbms, target = plan.dbms, plan.target
        try:
            _wait_for(dbms)
            names = dbms.all_databases()
            if plan.exists and old in names and target not in names:
                dbms.rename_database(old, target)
                return f"The old database {target!r} is back in its place."
            is_new = target in names and beside not in names
            if plan.exists or is_new:
                dbms.let_in(target)  # it may have been closed for the moment of its renaming
        except BackupDbError as exc:
            if not plan.exists:
                raise with_state(
                    failure, f"The new database is {beside!r}, or {target!r} and perhaps closed: {exc.message}"
                ) from None
            raise DatabaseLostError(
                f"{str(failure).rstrip('.')}. THE DATABASE {target!r} MAY BE MISSING OR CLOSED: the old one is {old!r}"
                f" or {target!r}, and complete; the new one is {beside!r}. It could not be put right ({exc.message})",
                "Once the server answers again, the next backup or restore on this host puts that right by itself.",
            ) from None
        if is_new:
            return None
        return f"The old database {target!r} is untouched." if plan.exists else _NOTHING_LEFT

    def _refuse_if_stopped(self, state: str = "") -> None:
        """End here when told to stop: the next step replaces the old database."""
        if self._processes.cancelled.is_set():
            raise RestoreError(f"The restore was stopped. {state}".rstrip())

    def _add_rows(self, plan: RestorePlan, load: Load, leave: Leave, tell: ProgressCallback) -> RestoreOutcome:
        dbms, target, manifest = plan.dbms, plan.target, plan.stored.manifest
        beside = self._side_name(target, "restore", dbms.all_databases())
        copy = row_copy_of(dbms, manifest, target, plan.part)
        leave({BESIDE: beside})
        handed_over = False

        def statements() -> Iterator[bytes]:
            nonlocal handed_over
            yield from copy.statements(beside)
            handed_over = True

        try:
            dbms.create_database(beside, manifest.settings)
            leave({MADE: "yes"})
            self._run(plan, load, beside, tell)
            refuse_other_objects(dbms, load, beside)
            if load.rows is not None:
                refuse_differences(row_differences(load.rows, dbms.count_rows(beside, load.rows, plan.jobs)))
            load_chunks(
                self._processes,
                dbms.load_command(target),
                statements(),
                stall_timeout=plan.stall_timeout,
                explain=dbms.explain,
                excused=lambda: at_work(dbms, target),
            )
        except BaseException as exc:
            left = self._discarded(dbms, beside, "")
            state = _added(copy, target) if handed_over else f"No rows were added to {target!r}."
            raise with_state(exc, f"{state} {left}".rstrip()) from None
        left = self._discarded(dbms, beside, "")
        differences, unsure = look_at_rows(dbms, load, target, plan.jobs)
        left_out = () if plan.part.tables else copy.left_out(manifest.inventory)
        return RestoreOutcome(None, differences, (*left_out, *unsure, *([left] if left else ())))

    def _in_place(
        self, plan: RestorePlan, load: Load, safety_backup: SafetyBackup, leave: Leave, tell: ProgressCallback
    ) -> RestoreOutcome:
        dbms, target = plan.dbms, plan.target
        safety: Optional[StoredArtifact] = None
        if plan.exists:
            made = safety_backup()
            if made.artifact is None:
                raise RestoreError(
                    f"The safety backup of {target!r} failed, so that nothing was changed: {made.error}",
                    "Mend that first; without it a failed restore would lose the present state.",
                )
            safety = find_artifact(Path(made.artifact))
            self._refuse_if_stopped(f"The old database {target!r} is untouched.")
            leave({SAFETY: str(safety.path)})
            try:
                dbms.drop_database(target)
            except BackupDbError as exc:
                if self._is_whole(dbms, target, safety):
                    raise with_state(exc, f"The old database {target!r} was not dropped.") from None
                raise self._undone(plan, safety, exc, tell) from None
        leave({MADE: "yes"})
        created = False
        try:
            dbms.create_database(target, plan.stored.manifest.settings)
            created = True
            warnings = self._run(plan, load, target, tell)
            refuse_other_objects(dbms, load, target)
        except BaseException as exc:
            if not created and safety is None:  # somebody else may have made it since it was looked for
                raise with_state(exc, "Nothing was loaded.") from None
            raise self._undone(plan, safety, exc, tell) from None
        differences, unsure = look_at_rows(dbms, load, target, plan.jobs)
        others, unseen = self._definitions(plan, target)
        return RestoreOutcome(str(safety.path) if safety else None, differences + others, warnings + unsure + unseen)

    @staticmethod
    def _is_whole(dbms: Dbms, database: str, safety: StoredArtifact) -> bool:
        """Tell whether a database that could not be dropped still has all its objects: MariaDB drops one by one."""
        _wait_for(dbms)
        try:
            return not inventory_differences(safety.manifest.inventory, dbms.inspect(database).inventory)
        except BackupDbError:
            return False

    def _undone(
        self, plan: RestorePlan, safety: Optional[StoredArtifact], failure: BaseException, tell: ProgressCallback
    ) -> BaseException:
        """Undo a restore in place; return the error that says what failed and how the database is now."""
        state, lost = self._bring_back(plan, safety, tell)
        return DatabaseLostError(f"{str(failure).rstrip('.')}. {state}") if lost else with_state(failure, state)

    def _bring_back(
        self, plan: RestorePlan, safety: Optional[StoredArtifact], tell: ProgressCallback
    ) -> tuple[str, bool]:
        """Undo a failed restore; return in a sentence what the state is now, and whether the old database is lost."""
        self._processes.cancelled.clear()  # also when told to stop: the old state comes back first
        state = self._discarded(plan.dbms, plan.target, _NOTHING_LEFT)
        if safety is None:
            return state, False
        try:
            if plan.target not in plan.dbms.all_databases():  # MariaDB keeps one whose directory holds foreign files
                plan.dbms.create_database(plan.target, safety.manifest.settings)
            self._run(plan, self._load_of(plan, safety), plan.target, tell)
        except BackupDbError as exc:
            by_hand, name = safety.manifest.restore_by_hand, plan.dbms.instance.database_id
            state = (
                f"THE OLD DATABASE COULD NOT BE BROUGHT BACK ({exc.message}) What is there of {plan.target!r} is"
                f" incomplete. Its sealed backup is {safety.path}; mend the cause, then bring it back: vya-backupdb"
                f" restore {name} {plan.target} --artifact {safety.path} --overwrite. Or restore it by hand: {by_hand}"
            )
            return state, True
        return f"The old database {plan.target!r} was brought back from its safety backup {safety.path}.", False

    def _load_of(self, plan: RestorePlan, stored: StoredArtifact) -> Load:
        return load_of_plan(plan, stored, self._processes, self._decryption)

    def _run(self, plan: RestorePlan, load: Load, database: str, tell: ProgressCallback) -> tuple[str, ...]:
        total = load.stored.manifest.plain_bytes
        directory = data_directory_of(plan.dbms)
        try:
            remarks = load.load(
                database,
                lambda done: tell(Progress(plan.dbms.instance.database_id, plan.target, "loading", done, total)),
            )
        except BackupDbError as exc:
            full = shortage(directory)
            raise with_state(exc, full) if full else exc from None
        lines = (" ".join(line.split()) for line in remarks.splitlines())
        return (*(plan.dbms.redactor.text(line) for line in lines if line), *load.left_out)

    def _definitions(self, plan: RestorePlan, database: str) -> Findings:
        """Return in what definitions, owners and grants differ, where that can be told."""
        renamed = plan.target != plan.stored.manifest.database and not plan.dbms.can_rename
        if renamed or plan.owners or not plan.part.is_whole:
            return (), ()
        return look_at_definitions(plan.dbms, plan.stored.manifest, database)

    def _side_name(self, name: str, purpose: str, taken: Collection[str]) -> str:
        """Return a name that no database has: a restore of the same second may have left one that was not dropped."""
        moment = self._clock()
        while True:
            extra = len(_SIDE_NAME.format(name="", purpose=purpose, moment=moment).encode())
            short = name.encode("utf-8")[: _LONGEST_NAME - extra].decode("utf-8", errors="ignore")
            found = _SIDE_NAME.format(name=short, purpose=purpose, moment=moment)
            if found not in taken:
                return found
            moment += timedelta(seconds=1)

    @staticmethod
    def _discarded(dbms: Dbms, database: str, state: str) -> str:
        """Drop what a failed restore made, where it made it; return the state, and what is left all the same."""
        _wait_for(dbms)
        try:
            if database in dbms.all_databases():
                dbms.discard_database(database)
        except BackupDbError as exc:
            left = f"The database {database!r}, made for this restore, may be left in the server. {exc}"
            return left if state in ("", _NOTHING_LEFT) else f"{state} {left}"
        return state


def _added(copy: RowCopy, target: str) -> str:
    """Say whether rows are there that a client was ended with: the server may have been completing it just then."""
    try:
        copy.refuse_impossible()  # it wants empty tables, which these were
    except BackupDbError as exc:
        return f"Whether the rows were added to {target!r}, its tables show: all of them, or none. {exc.message}"
    return f"No rows were added to {target!r}."


def _wait_for(dbms: Dbms) -> None:
    """Give a server that has gone down, and perhaps took the restore with it, time to come back."""
    deadline = time.monotonic() + _SERVER_SECONDS
    while True:
        try:
            dbms.all_databases()
            return
        except ServerError:
            if time.monotonic() > deadline:
                return
        time.sleep(1)
