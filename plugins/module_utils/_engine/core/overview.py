# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Overviews for people and modules: what exists, whether all could be backed up, how the host stands."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import subprocess
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, Optional, Union

from .. import __version__
from ..config import HoldBack, Instance, Policy
from ..db.base import Check, Dbms
from ..errors import ArtifactError, BackupDbError, ClientError, ServerError, StorageError
from ..reports import CheckReport, InfoReport, StatusReport, describe_artifact
from ..utils.clock import to_text
from ..utils.processes import Command
from .catalog import SUCCESS
from .context import Context
from .encryption import refuse_unopenable, try_recipients
from .listing import Entry, Orphan
from .marks import damage_path, read_mark
from .recovery import explain_unfinished, leftovers, unfinished_restores
from .scheduler import UNIT_PREFIX
from .turns import busyness


def describe_instances(
    context: Context, instances: Sequence[Instance], database_id: Optional[str], database: Optional[str]
) -> InfoReport:
    """Return what exists: artifacts with their proof, and the databases that have none."""
    artifacts = context.storage.artifacts(database_id, database)
    protected = {(s.manifest.database_id, s.manifest.database) for s in artifacts}
    described = []
    for instance in instances:
        names: list[str] = []
        entry: dict[str, Any] = {"database_id": instance.database_id, "dbms": instance.dbms}
        try:
            dbms = context.connect(instance)
            names = [name for name in sorted(dbms.databases()) if database in (None, name)]
            entry |= {"reachable": True, "server": dbms.server().description, "error": None}
        except BackupDbError as exc:
            entry |= {"reachable": False, "server": None, "error": str(exc)}
        entry["databases"] = names
        entry["databases_without_backup"] = [n for n in names if (instance.database_id, n) not in protected]
        described.append(entry)
    return InfoReport(tuple(described), tuple(describe_artifact(stored) for stored in artifacts))


def check_instances(context: Context, instances: Sequence[Instance]) -> CheckReport:
    """Examine whether this host can back up each instance: connection, version, clients, privileges."""
    checks = []
    unfinished = unfinished_restores(context.catalog)
    for instance in instances:
        checks += [
            {
                "database_id": run.database_id,
                "check": "restore",
                "status": "failed",
                "detail": explain_unfinished(run),
                "hint": "",
            }
            for run in unfinished
            if run.database_id == instance.database_id
        ]
        try:
            dbms = context.connect(instance)
            databases = _to_be_backed_up(context.config.policies, instance.database_id, dbms.databases())
            found = [dataclasses.asdict(check) for check in dbms.checks(databases)]
            found += [dataclasses.asdict(check) for check in _policy_checks(context, instance, dbms)]
        except BackupDbError as exc:
            found = [{"check": "connection", "status": "failed", "detail": exc.message, "hint": exc.hint}]
        checks += [{"database_id": instance.database_id, **check} for check in found]
    return CheckReport(all(check["status"] != "failed" for check in checks), tuple(checks))


def _policy_checks(context: Context, instance: Instance, dbms: Dbms) -> list[Check]:
    """Examine what policies ask for beyond the dump in one stream."""
    own = [policy for policy in context.config.policies if policy.covers_instance(instance.database_id)]
    algorithms = sorted({policy.compression.algorithm for policy in own if policy.strategy == "parallel"})
    checks = [check for algorithm in algorithms for check in dbms.parallel_checks(algorithm)]
    recipients = sorted({policy.encryption.recipients for policy in own if policy.encryption is not None})
    checks += [_encryption_check(context, each) for each in recipients]
    wanted = {policy.limits.hold_back for policy in own if policy.limits.hold_back.wanted}
    return checks + ([_load_check(dbms, wanted)] if wanted else [])


def _load_check(dbms: Dbms, wanted: Collection[HoldBack]) -> Check:
    """Examine whether the server says how busy it is, where policies wait until it is less so."""
    try:
        load = dbms.load(any(each.replication_lag is not None for each in wanted))
    except ServerError as exc:
        fails = any(each.then == "fail" for each in wanted)
        return Check("hold-back", "failed" if fails else "warning", exc.message, exc.hint)
    busy = sorted(filter(None, (busyness(load, each) for each in wanted)))
    return Check("hold-back", "ok", f"Backups would wait now: {'; '.join(busy)}." if busy else "No backup would wait.")


def _encryption_check(context: Context, recipients: Sequence[str]) -> Check:
    """Examine whether artifacts can be encrypted, and say what can be done with them here."""
    try:
        try_recipients(context.processes, recipients)
    except ClientError as exc:
        return Check(exc.check, "failed", exc.message, exc.hint)
    try:
        if context.identity is not None:
            refuse_unopenable(recipients, context.decryption, "What this host encrypts")
    except BackupDbError as exc:
        return Check("encryption", "warning", exc.message, exc.hint)
    known = "decrypts it" if context.identity else "has no identity to decrypt it: artifacts are verified by checksum"
    number = f"{len(recipients)} recipient{'s' if len(recipients) != 1 else ''}"
    return Check("encryption", "ok", f"age encrypts for {number}; this host {known}.")


def _to_be_backed_up(policies: Sequence[Policy], database_id: str, names: Iterable[str]) -> list[str]:
    """Return the databases that some policy covers; all where none covers the instance."""
    own = [policy for policy in policies if policy.covers_instance(database_id)]
    return [name for name in sorted(names) if not own or any(policy.covers_database(name) for policy in own)]


def summarize_host(context: Context) -> StatusReport:
    """Return how the host stands, from the catalog and the storage; no server is asked."""
    databases: dict[tuple[str, str], dict[str, Any]] = {
        (run.database_id, run.database): {
            "database_id": run.database_id,
            "database": run.database,
            "last_outcome": run.outcome,
            "last_error": run.error,
            **dict.fromkeys(("last_success", "artifact", "proof", "stored_bytes")),
        }
        for run in context.catalog.latest_backups()
    }
    for run in context.catalog.last_ended("backup", SUCCESS):
        entry = databases.get((run.database_id, run.database))
        if entry is not None:
            entry["last_success"] = to_text(run.started_at)
    used, problems = 0, _problems_on_record(context)
    # One database at a time: all artifacts of a host would be a long list.
    for key, listed in itertools.groupby(context.storage.walk(), key=lambda found: (found.database_id, found.database)):
        entries: list[Entry] = []
        for found in listed:
            problems += _problem_of(context, found)
            if isinstance(found, Entry):
                used += found.stored_bytes
                entries.append(found)
        if key in databases:
            databases[key] |= _newest_artifact(context, entries)
    return StatusReport(
        hostname=context.config.hostname,
        version=__version__,
        policies=tuple(_policy_status(context, policy) for policy in context.config.policies),
        databases=tuple(databases[key] for key in sorted(databases)),
        problems=tuple(problems),
        storage={
            "root": str(context.storage.root),
            "used_bytes": used,
            "free_bytes": context.storage.free_bytes(),
        },
    )


def _newest_artifact(context: Context, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what the status says of the newest artifact that has a readable manifest; nothing where there is none."""
    for entry in sorted(entries, key=lambda entry: (entry.moment, entry.path.name), reverse=True):
        with contextlib.suppress(ArtifactError):  # the one before it then
            stored = context.storage.load(entry)
            return {
                "artifact": str(stored.path),
                "proof": "damaged" if entry.damaged else stored.manifest.proof,
                "stored_bytes": stored.manifest.stored_bytes,
            }
    return {}


def _problems_on_record(context: Context) -> list[str]:
    """Return what the catalog knows to be wrong beyond failed backups, each in a sentence: restores that died."""
    found = []
    try:
        context.ownership.refuse_others()
    except StorageError as exc:
        found.append(str(exc))
    found += [explain_unfinished(run) for run in unfinished_restores(context.catalog)]
    found += leftovers(context.catalog)
    found += [
        f"A {run.kind} of {run.database_id}/{run.database} from {to_text(run.started_at)} has died; the next command"
        " puts that on record."
        for run in context.catalog.dead_runs()
    ]
    return found


def _problem_of(context: Context, found: Union[Entry, Orphan]) -> list[str]:
    """Return in a sentence that an artifact is damaged or lost, if it is."""
    if isinstance(found, Entry):
        mark = read_mark(damage_path(found.path)) if found.damaged else None
        return [f"{found.path} is damaged: {mark.reason}"] if mark is not None else []
    removed = context.catalog.runs("retention", found.database_id, found.database, artifact=str(found.path), limit=1)
    if removed and not found.held:
        return []
    return [f"{found.path} is missing: only its manifest is there, and it was not removed here."]


def _policy_status(context: Context, policy: Policy) -> dict[str, Any]:
    own = context.catalog.newest_backups(policy=policy.name)
    outcomes = {run.outcome for run in own}
    return {
        "name": policy.name,
        "next_run": _next_run(context, policy.name),
        "last_run": to_text(own[0].started_at) if own else None,
        "last_outcome": None if not own else SUCCESS if outcomes == {SUCCESS} else (outcomes - {SUCCESS}).pop(),
    }


def _next_run(context: Context, policy: str) -> Optional[str]:
    """Ask systemd when the policy's timer fires next; None where there is no such timer or no systemd."""
    command = Command(("systemctl", "list-timers", "--output=json", f"{UNIT_PREFIX}{policy}.timer"))
    try:
        _code, output, _errors = context.processes.run(command, timeout=10)
        return to_text(datetime.fromtimestamp(json.loads(output)[0]["next"] / 1_000_000, timezone.utc))
    except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
        return None
