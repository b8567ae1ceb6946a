# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""In which steps several clients load a part of an artifact.

Segments that hold rows of one wanted table alone are loaded as they are, whoever takes them. What passes of all others
is little, and kept in memory: definitions, and rows where a small table shares a segment with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..db.table_filter import DumpFilter
from .extraction import filtered_segments
from .load_plan import LoadPlanner
from .manifest import Segment
from .segment_load import Survey
from .segmentation import DEFINITIONS, ROWS
from .storage import StoredArtifact

_HELD_BYTES = 32 * 1024 * 1024  # of segments that are not loaded as they are


def can_be_parted(stored: StoredArtifact, chosen: DumpFilter, jobs: int) -> bool:
    """Tell whether several clients can load what a filter lets pass of an artifact.

    Args:
        stored: The artifact.
        chosen: The filter, which knows already what is wanted.
        jobs: How many clients there may be.
    """
    if jobs < 2 or stored.manifest.encryption is not None:  # to read some of it first would be to decrypt all of it
        return False
    whole, held = 0, 0
    segments = stored.manifest.segments
    for number, passing in filtered_segments(segments, chosen, lambda _number: iter(())):  # none of which is read
        if passing is None:
            whole += 1
        else:
            held += segments[number].plain_length
    return whole > 1 and held <= _HELD_BYTES


def part_survey(
    survey: Survey, chosen: DumpFilter, plain: Callable[[int], Iterator[bytes]], *, keys_later: bool
) -> Survey:
    """Read what is kept in memory of a part, and see in which steps it can be loaded.

    Args:
        survey: Of the whole artifact.
        chosen: Lets pass what is wanted.
        plain: Yields the plain content of a segment by its number; called in their order.
        keys_later: Whether keys may be made after the rows that are defined before.

    Raises:
        DamageError: The artifact is not what it was before.
        ArtifactError: It cannot be read.
    """
    segments: list[Segment] = []
    digests: list[bytes] = []
    texts: dict[int, bytes] = {}

    def keep(segment: Segment, text: bytes) -> None:
        if text:
            texts[len(segments)] = text
            # Rows that pass with their statements are statements like others. The segment before still sees here
            # whether its own go on.
            kind = DEFINITIONS if segment.kind == ROWS else segment.kind
            segments.append(replace(segment, kind=kind, plain_length=len(text), tables={}))
            digests.append(b"")

    for number, passing in filtered_segments(survey.segments, chosen, plain):
        segment = survey.segments[number]
        if passing is None:
            segments.append(segment)
            digests.append(survey.digests[number])
        else:
            keep(segment, b"".join(passing))
    keep(replace(survey.segments[-1], continues=""), b"".join(chosen.finish()))
    planner = LoadPlanner(segments, chosen.loading, keys_later=keys_later)
    for number in range(len(segments)):
        if number in texts:
            planner.feed(texts[number])
        else:
            planner.skip()
    return replace(survey, segments=segments, digests=digests, steps=planner.steps(), rows=planner.rows, texts=texts)
