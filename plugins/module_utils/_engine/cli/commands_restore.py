# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``restore``: bring a database back, after showing what that means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

from ..errors import RestoreError
from . import text
from ._typer import typer
from .options import (
    ArtifactOption,
    BeforeOption,
    DatabaseArgument,
    DryRunOption,
    IdentityOption,
    JsonOption,
    chosen_artifact,
    parse_owners,
    session_of,
    usage_error,
)
from .output import console_on, say, show_facts
from .progress import show_progress
from .session import Session

_CONTENTS = {"schema": "definitions without rows", "data": "rows, added to tables that are there and empty"}


def restore(
    context: typer.Context,
    instance: Annotated[
        str, typer.Argument(metavar="INSTANCE", help="The instance to restore into (its database_id).")
    ],
    database: DatabaseArgument,
    artifact: ArtifactOption = None,
    before: BeforeOption = None,
    target: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="Restore under this name; the original is left alone.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the target if it exists.")] = False,
    jobs: Annotated[
        Optional[int],
        typer.Option(metavar="N", min=1, help="How many clients load at a time; else what the policy says."),
    ] = None,
    tables: Annotated[
        Optional[list[str]],
        typer.Option(
            "--table", metavar="NAME", help="Only this table (can be repeated), into a new database: needs --target."
        ),
    ] = None,
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="Definitions without rows, into a new database: needs --target.")
    ] = False,
    data_only: Annotated[
        bool, typer.Option("--data-only", help="Rows alone, added to tables of the target that are there and empty.")
    ] = False,
    accounts: Annotated[
        Literal["missing", "none"],
        typer.Option(help="Make the accounts that belong to the artifact and that the server lacks, or none."),
    ] = "none",
    owners: Annotated[
        Optional[list[str]],
        typer.Option("--owner", metavar="OLD=NEW", help="Let NEW take the place of the account OLD; repeatable."),
    ] = None,
    identity: IdentityOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> int:
    """Restore a database from one of its artifacts.

    From the newest one, unless --artifact or --before says otherwise.
    On a terminal the plan is shown first, and the restore begins after a yes.
    """
    chosen = chosen_artifact(artifact, before)
    replaced = parse_owners(owners or ())
    if schema_only and data_only:
        raise usage_error("--schema-only and --data-only exclude each other; without both everything is restored.")
    session = session_of(context)
    if not (yes or dry_run or session.interactive):
        raise usage_error("There is no terminal to confirm the restore on: give --yes (or --dry-run to see the plan).")
    engine = session.engine(identity=identity)
    wanted: dict[str, Any] = {
        "database_id": instance,
        "database": database,
        "target": target,
        "overwrite": overwrite,
        "jobs": jobs,
        "tables": tables or [],
        "content": "schema" if schema_only else "data" if data_only else "all",
        "accounts": accounts,
        "owners": replaced,
    }
    if dry_run or not yes:
        plan = engine.restore(**wanted, **chosen, dry_run=True).to_dict()
        if dry_run:
            _report(session, plan, as_json)
            return 0
        show_plan(session, plan)
        if not _agreed():
            raise RestoreError("Not restored: nothing was changed.")
        # What was agreed to, even if a newer artifact has appeared since.
        chosen = {"artifact": Path(plan["artifact"]), "before": None}
    with show_progress(session.err if as_json else session.out) as progress:
        report = engine.restore(**wanted, **chosen, progress=progress)
    _report(session, report.to_dict(), as_json)
    return 0


def _agreed() -> bool:
    """Ask on standard error; the end of the input is a no."""
    try:
        return typer.confirm("Restore?", default=False, err=True)
    except typer.Abort:
        return False


def show_plan(session: Session, plan: Mapping[str, Any]) -> None:
    """Show on standard error what a restore would do."""
    console = console_on(session.err)
    show_facts(console, plan_facts(plan, session.now))
    for warning in plan["warnings"]:
        say(console, f"Warning: {warning}", "yellow")


def plan_facts(report: Mapping[str, Any], now: datetime) -> list[tuple[str, object]]:
    """Return what a restore does or did, as labels and values."""
    planned = report["outcome"] == "planned"
    into = f"{report['database_id']}/{report['target']}"
    if report["overwritten"]:
        into += " (exists, and would be replaced)" if planned else " (replaced what was there)"
    facts: list[tuple[str, object]] = [
        ("Database", f"{report['database_id']}/{report['database']}"),
        ("Artifact", report["artifact"]),
        ("Backed up", text.when(report["created_at"], now)),
        ("Into", into),
    ]
    if report["tables"]:
        facts.append(("Tables", ", ".join(report["tables"])))
    if report["content"] != "all":
        facts.append(("Content", _CONTENTS[report["content"]]))
    if report["accounts"]:
        facts.append(("Accounts", f"{', '.join(report['accounts'])} ({'would be ' if planned else ''}made)"))
    if report["owners"]:
        facts.append(("Owners", ", ".join(f"{new} for {old}" for old, new in report["owners"].items())))
    if report["safety_backup"]:
        facts.append(("Former state", report["safety_backup"]))
    return facts


def _report(session: Session, report: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        session.write_json(report)
        return
    facts = plan_facts(report, session.now)
    facts.append(("Outcome", report["outcome"]))
    if report["outcome"] != "planned":
        facts.append(("Took", text.duration(report["duration"])))
    show_facts(session.console, facts)
    for difference in report["differences"]:
        say(session.console, f"Difference: {difference}", "yellow")
    for warning in report["warnings"]:
        say(session.console, f"Warning: {warning}", "yellow")
