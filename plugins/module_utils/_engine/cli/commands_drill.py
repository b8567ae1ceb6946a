# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``drill``: prove that artifacts restore, by restoring them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

from . import text
from ._typer import typer
from .options import (
    ArtifactOption,
    DatabaseFilter,
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


def drill(
    context: typer.Context,
    instance: InstanceFilter = None,
    database: DatabaseFilter = None,
    artifact: ArtifactOption = None,
    identity: IdentityOption = None,
    due: Annotated[
        bool, typer.Option("--due", help="Only databases whose turn it is, by drill.every_days of the configuration.")
    ] = False,
    trigger: TriggerOption = "command",
    as_json: JsonOption = False,
) -> int:
    """Restore artifacts into a scratch server on this host and compare what came back.

    Of each database the newest is taken. What passes has the proof "restored" from then on, with the time that it took.
    No server of yours is touched, and the scratch server is gone afterwards.
    """
    if artifact is not None and (instance is not None or due):
        raise usage_error("--artifact names one artifact: it goes with neither INSTANCE nor --due.")
    session = session_of(context)
    engine = session.engine(trigger, identity)
    with show_progress(session.err if as_json else session.out) as progress:
        report = engine.drill(
            database_id=instance,
            database=database,
            artifact=artifact.absolute() if artifact is not None else None,
            due=due,
            progress=progress,
        ).to_dict()
    if as_json:
        session.write_json(report)
    else:
        _show_drilled(session, report)
    return 0 if all(result["outcome"] == "success" for result in report["results"]) else 1


def _show_drilled(session: Session, report: Mapping[str, Any]) -> None:
    rows = [
        Row(
            (
                result["database_id"],
                result["database"],
                result["outcome"],
                text.duration(result["seconds"]),
                PurePath(result["artifact"]).name,
            ),
            (result["error"],) if result["error"] else _compared(result["compared"]),
        )
        for result in report["results"]
    ]
    if rows:
        headers = ("Instance", "Database", "Outcome", "Restored in", "Artifact")
        show_table(session.console, headers, rows, numbers=("Restored in",), spare="Artifact")
    good = sum(result["outcome"] == "success" for result in report["results"])
    rest = f", {len(rows) - good} not." if len(rows) > good else "."
    say(session.console, f"{text.count(good, 'artifact')} proven{rest}" if rows else "No drill is due.")


def _compared(compared: Mapping[str, Any]) -> list[str]:
    counted = [
        text.count(compared["objects"], "definition or grant", "definitions and grants"),
        text.count(compared["positions"], "sequence"),
        f"the rows of {text.count(compared['rows'], 'table')}",
        f"the values of {text.count(compared['contents'], 'table')}",
    ]
    return [f"As backed up: {', '.join(counted)}.", *compared["remarks"]]
