# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Verification: an artifact read back as a whole before anyone has to rely on it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..config import Policy
from ..db.end_markers import END_MARKERS
from ..errors import ArtifactError, BackupDbError, DamageError
from ..security.identity import acting_user
from ..utils.clock import to_text
from ..utils.memory import PIECE_BYTES
from .accounts import statements_of
from .backup import Progress, ProgressCallback
from .catalog import FAILED, SUCCESS, RunRecord
from .context import Context
from .directory import READERS, verify_directory
from .encryption import METHOD, Decryption, Decryptor, HashedFile, Readable, exchanged
from .locks import artifact_in_use
from .manifest import Manifest, Segment
from .marks import Mark, damage_path, write_mark
from .packed import opened_file
from .pipeline import read_segments
from .segment_check import TAIL_BYTES, check_segments
from .segmentation import ROWS
from .storage import StoredArtifact, find_artifact, storage_error

VERIFIED, CHECKSUM = "verified", "checksum"
_CHECKSUM_ONLY = "Checksum only: there is no identity to decrypt it with."


@dataclass(frozen=True)
class VerificationResult:
    """How the verification of one artifact ended; ``note`` says what could not be examined."""

    artifact: str
    database_id: str
    database: str
    outcome: str
    proof: Optional[str] = None
    error: Optional[str] = None
    note: Optional[str] = None


def plain_chunks(
    stored: StoredArtifact,
    decryption: Decryption,
    digests: list[bytes],
    rows: Callable[[Segment], bool],
) -> Iterator[bytes]:
    """Yield the SQL text of an artifact, checking size, checksum, compression and structure on the way.

    Args:
        stored: The artifact.
        decryption: What to decrypt it with, where it is encrypted.
        digests: Gets the SHA-256 of each segment's compressed bytes.
        rows: Asked of each segment of rows; where it says no, its checksum alone is looked at, and it is not yielded.

    Raises:
        DamageError: It is damaged, cut off or exchanged. Content may have been yielded before that.
        ArtifactError: It cannot be read.
        CredentialsError: It cannot be decrypted.
    """
    manifest = stored.manifest
    what = f"The artifact {stored.path}"
    with _opened(stored) as descriptor:
        left_out = 0
        last = next((segment for segment in reversed(manifest.segments) if segment.kind != "postamble"), None)

        def unpack(segment: Segment) -> bool:
            nonlocal left_out
            if segment.kind != ROWS or segment is last or rows(segment):
                return True
            left_out += segment.plain_length
            return False

        dump_end = sum(s.plain_length for s in manifest.segments if s.kind != "postamble")
        position, tail = 0, b""
        for chunk in read_segments(
            descriptor,
            manifest.sha256,
            what,
            manifest.segments,
            manifest.compression.get("algorithm", "gzip"),
            digests,
            unpack,
            decryption if manifest.encryption is not None else None,
        ):
            if decryption.processes.cancelled.is_set():
                raise ArtifactError(f"{what} was not read to its end: the run was stopped.")
            if position + left_out < dump_end:
                tail = (tail + chunk[: dump_end - position - left_out][-TAIL_BYTES:])[-TAIL_BYTES:]
            position += len(chunk)
            yield chunk
        _refuse_cut(stored, position + left_out, tail)


def _refuse_cut(stored: StoredArtifact, plain_bytes: int, tail: bytes) -> None:
    """Refuse an artifact that has not all that the manifest says, or whose dump does not end as a whole one does."""
    marker = END_MARKERS.get(stored.manifest.dbms.get("flavour", ""))
    if plain_bytes != stored.manifest.plain_bytes or marker is None or not marker.search(tail):
        what = f"The artifact {stored.path}"
        raise DamageError(f"{what} is not whole: the end of the dump is missing.", "Use another artifact.")


@contextlib.contextmanager
def _opened(stored: StoredArtifact) -> Iterator[int]:
    """Open an artifact that is one file, of the right size; what the disk does not give is an error in words."""
    what = f"The artifact {stored.path}"
    with opened_file(stored) as descriptor:
        try:
            size, expected = os.fstat(descriptor).st_size, stored.manifest.stored_bytes
            if size != expected:
                raise DamageError(
                    f"{what} is damaged: it has {size} bytes, its manifest says {expected}.", "Use another artifact."
                )
            yield descriptor
        except OSError as exc:
            error = DamageError if exc.errno == errno.EIO else ArtifactError
            raise error(f"{what} cannot be read: {exc.strerror}.", "See to the disk; use another artifact.") from None


def _verify_stream(stored: StoredArtifact, decryption: Decryption, progress: Callable[[int], None]) -> str:
    if stored.manifest.encryption is not None and decryption.identity is None:
        return verify_checksum(stored, decryption, progress)
    manifest, what = stored.manifest, f"The artifact {stored.path}"
    with _opened(stored) as descriptor, contextlib.ExitStack() as stack:
        file = HashedFile(descriptor)
        packed: Readable = file
        if manifest.encryption is not None:
            packed = stack.enter_context(Decryptor(decryption, file, manifest.sha256, what))
        algorithm = manifest.compression.get("algorithm", "gzip")
        tail = check_segments(
            packed, manifest.segments, algorithm, what, READERS, progress, decryption.processes.cancelled.is_set
        )
        if file.sha256 != manifest.sha256:
            raise exchanged(what)
    _refuse_cut(stored, sum(segment.plain_length for segment in manifest.segments), tail)
    statements_of(manifest, decryption)
    return VERIFIED


def verify_checksum(stored: StoredArtifact, decryption: Decryption, progress: Callable[[int], None]) -> str:
    """See that a file is the one that was sealed, without looking into it; arguments as of :func:`verify_artifact`.

    Raises:
        DamageError: It is damaged, cut off or exchanged.
        ArtifactError: It cannot be read, or the run was stopped.
    """
    manifest, done = stored.manifest, 0
    what = f"The artifact {stored.path}"
    with _opened(stored) as descriptor:
        file = HashedFile(descriptor)
        while chunk := file.read(PIECE_BYTES):
            if decryption.processes.cancelled.is_set():
                raise ArtifactError(f"{what} was not read to its end: the run was stopped.")
            done += len(chunk)
            progress(manifest.plain_bytes * done // manifest.stored_bytes)
        if file.sha256 != manifest.sha256:
            raise exchanged(what)
    return CHECKSUM


def _verify_directory(stored: StoredArtifact, decryption: Decryption, progress: Callable[[int], None]) -> str:
    verify_directory(stored, decryption.processes, progress)
    return VERIFIED


_VERIFIERS: dict[str, Callable[[StoredArtifact, Decryption, Callable[[int], None]], str]] = {
    "logical": _verify_stream,
    "parallel": _verify_directory,
}


def verify_artifact(stored: StoredArtifact, decryption: Decryption, progress: Callable[[int], None]) -> str:
    """Read an artifact back as a whole, or, where it is encrypted and there is no identity, its checksum alone.

    Args:
        stored: The artifact.
        decryption: What to decrypt it with, where it is encrypted.
        progress: Called with the bytes of SQL read so far.

    Returns:
        The proof that this is: ``verified`` or ``checksum``.

    Raises:
        DamageError: It is damaged, cut off or exchanged.
        ArtifactError: It cannot be read.
        CredentialsError: It cannot be decrypted.
        ClientError: The program that is needed to read it is missing.
    """
    refuse_unknown(stored)
    return _VERIFIERS[stored.manifest.strategy](stored, decryption, progress)


def refuse_unknown(stored: StoredArtifact) -> None:
    """Refuse an artifact of which this engine does not know how it was made or encrypted.

    Raises:
        ArtifactError: It is one.
    """
    strategy = stored.manifest.strategy
    if strategy not in _VERIFIERS:
        raise ArtifactError(
            f"The artifact {stored.path} was made by the strategy {strategy!r}, which this engine does not know.",
            "Upgrade the engine by applying the role vya.backupdb.runtime.",
        )
    encryption = stored.manifest.encryption
    if encryption is not None and encryption.get("method") != METHOD:
        raise ArtifactError(
            f"The artifact {stored.path} was encrypted by the method {encryption.get('method')!r}, which this engine"
            " does not know.",
            "Upgrade the engine by applying the role vya.backupdb.runtime.",
        )


def verify_and_record(
    context: Context, stored: StoredArtifact, progress: Optional[ProgressCallback] = None
) -> tuple[VerificationResult, RunRecord]:
    """Verify an artifact, note in its manifest what that proved or mark it as damaged, and record either.

    What was found damaged once stays so: a disk that gives other bytes each time is not to be trusted.

    Raises:
        StorageError: The catalog cannot be written, or the storage is another machine's.
    """
    manifest = stored.manifest
    if stored.path.is_relative_to(context.storage.home):
        context.ownership.refuse_others()
    names = (manifest.database_id, manifest.database)
    tell = progress or (lambda _progress: None)
    run = context.start("verification", *names, manifest.policy, artifact=str(stored.path))
    error = note = None
    try:
        with artifact_in_use(stored.path):
            proof = verify_artifact(
                stored,
                context.decryption,
                lambda done: tell(Progress(*names, "verifying", done, manifest.plain_bytes)),
            )
            _refuse_marked(stored)
            note = _CHECKSUM_ONLY if proof == CHECKSUM else None
            manifest = manifest.with_proof(proof, context.clock())
            manifest.write(stored.path.parent)
    except DamageError as exc:
        error = " ".join(filter(None, (str(exc), _mark(context, stored, exc.message))))
    except BackupDbError as exc:
        error = str(exc)
    except OSError as exc:
        error = str(storage_error(exc, stored.manifest_path))
    record = context.finish(run, error, stored_bytes=manifest.stored_bytes)
    tell(Progress(*names, "failed" if error else "done"))
    outcome, known = (FAILED, None) if error else (SUCCESS, manifest.proof)
    return VerificationResult(str(stored.path), *names, outcome, known, error, None if error else note), record


def choose_to_verify(
    context: Context,
    artifact: Optional[Path],
    database_id: Optional[str],
    database: Optional[str],
    policy: Optional[Policy],
    newest_only: bool,
) -> list[StoredArtifact]:
    """Return the artifacts to verify, newest first.

    Args:
        context: What to work with.
        artifact: Only the artifact at this path.
        database_id: Only artifacts of this instance.
        database: Only artifacts of this database.
        policy: Only artifacts of the databases that follow this policy.
        newest_only: Only the newest artifact of each database.

    Raises:
        ArtifactError: There is no artifact at the path.
        StorageError: The storage cannot be read.
    """
    if artifact is not None:
        return [find_artifact(artifact)]
    chosen: list[StoredArtifact] = []
    seen: set[tuple[str, str]] = set()
    for stored in context.storage.artifacts(database_id, database):
        name = (stored.manifest.database_id, stored.manifest.database)
        if (policy is None or context.config.policy_of(*name) == policy) and not (newest_only and name in seen):
            chosen.append(stored)
        seen.add(name)
    return chosen


def verify_several(
    context: Context,
    chosen: Sequence[StoredArtifact],
    policy: Optional[str] = None,
    progress: Optional[ProgressCallback] = None,
) -> list[VerificationResult]:
    """Verify artifacts one after another, until told to stop, and tell the observers at the end.

    Args:
        context: What to work with.
        chosen: The artifacts.
        policy: The policy that asked for it, for the record.
        progress: Told how far it is.

    Raises:
        StorageError: The catalog cannot be written, or the storage is another machine's.
    """
    results, records = [], []
    for stored in chosen:
        if context.processes.cancelled.is_set():
            break
        if not os.path.lexists(stored.path):  # removed by retention since it was chosen
            continue
        result, record = verify_and_record(context, stored, progress)
        results.append(result)
        records.append(record)
    context.finish_batch("verification", policy, records)
    return results


def prove_new(context: Context, artifact: Path, tell: ProgressCallback) -> Manifest:
    """Read an artifact back that has just been made, and return its manifest with the proof.

    Raises:
        ArtifactError: It is not whole; the message says that it is kept, marked as damaged.
        StorageError: The catalog cannot be written.
    """
    stored = find_artifact(artifact)
    manifest = stored.manifest

    def without_ends(progress: Progress) -> None:  # the end is that of the backup
        if progress.phase == "verifying":
            tell(progress)

    result, _record = verify_and_record(context, stored, without_ends)
    if result.outcome != SUCCESS:
        raise ArtifactError(f"The new artifact was read back and is not good: {result.error}", "See to the disk.")
    return manifest.with_proof(result.proof or VERIFIED, context.clock())


def _refuse_marked(stored: StoredArtifact) -> None:
    mark = stored.damage
    if mark is not None:
        when = f" at {to_text(mark.at)}" if mark.at else ""
        raise ArtifactError(
            f"The artifact {stored.path} was found damaged{when} ({mark.reason}) and reads whole now: its disk is not"
            " to be trusted.",
            f"If you know why, remove {damage_path(stored.path)}",
        )


def _mark(context: Context, stored: StoredArtifact, reason: str) -> str:
    """Mark an artifact as damaged; return in a sentence why that failed, if it did."""
    if stored.damage is not None:
        return ""
    try:
        write_mark(damage_path(stored.path), Mark(reason, acting_user(), context.clock()))
    except OSError as exc:
        return str(storage_error(exc, damage_path(stored.path)))
    return ""
