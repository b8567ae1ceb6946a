# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``verify`` and ``prune``: read artifacts back, and remove those that retention no longer keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Optional

from ..errors import ArtifactError
from . import text
from ._typer import typer
from .options import (
    ArtifactOption,
    DatabaseFilter,
    DryRunOption,
    IdentityOption,
    InstanceFilter,
    JsonOption,
    TriggerOption,
    session_of,
    usage_error,
)
from .output import Row, say, show_table
from .progress import show_progress
from .session import Session


def verify(
    context: typer.Context,
    instance: InstanceFilter = None,
    database: DatabaseFilter = None,
    artifact: ArtifactOption = None,
    policy: Annotated[Optional[str], typer.Option(metavar="NAME", help="All that follows this policy.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Only the newest artifact of each database.")] = False,
    identity: IdentityOption = None,
    trigger: TriggerOption = "command",
    as_json: JsonOption = False,
) -> int:
    """Read artifacts back and check them as a whole.

    What passes (checksum, decompression, complete structure) has the proof "verified" from then on. What does not is
    marked as damaged for good, and counts for nothing any more. Of encrypted artifacts only the checksum is read where
    there is no identity to decrypt them with; they have the proof "checksum".
    """
    if artifact is not None and (instance is not None or policy is not None or newest):
        raise usage_error("--artifact names one artifact: it goes with neither INSTANCE nor --policy nor --newest.")
    if policy is not None and instance is not None:
        raise usage_error("--policy and INSTANCE cannot be given together.")
    session = session_of(context)
    engine = session.engine(trigger, identity)
    with show_progress(session.err if as_json else session.out) as progress:
        report = engine.verify(
            database_id=instance,
            database=database,
            artifact=artifact.absolute() if artifact is not None else None,
            policy=policy,
            newest_only=newest,
            progress=progress,
        ).to_dict()
    if as_json:
        session.write_json(report)
    else:
        _show_verified(session, report)
    failed = any(result["outcome"] == "failed" for result in report["results"])
    return ArtifactError.exit_code if failed else 0


def _show_verified(session: Session, report: Mapping[str, Any]) -> None:
    rows = [
        Row(
            (
                result["database_id"],
                result["database"],
                result["outcome"],
                result["proof"] or text.NOTHING,
                PurePath(result["artifact"]).name,
            ),
            tuple(said for said in (result["error"], result["note"]) if said),
        )
        for result in report["results"]
    ]
    if rows:
        show_table(session.console, ("Instance", "Database", "Outcome", "Proof", "Artifact"), rows)
    failed = sum(result["outcome"] == "failed" for result in report["results"])
    partly = sum(result["note"] is not None for result in report["results"])
    said = [f"{text.count(len(rows) - failed - partly, 'artifact')} verified"]
    said += [f"{partly} by checksum only"] if partly else []
    said += [f"{failed} failed"] if failed else []
    say(session.console, ", ".join(said) + ".")


def prune(
    context: typer.Context,
    instance: InstanceFilter = None,
    database: DatabaseFilter = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> int:
    """Remove artifacts that no retention rule keeps.

    With --dry-run also those that are kept are shown, with the rules that keep them.
    """
    session = session_of(context)
    report = session.engine().prune(database_id=instance, database=database, dry_run=dry_run).to_dict()
    if as_json:
        session.write_json(report)
    else:
        _show_pruned(session, report, dry_run)
    return 1 if report["failed"] else 0


def _show_pruned(session: Session, report: Mapping[str, Any], dry_run: bool) -> None:
    fates = [("removed", report["removed"])]
    if dry_run:
        fates = [("would be removed", report["removed"]), ("kept", report["kept"])]
    rows = [
        Row(
            (
                one["database_id"],
                one["database"],
                text.when(one["created_at"], session.now),
                fate,
                text.sentence(", ".join(one["reasons"])) or text.NOTHING,
                PurePath(one["artifact"]).name,
            )
        )
        for fate, artifacts in fates
        for one in artifacts
    ]
    if rows:
        show_table(
            session.console,
            ("Instance", "Database", "Backed up", "Fate", "Reasons", "Artifact"),
            rows,
            spare="Artifact",
        )
    for held in report["held"]:
        say(session.console, f"{held['database_id']}/{held['database']} was left alone: {held['reason']}", "yellow")
    for path in report["missing"]:
        say(session.console, f"{path} is missing: only its manifest is there, and it was not removed here.", "yellow")
    for failed in report["failed"]:
        say(session.console, f"{failed['database_id']}/{failed['database']} failed: {failed['error']}", "bold red")
    removed, kept = len(report["removed"]), len(report["kept"])
    say(session.console, f"{text.count(removed, 'artifact')} {'would be ' if dry_run else ''}removed, {kept} kept.")
