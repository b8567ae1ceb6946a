# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog: every run, good or bad, in an SQLite file that many processes may use at once.

It keeps SQLite's rollback journal: in WAL mode even reading makes files beside it, so that a check mode that promises
to change nothing would.

Runs are in the order in which they were put on record, whatever the clock said: a clock that was set back must not let
an old success hide a new failure.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import StorageError
from ..security.identity import acting_user
from ..utils.clock import Clock, utc_now
from .catalog_schema import (
    COLUMN_NAMES,
    INSERT,
    SELECT,
    SELECT_TOTALS,
    SELECT_UNDER_WAY,
    TOTALLED,
    bring_up_to_date,
    runs_table,
    statement,
)
from .liveness import Liveness

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

ALL_DATABASES = "*"  # stands for a database's name where an instance could not even list them
OPEN, SUCCESS, FAILED, VANISHED, LOST = "running", "success", "failed", "vanished", "lost"
IMPOSSIBLE = "not possible"
RESTORE_SECONDS = "restore_seconds"  # in the traces of a drill
ORIGIN = "origin"  # in the traces of a drill: the other host that has made the artifact
VANISHED_ERROR = "The process ended without a word: killed, or the machine stopped."


@dataclass(frozen=True)
class RunRecord:
    """One attempt at something, as the catalog has it. Sizes are bytes, moments aware and UTC.

    Attributes:
        run_id: Its identity (UUID).
        kind: ``backup``, ``restore``, ``verification``, ``drill``, ``retention`` (one removal), ``recovery`` (what a
            vanished restore had left was put right) or ``acceptance`` (someone said that a database is meant to be as
            it is).
        database_id: The instance.
        database: The database.
        policy: The policy that asked for it.
        trigger: ``timer``, ``command`` or ``ansible``.
        user: Who started it.
        started_at: When it began.
        ended_at: When it ended; None while it runs.
        outcome: ``running``, ``success``, ``failed``, ``vanished`` (its process died without a word), ``lost`` (a
            restore failed and the old database could not be brought back) or ``not possible`` (a drill that this host
            cannot make).
        artifact: The artifact's path, where there is one.
        stored_bytes: The artifact's size.
        plain_bytes: The size of the SQL text in it.
        error: Why it failed.
        reason: Why it was done: what retention says of an artifact that it removes.
        server_bytes: The server's own figure for the size of the database that was dumped.
        traces: What a run that dies would leave behind, by name: side databases, a safety backup. Of a drill, how long
            the restore took.
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


@dataclass(frozen=True)
class Total:
    """All runs of one kind on one database that ended alike, added up.

    A drill of another host's artifact is not among them: it says nothing of the database that has the same names here.

    Attributes:
        kind: As in :class:`RunRecord`.
        database_id: The instance.
        database: The database.
        outcome: How they ended.
        runs: How many.
        seconds: How long all of them took together.
        sized: How many have a size on record.
        stored_bytes: The sizes of all of them together.
        within: By the limits of :data:`~.catalog_schema.DURATION_LIMITS`, how many took at most so long.
    """

    kind: str
    database_id: str
    database: str
    outcome: str
    runs: int
    seconds: float
    sized: int
    stored_bytes: int
    within: tuple[int, ...]


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
        self._engine: Optional[Engine] = None
        self._keeping = False
        self._kept: Optional[Connection] = None
        self._turn = threading.RLock()  # SQLite lets one write at a time anyway

    def _open(self) -> Engine:
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        if self._engine is not None:
            return self._engine
        engine = sqlalchemy.create_engine(
            sqlalchemy.URL.create("sqlite", database=str(self.path)),
            connect_args={"timeout": 30, "check_same_thread": False},  # one thread at a time: see _connection
            poolclass=NullPool,  # nothing is left open when the command ends
        )

        @sqlalchemy.event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=FULL")

        bring_up_to_date(engine, runs_table(), self.path)
        self._engine = engine
        return engine

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Use one connection for all that is read and written until the end of a ``with`` block."""
        with self._turn:
            former, self._keeping = self._keeping, True
        try:
            yield
        finally:
            with self._turn:
                self._keeping = former
                if not former:
                    self._close_kept()

    def _close_kept(self) -> None:
        import sqlalchemy.exc

        if self._kept is not None:
            with suppress(sqlalchemy.exc.SQLAlchemyError):  # what it was kept for is written
                self._kept.close()
            self._kept = None

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Yield a connection within a transaction, which is committed at the end of the block."""
        import sqlalchemy.exc

        with self._turn:
            try:
                if self._keeping:
                    self._kept = connection = self._kept or self._open().connect()
                    with connection.begin():
                        yield connection
                else:
                    with self._open().begin() as connection:
                        yield connection
            except sqlalchemy.exc.SQLAlchemyError as exc:
                self._close_kept()  # whatever is wrong with it, the next one begins anew
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
        row = {**dataclasses.asdict(record), "started_at": _stamp(record.started_at), "traces": None}
        self._liveness.begin(record.run_id)
        try:
            with self._connection() as connection:
                connection.execute(statement(INSERT), {**row, "process": str(os.getpid())})
        except BaseException:
            self._liveness.end(record.run_id)
            raise
        return record

    def note(self, run_id: str, traces: Mapping[str, str]) -> None:
        """Put on record what a run is about to leave in the server or the storage if it dies.

        Args:
            run_id: The run.
            traces: What it leaves, by name; added to what was noted before.

        Raises:
            StorageError: The catalog cannot be written; then it should not be left there.
        """
        with self._connection() as connection:
            noted = json.loads(self._row(connection, run_id).traces or "{}")
            self._change(connection, run_id, traces=json.dumps({**noted, **traces}, ensure_ascii=False))

    def finish(self, run_id: str, outcome: str, **facts: Any) -> RunRecord:
        """Put on record how a run ended.

        Args:
            run_id: The run.
            outcome: ``success``, ``failed`` or ``vanished``.
            **facts: ``artifact``, ``stored_bytes``, ``plain_bytes``, ``server_bytes``, ``error``, as far as known.

        Raises:
            StorageError: The catalog cannot be written or has no such run.
        """
        known = {name: value for name, value in facts.items() if value is not None}
        with self._connection() as connection:
            self._change(connection, run_id, outcome=outcome, ended_at=_stamp(self._clock()), **known)
            record = _record(self._row(connection, run_id))
        self._liveness.end(run_id)
        return record

    def _change(self, connection: Connection, run_id: str, **values: Any) -> None:
        changes = ", ".join(f'"{name}" = :{name}' for name in values)
        sql = f"UPDATE runs SET {changes} WHERE run_id = :run_id"
        connection.execute(statement(sql), {**values, "run_id": run_id})

    def _row(self, connection: Connection, run_id: str) -> Row[Any]:
        row = connection.execute(statement(f"{SELECT} WHERE run_id = :run_id"), {"run_id": run_id}).one_or_none()
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
        values, conditions = _of(database_id=database_id, database=database, outcome=outcome, artifact=artifact)
        if kind is not None:
            kinds = {f"kind{number}": each for number, each in enumerate([kind] if isinstance(kind, str) else kind)}
            values |= kinds
            conditions += f" AND kind IN ({', '.join(f':{name}' for name in kinds)})"
        values["limit"] = -1 if limit is None else limit
        return self._records(f"{SELECT} WHERE {conditions} ORDER BY sequence DESC LIMIT :limit", values)

    def _records(self, sql: str, values: Mapping[str, Any]) -> list[RunRecord]:
        return [_record(row) for row in self._rows(sql, values)]

    def _rows(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Return what a statement finds; nothing where there is no catalog, which looking does not make."""
        if not self.path.exists():
            return []
        with self._connection() as connection:
            return connection.execute(statement(sql), values).all()

    def totals(self, kind: Optional[str] = None, outcome: Optional[str] = None) -> list[Total]:
        """Return what all runs add up to, sorted by kind, instance, database and outcome; an absent catalog has none.

        Args:
            kind: Only runs of this kind.
            outcome: Only runs that ended so.

        Raises:
            StorageError: The catalog cannot be used.
        """
        values, conditions = _of(kind=kind, outcome=outcome)
        return [_total(*row) for row in self._rows(f"{SELECT_TOTALS} WHERE {conditions} ORDER BY {TOTALLED}", values)]

    def last_ended(self, kind: str, outcome: Optional[str] = None) -> list[RunRecord]:
        """Return of each database the run put on record last among those that have ended, in the order of recording.

        The record of an instance that could not even list its databases (``*``) is left out once a later run got
        further.

        Args:
            kind: Only runs of this kind.
            outcome: Only runs that ended so.

        Raises:
            StorageError: The catalog cannot be used.
        """
        values, conditions = _of(kind=kind, outcome=outcome)
        last = f'SELECT MAX(last) FROM totals WHERE {conditions} GROUP BY database_id, "database"'
        newest_first = self._records(f"{SELECT} WHERE sequence IN ({last}) ORDER BY sequence DESC", values)
        return _without_overtaken(newest_first)[::-1]

    def newest_backups(self, *, policy: Optional[str] = None) -> list[RunRecord]:
        """Return the newest backup run of each database, the one put on record last first; an absent catalog has none.

        Args:
            policy: Only of runs that this policy asked for.
        """
        values, conditions = _of(kind="backup", policy=policy)
        newest = f'SELECT MAX(sequence) FROM runs WHERE {conditions} GROUP BY database_id, "database"'
        return self._records(f"{SELECT} WHERE sequence IN ({newest}) ORDER BY sequence DESC", values)

    def latest_backups(self) -> list[RunRecord]:
        """Return the newest backup run of each database, sorted by instance and database.

        The record of an instance that could not even list its databases (``*``) is left out once a later run got
        further.
        """
        return sorted(_without_overtaken(self.newest_backups()), key=lambda run: (run.database_id, run.database))

    def dead_runs(self) -> list[RunRecord]:
        """Return the runs that are under way by the record, but whose process is no more; changes nothing."""
        return [run for run in self._records(SELECT_UNDER_WAY, {}) if not self._liveness.is_alive(run.run_id)]

    def close_vanished(self) -> list[RunRecord]:
        """Record as ``vanished`` every open run whose process is no more, and return them."""
        if not self.path.exists():
            return []
        with self._connection() as connection:
            rows = connection.execute(statement(SELECT_UNDER_WAY)).all()
            gone = [row.run_id for row in rows if not self._liveness.is_alive(row.run_id)]
            for run_id in gone:
                self._change(connection, run_id, outcome=VANISHED, ended_at=_stamp(self._clock()), error=VANISHED_ERROR)
            records = [_record(self._row(connection, run_id)) for run_id in gone]
        for record in records:
            self._liveness.end(record.run_id)
        return records


_FIELDS = tuple(each.name for each in dataclasses.fields(RunRecord))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def _of(**equal: Optional[str]) -> tuple[dict[str, Any], str]:
    """Return parameters and the condition that columns have these values; None stands for any."""
    values: dict[str, Any] = {name: value for name, value in equal.items() if value is not None}
    return values, " AND ".join(["TRUE", *(f'"{name}" = :{name}' for name in values)])


def _without_overtaken(newest_first: Sequence[RunRecord]) -> list[RunRecord]:
    """Leave out the records of instances out of reach that a later run of one of their databases has overtaken."""
    latest: dict[str, RunRecord] = {}
    for run in newest_first:
        latest.setdefault(run.database_id, run)
    return [run for run in newest_first if run.database != ALL_DATABASES or latest[run.database_id] is run]


def _total(*row: Any) -> Total:
    kind, database_id, database, outcome, runs, seconds, sized, stored_bytes, *within = row
    return Total(kind, database_id, database, outcome, runs, seconds, sized, stored_bytes, tuple(within))


def _record(row: Row[Any]) -> RunRecord:
    values = dict(zip(COLUMN_NAMES, row, strict=True))
    values = {name: values[name] for name in _FIELDS}
    values["started_at"] = datetime.fromisoformat(values["started_at"])
    values["traces"] = json.loads(values["traces"]) if values["traces"] else {}
    values["ended_at"] = datetime.fromisoformat(values["ended_at"]) if values["ended_at"] else None
    return RunRecord(**values)
