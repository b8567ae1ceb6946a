# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Recovery: what a restore whose process died has left in the server, and how it is put right.

A restore puts on record what it is about to make. From that and from what the server has, it can be told where it
stopped. Where databases can be renamed (PostgreSQL), the old database is complete at every moment, so it is brought
back, or the new one is left in its place, without asking. Where they cannot (MySQL, MariaDB), the target may be
incomplete, and only a restore of the safety backup helps: that is said, and left to people.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Optional

from ..db.base import Dbms
from ..errors import BackupDbError, ConfigError, LockedError
from .catalog import LOST, VANISHED, Catalog, RunRecord
from .context import Context
from .locks import database_lock

logger = logging.getLogger("vya_backupdb")

EXISTED, BESIDE, MADE, OLD, SAFETY, LEFT, ACCOUNTS = "existed", "beside", "made", "old", "safety", "left", "accounts"
CHANGES = ("restore", "recovery", "acceptance")  # what changes a database or says that it is right


def unfinished_restores(catalog: Catalog) -> list[RunRecord]:
    """Return the restores that died or lost their database, and that nothing has put right since."""
    return [run for run in _last_changes(catalog) if run.kind == "restore" and run.outcome in (VANISHED, LOST)]


def leftovers(catalog: Catalog) -> list[str]:
    """Return in sentences which side databases of restores that died are still to be dropped by hand."""
    return [
        f"{run.database_id}: the database {run.traces[LEFT]!r} is left of a restore of {run.database!r} whose process"
        f" died. {run.reason} Drop it when it is not needed; then say so: vya-backupdb accept {run.database_id}"
        f" {run.database}"
        for run in recoveries_that_left(catalog)
    ]


def recoveries_that_left(
    catalog: Catalog, database_id: Optional[str] = None, database: Optional[str] = None
) -> list[RunRecord]:
    """Return the recoveries that left a side database of which nobody has said since that it is gone, oldest first.

    A later restore changes nothing about that.
    """
    accepted: set[tuple[str, str]] = set()
    found = []
    for run in catalog.runs(("recovery", "acceptance"), database_id, database):  # newest first
        if run.kind == "acceptance":
            accepted.add((run.database_id, run.database))
        elif run.traces.get(LEFT) and (run.database_id, run.database) not in accepted:
            found.append(run)
    return found[::-1]


def _last_changes(catalog: Catalog) -> list[RunRecord]:
    last: dict[tuple[str, str], RunRecord] = {}
    for run in catalog.runs(CHANGES):  # newest first
        last.setdefault((run.database_id, run.database), run)
    return [last[key] for key in sorted(last)]


def explain_unfinished(run: RunRecord) -> str:
    """Say in what state a restore that died or failed may have left its database, and what to do."""
    name = f"{run.database_id}/{run.database}"
    if run.outcome == LOST:
        return f"The restore of {name} failed and its old state could not be brought back: {run.error}"
    traces = run.traces
    said = f"The process of a restore of {name} died on the way.{_accounts_left(traces)}"
    if traces.get(BESIDE):
        old = f" or {traces[OLD]!r} (the old database)" if traces.get(OLD) else ""
        return (
            f"{said} {traces[BESIDE]!r} (an incomplete copy){old} may be left in the server. The next backup or restore"
            " puts that right."
        )
    if traces.get(SAFETY):
        return (
            f"{said} THE DATABASE MAY BE MISSING OR INCOMPLETE. Its former state is in {traces[SAFETY]}; bring it back:"
            f" vya-backupdb restore {run.database_id} {run.database} --artifact {traces[SAFETY]} --overwrite"
        )
    if traces.get(MADE):
        return (
            f"{said} There was no database of that name before; an incomplete one may be there. Drop it, or restore"
            f" again: vya-backupdb restore {run.database_id} {run.database} --overwrite"
        )
    return f"{said} Nothing had been changed in the server yet."


def _accounts_left(traces: Mapping[str, str]) -> str:
    """Say which accounts may have been made; nobody can tell them from those that somebody made since."""
    return f" It may have made accounts, which are left: {traces[ACCOUNTS]}." if traces.get(ACCOUNTS) else ""


def recover_restores(context: Context) -> None:
    """Put right what restores whose processes died have left, as far as that is certain, and put it on record.

    Instances that cannot be reached and databases that are in use are left for the next time.
    """
    for run in unfinished_restores(context.catalog):
        # What was lost in place only people can bring back; a copy beside it tells where the old database is.
        if run.outcome == LOST and not run.traces.get(BESIDE):
            continue
        try:
            lock = database_lock(context.lock_directory, run.database_id, run.database, "a recovery")
            with lock:
                _recover(context, run)
        except (LockedError, ConfigError):
            continue
        except BackupDbError as exc:
            logger.warning("%s That could not be put right now: %s", explain_unfinished(run), exc)


def _recover(context: Context, run: RunRecord) -> None:
    traces = run.traces
    if not traces.get(MADE) and not traces.get(BESIDE) and not traces.get(SAFETY):
        _put_on_record(context, run, "Nothing had been changed in the server.")
        return
    instance = context.config.instance(run.database_id)
    if not traces.get(BESIDE):
        return  # only people can say whether the target is complete
    dbms = context.connect(instance)
    names = dbms.all_databases()
    beside, old = traces[BESIDE], traces.get(OLD)
    if old in names and run.database not in names:
        dbms.rename_database(old, run.database)
        state = f"The old database was brought back from {old!r}."
        _put_on_record(context, run, state, _dropped(dbms, beside, names, traces))
    elif run.database in names:
        dbms.let_in(run.database)  # it may have been closed for the moment of its renaming
        if old in names:
            _put_on_record(context, run, "The restored database is complete and in its place.", old)
        else:
            state = "The database is complete, whether as it was before or as it was restored."
            _put_on_record(context, run, state, _dropped(dbms, beside, names, traces))
    elif not traces.get(EXISTED):
        _put_on_record(
            context, run, "There is no database of that name, as before.", _dropped(dbms, beside, names, traces)
        )


def _dropped(dbms: Dbms, beside: str, names: set[str], traces: Mapping[str, str]) -> Optional[str]:
    """Drop the incomplete copy where the restore is on record to have made it; return its name where it is left."""
    if beside not in names:
        return None
    if not traces.get(MADE):
        return beside
    dbms.discard_database(beside)
    return None


def _put_on_record(context: Context, run: RunRecord, state: str, left: Optional[str] = None) -> None:
    state += _accounts_left(run.traces)
    recovery = context.start("recovery", run.database_id, run.database, run.policy, reason=state)
    if left is not None:
        context.catalog.note(recovery.run_id, {LEFT: left})
    record = context.finish(recovery)
    logger.warning("A restore of %s/%s had not come to its end. %s", record.database_id, record.database, state)
