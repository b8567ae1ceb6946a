# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine's operations report, in plain types that a module or ``--json`` can print."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from .core.backup import BackupResult
from .core.catalog import FAILED, SUCCESS
from .core.storage import StoredArtifact
from .core.verification import VerificationResult
from .utils.clock import to_text

if TYPE_CHECKING:
    from .core.drill import DrillResult


class Report:
    """Base of the reports: a dataclass that turns into plain JSON types."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dicts, lists, strings, numbers, booleans and None."""
        # Each report is a dataclass; this base of theirs is not, which mypy goes by.
        return _plain(dataclasses.asdict(self))  # type: ignore[no-any-return, call-overload]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class BackupReport(Report):
    """What a backup command did: one result for each database, and the artifacts that retention removed after it."""

    changed: bool
    results: tuple[BackupResult, ...]
    removed: tuple[str, ...] = ()

    @property
    def failed(self) -> list[BackupResult]:
        """The databases that have no new backup."""
        return [result for result in self.results if result.outcome == FAILED]

    @property
    def ok(self) -> bool:
        """Whether every database was backed up."""
        return not self.failed


@dataclass(frozen=True)
class RestoreReport(Report):
    """What a restore did or would do.

    ``tables`` are those that were asked for, none where all of them were; ``content`` is ``all``, or ``schema`` where
    rows were not. ``differences`` are numbers of rows that are not those of the manifest, in a database that others may
    write to by then; whatever else differs makes a restore fail. ``accounts`` are those that it made, ``owners`` those
    whose place others took.
    """

    changed: bool
    database_id: str
    database: str
    target: str
    artifact: str
    created_at: str
    outcome: str
    overwritten: bool
    tables: tuple[str, ...] = ()
    content: str = "all"
    duration: float = 0.0
    safety_backup: Optional[str] = None
    accounts: tuple[str, ...] = ()
    owners: dict[str, str] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RetentionReport(Report):
    """What retention kept, removed and held back, each with its reasons.

    Besides: paths of artifacts that are ``missing`` although nobody removed them on record, and the databases where it
    ``failed``.
    """

    changed: bool
    kept: tuple[dict[str, Any], ...] = ()
    removed: tuple[dict[str, Any], ...] = ()
    held: tuple[dict[str, Any], ...] = ()
    missing: tuple[str, ...] = ()
    failed: tuple[dict[str, Any], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it could do its work on every database."""
        return not self.failed

    @classmethod
    def merged(cls, reports: Iterable[RetentionReport]) -> RetentionReport:
        """Return one report of several databases."""
        several = list(reports)
        joined = {
            part.name: tuple(each for report in several for each in getattr(report, part.name))
            for part in dataclasses.fields(cls)
            if part.name != "changed"
        }
        return cls(any(report.changed for report in several), **joined)


@dataclass(frozen=True)
class AcceptanceReport(Report):
    """Whether retention was held back by something that is now, or would be, accepted."""

    changed: bool
    database_id: str
    database: str


@dataclass(frozen=True)
class AdoptionReport(Report):
    """Whether the storage was, or would be, taken over from another machine."""

    changed: bool
    directory: str


@dataclass(frozen=True)
class HoldReport(Report):
    """The hold on an artifact as it is now, or would be; None without one."""

    changed: bool
    artifact: str
    before: Optional[str]
    hold: Optional[str]


@dataclass(frozen=True)
class VerificationReport(Report):
    """How each verified artifact was found."""

    changed: bool
    results: tuple[VerificationResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every artifact is whole."""
        return all(result.outcome != FAILED for result in self.results)


@dataclass(frozen=True)
class ContentsReport(Report):
    """What an artifact holds: the names of its ``objects`` by kind, and the ``rows`` of each table.

    ``rows`` is None in artifacts of engines that did not count them.
    """

    artifact: str
    database_id: str
    database: str
    created_at: str
    server: str
    stored_bytes: int
    plain_bytes: int
    proof: str
    objects: dict[str, list[str]]
    rows: Optional[dict[str, int]]
    approximate: bool
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, stored: StoredArtifact) -> ContentsReport:
        """Return what a manifest says."""
        manifest = stored.manifest
        return cls(
            artifact=str(stored.path),
            database_id=manifest.database_id,
            database=manifest.database,
            created_at=to_text(manifest.created_at),
            server=manifest.dbms.get("description", ""),
            stored_bytes=manifest.stored_bytes,
            plain_bytes=manifest.plain_bytes,
            proof=manifest.proof,
            objects={kind: list(names) for kind, names in manifest.inventory.items() if names},
            rows=manifest.rows,
            approximate=bool(manifest.row_counts.get("approximate")),
            warnings=manifest.warnings,
        )


@dataclass(frozen=True)
class DrillReport(Report):
    """How each drill ended."""

    changed: bool
    results: tuple[DrillResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every artifact was proven."""
        return all(result.outcome == SUCCESS for result in self.results)


@dataclass(frozen=True)
class InfoReport(Report):
    """What exists: the instances with their databases, and the artifacts."""

    instances: tuple[dict[str, Any], ...]
    artifacts: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class CheckReport(Report):
    """What was examined of each instance, and how it was found."""

    ok: bool
    checks: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class StatusReport(Report):
    """How the host stands: its policies, the last backup of each database, its storage, and what is wrong besides."""

    hostname: str
    version: str
    policies: tuple[dict[str, Any], ...]
    databases: tuple[dict[str, Any], ...]
    storage: dict[str, Any]
    problems: tuple[str, ...] = ()


def with_retention(result: BackupResult, retention: RetentionReport) -> BackupResult:
    """Return a backup's result with what retention has to say of its database: that it was held back, or failed."""
    name = (result.database_id, result.database)
    said = [f"Retention removed nothing: {each['reason']}" for each in retention.held if _name(each) == name]
    said += [f"Retention failed: {each['error']}" for each in retention.failed if _name(each) == name]
    return dataclasses.replace(result, warnings=(*result.warnings, *said)) if said else result


def _name(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["database_id"], entry["database"]


def describe_artifact(stored: StoredArtifact) -> dict[str, Any]:
    """Return what there is to say of an artifact, in plain types."""
    manifest = stored.manifest
    return {
        "database_id": manifest.database_id,
        "database": manifest.database,
        "artifact": str(stored.path),
        "manifest": str(stored.manifest_path),
        "created_at": to_text(manifest.created_at),
        "stored_bytes": manifest.stored_bytes,
        "plain_bytes": manifest.plain_bytes,
        "duration": round(manifest.duration, 3),
        "proof": manifest.proof,
        "encrypted": manifest.encryption is not None,
        "hold": stored.hold.reason if stored.hold else None,
        "damage": stored.damage.reason if stored.damage else None,
        "sha256": manifest.sha256,
        "tool": f"{manifest.tool['name']} {manifest.tool['version']}",
        "server": manifest.dbms["description"],
        "warnings": list(manifest.warnings),
    }
