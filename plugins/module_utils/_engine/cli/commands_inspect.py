# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``list``, ``status`` and ``check``: what there is, how it stands, and whether this host could work now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

from . import text
from ._typer import typer
from .options import DatabaseFilter, InstanceFilter, JsonOption, session_of, usage_error
from .output import Row, say, show_facts, show_table
from .session import Session


def list_artifacts(
    context: typer.Context,
    instance: InstanceFilter = None,
    database: DatabaseFilter = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="Only the artifacts' full paths, newest first, one in each line.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """List artifacts, and databases that have none."""
    if paths and as_json:
        raise usage_error("--paths and --json cannot be given together.")
    session = session_of(context)
    report = session.engine().info(database_id=instance, database=database).to_dict()
    if as_json:
        session.write_json(report)
    elif paths:
        for artifact in report["artifacts"]:
            session.out.line(artifact["artifact"])
    else:
        _show_artifacts(session, report)
    return 0


def _show_artifacts(session: Session, report: Mapping[str, Any]) -> None:
    rows = [
        Row(
            (
                artifact["database_id"],
                artifact["database"],
                text.when(artifact["created_at"], session.now),
                text.size(artifact["stored_bytes"]),
                text.duration(artifact["duration"]),
                "damaged" if artifact["damage"] else artifact["proof"],
                PurePath(artifact["artifact"]).name,
            ),
            marks_of(artifact),
        )
        for artifact in report["artifacts"]
    ]
    if rows:
        headers = ("Instance", "Database", "Backed up", "Size", "Took", "Proof", "Artifact")
        show_table(session.console, headers, rows, numbers=("Size", "Took"), spare="Artifact")
    say(session.console, f"{text.count(len(rows), 'artifact')}.")
    for instance in report["instances"]:
        name = instance["database_id"]
        if not instance["reachable"]:
            say(session.console, f"{name} cannot be asked for its databases: {instance['error']}", "yellow")
        elif instance["databases_without_backup"]:
            missing = text.listing(instance["databases_without_backup"])
            say(session.console, f"{name} ({instance['server']}) has databases without a backup: {missing}", "yellow")


def marks_of(artifact: Mapping[str, Any]) -> list[str]:
    """Return what has been noted of an artifact: that it is damaged, that somebody wants it kept."""
    damage = [artifact["damage"]] if artifact["damage"] else []
    return [*damage, *([f"Held: {artifact['hold']}"] if artifact["hold"] is not None else [])]


def status(context: typer.Context, as_json: JsonOption = False) -> int:
    """Show next runs, last backups and the storage."""
    session = session_of(context)
    report = session.engine().status().to_dict()
    if as_json:
        session.write_json(report)
    else:
        _show_status(session, report)
    return 0


def _show_status(session: Session, report: Mapping[str, Any]) -> None:
    console, now, storage = session.console, session.now, report["storage"]
    used, free = text.size(storage["used_bytes"]), text.size(storage["free_bytes"])
    show_facts(
        console,
        [
            ("Host", report["hostname"]),
            ("Engine", report["version"]),
            ("Storage", f"{storage['root']}: {used} used, {free} free"),
        ],
    )
    policies = [
        Row(
            (
                policy["name"],
                text.when(policy["next_run"], now),
                text.when(policy["last_run"], now),
                policy["last_outcome"] or text.NOTHING,
            )
        )
        for policy in report["policies"]
    ]
    databases = [
        Row(
            (
                database["database_id"],
                database["database"],
                database["last_outcome"] or text.NOTHING,
                text.when(database["last_success"], now),
                text.size(database["stored_bytes"]),
                database["proof"] or text.NOTHING,
            ),
            (database["last_error"],) if database["last_error"] else (),
        )
        for database in report["databases"]
    ]
    if policies:
        session.out.line()
        show_table(console, ("Policy", "Next run", "Last run", "Outcome"), policies)
    for problem in report["problems"]:
        say(console, problem, "bold red")
    session.out.line()
    if not databases:
        say(console, "No backup has been made yet.")
        return
    headers = ("Instance", "Database", "Last run", "Last success", "Size", "Proof")
    show_table(console, headers, databases, numbers=("Size",))


def check(
    context: typer.Context,
    instance: InstanceFilter = None,
    as_json: JsonOption = False,
) -> int:
    """Check that this host can back up its instances.

    Tries the servers, and looks at versions, clients, privileges, and at what would stop a restore.
    """
    session = session_of(context)
    report = session.engine().check(database_id=instance)
    document = report.to_dict()
    if as_json:
        session.write_json(document)
    else:
        _show_checks(session, document)
    return 0 if document["ok"] else 1


def _show_checks(session: Session, report: Mapping[str, Any]) -> None:
    of_instance: dict[str, list[Mapping[str, Any]]] = {}
    for one in report["checks"]:
        of_instance.setdefault(one["database_id"] or text.NOTHING, []).append(one)
    for instance, checks in of_instance.items():
        say(session.console, instance, "bold")
        rows = [
            Row(
                (f"  {one['check']}", one["status"], text.sentence(one["detail"])),
                (one["hint"],) if one["hint"] else (),
            )
            for one in checks
        ]
        show_table(session.console, ("  Check", "Status", "Detail"), rows)
        session.out.line()
    failed = sum(one["status"] == "failed" for one in report["checks"])
    warnings = sum(one["status"] == "warning" for one in report["checks"])
    verdict = f"{text.count(failed, 'check')} failed" if failed else "This host can back up"
    say(session.console, f"{verdict}, {text.count(warnings, 'warning')}." if warnings else f"{verdict}.")
