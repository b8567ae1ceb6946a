# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading an artifact that has been read before: by one client, and rows and indexes by several."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Optional

from ..db.base import Dbms
from ..db.loading import Loading
from ..errors import DamageError, RestoreError
from ..utils.processes import Child, ProcessTable
from .build_plan import BuildStatement, shares
from .compression import plain_pieces
from .definition_mapper import DefinitionMapper
from .encryption import Decryption
from .load_plan import LoadPlanner, Step, rows_statement
from .manifest import Segment
from .owners import mapped_settings
from .packed import Packed, opened
from .pipeline import load_chunks
from .segmentation import ROWS
from .storage import StoredArtifact
from .together import Started, Together
from .verification import plain_chunks
from .watching import at_work

_HELD_BYTES = 64 * 1024 * 1024  # of an encrypted artifact, what each client may hold in memory
_NAMED = 3  # how many tables a message names


@dataclass(frozen=True)
class Survey:
    """What is known of an artifact that was read and found right.

    Attributes:
        stored: The artifact.
        decryption: What it was decrypted with, where it is encrypted.
        segments: Those that are loaded, in their order.
        digests: The SHA-256 of the compressed bytes of each of them.
        steps: In which they are loaded.
        rows: How many rows each table has, by the names that builds have for them.
        texts: What is loaded of segments by their numbers that are not loaded as they are, where only a part of the
            artifact is wanted.
    """

    stored: StoredArtifact
    decryption: Decryption
    segments: Sequence[Segment]
    digests: Sequence[bytes]
    steps: Sequence[Step]
    rows: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[int, bytes] = field(default_factory=dict)


def read_through(
    stored: StoredArtifact,
    decryption: Decryption,
    digests: list[bytes],
    progress: Callable[[int], None],
    *,
    thorough: bool,
    skipped: Optional[Callable[[], None]] = None,
) -> Iterator[bytes]:
    """Read an artifact as a whole, and yield its plain content.

    Args:
        stored: The artifact; one file.
        decryption: What to decrypt it with, where it is encrypted.
        digests: Gets the SHA-256 of each segment as it is stored.
        progress: Called with the bytes of SQL read so far.
        thorough: Whether rows are unpacked, too; else nothing of them is yielded.
        skipped: Told of each segment of rows that is not.

    Raises:
        DamageError: It is damaged, cut off or exchanged.
        ArtifactError: It cannot be read.
        CredentialsError: It cannot be decrypted.
    """
    done = 0

    def rows(segment: Segment) -> bool:
        nonlocal done
        if not thorough:
            done += segment.plain_length
            progress(done)
            if skipped is not None:
                skipped()
        return thorough

    for piece in plain_chunks(stored, decryption, digests, rows):
        yield piece
        done += len(piece)
        progress(done)


def survey_artifact(
    stored: StoredArtifact,
    loading: Loading,
    jobs: int,
    decryption: Decryption,
    progress: Callable[[int], None] = lambda _done: None,
    *,
    thorough: bool = True,
    keys_later: bool = True,
) -> Survey:
    """Read an artifact, compare it with its checksum, and see in which steps it can be loaded.

    Args:
        stored: The artifact.
        loading: What is known of its kind of dump.
        jobs: How many clients may load at a time.
        decryption: What to decrypt it with, where it is encrypted.
        progress: Called with the bytes of SQL read so far.
        thorough: Whether rows are unpacked, too, as a verification does. Where they are not, it is found while they are
            loaded if they were sealed damaged.
        keys_later: Whether keys may be made after the rows that are defined before.

    Raises:
        DamageError: It is damaged, cut off or exchanged.
        ArtifactError: It cannot be read.
        CredentialsError: It cannot be decrypted.
    """
    segments = stored.manifest.segments
    planner = None
    if jobs > 1 and _can_be_shared(stored):
        planner = LoadPlanner(segments, loading, keys_later=keys_later)
    digests: list[bytes] = []
    skip = planner.skip if planner is not None else None
    for piece in read_through(stored, decryption, digests, progress, thorough=thorough, skipped=skip):
        if planner is not None:
            planner.feed(piece)
    if planner is None:
        return Survey(stored, decryption, segments, digests, [Step(tuple(range(len(segments))), False, b"")])
    return Survey(stored, decryption, segments, digests, planner.steps(), planner.rows)


def _can_be_shared(stored: StoredArtifact) -> bool:
    """Whether each client may be given segments of its own: what is decrypted for it waits for it in memory."""
    longest = max((each.length for each in stored.manifest.segments if each.kind == ROWS), default=0)
    return stored.manifest.encryption is None or longest <= _HELD_BYTES


class Loader:
    """Loads one surveyed artifact into one database."""

    def __init__(
        self,
        processes: ProcessTable,
        dbms: Dbms,
        survey: Survey,
        database: str,
        *,
        jobs: int,
        stall_timeout: timedelta,
        progress: Callable[[int], None],
        owners: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Begin.

        Args:
            processes: What starts and ends children.
            dbms: The server.
            survey: The artifact.
            database: The database, which is there and empty.
            jobs: How many clients may load at a time.
            stall_timeout: Longest time without a client taking a byte, and longest for its end.
            progress: Called with the bytes of SQL taken so far, by one thread at a time.
            owners: By what accounts are called in the artifact, what they are to be called.
        """
        self._processes = processes
        self._dbms = dbms
        self._survey = survey
        self._database = database
        self._jobs = jobs
        self._stall_timeout = stall_timeout
        self._progress = progress
        self._mapper: Optional[DefinitionMapper] = None
        if owners:
            settings = mapped_settings(survey.stored.manifest.settings, owners)
            change = functools.partial(dbms.with_accounts, owners=owners, settings=settings)
            self._mapper = DefinitionMapper(dbms.loading, change)
        self._taken = 0
        self._remarks: list[str] = []
        self._lock = threading.Lock()
        self.segments = survey.segments

    def load(self) -> str:
        """Load all of it, and return what the clients wrote to their standard errors.

        Raises:
            RestoreError: A client failed or took nothing for too long; all have ended.
            DamageError: What is read now is not what was read before.
            ArtifactError: It cannot be read.
        """
        with opened(self._survey.stored, self._survey.decryption) as packed:
            for step in self._survey.steps:
                if step.builds:
                    self._build(step)
                    continue
                packed.seek(self.segments[step.segments[0]])
                if step.shared:
                    _SharedStep(self, packed, step).run(min(self._jobs, len(step.segments)))
                else:
                    self.feed_client(self._alone(packed, step))
        return self.remarks

    @property
    def remarks(self) -> str:
        """What the clients wrote to their standard errors so far."""
        return "\n".join(remarks for remarks in self._remarks if remarks)

    def _build(self, step: Step) -> None:
        """Have clients make keys and indexes, each those that are its share."""
        together = Together()

        def work(builds: Sequence[BuildStatement], started: Started) -> None:
            try:
                self.feed_client(together.until_failure(self._builds(step, builds)), started)
            except RestoreError as exc:
                tables = _listed(list(dict.fromkeys(each.build.table for each in builds)))
                what = f"{exc.message.rstrip('.')}; it was making keys or indexes of {tables}."
                raise RestoreError(what, exc.hint or self._dbms.loading.builds_hint) from None

        parts = shares(step.builds, self._survey.rows, self._jobs)
        together.run([functools.partial(work, part) for part in parts])

    def _builds(self, step: Step, builds: Sequence[BuildStatement]) -> Iterator[bytes]:
        told = b""
        yield self._dbms.loading.session + step.settings
        for each in builds:
            if each.settings != told:
                told = each.settings
                yield told
            yield each.text + b"\n"
            self._took(each.length)

    def _took(self, count: int) -> None:
        with self._lock:
            self._taken += count
            self._progress(self._taken)

    def _alone(self, packed: Packed, step: Step) -> Iterator[bytes]:
        manifest = self._survey.stored.manifest

        def content() -> Iterator[bytes]:
            for number in step.segments:
                segment = self.segments[number]
                stream = packed.stream(segment)
                if self._survey.texts and segment.kind == ROWS:  # others may be missing from before it, or after it
                    yield from self._framed(stream, number)
                    continue
                chunks = self.segment(stream, number, step.parts.get(number))
                yield from chunks if self._mapper is None else self._mapper.mapped(segment, chunks)

        yield self._dbms.loading.session + step.settings
        yield from self._dbms.renamed(content(), manifest.database, self._database)
        if step is not self._survey.steps[-1]:
            yield self._dbms.loading.interruption

    def shared(self, step: Step, taken: Iterator[tuple[int, Iterator[bytes]]]) -> Iterator[bytes]:
        """Yield what one of several clients is given: the settings, then segments for as long as there are any."""
        loading = self._dbms.loading
        yield loading.session + step.settings + loading.beginning()
        for number, content in taken:
            yield from self._framed(content, number)

    def _framed(self, content: Iterator[bytes], number: int) -> Iterator[bytes]:
        before, after = self._dbms.loading.rows(*rows_statement(self.segments, number))
        yield before
        yield from self.segment(content, number)
        yield after

    def segment(
        self, content: Iterator[bytes], number: int, parts: Optional[Sequence[tuple[int, int]]] = None
    ) -> Iterator[bytes]:
        """Yield the plain content of a segment, or parts of it.

        Args:
            content: Its compressed bytes.
            number: Which it is.
            parts: From where to where, in bytes of what it holds.

        Raises:
            DamageError: It is not what it was before. Content may have been yielded before that.
            ArtifactError: It cannot be read.
        """
        text = self._survey.texts.get(number)
        if text is not None:
            for piece in (text,) if parts is None else _parts((text,), parts):
                yield piece
                self._took(len(piece))
            return
        stored, digest = self._survey.stored, hashlib.sha256()
        segment = self.segments[number]
        what = f"The artifact {stored.path}"

        def hashed() -> Iterator[bytes]:
            for chunk in content:
                digest.update(chunk)
                yield chunk

        plain_length = 0

        def pieces() -> Iterator[bytes]:
            nonlocal plain_length
            for piece in plain_pieces(hashed(), stored.manifest.compression.get("algorithm", "gzip"), what):
                plain_length += len(piece)
                yield piece

        for piece in pieces() if parts is None else _parts(pieces(), parts):
            yield piece
            self._took(len(piece))
        if digest.digest() != self._survey.digests[number]:
            raise DamageError(f"{what} has changed while it was restored.", "Use another artifact.")
        if plain_length != segment.plain_length:
            raise DamageError(f"{what} has other parts than its manifest says.", "Use another artifact.")

    def feed_client(self, chunks: Iterator[bytes], started: Callable[[Child], None] = lambda _child: None) -> None:
        """Start a client and have it load SQL to its end.

        Args:
            chunks: The SQL; what this raises ends the client and goes on to the caller.
            started: Told of the client.

        Raises:
            RestoreError: The client failed or took nothing for too long.
        """
        remarks = load_chunks(
            self._processes,
            self._dbms.load_command(self._database),
            chunks,
            stall_timeout=self._stall_timeout,
            explain=self._dbms.explain,
            started=started,
            excused=lambda: at_work(self._dbms, self._database),
        )
        with self._lock:
            self._remarks.append(remarks)


class _SharedStep:
    """Several clients that take segments from one list until it is empty, or one of them fails."""

    def __init__(self, loader: Loader, packed: Packed, step: Step) -> None:
        self._loader = loader
        self._packed = packed
        self._step = step
        self._numbers = iter(step.segments)
        self._lock = threading.Lock()

    def run(self, clients: int) -> None:
        """Load the step's segments; what the first client raises that fails goes on to the caller."""
        together = Together()

        def work(started: Started) -> None:
            taken: list[int] = []
            stream = self._loader.shared(self._step, self._next_segments(taken))
            try:
                self._loader.feed_client(together.until_failure(stream), started)
            except RestoreError as exc:
                raise self._with_tables(exc, taken) from None

        together.run([work] * clients)

    def _with_tables(self, exc: RestoreError, taken: Sequence[int]) -> RestoreError:
        """Add to a client's error whose rows it was given last: the server may not name the table."""
        segments = self._loader.segments
        tables = list(dict.fromkeys(table for number in taken[-2:] for table in segments[number].tables))
        if not tables:
            return exc
        return RestoreError(f"{exc.message.rstrip('.')}; it was given rows of {_listed(tables)}.", exc.hint)

    def _next_segments(self, taken: list[int]) -> Iterator[tuple[int, Iterator[bytes]]]:
        while True:
            with self._lock:
                number = next(self._numbers, None)
                if number is None:
                    return
                content = self._packed.fetch(self._loader.segments[number])
            taken.append(number)
            yield number, content


def _listed(tables: Sequence[str]) -> str:
    more = f" and {len(tables) - _NAMED} more tables" if len(tables) > _NAMED else ""
    return f"{', '.join(tables[:_NAMED])}{more}"


def _parts(chunks: Iterable[bytes], parts: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Yield of a stream what is between some places, and read the rest."""
    position = 0
    for chunk in chunks:
        for start, end in parts:
            piece = chunk[max(start - position, 0) : max(end - position, 0)]
            if piece:
                yield piece
        position += len(chunk)
