# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a part of an artifact: named tables with what belongs to them, or definitions without rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from typing import Optional

from ..db.base import version_number
from ..db.factory import DIRECTORY_FORMATS, part_filter
from ..errors import DumpError, RestoreError
from ..utils.processes import describe_exit
from .directory import verify_directory
from .extraction import filtered
from .loads import Load, LoadTask
from .packed import Packed, opened, unreadable
from .part import Part
from .part_survey import can_be_parted, part_survey
from .pipeline import load_chunks, read_child
from .segment_load import Loader, Survey, read_through
from .verification import refuse_unknown
from .watching import at_work

_NAMED = 5  # how many objects of a kind a sentence spells out
_OF_TABLES = ("index", "trigger", "policy")  # kinds that are not named, as their tables are


class PartLoad(Load):
    """Loads what a filter lets pass of a dump. The artifact is read as a whole before."""

    def __init__(self, task: LoadTask, part: Part) -> None:
        """Begin.

        Args:
            task: What is to be loaded, and with what.
            part: Which part of it.
        """
        super().__init__(task)
        manifest = task.stored.manifest
        self._part = part
        flavour, encoding = manifest.dbms.get("flavour", ""), str(manifest.settings.get("encoding", "UTF8"))
        self._filter = part_filter(flavour, manifest.inventory, part.tables, part.rows, encoding)

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


class LogicalPartLoad(PartLoad):
    """Of one stream; segments without wanted rows are passed over."""

    def __init__(self, task: LoadTask, part: Part) -> None:
        """Begin; the arguments are those of :class:`PartLoad`."""
        super().__init__(task, part)
        self._digests: list[bytes] = []

    def examine(self, progress: Callable[[int], None], thorough: bool) -> None:
        """Read the file as a whole, and see what belongs to the part."""
        task = self._task
        for piece in read_through(self.stored, task.decryption, self._digests, progress, thorough=thorough):
            self._filter.learn(piece)
        self._filter.learned()

    def load(self, database: str, progress: Callable[[int], None]) -> str:
        """Feed the clients: several, where there are enough rows."""
        task, segments = self._task, self.stored.manifest.segments
        whole = Survey(self.stored, task.decryption, segments, self._digests, ())
        with opened(self.stored, task.decryption) as packed:
            if not can_be_parted(self.stored, self._filter, task.jobs):
                loader = self._loader(whole, database, progress)
                loader.feed_client(self._content(loader, packed, database))
                return loader.remarks
            reader = self._loader(whole, database, lambda _done: None)
            survey = part_survey(
                whole,
                self._filter,
                lambda number: reader.segment(packed.stream(segments[number]), number),
                keys_later=task.keys_later,
            )
        return self._loader(survey, database, progress).load()

    def _content(self, loader: Loader, packed: Packed, database: str) -> Iterator[bytes]:
        segments = self.stored.manifest.segments
        passed = filtered(
            segments, self._filter, lambda number: loader.segment(packed.stream(segments[number]), number)
        )
        yield self._task.dbms.loading.session
        yield from self._task.dbms.renamed(passed, self.stored.manifest.database, database)


class ParallelPartLoad(PartLoad):
    """Of a directory, which the vendor's client writes as one stream for us."""

    def __init__(self, task: LoadTask, part: Part) -> None:
        """Begin; the arguments are those of :class:`PartLoad`."""
        super().__init__(task, part)
        manifest = task.stored.manifest
        version = version_number(str(manifest.tool.get("version", "")))
        self._directory = DIRECTORY_FORMATS[manifest.dbms.get("flavour", "")](version, task.processes)

    def examine(self, progress: Callable[[int], None], thorough: bool) -> None:
        """See that all files are what they were when they were sealed, and what belongs to the part."""
        verify_directory(self.stored, self._task.processes, progress, jobs=self._task.jobs, unpacked=False)
        for piece in self._stream(()):
            self._filter.learn(piece)
        self._filter.learned()

    def load(self, database: str, progress: Callable[[int], None]) -> str:
        """Feed the client."""
        task = self._task
        return load_chunks(
            task.processes,
            task.dbms.load_command(database),
            self._content(),
            stall_timeout=task.stall_timeout,
            explain=task.dbms.explain,
            progress=progress,
            excused=lambda: at_work(task.dbms, database),
        )

    def _content(self) -> Iterator[bytes]:
        manifest = self.stored.manifest
        with_rows = self._filter.tables if self._part.rows else set()
        files = [each.name for each in manifest.files if with_rows & each.tables.keys()]
        try:
            before, after = self._directory.frame(self.stored.path, manifest.settings)
        except OSError as exc:
            raise unreadable(f"The artifact {self.stored.path}", exc) from None
        yield self._task.dbms.loading.session + before
        for piece in self._stream(files):
            yield from self._filter.feed(piece)
        yield from self._filter.finish()
        yield after

    def _stream(self, files: Collection[str]) -> Iterator[bytes]:
        """Yield the definitions, and the rows in some of the files, as SQL."""
        task, command = self._task, self._directory.content(self.stored.path, files)
        with task.processes.start(command) as child:
            try:
                yield from read_child(child, stall_timeout=task.stall_timeout, timeout=timedelta.max)
            except DumpError as exc:
                raise RestoreError(exc.message, exc.hint) from None
            code = child.wait()
        if code != 0:
            reason = task.dbms.explain(child.stderr) or "it gave no reason"
            raise RestoreError(f"{command.program} failed ({describe_exit(code)}): {reason}")


PART_LOADS: dict[str, type[PartLoad]] = {"logical": LogicalPartLoad, "parallel": ParallelPartLoad}


def part_load_of(task: LoadTask, part: Part) -> PartLoad:
    """Return the load of a part that fits an artifact.

    Raises:
        ArtifactError: It was made by a strategy of which this engine knows nothing.
        ClientError: The vendor's client that reads it is missing.
    """
    refuse_unknown(task.stored)
    return PART_LOADS[task.stored.manifest.strategy](task, part)
