# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``backup``: make artifacts now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Optional

from . import text
from ._typer import typer
from .options import DryRunOption, JsonOption, TriggerOption, session_of, usage_error
from .output import Row, say, show_table
from .progress import show_progress
from .session import Session


def backup(
    context: typer.Context,
    databases: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="DATABASE", show_default=False, help="Only these databases of --instance."),
    ] = None,
    policy: Annotated[Optional[str], typer.Option(metavar="NAME", help="All that this policy covers.")] = None,
    instance: Annotated[
        Optional[str], typer.Option(metavar="ID", help="Databases of this instance, each by its policy.")
    ] = None,
    trigger: TriggerOption = "command",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> int:
    """Back up databases now.

    All that a policy covers (--policy), or all or some databases of an instance (--instance). A database that fails
    does not stop the others. With --policy, retention then removes old artifacts of the databases that succeeded.
    """
    if policy is not None and instance is not None:
        raise usage_error("--policy and --instance cannot be given together.")
    if databases and instance is None:
        raise usage_error("Databases can be named only together with --instance.")
    session = session_of(context)
    engine = session.engine(trigger)
    with show_progress(session.err if as_json else session.out) as progress:
        report = engine.backup(
            policy=policy, database_id=instance, databases=databases or None, dry_run=dry_run, progress=progress
        )
    document = report.to_dict()
    if as_json:
        session.write_json(document)
    elif trigger == "timer":
        _write_lines(session, document)
    else:
        _show(session, document)
    return 0 if report.ok else 1


def _show(session: Session, report: Mapping[str, Any]) -> None:
    rows = [
        Row(
            (
                result["database_id"],
                result["database"],
                result["outcome"],
                text.size(result["stored_bytes"]),
                text.duration(result["duration"]),
                result["proof"] or text.NOTHING,
                PurePath(result["artifact"]).name if result["artifact"] else text.NOTHING,
            ),
            notes(result),
        )
        for result in report["results"]
    ]
    headers = ("Instance", "Database", "Outcome", "Size", "Took", "Proof", "Artifact")
    if rows:
        show_table(session.console, headers, rows, numbers=("Size", "Took"), spare="Artifact")
    say(session.console, summary(report))


def notes(result: Mapping[str, Any]) -> list[str]:
    """Return what has to be said of one database: why it failed, what its artifact cannot promise."""
    errors = [result["error"]] if result["error"] else []
    return [*errors, *(f"Warning: {warning}" for warning in result["warnings"])]


def _write_lines(session: Session, report: Mapping[str, Any]) -> None:
    """For the journal, which has the progress lines already: the reasons of failures and the sum."""
    for result in report["results"]:
        for note in notes(result):
            session.out.line(text.sentence(f"{result['database_id']}/{result['database']}: {note}"))
    session.out.line(summary(report))


def summary(report: Mapping[str, Any]) -> str:
    """Return a backup report in one sentence."""
    by_outcome = {
        outcome: [result for result in report["results"] if result["outcome"] == outcome]
        for outcome in ("success", "planned", "failed")
    }
    stored = sum(result["stored_bytes"] or 0 for result in by_outcome["success"])
    parts = []
    if by_outcome["success"]:
        parts.append(f"{text.count(len(by_outcome['success']), 'database')} backed up ({text.size(stored)})")
    if by_outcome["planned"]:
        parts.append(f"{text.count(len(by_outcome['planned']), 'database')} would be backed up")
    if by_outcome["failed"]:
        parts.append(f"{text.count(len(by_outcome['failed']), 'database')} failed")
    if report["removed"]:
        verb = "would be removed" if by_outcome["planned"] else "removed"
        parts.append(f"{text.count(len(report['removed']), 'old artifact')} {verb}")
    return ", ".join(parts) + "." if parts else "There was nothing to back up."
