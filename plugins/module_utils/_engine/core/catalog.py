# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog: every run, good or bad, in an SQLite file that many processes may use at once.

It keeps SQLite's rollback journal: in WAL mode even reading makes files beside it, so that a check mode that promises
to change nothing would, and with a connection for each of a few small transactions WAL saves nothing.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ..errors import StorageError
from ..security.identity import acting_user
from ..utils.clock import Clock, utc_now
from ..utils.third_party import DeclarativeBase, Mapped, mapped_column

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

SCHEMA_VERSION = 1
ALL_DATABASES = "*"  # stands for a database's name where an instance could not even list them
OPEN, SUCCESS, FAILED, VANISHED, LOST = "running", "success", "failed", "vanished", "lost"


@dataclass(frozen=True)
class RunRecord:
    """One attempt at something, as the catalog has it. Sizes are bytes, moments aware and UTC.

    Attributes:
        run_id: Its identity (UUID).
        kind: ``backup``, ``restore``, ``verification`` or ``retention``.
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


def process_identity(pid: int) -> str:
    """Return what tells a process from any other, also from a later one with its number: boot, number, start time."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The start time is field 22 of stat, the 20th after the program's name, which may hold spaces and brackets.
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{boot}/{pid}/{started}"


def _is_alive(identity: str) -> bool:
    parts = identity.split("/")
    return len(parts) == 3 and process_identity(int(parts[1])) == identity


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
        self._factory: Optional[Callable[[], Session]] = None
        self._opening = threading.Lock()

    def _open(self) -> Callable[[], Session]:
        import sqlalchemy
        from sqlalchemy.orm import sessionmaker
        from sqlalchemy.pool import NullPool
        from sqlalchemy.schema import CreateIndex, CreateTable

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

            with engine.begin() as connection:
                version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                if version > SCHEMA_VERSION:
                    raise StorageError(
                        f"The catalog {self.path} has schema version {version}; this engine knows {SCHEMA_VERSION}.",
                        "Upgrade the engine by applying the role vya.backupdb.runtime.",
                    )
                if version < SCHEMA_VERSION:
                    # Two processes may come here at once, so the database itself decides who creates.
                    table = _Base.metadata.tables[_Run.__tablename__]
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in sorted(table.indexes, key=lambda each: str(each.name)):
                        connection.execute(CreateIndex(index, if_not_exists=True))
                    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
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
        self, kind: str, database_id: str, database: str, *, policy: Optional[str] = None, trigger: str = "command"
    ) -> RunRecord:
        """Put on record that a run begins.

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
        )
        row = {**dataclasses.asdict(record), "started_at": _stamp(record.started_at)}
        with self._session() as session:
            session.add(_Run(**row, process=process_identity(os.getpid())))
            session.commit()
        return record

    def finish(self, run_id: str, outcome: str, **facts: Any) -> RunRecord:
        """Put on record how a run ended.

        Args:
            run_id: The run.
            outcome: ``success``, ``failed`` or ``vanished``.
            **facts: ``artifact``, ``stored_bytes``, ``plain_bytes``, ``error``, as far as known.

        Raises:
            StorageError: The catalog cannot be written or has no such run.
        """
        with self._session() as session:
            row = session.get(_Run, run_id)
            if row is None:
                raise StorageError(f"The catalog {self.path} has no run {run_id}; was it exchanged during the run?")
            row.outcome = outcome
            row.ended_at = _stamp(self._clock())
            for name, value in facts.items():
                setattr(row, name, value)
            session.commit()
            return _record(row)

    def runs(
        self,
        kind: Optional[str] = None,
        database_id: Optional[str] = None,
        database: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> list[RunRecord]:
        """Return runs, newest first; an absent catalog has none."""
        if not self.path.exists():
            return []
        import sqlalchemy

        query = sqlalchemy.select(_Run).order_by(_Run.started_at.desc()).limit(limit)
        for column, value in ((_Run.kind, kind), (_Run.database_id, database_id), (_Run.database, database)):
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

    def close_vanished(self) -> list[RunRecord]:
        """Record as ``vanished`` every open run whose process is no more, and return them."""
        import sqlalchemy

        if not self.path.exists():
            return []
        with self._session() as session:
            rows = session.scalars(sqlalchemy.select(_Run).where(_Run.outcome == OPEN)).all()
            gone = [row for row in rows if not _is_alive(row.process)]
            for row in gone:
                row.outcome = VANISHED
                row.ended_at = _stamp(self._clock())
                row.error = "The process ended without a word: killed, or the machine stopped."
            session.commit()
            return [_record(row) for row in gone]


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def _record(row: _Run) -> RunRecord:
    names = [field.name for field in dataclasses.fields(RunRecord)]
    values = {name: getattr(row, name) for name in names}
    values["started_at"] = datetime.fromisoformat(row.started_at)
    values["ended_at"] = datetime.fromisoformat(row.ended_at) if row.ended_at else None
    return RunRecord(**values)
