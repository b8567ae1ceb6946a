# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills: an artifact loaded into a scratch server and compared with its manifest, which proves that it restores."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ..db.base import Dbms, Origin
from ..db.figures import Figures
from ..db.scratch import ScratchServer
from ..db.scratch_mysql import MySqlScratch
from ..db.scratch_postgresql import PostgreSqlScratch
from ..errors import (
    ArtifactError,
    BackupDbError,
    ConfigError,
    CredentialsError,
    DamageError,
    DrillError,
    NotPossibleError,
    RestoreError,
)
from ..utils.clock import to_text
from .backup import Progress, ProgressCallback
from .catalog import FAILED, IMPOSSIBLE, ORIGIN, RESTORE_SECONDS, SUCCESS, RunRecord
from .context import Context
from .drill_comparison import Comparison, compare
from .drill_turns import Candidate, choose_due
from .loads import LoadTask, load_of
from .locks import artifact_in_use
from .manifest import Manifest
from .scratch_space import ScratchSpace
from .space import in_words
from .storage import StoredArtifact, find_artifact, storage_error

SCRATCH: dict[str, type[ScratchServer]] = {
    "mariadb": MySqlScratch,
    "mysql": MySqlScratch,
    "postgresql": PostgreSqlScratch,
}
_TIMES_PLAIN = 3  # what a loaded database takes on the disk, as a multiple of its SQL: indexes and logs included
_OTHER_MEMORY = 192 * 1024**2  # what a server takes beside its caches
_NAMED = 10  # how many differences a message spells out


@dataclass(frozen=True)
class DrillResult:
    """How the drill of one artifact ended.

    Attributes:
        artifact: Its path.
        database_id: The instance.
        database: The database.
        outcome: ``success``, ``failed`` or ``not possible``.
        proof: That of the artifact afterwards.
        seconds: How long the restore took: reading, loading, comparing the inventory; not what is of the drill itself.
        compared: What was compared.
        differences: From the manifest, in words.
        error: Why it failed or was not possible.
        run_id: The run in the catalog.
    """

    artifact: str
    database_id: str
    database: str
    outcome: str
    proof: Optional[str] = None
    seconds: Optional[float] = None
    compared: Optional[dict[str, Any]] = None
    differences: tuple[str, ...] = ()
    error: Optional[str] = None
    run_id: Optional[str] = None


@dataclass(frozen=True)
class _Proven:
    seconds: float
    comparison: Comparison


class Driller:
    """Makes drills, one after the other; everything it works with is handed to it."""

    def __init__(self, context: Context, progress: Optional[ProgressCallback] = None) -> None:
        """Take what to work with.

        Args:
            context: What all operations share.
            progress: Told how far it is.
        """
        self._context = context
        self._tell = progress or (lambda _progress: None)
        self._space = ScratchSpace(context.config.scratch_directory)

    def drill_several(self, chosen: Sequence[StoredArtifact]) -> list[DrillResult]:
        """Drill artifacts one after another, until told to stop, and tell the observers at the end.

        Raises:
            LockedError: Another drill is at work on this host.
            StorageError: The catalog or the scratch directory cannot be written.
        """
        results, records = [], []
        with self._space.turn():
            for stored in chosen:
                if self._context.processes.cancelled.is_set():
                    break
                result, record = self._recorded(stored)
                results.append(result)
                records.append(record)
        if records:
            self._context.finish_batch("drill", None, records)
        return results

    def _recorded(self, stored: StoredArtifact) -> tuple[DrillResult, RunRecord]:
        manifest = stored.manifest
        names = (manifest.database_id, manifest.database)
        run = self._context.start("drill", *names, manifest.policy, artifact=str(stored.path))
        if manifest.hostname != self._context.config.hostname:
            self._context.catalog.note(run.run_id, {ORIGIN: manifest.hostname})
        result = DrillResult(str(stored.path), *names, SUCCESS, manifest.proof, run_id=run.run_id)
        try:
            if stored.path.is_relative_to(self._context.storage.home):
                self._context.ownership.refuse_others()
            with artifact_in_use(stored.path):
                proven = self._prove(stored)
                found = proven.comparison
                result = dataclasses.replace(
                    result,
                    seconds=round(proven.seconds, 3),
                    compared=found.to_document(),
                    differences=found.differences,
                )
                if found.differences:
                    raise DrillError(
                        _told(found.differences), "Look at the dump client and the server's log; keep others."
                    )
                result = dataclasses.replace(result, proof=self._mark(stored, proven).proof)
            self._context.catalog.note(run.run_id, {RESTORE_SECONDS: f"{proven.seconds:.3f}"})
        except NotPossibleError as exc:
            result = dataclasses.replace(result, outcome=IMPOSSIBLE, error=str(exc))
        except BackupDbError as exc:
            result = dataclasses.replace(result, outcome=FAILED, error=str(exc))
        except OSError as exc:
            result = dataclasses.replace(result, outcome=FAILED, error=str(storage_error(exc, stored.path)))
        record = self._context.finish(
            run,
            result.error,
            impossible=result.outcome == IMPOSSIBLE,
            stored_bytes=manifest.stored_bytes,
            plain_bytes=manifest.plain_bytes,
        )
        self._tell(Progress(*names, "failed" if result.error else "done"))
        return result, record

    def _prove(self, stored: StoredArtifact) -> _Proven:
        manifest = stored.manifest
        if stored.damage is not None:
            raise DamageError(f"The artifact {stored.path} was found damaged: {stored.damage.reason}")
        flavour = manifest.dbms.get("flavour", "")
        if flavour not in SCRATCH:
            raise ArtifactError(f"The artifact {stored.path} is of {flavour!r}, which this engine does not know.")
        if manifest.encryption is not None:
            try:
                self._context.decryption.identity_for(f"The artifact {stored.path}")
            except CredentialsError as exc:
                raise NotPossibleError(exc.message, exc.hint) from None
        config, processes = self._context.config, self._context.processes
        with self._space.directory() as directory:
            server = SCRATCH[flavour](
                processes, flavour, manifest.dbms["version"], directory, config.drill.memory_bytes
            )
            server.find()
            self._refuse_without_room(manifest, server.room, directory)
            with server.running() as dbms:
                return self._load(stored, dbms, server)

    def _load(self, stored: StoredArtifact, dbms: Dbms, server: ScratchServer) -> _Proven:
        manifest, config = stored.manifest, self._context.config
        policy = config.policy_of(manifest.database_id, manifest.database)
        expected = Figures.from_document(manifest.figures or {})
        origin = Origin(manifest.dbms, manifest.tool, manifest.settings, manifest.inventory)
        spare = server.place("elsewhere")
        for number, _name in enumerate((manifest.settings.get("needs") or {}).get("tablespaces", ())):
            server.place(f"elsewhere/tablespace{number}")
        dbms.make_needed(origin, expected.accounts, spare)
        try:
            dbms.refuse_incompatible(origin, manifest.database)
        except RestoreError as exc:
            raise NotPossibleError(f"The scratch server cannot take the artifact: {exc.message}", exc.hint) from None
        began = time.monotonic()
        limits, decryption = policy.limits, self._context.decryption
        load = load_of(LoadTask(self._context.processes, dbms, stored, limits.jobs, limits.stall_timeout, decryption))
        load.examine(lambda done: self._say(manifest, "verifying", done), thorough=False)
        if manifest.database not in dbms.all_databases():  # that of PostgreSQL's maintenance is there, and empty
            dbms.create_database(manifest.database, manifest.settings)
        load.load(manifest.database, lambda done: self._say(manifest, "loading", done))
        inventory = dbms.inspect(manifest.database).inventory
        seconds = time.monotonic() - began
        return _Proven(seconds, compare(manifest, inventory, dbms.figures(manifest.database)))

    def _say(self, manifest: Manifest, phase: str, done: int) -> None:
        self._tell(Progress(manifest.database_id, manifest.database, phase, done, manifest.plain_bytes))

    def _mark(self, stored: StoredArtifact, proven: _Proven) -> Manifest:
        """Mark an artifact as ``restored``; its manifest is read again, as others may have written it meanwhile."""
        at = self._context.clock()
        manifest = find_artifact(stored.path).manifest.with_proof("restored", at)
        drill = {"at": to_text(at), "seconds": round(proven.seconds, 3), "compared": proven.comparison.to_document()}
        manifest = dataclasses.replace(manifest, drill=drill)
        manifest.write(stored.path.parent)
        return manifest

    def _refuse_without_room(self, manifest: Manifest, empty: int, directory: Path) -> None:
        usage = shutil.disk_usage(directory)
        keep = self._context.config.storage.reserved_bytes(usage.total)
        needed = empty + _TIMES_PLAIN * max(manifest.plain_bytes, manifest.stored_bytes)
        if usage.free - keep < needed:
            raise NotPossibleError(
                f"The disk of {directory.parent} has {in_words(usage.free)} free, of which {in_words(keep)} are to stay"
                f" free; a drill of {manifest.database!r} is expected to take {in_words(needed)}.",
                "Free space, or set drill.directory to a larger disk.",
            )
        wanted = self._context.config.drill.memory_bytes + _OTHER_MEMORY
        free = _available_memory()
        if free is not None and free < wanted:
            raise NotPossibleError(
                f"This host has {in_words(free)} of memory left; a scratch server takes up to {in_words(wanted)}.",
                "Make the drill when less is going on, or lower drill.memory.",
            )


def choose_to_drill(
    context: Context, artifact: Optional[Path], database_id: Optional[str], database: Optional[str], due: bool
) -> list[StoredArtifact]:
    """Return the artifacts to drill: one by its path, else the newest of each database.

    Args:
        context: What to work with.
        artifact: Only the artifact at this path.
        database_id: Only databases of this instance.
        database: Only databases of this name.
        due: Only those whose turn it is.

    Raises:
        ArtifactError: There is none.
        ConfigError: The arguments contradict each other.
        StorageError: The storage or the catalog cannot be read.
    """
    if artifact is not None:
        if due:
            raise ConfigError("An artifact's path and those that are due were both asked for.", "Ask for one of them.")
        return [find_artifact(artifact)]
    newest: dict[tuple[str, str], StoredArtifact] = {}
    oldest: dict[tuple[str, str], StoredArtifact] = {}
    for stored in context.storage.artifacts(database_id, database):
        name = (stored.manifest.database_id, stored.manifest.database)
        if stored.damage is None:
            newest.setdefault(name, stored)
            oldest[name] = stored
    if not due:
        if not newest:
            raise ArtifactError("There is no artifact to drill.", "List what exists: vya-backupdb list.")
        return [newest[name] for name in sorted(newest)]
    runs = [run for run in context.catalog.runs("drill") if ORIGIN not in run.traces]  # newest first
    first = runs[-1].started_at if runs else context.clock()
    candidates = []
    for name, stored in oldest.items():
        own = [run for run in runs if (run.database_id, run.database) == name]
        passed = [run.started_at for run in own if run.outcome == SUCCESS]
        since = passed[0] if passed else max(first, stored.manifest.created_at)
        candidates.append(Candidate(*name, since, own[0].started_at if own else None))
    chosen = choose_due(candidates, context.config.drill.every_days, context.clock())
    return [newest[each.database_id, each.database] for each in chosen]


def _told(differences: Sequence[str]) -> str:
    more = f" and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
    return f"What was loaded is not what was backed up: {'; '.join(differences[:_NAMED])}{more}."


def _available_memory() -> Optional[int]:
    """Return how many bytes of memory can be had without swapping (proc(5)); None where the kernel does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
