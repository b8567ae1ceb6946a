# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``pin``, ``unpin``, ``accept`` and ``adopt-storage``: what only people can know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from . import text
from ._typer import typer
from .options import DryRunOption, JsonOption, session_of
from .output import say
from .session import Session

ArtifactArgument = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The artifact's path.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for those who wonder later.")]


def pin(
    context: typer.Context,
    artifact: ArtifactArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> int:
    """Put a hold on an artifact: retention never removes it until "unpin" takes the hold off."""
    session = session_of(context)
    report = session.engine().hold(artifact=artifact.absolute(), reason=reason, dry_run=dry_run).to_dict()
    _show_hold(session, report, dry_run, as_json)
    return 0


def unpin(
    context: typer.Context,
    artifact: ArtifactArgument,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> int:
    """Take the hold off an artifact, so that retention may remove it again."""
    session = session_of(context)
    report = session.engine().release(artifact=artifact.absolute(), dry_run=dry_run).to_dict()
    _show_hold(session, report, dry_run, as_json)
    return 0


def _show_hold(session: Session, report: Mapping[str, Any], dry_run: bool, as_json: bool) -> None:
    if as_json:
        session.write_json(report)
        return
    now = "would be" if dry_run and report["changed"] else "is"
    state = f"{now} held: {report['hold']}" if report["hold"] is not None else f"{now} under no hold."
    say(session.console, f"{text.plain(report['artifact'])} {state}")


def accept(
    context: typer.Context,
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance (its database_id).")],
    database: Annotated[str, typer.Argument(metavar="DATABASE", help="The database.")],
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> int:
    """Say that a database is meant to be as it is.

    Retention holds back where a database has suddenly become much smaller, or where a restore ended in the middle.
    Look at the database first; then this lets retention go on.
    """
    session = session_of(context)
    report = session.engine().accept(database_id=instance, database=database, reason=reason, dry_run=dry_run).to_dict()
    if as_json:
        session.write_json(report)
    elif report["changed"]:
        say(session.console, f"{'Would be accepted' if dry_run else 'Accepted'}: retention goes on from here.")
    else:
        say(session.console, "Nothing holds retention back that could be accepted.")
    return 0


def adopt_storage(context: typer.Context, dry_run: DryRunOption = False, as_json: JsonOption = False) -> int:
    """Take the storage of this host's name over.

    For a host that was installed anew or cloned. Another host that still uses the same name and storage is then the
    one that is refused.
    """
    session = session_of(context)
    report = session.engine().adopt_storage(dry_run=dry_run).to_dict()
    if as_json:
        session.write_json(report)
    else:
        now = "would now belong" if dry_run and report["changed"] else "now belongs" if report["changed"] else "belongs"
        say(session.console, f"{text.plain(report['directory'])} {now} to this machine.")
    return 0
