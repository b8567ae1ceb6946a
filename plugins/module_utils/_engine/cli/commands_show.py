# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``show``: what an artifact holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import text
from ._typer import typer
from .options import (
    ArtifactOption,
    BeforeOption,
    DatabaseArgument,
    InstanceArgument,
    JsonOption,
    chosen_artifact,
    session_of,
)
from .output import Row, say, show_facts, show_table
from .session import Session


def show(
    context: typer.Context,
    instance: InstanceArgument,
    database: DatabaseArgument,
    artifact: ArtifactOption = None,
    before: BeforeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what an artifact holds: its objects, and how many rows each table has.

    Of the newest one, unless --artifact or --before says otherwise.
    """
    chosen = chosen_artifact(artifact, before)
    session = session_of(context)
    report = session.engine().contents(database_id=instance, database=database, **chosen).to_dict()
    if as_json:
        session.write_json(report)
    else:
        _show(session, report)
    return 0


def _show(session: Session, report: Mapping[str, Any]) -> None:
    size = f"{text.size(report['stored_bytes'])}, {text.size(report['plain_bytes'])} unpacked"
    show_facts(
        session.console,
        [
            ("Artifact", report["artifact"]),
            ("Database", f"{report['database_id']}/{report['database']} of {report['server']}"),
            ("Backed up", text.when(report["created_at"], session.now)),
            ("Size", size),
            ("Proof", report["proof"]),
        ],
    )
    rows, about = report["rows"] or {}, "about " if report["approximate"] else ""
    table = [
        Row((kind.replace("_", " "), name, f"{about}{rows[name]}" if kind == "table" and name in rows else ""))
        for kind, names in report["objects"].items()
        for name in names
    ]
    if table:
        session.out.line()
        show_table(session.console, ("Kind", "Name", "Rows"), table, numbers=("Rows",))
    for warning in report["warnings"]:
        say(session.console, f"Warning: {warning}", "yellow")
