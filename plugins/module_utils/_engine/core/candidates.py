# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What retention has to know of an artifact: a few fields of its manifest, and whether it is one of ours at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Optional

from ..errors import ArtifactError
from ..utils.clock import from_text
from .listing import Entry
from .manifest import PROOFS, SCHEMA_VERSION, is_sealed
from .marks import hold_path, read_mark

# The name is the authority for the time; a manifest that is this far from it has been altered or belongs elsewhere.
_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class Candidate:
    """An artifact as retention sees it.

    Attributes:
        path: The artifact.
        database_id: The instance.
        database: The database.
        created_at: When its dump began, by its name.
        plain_bytes: Size of the SQL text in it.
        stored_bytes: Its own size.
        proof: ``sealed``, ``verified`` or ``restored``.
        needs: File names of the artifacts that it cannot be restored without.
        hold: Why somebody wants it kept; None without a hold.
        damaged: Whether it was found damaged.
    """

    path: Path
    database_id: str
    database: str
    created_at: datetime
    plain_bytes: int
    stored_bytes: int
    proof: str = "sealed"
    needs: tuple[str, ...] = ()
    hold: Optional[str] = None
    damaged: bool = False


class LaterSchemaError(ArtifactError):
    """The manifest was written by a later version of the engine."""


def read_candidate(entry: Entry, hostname: str) -> Candidate:
    """Read what retention needs, and refuse what is not an artifact of this host and database.

    Reads only as much as it must: it is called for every artifact, of which there may be very many.

    Raises:
        LaterSchemaError: A later engine wrote it.
        ArtifactError: It is damaged, foreign, or contradicts its place; the message says so in a few words.
    """
    try:
        content = entry.manifest_path.read_bytes()
        document = json.loads(content)
        version = document["schema_version"]
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise LaterSchemaError(f"its manifest is of a later schema version ({version})")
        contradiction = contradiction_of(entry, hostname, document, from_text(document["created_at"]))
        if not isinstance(version, int) or document["proof"] not in PROOFS or not is_sealed(content) or contradiction:
            raise ArtifactError(contradiction or "its manifest is damaged")
        hold = read_mark(hold_path(entry.path)) if entry.held else None
        return Candidate(
            path=entry.path,
            database_id=entry.database_id,
            database=entry.database,
            created_at=entry.moment,
            plain_bytes=int(document["plain_bytes"]),
            stored_bytes=int(document["stored_bytes"]),
            proof=document["proof"],
            needs=tuple(str(name) for name in document.get("needs", ())),
            hold=hold.reason if hold else None,
            damaged=entry.damaged,
        )
    except OSError as exc:
        raise ArtifactError(f"its manifest cannot be read: {exc.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError("its manifest is damaged") from None


def contradiction_of(entry: Entry, hostname: str, fields: dict[str, Any], created_at: datetime) -> str:
    """Return in a few words what of a manifest does not fit its place; empty if all does.

    Args:
        entry: The place.
        hostname: The host whose storage it is in.
        fields: The manifest's ``hostname``, ``database_id``, ``database`` and ``artifact``.
        created_at: The manifest's time.
    """
    if fields["hostname"] != hostname:
        return "its manifest is of another host"
    if (fields["database_id"], fields["database"]) != (entry.database_id, entry.database):
        return "its manifest is of another database"
    if fields["artifact"] != entry.path.name or abs(created_at - entry.moment) > _TOLERANCE:
        return "its manifest contradicts its name"
    return ""
