# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking one table out of an artifact: its definition, its rows, its indexes, reading no more than what is needed."""

from __future__ import annotations

from collections.abc import Iterator

from ..db.factory import table_filter
from ..db.table_filter import TableFilter
from ..errors import ArtifactError, DamageError
from .compression import plain_pieces
from .encryption import Decryption
from .load_plan import rows_statement
from .manifest import Segment
from .packed import Packed, opened
from .segmentation import ROWS
from .storage import StoredArtifact
from .verification import refuse_unknown

_LEFT_OUT = ("preamble", "postamble")  # settings of the database, grants


def extract_table(stored: StoredArtifact, table: str, decryption: Decryption) -> Iterator[bytes]:
    """Yield the SQL that makes one table and fills it.

    Segments without rows of the table are passed over. Where the artifact was not cut, all of it is read; where it is
    encrypted, all of it is decrypted.

    Args:
        stored: The artifact.
        table: The table as in the manifest's inventory.
        decryption: What to decrypt it with, where it is encrypted.

    Raises:
        ArtifactError: It holds no such table, or cannot be read.
        CredentialsError: It cannot be decrypted.
        DamageError: What is read of it is damaged. Content may have been yielded before that.
    """
    refuse_unknown(stored)
    manifest = stored.manifest
    if manifest.strategy != "logical":
        raise ArtifactError(
            f"The artifact {stored.path} is no stream of SQL.", "Take the table out with pg_restore --table."
        )
    tables = manifest.inventory.get("table", [])
    if table not in tables:
        known = ", ".join(tables[:10]) + (" …" if len(tables) > 10 else "")
        raise ArtifactError(f"The artifact {stored.path} holds no table {table!r}.", f"It holds: {known or 'none'}.")
    chosen = table_filter(manifest.dbms.get("flavour", ""), table)
    with opened(stored, decryption) as packed:
        yield from _extracted(stored, packed, chosen)


def _extracted(stored: StoredArtifact, packed: Packed, chosen: TableFilter) -> Iterator[bytes]:
    segments = stored.manifest.segments
    for number, segment in enumerate(segments):
        if segment.kind in _LEFT_OUT:
            continue
        if segment.kind != ROWS:
            for piece in _plain(stored, packed, segment):
                yield from chosen.feed(piece)
        elif any(chosen.is_key(key) for key in segment.tables):
            before, after = chosen.loading.rows(*rows_statement(segments, number))
            if len(segment.tables) == 1:
                yield before
                yield from _plain(stored, packed, segment)
                yield after
                continue
            yield from chosen.feed(before)
            for piece in _plain(stored, packed, segment):
                yield from chosen.feed(piece)
            yield from chosen.feed(after)
    yield from chosen.finish()


def _plain(stored: StoredArtifact, packed: Packed, segment: Segment) -> Iterator[bytes]:
    what, length = f"The artifact {stored.path}", 0
    for piece in plain_pieces(packed.stream(segment), stored.manifest.compression.get("algorithm", "gzip"), what):
        length += len(piece)
        yield piece
    if length != segment.plain_length:
        raise DamageError(f"{what} has other parts than its manifest says.", "Use another artifact.")
