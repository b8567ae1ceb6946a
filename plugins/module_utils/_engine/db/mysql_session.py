# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""One database of MySQL or MariaDB while it is dumped.

These servers show no catalogue of the moment of a dump's snapshot. So they are asked before and after: what was there
both times must be in the dump, and what is in the dump must have been there one of the times.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress

from ..errors import ServerError
from ..utils.processes import Command
from .base import DumpPlan, Inspection, Server
from .dump_reader import Cut
from .dump_session import COUNTED, DumpFacts, DumpSession
from .dump_share import DumpShare
from .figures import Figures
from .mysql_dump import MySqlDumpReader
from .mysql_inspection import Query, read_columns, read_inventory, tables_kept_elsewhere
from .mysql_loading import MySqlLoading
from .mysql_moment import LockedMoment, locked, parted, read_sizes, shared_out
from .mysql_position import Point, current_point, position_of
from .mysql_statements import Definition

Inventory = Mapping[str, list[str]]
# Well below what Linux takes as arguments (2 MiB by default, execve(2)), which has to hold the environment too.
_ARGUMENT_BYTES = 1024 * 1024


class MySqlDumpSession(DumpSession):
    """Watches over one dump."""

    reader: MySqlDumpReader

    def __init__(
        self,
        connected: Callable[[], AbstractContextManager[Query]],
        server: Server,
        database: str,
        inspection: Inspection,
        plan: DumpPlan,
        before: Point,
        figures: Callable[[Query], Figures] = lambda _query: Figures(),
        apart: Callable[[], AbstractContextManager[Query]] | None = None,
    ) -> None:
        """Begin.

        Args:
            connected: Connects, for as long as a ``with`` block lasts.
            server: The server.
            database: The database.
            inspection: What the server said of it before.
            plan: How it is dumped.
            before: Where the binary log ended before.
            figures: Called when the dump has ended; returns what the server says of the content.
            apart: Opens a connection that is used for nothing else; without it one client dumps at a time.
        """
        super().__init__(inspection, plan, MySqlDumpReader(dollar_quotes=server.flavour == "mysql"))
        self._connected = connected
        self._server = server
        self._database = database
        self._before = before
        self._figures = figures
        self._apart = apart
        self._tables: list[str] = []  # that the rows are asked for by name
        self._after: Point | None = None

    def commands(self) -> Iterator[Command]:
        """Yield the calls that make the dump, each after the one before has ended.

        Those after the first name the tables that it defined: one that is made meanwhile is not part of the dump.
        """
        first, *others = self.plan.commands
        yield first
        tables = [os.fsdecode(each.name) for each in self.reader.definitions if each.kind == "table"]
        if sum(len(os.fsencode(name)) + 1 for name in tables) > _ARGUMENT_BYTES:
            tables = []
        self._tables = tables
        for command in others:
            yield dataclasses.replace(command, arguments=(*command.arguments, *tables))

    @contextlib.contextmanager
    def split(self, command: Command, jobs: int) -> Iterator[LockedMoment | None]:
        """Have several clients dump the rows, in one moment; one client where others cannot be kept from committing."""
        if self._apart is None or jobs < 2 or len(self._tables) < 2 or not dumps_only_rows(command):
            yield None
            return
        if self.inspection.settings.get("system_versioned_tables"):
            self.remarks.append(
                "One client dumped all rows: those of system-versioned tables need settings of their own."
            )
            yield None
            return
        with contextlib.ExitStack() as stack:
            moment: LockedMoment | None = None
            try:
                moment = self._locked(stack, command, jobs)
            except ServerError as exc:
                stack.close()
                self.remarks.append(
                    "One client dumped all rows: others could not be kept from committing until several had begun."
                    f" {exc.message}"
                )
            yield moment

    def _locked(self, stack: contextlib.ExitStack, command: Command, jobs: int) -> LockedMoment | None:
        if self._apart is None:
            return None
        flavour = self._server.flavour
        with self._connected() as query:
            sizes = read_sizes(query, self._database)
        shares = shared_out(self._tables, sizes, jobs)
        apart = stack.enter_context(self._apart())
        stack.enter_context(locked(apart, flavour))
        self._before = self._now()
        frames = MySqlLoading(dollar_quotes=False).can_wait
        parts = [
            (each, DumpShare(MySqlDumpReader(dollar_quotes=flavour == "mysql"), frames))
            for each in parted(command, self._tables, shares)
        ]

        self.clients = len(parts)

        def passed() -> None:
            self._after = self._now()

        return LockedMoment(parts, apart, flavour, passed, self._take_shares)

    def _take_shares(self, shares: Sequence[DumpShare]) -> None:
        """Take note of the rows that several clients wrote."""
        readers = [share.reader for share in shares]
        for reader in readers:
            self.reader.rows |= reader.rows
            self.reader.doubt = self.reader.doubt or reader.doubt
        positions = [reader.remarks for reader in readers if isinstance(reader, MySqlDumpReader)]
        if all(each == positions[0] for each in positions):
            self.reader.remarks += positions[0]

    def feed(self, chunk: bytes) -> Sequence[Cut]:
        """Take note of the next bytes of the dump, and return where the stream may be cut."""
        cuts = super().feed(chunk)
        if self._after is None and self.reader.rows:  # so the snapshot is taken
            self._after = self._now()
        return cuts

    def _now(self) -> Point:
        if self._before.reason:
            return self._before
        try:
            with self._connected() as query:
                return current_point(query, self._server)
        except ServerError as exc:  # no reason to give the dump up
            return Point(reason=exc.message)

    def conclude(self) -> DumpFacts:
        """Compare the dump, which has ended, with the server."""
        before, former = self.inspection.inventory, self.inspection.columns
        with self._connected() as query:
            after = read_inventory(query, self._server, self._database)
            columns = read_columns(query, self._database)
            held, unexpected = self._recognised(query, before, after)
            without = set(held["table"]) - self.reader.rows.keys()
            kept_elsewhere = tables_kept_elsewhere(query, self._database) if without else set[str]()
            figures = self._figures(query)
        missing = [
            f"{kind} {name}"
            for kind in sorted(before)
            for name in sorted(set(before[kind]) & set(after.get(kind, ())) - set(held[kind]))
        ]
        rows = {name: self.reader.rows[name] for name in sorted(self.reader.rows)}
        missing += [f"the rows of table {name}" for name in sorted(without - kept_elsewhere)]
        strangers = self.reader.rows.keys() - set(held["table"])
        unexpected += [f"the rows of table {name}" for name in sorted(strangers) if f"table {name}" not in unexpected]
        common = sorted(columns.keys() & former.keys() & set(held["table"]))
        unexpected += [f"table {name} with other columns" for name in common if columns[name] != former[name]]
        self._refuse(missing, unexpected)
        row_counts: dict[str, object] = {"method": COUNTED, "approximate": bool(self.reader.doubt)}
        if self.reader.doubt:
            row_counts["reason"] = self.reader.doubt
        if without:
            row_counts["left_out"] = dict.fromkeys(sorted(without), "its rows are kept elsewhere, by its engine")
        position = position_of(self.reader.remarks, self._before, self._after or self._now())
        return DumpFacts({kind: sorted(names) for kind, names in held.items()}, rows, row_counts, position, figures)

    def _recognised(self, query: Query, before: Inventory, after: Inventory) -> tuple[dict[str, list[str]], list[str]]:
        """Return what the dump defines by the server's names for it, and what the server has no name for."""
        held: dict[str, list[str]] = {kind: [] for kind in before}
        unexpected = []
        known = {kind: {*before[kind], *after.get(kind, ())} for kind in before}
        for definition in self.reader.definitions:
            prefix = f"{definition.type} " if definition.type else ""
            names = [prefix + name for name in _readings(query, definition)]
            found = next((name for name in names if name in known.get(definition.kind, ())), None)
            if found is not None:
                held[definition.kind].append(found)
            else:
                unexpected.append(f"{definition.kind} {names[0] if names else repr(definition.name)}")
        return held, unexpected


def dumps_only_rows(command: Command) -> bool:
    """Tell whether a call asks for rows and for nothing else."""
    return "--no-create-info" in command.arguments and "--no-data" not in command.arguments


def _readings(query: Query, definition: Definition) -> list[str]:
    """Return how a name may be read: servers write some in UTF-8, others as the client did that made the object."""
    readings = []
    with suppress(UnicodeDecodeError):
        readings.append(definition.name.decode("utf-8"))
    if not definition.name.isascii() and not definition.charset.startswith("utf8") and definition.charset.isalnum():
        sql = f"SELECT CONVERT(%(name)s USING {definition.charset})"
        converted = query(sql, {"name": definition.name})[0][0]
        readings.append(codecs.decode(converted, "utf-8") if isinstance(converted, bytes) else str(converted))
    return readings
