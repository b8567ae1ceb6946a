# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking one table out of an artifact: its definition, its rows, its indexes, reading no more than what is needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Optional

from ..db.factory import table_filter
from ..db.table_filter import DumpFilter
from ..errors import ArtifactError, DamageError
from .compression import plain_pieces
from .encryption import Decryption
from .load_plan import rows_statement
from .manifest import Segment
from .packed import Packed, opened
from .segmentation import ROWS
from .storage import StoredArtifact
from .verification import refuse_unknown, verify_checksum

_LEFT_OUT = ("preamble", "postamble")  # settings of the database, grants


def extract_table(stored: StoredArtifact, table: str, decryption: Decryption) -> Iterator[bytes]:
    """Yield the SQL that makes one table and fills it.

    Segments without rows of the table are passed over. Where the artifact was not cut, all of it is read; where it is
    encrypted, all of it is decrypted; where it is neither compressed nor encrypted, so that only the checksum of the
    whole tells damage, that is looked at first.

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
    refuse_missing(stored, [table])
    encoding = str(manifest.settings.get("encoding", "UTF8"))
    chosen = table_filter(manifest.dbms.get("flavour", ""), table, encoding)
    if manifest.encryption is None and manifest.compression.get("algorithm") == "none":
        verify_checksum(stored, decryption, lambda _done: None)
    with opened(stored, decryption) as packed:
        segments = manifest.segments
        yield from filtered(
            segments, chosen, lambda number: _plain(stored, packed, segments[number]), left_out=_LEFT_OUT
        )
    if not chosen.defined:
        raise ArtifactError(
            f"Nothing of the table {table!r} was found in the dump, although its manifest names it.",
            "Restore the whole artifact into another name, and take it from there.",
        )


def refuse_missing(stored: StoredArtifact, tables: Sequence[str]) -> None:
    """Refuse tables that an artifact does not hold.

    Raises:
        ArtifactError: There is one.
    """
    known = stored.manifest.inventory.get("table", [])
    missing = [table for table in tables if table not in known]
    if missing:
        raise ArtifactError(
            f"The artifact {stored.path} holds no table {', '.join(repr(table) for table in missing)}.",
            f"It holds: {', '.join(known[:10]) + (' …' if len(known) > 10 else '') or 'none'}.",
        )


def filtered(
    segments: Sequence[Segment],
    chosen: DumpFilter,
    plain: Callable[[int], Iterator[bytes]],
    left_out: Collection[str] = (),
) -> Iterator[bytes]:
    """Yield what a filter lets pass of an artifact's content, passing over segments that hold nothing of it.

    Args:
        segments: The artifact's.
        chosen: The filter.
        plain: Yields the plain content of a segment by its number; called in their order.
        left_out: Kinds of segments of which nothing is wanted.
    """
    for number, passing in filtered_segments(segments, chosen, plain, left_out):
        if passing is not None:
            yield from passing
            continue
        before, after = chosen.loading.rows(*rows_statement(segments, number))
        yield before
        yield from plain(number)
        yield after
    yield from chosen.finish()


def filtered_segments(
    segments: Sequence[Segment],
    chosen: DumpFilter,
    plain: Callable[[int], Iterator[bytes]],
    left_out: Collection[str] = (),
) -> Iterator[tuple[int, Optional[Iterator[bytes]]]]:
    """Yield the number of each segment of which something may pass, with what passes; None where all of its rows do.

    The arguments are those of :func:`filtered`. What passes of a segment is to be read before the next is asked for.
    """
    for number, segment in enumerate(segments):
        if segment.kind in left_out:
            continue
        if segment.kind != ROWS:
            yield number, _passing(chosen, plain(number))
        elif any(chosen.is_key(key) for key in segment.tables):
            if len(segment.tables) == 1:
                yield number, None
                continue
            before, after = chosen.loading.rows(*rows_statement(segments, number))
            yield number, _passing(chosen, chain((before,), plain(number), (after,)))


def _passing(chosen: DumpFilter, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from chosen.feed(piece)


def _plain(stored: StoredArtifact, packed: Packed, segment: Segment) -> Iterator[bytes]:
    what, length = f"The artifact {stored.path}", 0
    for piece in plain_pieces(packed.stream(segment), stored.manifest.compression.get("algorithm", "gzip"), what):
        length += len(piece)
        yield piece
    if length != segment.plain_length:
        raise DamageError(f"{what} has other parts than its manifest says.", "Use another artifact.")
