# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a part of an artifact: named tables with what belongs to them, or definitions without rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Optional

from ..db.factory import part_filter
from ..errors import ArtifactError
from .extraction import filtered
from .loads import Load, LoadTask
from .manifest import Segment
from .packed import Packed, opened
from .part import Part
from .segment_load import Loader, Survey
from .verification import plain_chunks, refuse_unknown

_NAMED = 5  # how many objects of a kind a sentence spells out
_OF_TABLES = ("index", "trigger", "policy")  # kinds that are not named, as their tables are


class PartLoad(Load):
    """Loads by one client what a filter lets pass of the stream. The artifact is read as a whole before."""

    def __init__(self, task: LoadTask, part: Part) -> None:
        """Begin.

        Args:
            task: What is to be loaded, and with what.
            part: Which part of it.

        Raises:
            ArtifactError: Of such an artifact no part can be loaded.
        """
        super().__init__(task)
        refuse_unknown(task.stored)
        manifest = task.stored.manifest
        if manifest.strategy != "logical":
            raise ArtifactError(
                f"The artifact {task.stored.path} is no stream of SQL: it is restored as a whole only.",
                "Restore it under another name and drop what is too much, or use pg_restore --table.",
            )
        self._part = part
        self._filter = part_filter(manifest.dbms.get("flavour", ""), manifest.inventory, part.tables, part.rows)
        self._digests: list[bytes] = []

    @property
    def inventory(self) -> Mapping[str, list[str]]:
        """The names of the objects that have been loaded, by kind; of tables only those kinds that belong to them."""
        manifest = self.stored.manifest
        if self._part.tables:
            return {kind: sorted(names) for kind, names in self._filter.objects.items()}
        return {**manifest.inventory, **({"large_object": []} if "large_object" in manifest.inventory else {})}

    @property
    def rows(self) -> Optional[Mapping[str, int]]:
        """How many rows each table is to have."""
        rows = super().rows
        if rows is None:
            return None
        wanted = self._filter.tables or set(rows)
        return {name: count if self._part.rows else 0 for name, count in rows.items() if name in wanted}

    @property
    def left_out(self) -> tuple[str, ...]:
        """What of the artifact was not loaded, in sentences."""
        if not self._part.tables:
            return ()
        sentences = list(self._filter.left_out)
        for kind, loaded in self._filter.objects.items():
            names = sorted(set(self.stored.manifest.inventory.get(kind, ())) - loaded)
            if names and kind not in _OF_TABLES:
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                sentences.append(f"Not restored, {kind.replace('_', ' ')}: {', '.join(names[:_NAMED])}{more}.")
        return tuple(sentences)

    def examine(self, progress: Callable[[int], None], thorough: bool) -> None:
        """Read the file as a whole, and see what belongs to the part."""
        done = 0

        def passes(segment: Segment) -> bool:
            nonlocal done
            if not thorough:
                done += segment.plain_length
                progress(done)
            return thorough

        for piece in plain_chunks(self.stored, self._task.decryption, self._digests, passes):
            self._filter.learn(piece)
            done += len(piece)
            progress(done)
        self._filter.learned()

    def load(self, database: str, progress: Callable[[int], None]) -> str:
        """Feed the client."""
        task = self._task
        survey = Survey(self.stored, task.decryption, self._digests, ())
        loader = Loader(
            task.processes, task.dbms, survey, database, jobs=1, stall_timeout=task.stall_timeout, progress=progress
        )
        with opened(self.stored, task.decryption) as packed:
            loader.feed_client(self._content(loader, packed, database))
        return loader.remarks

    def _content(self, loader: Loader, packed: Packed, database: str) -> Iterator[bytes]:
        segments = self.stored.manifest.segments
        passed = filtered(
            segments, self._filter, lambda number: loader.segment(packed.stream(segments[number]), number)
        )
        yield self._task.dbms.loading.session
        yield from self._task.dbms.renamed(passed, self.stored.manifest.database, database)
