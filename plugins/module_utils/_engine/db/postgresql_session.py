# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""One PostgreSQL database while it is dumped: looked at and dumped in one and the same snapshot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import ServerError
from .base import DumpPlan, Inspection
from .dump_session import COUNTED, DumpFacts, DumpSession
from .figures import Figures
from .postgresql_dump import PostgreSqlDumpReader
from .postgresql_inventory import ROWS, Objects, Query

BEGIN = (
    "SET idle_in_transaction_session_timeout = 0",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
)
_SNAPSHOT = "SELECT pg_export_snapshot(), txid_current_snapshot()::text"
_POINT = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,"
    " CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())"
    " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"
)
_TYPE = re.compile(r"; Type: ([A-Z ]+); Schema: ")
OWNER = "; Owner: "
# Types of entries for which the server is asked as pg_dump asks it, so that one more of them is one too many.
_KNOWN_TYPES = {
    *("SCHEMA", "EXTENSION", "TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "INDEX", "FUNCTION"),
    *("PROCEDURE", "AGGREGATE", "DOMAIN", "POLICY", "EVENT TRIGGER", "PUBLICATION", "SUBSCRIPTION", "SERVER"),
}


@dataclass(frozen=True)
class Snapshot:
    """A moment that several sessions can look at.

    Attributes:
        name: What another session asks for to see it.
        transactions: Which transactions it shows: all before the first number, none from the second, none of the rest.
        before: LSN and timeline before it was taken, or the reason why they are not known.
        after: The same after it was taken.
    """

    name: str
    transactions: str
    before: tuple[str, int] | str
    after: tuple[str, int] | str

    def position(self) -> dict[str, Any]:
        """Return where it stands in the server's log, for the manifest."""
        if isinstance(self.before, str) or isinstance(self.after, str):
            reason = self.before if isinstance(self.before, str) else self.after
            return {"type": None, "reason": reason, "transactions": self.transactions}
        first, following, *_running = self.transactions.split(":")
        points = [{"lsn": lsn, "timeline": timeline} for lsn, timeline in (self.before, self.after)]
        return {
            "type": "lsn",
            # What was being committed at that moment is in the log already, and not in the snapshot.
            "approximate": self.before != self.after or first != following,
            "from": points[0],
            "to": points[1],
            "transactions": self.transactions,
            "method": "asked for before and after the dump's snapshot was taken",
        }


def take_snapshot(query: Query) -> Snapshot:
    """Begin a transaction and export its snapshot, which lasts as long as the transaction.

    Raises:
        ServerError: The server refused.
    """
    before = _point(query)
    for statement in BEGIN:
        query(statement)
    name, transactions = query(_SNAPSHOT)[0]
    # An error within the transaction would end it, so what could not be asked before is not asked again.
    after = _point(query) if not isinstance(before, str) else before
    return Snapshot(str(name), str(transactions), before, after)


def _point(query: Query) -> tuple[str, int] | str:
    try:
        lsn, timeline = query(_POINT)[0]
    except ServerError as exc:
        return f"The server did not say where its log stands. {exc.message}"
    return (str(lsn), int(timeline)) if lsn is not None else "The server did not say where its log stands."


class PostgreSqlDumpSession(DumpSession):
    """Watches over one dump."""

    reader: PostgreSqlDumpReader
    counted = COUNTED

    def __init__(
        self,
        inspection: Inspection,
        plan: DumpPlan,
        objects: Objects,
        snapshot: Snapshot,
        figures: Callable[[], Figures] = Figures,
    ) -> None:
        """Begin.

        Args:
            inspection: What the server said of the database in the snapshot.
            plan: How it is dumped.
            objects: Its objects in the snapshot.
            snapshot: The snapshot.
            figures: Called when the dump has ended; returns what the server says of the content.
        """
        super().__init__(inspection, plan, PostgreSqlDumpReader())
        self._objects = objects
        self._snapshot = snapshot
        self._figures = figures

    def conclude(self) -> DumpFacts:
        """Compare the dump, which has ended, with the server."""
        reader, objects = self.reader, self._objects
        known = {each.entry for each in objects.expected}
        names = {each.entry: each.name for each in objects.expected if each.kind == ROWS}
        held = Counter(_recognised(entry, known) for entry in reader.entries)
        rows: Counter[str] = Counter()
        for entry, count in reader.rows.items():
            recognised = _recognised(entry, known)
            held[recognised] += 1
            rows[names.get(recognised, recognised)] += count
        missing, wanted = [], Counter[str]()
        for each in objects.expected:
            wanted[each.entry] += 1
            if each.required and wanted[each.entry] > held[each.entry]:
                label = each.kind.replace("_", " ")
                missing.append(f"the rows of table {each.name}" if each.kind == ROWS else f"{label} {each.name}")
        unexpected = [entry for entry in held if entry not in known and _is_known_type(entry)]
        missing += [f"large object {number}" for number in sorted(objects.large_objects - reader.large_objects)]
        empty = (objects.large_objects & reader.large_objects) - reader.large_objects_with_data
        missing += [f"the content of large object {number}" for number in sorted(empty)]
        self._refuse(missing, unexpected)
        return DumpFacts(
            self.inspection.inventory,
            {name: rows[name] for name in sorted(rows)},
            self._row_counts(set(rows)),
            self._snapshot.position(),
            self._figures(),
        )

    def _row_counts(self, counted: set[str]) -> dict[str, Any]:
        described: dict[str, Any] = {"method": self.counted, "approximate": bool(self.reader.doubt)}
        stored = {each.name for each in self._objects.expected if each.kind == ROWS}
        inventory = self.inspection.inventory
        left_out = {
            **dict.fromkeys(inventory["foreign_table"], "its rows are kept by another server"),
            **dict.fromkeys(inventory["materialized_view"], "it is computed again from its query"),
            **dict.fromkeys(set(inventory["table"]) - stored, "its rows are those of its partitions"),
            **dict.fromkeys(set(inventory["table"]) & stored, "an unlogged table has no rows on a standby"),
        }
        left_out = {name: why for name, why in sorted(left_out.items()) if name not in counted}
        return described | ({"left_out": left_out} if left_out else {})


def _recognised(entry: str, known: set[str]) -> str:
    """Return the part of an entry before its owner. Names may hold anything: what the server has decides."""
    end = entry.find(OWNER)
    while end >= 0 and entry[:end] not in known:
        end = entry.find(OWNER, end + 1)
    return entry[:end] if end >= 0 else entry.rpartition(OWNER)[0]


def _is_known_type(entry: str) -> bool:
    types = _TYPE.findall(entry)
    return bool(types) and all(found in _KNOWN_TYPES for found in types)
