# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""One run at a time for each database, across timers, modules and the command line.

The lock is a ``flock`` on a file: the kernel frees it when its holder ends, however that ends, so that no stale lock
can exist. The file's content only says who holds it.

An artifact that is being read (verified, restored) is locked too, so that retention does not take it away meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import ArtifactError, LockedError
from .forms import form_of
from .storage import storage_error


@contextlib.contextmanager
def database_lock(directory: Path, database_id: str, database: str, purpose: str) -> Iterator[None]:
    """Hold the lock of a database for the length of a ``with`` block.

    Args:
        directory: Where lock files are.
        database_id: The instance.
        database: The database.
        purpose: What we are about to do, shown to those who find it locked.

    Raises:
        LockedError: Another run holds it; the message says which.
        StorageError: The lock file cannot be made.
    """
    # Hashed, since a name may hold characters that no file name can.
    digest = hashlib.sha256(f"{database_id}\0{database}".encode()).hexdigest()[:32]
    path = directory / f"{digest}.lock"
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise storage_error(exc, path) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode("utf-8", errors="replace").strip() or "another run"
            raise LockedError(
                f"{database_id}/{database} is in use by {holder}.", "Wait for its end, or look at: vya-backupdb status."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{purpose} (process {os.getpid()})\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def artifact_in_use(artifact: Path) -> Iterator[None]:
    """Keep retention away from an artifact for the length of a ``with`` block; many may do so at once.

    Raises:
        ArtifactError: The artifact is gone, or just being removed.
    """
    with _locked(artifact, os.O_RDONLY, fcntl.LOCK_SH) as alone:
        if not alone:
            raise ArtifactError(f"The artifact {artifact} is just being removed by retention.", "Use another artifact.")
        yield


@contextlib.contextmanager
def artifact_for_removal(artifact: Path) -> Iterator[bool]:
    """Yield whether nobody is reading the artifact, and let nobody begin for the length of a ``with`` block.

    Raises:
        ArtifactError: The artifact is gone.
    """
    with _locked(artifact, form_of(artifact).lock_flags, fcntl.LOCK_EX) as alone:
        yield alone


@contextlib.contextmanager
def _locked(artifact: Path, flags: int, kind: int) -> Iterator[bool]:
    try:
        descriptor = os.open(artifact, flags | os.O_CLOEXEC)
    except OSError as exc:
        raise ArtifactError(f"The artifact {artifact} cannot be opened: {exc.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)
