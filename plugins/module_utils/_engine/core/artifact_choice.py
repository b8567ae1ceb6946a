# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which artifact is meant: one at a path, the newest of a database, or its newest from before a moment."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Optional

from ..errors import ArtifactError, ConfigError
from ..utils.clock import to_text
from .storage import Storage, StoredArtifact, find_artifact


def choose_artifact(
    storage: Storage, database_id: str, database: str, artifact: Optional[Path], before: Optional[datetime]
) -> StoredArtifact:
    """Return the artifact at a path, else the newest of a database, else its newest made at or before a moment.

    Raises:
        ArtifactError: There is none.
        ConfigError: Path and moment were both given, or the artifact is of another database.
    """
    if artifact is not None and before is not None:
        raise ConfigError("An artifact's path and a moment were both given.", "Give one of them.")
    if artifact is not None:
        stored = find_artifact(artifact)
        origin = stored.manifest.database
        if origin != database:
            raise ConfigError(
                f"The artifact {stored.path} is of the database {origin!r}, not of {database!r}.",
                f"Name {origin!r} as the database, and {database!r} as the target if that is meant.",
            )
        return stored
    found = storage.artifacts(database_id, database)
    if not found:
        raise ArtifactError(
            f"There is no artifact of {database_id}/{database} below {storage.root / storage.hostname}.",
            "List what exists: vya-backupdb list.",
        )
    if before is None:
        return found[0]
    fitting = [stored for stored in found if stored.manifest.created_at <= before]
    if not fitting:
        raise ArtifactError(
            f"No artifact of {database_id}/{database} is from {to_text(before)} or earlier;"
            f" the oldest is from {to_text(found[-1].manifest.created_at)}."
        )
    return fitting[0]
