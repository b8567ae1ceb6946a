# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog: every run, good or bad, in an SQLite file that many processes may use at once.

It keeps SQLite's rollback journal: in WAL mode even reading makes files beside it, so that a check mode that promises
to change nothing would, and with a connection for each of a few small transactions WAL saves nothing.

Runs are in the order in which they were put on record, whatever the clock said: a clock that was set back must not let
an old success hide a new failure.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import StorageError
from ..security.identity import acting_user
from ..utils.clock import Clock, utc_now
from ..utils.third_party import DeclarativeBase, Mapped, mapped_column
from .catalog_schema import bring_up_to_date
from .liveness import Liveness

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

ALL_DATABASES = "*"  # stands for a database's name where an instance could not even list them
OPEN, SUCCESS, FAILED, VANISHED, LOST = "running", "success", "failed", "vanished", "lost"
VANISHED_ERROR = "The process ended without a word: killed, or the machine stopped."


@dataclass(frozen=True)
class RunRecord:
    """One attempt at something, as the catalog has it. Sizes are bytes, moments aware and UTC.

    Attributes:
        run_id: Its identity (UUID).
        kind: ``backup``, ``restore``, ``verification``, ``retention`` (one removal), ``recovery`` (what a vanished
            restore had left was put right) or ``acceptance`` (someone said that a database is meant to be as it is).
        database_id: The instance.
        database: The database.
        policy: The policy that asked for it.
        trigger: ``timer``, ``command`` or ``ansible``.
        user: Who started it.
        started_at: When it began.
        ended_at: When it ended; None while it runs.
        outcome: ``running``, ``success``, ``failed``, ``vanished`` (its process died without a word) or ``lost`` (a
            restore failed and the old database could not be brought back).
        artifact: The artifact's path, where there is one.
        stored_bytes: The artifact's size.
        plain_bytes: The size of the SQL text in it.
        error: Why it failed.
        reason: Why it was done: what retention says of an artifact that it removes.
        server_bytes: The server's own figure for the size of the database that was dumped.
        traces: What a run that dies would leave behind, by name: side databases, a safety backup.
    """

    run_id: str
    kind: str
    database_id: str
    database: str
    policy: Optional[str]
    trigger: str
    user: str
    started_at: datetime
    ended_at: Optional[datetime] = None
    outcome: str = OPEN
    artifact: Optional[str] = None
    stored_bytes: Optional[int] = None
    plain_bytes: Optional[int] = None
    error: Optional[str] = None
    reason: Optional[str] = None
    server_bytes: Optional[int] = None
    traces: Mapping[str, str] = field(default_factory=dict)

    @property
    def duration(self) -> Optional[float]:
        """Seconds from beginning to end; None while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None


class _Base(DeclarativeBase):
    pass


class _Run(_Base):
    """The table ``runs``. Moments are text in ISO 8601 and UTC, so that they sort and any SQLite tool can read them."""

    __tablename__ = "runs"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[Optional[int]] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(index=True)
    database_id: Mapped[str] = mapped_column()
    database: Mapped[str] = mapped_column()
    policy: Mapped[Optional[str]] = mapped_column()
    trigger: Mapped[str] = mapped_column()
    user: Mapped[str] = mapped_column()
    started_at: Mapped[str] = mapped_column(index=True)
    ended_at: Mapped[Optional[str]] = mapped_column()
    outcome: Mapped[str] = mapped_column()
    artifact: Mapped[Optional[str]] = mapped_column()
    stored_bytes: Mapped[Optional[int]] = mapped_column()
    plain_bytes: Mapped[Optional[int]] = mapped_column()
    error: Mapped[Optional[str]] = mapped_column()
    process: Mapped[str] = mapped_column()
    reason: Mapped[Optional[str]] = mapped_column()
    server_bytes: Mapped[Optional[int]] = mapped_column()
    traces: Mapped[Optional[str]] = mapped_column()


class Catalog:
    """Reads and writes the records of runs."""

    def __init__(self, path: Path, clock: Clock = utc_now) -> None:
        """Name the catalog; nothing is opened or created before it is used.

        Args:
            path: The SQLite file.
            clock: What tells the time.
        """
        self.path = path
        self._clock = clock
        self._liveness = Liveness(path.with_name("runs"))
        self._factory: Optional[Callable[[], Session]] = None
        self._opening = threading.Lock()

    def _open(self) -> Callable[[], Session]:
        import sqlalchemy
        from sqlalchemy.orm import sessionmaker
        from sqlalchemy.pool import NullPool

        with self._opening:
            if self._factory is not None:
                return self._factory

            engine = sqlalchemy.create_engine(
                sqlalchemy.URL.create("sqlite", database=str(self.path)),
                connect_args={"timeout": 30},
                poolclass=NullPool,  # nothing is left open when the command ends
            )

            @sqlalchemy.event.listens_for(engine, "connect")
            def _configure(connection: Any, _record: Any) -> None:
                connection.execute("PRAGMA synchronous=FULL")

            bring_up_to_date(engine, _Base.metadata.tables[_Run.__tablename__], self.path)
            self._factory = sessionmaker(engine)
            return self._factory

    @contextmanager
    def _session(self) -> Iterator[Session]:
        import sqlalchemy.exc

        try:
            with self._open()() as session:
                yield session
        except sqlalchemy.exc.SQLAlchemyError as exc:
            reason = getattr(exc, "orig", None) or exc
            raise StorageError(
                f"The catalog {self.path} cannot be used: {reason}.",
                "Its directory must belong to the user vya-backupdb and have space left.",
            ) from None

    def start(
        self,
        kind: str,
        database_id: str,
        database: str,
        *,
        policy: Optional[str] = None,
        trigger: str = "command",
        artifact: Optional[str] = None,
        reason: Optional[str] = None,
    ) -> RunRecord:
        """Put on record that a run begins; from now on this process shows that it is alive.

        Args:
            kind: What it does.
            database_id: The instance.
            database: The database.
            policy: The policy that asks for it.
            trigger: ``timer``, ``command`` or ``ansible``.
            artifact: The artifact's path, where it is known from the beginning.
            reason: Why it is done.

        Raises:
            StorageError: The catalog cannot be written; then nothing should be begun.
        """
        record = RunRecord(
            run_id=str(uuid.uuid4()),
            kind=kind,
            database_id=database_id,
            database=database,
            policy=policy,
            trigger=trigger,
            user=acting_user(),
            started_at=self._clock(),
            artifact=artifact,
            reason=reason,
        )
        import sqlalchemy

        row = {**dataclasses.asdict(record), "started_at": _stamp(record.started_at), "traces": None}
        later = sqlalchemy.select(sqlalchemy.func.coalesce(sqlalchemy.func.max(_Run.sequence), 0) + 1)
        self._liveness.begin(record.run_id)
        try:
            with self._session() as session:
                session.add(_Run(**row, sequence=later.scalar_subquery(), process=str(os.getpid())))
                session.commit()
        except BaseException:
            self._liveness.end(record.run_id)
            raise
        return record

    def note(
        self, run_id: str, traces: Optional[Mapping[str, str]] = None, *, server_bytes: Optional[int] = None
    ) -> None:
        """Put on record what is known of a run before it ends.

        Args:
            run_id: The run.
            traces: What it is about to leave in the server or the storage if it dies; added to what was noted before.
            server_bytes: The server's own figure for the size of the database.

        Raises:
            StorageError: The catalog cannot be written; then it should not be left there.
        """
        with self._session() as session:
            row = self._row(session, run_id)
            if traces is not None:
                row.traces = json.dumps({**json.loads(row.traces or "{}"), **traces}, ensure_ascii=False)
            if server_bytes is not None:
                row.server_bytes = server_bytes
            session.commit()

    def finish(self, run_id: str, outcome: str, **facts: Any) -> RunRecord:
        """Put on record how a run ended.

        Args:
            run_id: The run.
            outcome: ``success``, ``failed`` or ``vanished``.
            **facts: ``artifact``, ``stored_bytes``, ``plain_bytes``, ``server_bytes``, ``error``, as far as known.

        Raises:
            StorageError: The catalog cannot be written or has no such run.
        """
        with self._session() as session:
            row = self._row(session, run_id)
            row.outcome = outcome
            row.ended_at = _stamp(self._clock())
            for name, value in facts.items():
                if value is not None:
                    setattr(row, name, value)
            session.commit()
            record = _record(row)
        self._liveness.end(run_id)
        return record

    def _row(self, session: Session, run_id: str) -> _Run:
        row = session.get(_Run, run_id)
        if row is None:
            raise StorageError(f"The catalog {self.path} has no run {run_id}; was it exchanged during the run?")
        return row

    def runs(
        self,
        kind: Union[str, Sequence[str], None] = None,
        database_id: Optional[str] = None,
        database: Optional[str] = None,
        limit: Optional[int] = None,
        *,
        outcome: Optional[str] = None,
        artifact: Optional[str] = None,
    ) -> list[RunRecord]:
        """Return runs, the one put on record last first; an absent catalog has none.

        Args:
            kind: Only runs of this kind, or of one of these.
            database_id: Only runs of this instance.
            database: Only runs of databases of this name.
            limit: No more than so many.
            outcome: Only runs that ended so.
            artifact: Only runs on this artifact.
        """
        if not self.path.exists():
            return []
        import sqlalchemy

        query = sqlalchemy.select(_Run).order_by(_Run.sequence.desc()).limit(limit)
        if kind is not None:
            query = query.where(_Run.kind.in_([kind] if isinstance(kind, str) else kind))
        for column, value in (
            (_Run.database_id, database_id),
            (_Run.database, database),
            (_Run.outcome, outcome),
            (_Run.artifact, artifact),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._session() as session:
            return [_record(row) for row in session.scalars(query)]

    def latest_backups(self) -> list[RunRecord]:
        """Return the newest backup run of each database, sorted by instance and database.

        The record of an instance that could not even list its databases (``*``) is left out once a later run got
        further.
        """
        newest: dict[tuple[str, str], RunRecord] = {}
        latest: dict[str, RunRecord] = {}
        for run in self.runs("backup"):
            newest.setdefault((run.database_id, run.database), run)
            latest.setdefault(run.database_id, run)
        return [
            newest[key] for key in sorted(newest) if key[1] != ALL_DATABASES or latest[key[0]].database == ALL_DATABASES
        ]

    def dead_runs(self) -> list[RunRecord]:
        """Return the runs that are under way by the record, but whose process is no more; changes nothing."""
        return [run for run in self.runs(outcome=OPEN) if not self._liveness.is_alive(run.run_id)]

    def close_vanished(self) -> list[RunRecord]:
        """Record as ``vanished`` every open run whose process is no more, and return them."""
        import sqlalchemy

        if not self.path.exists():
            return []
        with self._session() as session:
            rows = session.scalars(sqlalchemy.select(_Run).where(_Run.outcome == OPEN)).all()
            gone = [row for row in rows if not self._liveness.is_alive(row.run_id)]
            for row in gone:
                row.outcome = VANISHED
                row.ended_at = _stamp(self._clock())
                row.error = VANISHED_ERROR
            session.commit()
            records = [_record(row) for row in gone]
        for record in records:
            self._liveness.end(record.run_id)
        return records


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def _record(row: _Run) -> RunRecord:
    names = [field.name for field in dataclasses.fields(RunRecord)]
    values = {name: getattr(row, name) for name in names}
    values["started_at"] = datetime.fromisoformat(row.started_at)
    values["traces"] = json.loads(row.traces or "{}")
    values["ended_at"] = datetime.fromisoformat(row.ended_at) if row.ended_at else None
    return RunRecord(**values)
