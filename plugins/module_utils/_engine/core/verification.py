# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Verification: an artifact read back as a whole before anyone has to rely on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Optional

from ..db.factory import END_MARKERS
from ..errors import ArtifactError, BackupDbError
from .backup import Progress, ProgressCallback
from .catalog import FAILED, SUCCESS
from .context import Context
from .pipeline import read_segments
from .storage import StoredArtifact, storage_error

_TAIL_BYTES = 4096


@dataclass(frozen=True)
class VerificationResult:
    """How the verification of one artifact ended."""

    artifact: str
    database_id: str
    database: str
    outcome: str
    proof: Optional[str] = None
    error: Optional[str] = None


def plain_chunks(stored: StoredArtifact) -> Iterator[bytes]:
    """Yield the SQL text of an artifact, checking size, checksum, compression and structure on the way.

    Raises:
        ArtifactError: It is damaged, cut off or exchanged. Content may have been yielded before that.
    """
    manifest = stored.manifest
    what = f"The artifact {stored.path}"
    try:
        descriptor = os.open(stored.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise ArtifactError(f"{what} cannot be read: {exc.strerror}.") from None
    try:
        size = os.fstat(descriptor).st_size
        if size != manifest.stored_bytes:
            raise ArtifactError(
                f"{what} is damaged: it has {size} bytes, its manifest says {manifest.stored_bytes}.",
                "Use another artifact.",
            )
        dump_end = sum(s.plain_length for s in manifest.segments if s.kind != "postamble")
        position, tail = 0, b""
        for chunk in read_segments(descriptor, manifest.sha256, what):
            if position < dump_end:
                tail = (tail + chunk[: dump_end - position][-_TAIL_BYTES:])[-_TAIL_BYTES:]
            position += len(chunk)
            yield chunk
        marker = END_MARKERS.get(manifest.dbms.get("flavour", ""))
        if position != manifest.plain_bytes or marker is None or not marker.search(tail):
            raise ArtifactError(f"{what} is not whole: the end of the dump is missing.", "Use another artifact.")
    except OSError as exc:
        raise ArtifactError(
            f"{what} cannot be read: {exc.strerror}.", "See to the disk; use another artifact."
        ) from None
    finally:
        os.close(descriptor)


def verify_artifact(stored: StoredArtifact, progress: Optional[Callable[[int], None]] = None) -> None:
    """Read an artifact back as a whole.

    Args:
        stored: The artifact.
        progress: Called with the bytes of SQL read so far.

    Raises:
        ArtifactError: It is damaged, cut off or exchanged.
    """
    done = 0
    for chunk in plain_chunks(stored):
        done += len(chunk)
        if progress:
            progress(done)


def verify_and_record(
    context: Context, stored: StoredArtifact, progress: Optional[ProgressCallback] = None
) -> VerificationResult:
    """Verify an artifact, mark it as ``verified`` when it is whole, and put that on record either way.

    Raises:
        StorageError: The catalog cannot be written, or the storage is another machine's.
    """
    manifest = stored.manifest
    if stored.path.is_relative_to(context.storage.home):
        context.ownership.refuse_others()
    names = (manifest.database_id, manifest.database)
    tell = progress or (lambda _progress: None)
    run = context.start("verification", *names)
    error: Optional[str] = None
    try:
        verify_artifact(stored, lambda done: tell(Progress(*names, "verifying", done, manifest.plain_bytes)))
        manifest = manifest.with_proof("verified", context.clock())
        manifest.write(stored.path.parent)
    except BackupDbError as exc:
        error = str(exc)
    except OSError as exc:
        error = str(storage_error(exc, stored.manifest_path))
    context.finish(run, error, artifact=str(stored.path), stored_bytes=manifest.stored_bytes)
    tell(Progress(*names, "failed" if error else "done"))
    return VerificationResult(
        str(stored.path), *names, FAILED if error else SUCCESS, None if error else manifest.proof, error
    )
