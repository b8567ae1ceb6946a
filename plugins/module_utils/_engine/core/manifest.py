# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The manifest: what makes an artifact self-describing, written beside it, last of all.

An artifact without a manifest is not a backup. With the manifest and the vendor's standard tools alone, anyone can
check and restore it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from ..errors import ArtifactError
from ..security.identity import user_name
from ..utils.clock import from_text, to_text
from ..utils.files import write_atomically

SCHEMA_VERSION = 1
SUFFIX = ".manifest.json"
SEAL = "manifest_sha256"
_SEAL_ENTRY = f',\n  "{SEAL}": "{{}}"\n}}}}\n'
PROOFS = ("sealed", "checksum", "verified", "restored")


@dataclass(frozen=True)
class Segment:
    """A part of the artifact that decompresses by itself: one gzip member or zstd frame.

    Attributes:
        kind: ``preamble`` (database settings); of the vendor's dump ``definitions`` (all but rows) and ``rows``, or
            ``dump`` in artifacts of engines that did not cut it; ``postamble`` (grants and the like).
        offset: Where it begins in the artifact, bytes; in what age decrypts of it, where it is encrypted.
        length: Its compressed length, bytes.
        plain_length: Its length once decompressed, bytes.
        level: With which level it was compressed.
        tables: Whose rows it holds, by the dump's names for them, and how many of each.
        continues: The statement that its first rows belong to, where that began in an earlier segment (Latin-1).
    """

    kind: str
    offset: int
    length: int
    plain_length: int
    level: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    continues: str = ""


@dataclass(frozen=True)
class StoredFile:
    """A file of an artifact that is a directory.

    Attributes:
        name: Its name there.
        length: Its size, bytes.
        plain_length: Its size once decompressed, bytes.
        sha256: Its checksum, hexadecimal.
        md5: The same by MD5, where the policy asks for it.
        tables: Whose rows it holds, and how many.
    """

    name: str
    length: int
    plain_length: int
    sha256: str
    md5: Optional[str] = None
    tables: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """All that is known of one artifact. Sizes are bytes, durations seconds, moments UTC.

    Attributes:
        artifact: The artifact's own name, in the manifest's own directory.
        hostname: The host that made the backup.
        database_id: The instance.
        database: The database's true name (the path may hold an escaped one).
        created_at: When the dump began; its content is of that moment or a little later.
        finished_at: When the artifact was sealed.
        stored_bytes: Size of the artifact.
        plain_bytes: Size of the SQL text in it.
        sha256: Checksum of the artifact, hexadecimal; of a directory, that of what ``sha256sum *`` prints in it.
        md5: The same by MD5, where the policy asks for it.
        dbms: The server: ``flavour`` (mariadb, mysql, postgresql), ``version``, ``description``.
        tool: The client that dumped: ``name``, ``version``, and of its ``calls`` the arguments; how many
            ``clients`` dumped rows, where those were several.
        compression: ``algorithm`` and ``level``.
        encryption: ``method`` and ``recipients``; None where it is not encrypted.
        settings: The database's own settings (character set, encoding, collation, owner …).
        inventory: Names of the objects that the artifact holds, by kind; compared with those of the server.
        rows: How many rows it holds of each table; None in artifacts of engines that did not count them.
        row_counts: How they were counted: ``method``, ``approximate``, its ``reason``, and ``left_out``: the tables
            whose rows no dump carries, and why.
        position: Where in the server's log the content stands: the log's ``type`` (``binlog``, ``lsn``, or None with a
            ``reason``); the content is not before ``from`` and not after ``to``; ``approximate`` where those differ.
        figures: What the server said of the content, see :class:`.Figures`; None in artifacts of engines that did not
            ask.
        drill: The last drill that this artifact passed: ``at``, ``seconds`` (how long the restore took), and what was
            ``compared``.
        accounts: Whom its objects refer to: ``names``, whether ``passwords`` are known, the ``reason`` why something
            is missing, and ``statements`` that make them, as ``sql`` or ``encrypted``; None in artifacts of engines
            that did not ask.
        segments: The parts of the artifact in their order, where it is one file.
        files: Its files, where it is a directory.
        warnings: What the artifact cannot promise, in sentences.
        proof: ``sealed``, ``checksum`` (the file is the one that was sealed; it was not decrypted), ``verified`` or
            ``restored``.
        proven_at: When that proof was given.
        policy: The policy that the backup followed.
        run_id: The run in the catalog.
        engine_version: The engine that wrote this.
        restore_by_hand: A shell command that restores it with standard tools.
        server_bytes: What the server said of the database's size; None in artifacts of engines that did not ask.
        needs: File names of the artifacts of the same database without which this one cannot be restored.
    """

    artifact: str
    hostname: str
    database_id: str
    database: str
    created_at: datetime
    finished_at: datetime
    stored_bytes: int
    plain_bytes: int
    sha256: str
    dbms: dict[str, str]
    tool: dict[str, Any]
    compression: dict[str, Any]
    settings: dict[str, Any]
    inventory: dict[str, list[str]]
    segments: tuple[Segment, ...]
    policy: str
    run_id: str
    engine_version: str
    restore_by_hand: str
    warnings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    files: tuple[StoredFile, ...] = ()
    md5: Optional[str] = None
    encryption: Optional[dict[str, Any]] = None
    rows: Optional[dict[str, int]] = None
    row_counts: dict[str, Any] = field(default_factory=dict)
    position: Optional[dict[str, Any]] = None
    server_bytes: Optional[int] = None
    figures: Optional[dict[str, Any]] = None
    drill: Optional[dict[str, Any]] = None
    accounts: Optional[dict[str, Any]] = None
    proof: str = "sealed"
    proven_at: Optional[datetime] = None
    format: str = "sql.gz"
    strategy: str = "logical"
    schema_version: int = field(default=SCHEMA_VERSION)

    @property
    def duration(self) -> float:
        """Seconds from the dump's beginning to the seal."""
        return (self.finished_at - self.created_at).total_seconds()

    def with_proof(self, proof: str, at: datetime) -> Manifest:
        """Return the manifest with a proof added; a stronger proof that it has already is kept."""
        if PROOFS.index(proof) < PROOFS.index(self.proof):
            return self
        return dataclasses.replace(self, proof=proof, proven_at=at)

    def to_json(self) -> bytes:
        """Return the document that is stored."""
        document = dataclasses.asdict(self)
        for key in ("created_at", "finished_at", "proven_at"):
            moment = document[key]
            document[key] = moment.isoformat().replace("+00:00", "Z") if moment else None
        return seal_document(document)

    def write(self, directory: Path) -> Path:
        """Write it beside its artifact, atomically, and return its path.

        Raises:
            OSError: It could not be written.
        """
        path = directory / (self.artifact + SUFFIX)
        write_atomically(path, self.to_json(), 0o640)
        return path


def seal_document(document: Mapping[str, Any]) -> bytes:
    """Return a manifest's document as it is stored: its last entry is the SHA-256 of all bytes before that entry."""
    entries = {key: value for key, value in document.items() if key != SEAL}
    body = json.dumps(entries, indent=2, ensure_ascii=False, sort_keys=True).removesuffix("\n}").encode("utf-8")
    return body + _SEAL_ENTRY.format(hashlib.sha256(body).hexdigest()).encode("ascii")


def is_sealed(content: bytes) -> bool:
    """Tell whether a manifest's bytes are those that were written."""
    body = content[: -len(_SEAL_ENTRY.format("0" * 64))]
    return content[len(body) :] == _SEAL_ENTRY.format(hashlib.sha256(body).hexdigest()).encode("ascii")


def cannot_be_read(what: str, path: Path, exc: OSError) -> ArtifactError:
    """Return the error that an artifact or its manifest, which is there, cannot be read."""
    hint = ""
    if isinstance(exc, PermissionError):
        hint = f"Let the user {user_name(os.geteuid())}, who reads artifacts, read it and the directories above it."
    return ArtifactError(f"The {what} {path} cannot be read: {exc.strerror}.", hint)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Args:
        path: The manifest's own path.

    Raises:
        ArtifactError: It is missing, unreadable, damaged, or of a later schema version.
    """
    try:
        content = path.read_bytes()
        document = json.loads(content)
    except FileNotFoundError:
        raise ArtifactError(
            f"There is no manifest {path}.", "Without it the file is no backup: it may be unfinished or foreign."
        ) from None
    except OSError as exc:
        raise cannot_be_read("manifest", path, exc) from None
    except ValueError:
        raise ArtifactError(f"The manifest {path} is damaged: it is not JSON.", "Use another artifact.") from None
    if not isinstance(document, dict) or not isinstance(document.get("schema_version"), int):
        raise ArtifactError(f"{path} is not a manifest of vya-backupdb.")
    if document["schema_version"] > SCHEMA_VERSION:
        raise ArtifactError(
            f"The manifest {path} has schema version {document['schema_version']}; this engine knows {SCHEMA_VERSION}.",
            "Upgrade the engine by applying the role vya.backupdb.runtime.",
        )
    if not is_sealed(content):
        raise ArtifactError(
            f"The manifest {path} is damaged or was changed: it differs from its own checksum.", "Use another artifact."
        )
    try:
        names = {f.name for f in dataclasses.fields(Manifest)}
        values = {key: value for key, value in document.items() if key in names}
        for key in ("created_at", "finished_at", "proven_at"):
            values[key] = from_text(values[key]) if values.get(key) else None
        values["segments"] = tuple(Segment(**segment) for segment in values["segments"])
        values["files"] = tuple(StoredFile(**each) for each in values.get("files", ()))
        values["warnings"] = tuple(values.get("warnings", ()))
        values["needs"] = tuple(values.get("needs", ()))
        manifest = Manifest(**values)
        if (
            manifest.proof not in PROOFS
            or path.name != manifest.artifact + SUFFIX
            or to_text(manifest.created_at) == ""
        ):
            raise ValueError("contradiction")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ArtifactError(
            f"The manifest {path} is damaged: a field is missing or contradicts another.", "Use another artifact."
        ) from None
    return manifest
