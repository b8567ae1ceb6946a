# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine as its two front doors see it: the command line and the Ansible modules call nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, Optional, Union

from . import __version__
from .config import DEFAULT_CONFIG_PATH, Config, Instance, Policy, load_config
from .core.backup import ALL_DATABASES, BackupJob, BackupResult, BackupRunner, ProgressCallback, planned
from .core.catalog import FAILED, SUCCESS, Catalog, RunRecord
from .core.events import Batch, Observers
from .core.locks import database_lock
from .core.restore import Restorer
from .core.retention import plan_retention, remove_artifact
from .core.scheduler import UNIT_PREFIX
from .core.storage import Storage, StoredArtifact, find_artifact
from .core.verification import VerificationResult, verify_artifact
from .db.base import Dbms
from .db.factory import create_dbms
from .errors import ArtifactError, BackupDbError, ConfigError, StoppedError
from .monitoring.metrics import MetricsObserver
from .notifications.mail import MailObserver
from .reports import (
    BackupReport,
    CheckReport,
    InfoReport,
    RestoreReport,
    RetentionReport,
    StatusReport,
    VerificationReport,
    describe_artifact,
)
from .security.audit import AuditLog
from .security.credentials import Credential, CredentialStore, open_store
from .security.privileges import drop_to_owner
from .utils.clock import Clock, to_text, utc_now
from .utils.processes import Command, ProcessTable


class Engine:
    """One host's backups: opened from its configuration, used for one command, thrown away."""

    def __init__(
        self, config: Config, credentials: dict[str, Union[Credential, BackupDbError]], *, trigger: str, clock: Clock
    ) -> None:
        """Put the parts together; nothing on disk is touched.

        Args:
            config: The host's configuration.
            credentials: For each instance its opened credential, or why it could not be opened.
            trigger: ``timer``, ``command`` or ``ansible``, for the record.
            clock: What tells the time.
        """
        self.config = config
        self.trigger = trigger
        self._credentials = credentials
        self._clock = clock
        self._processes = ProcessTable()
        self.storage = Storage(config.storage.root, config.hostname)
        self.catalog = Catalog(config.state_directory / "catalog.sqlite3", clock)
        self._lock_directory = config.state_directory / "locks"
        observers: list[Any] = [AuditLog(config.state_directory / "audit.log")]
        if config.metrics.textfile_directory is not None:
            observers.append(MetricsObserver(config, self.catalog))
        if config.notifications.mail is not None:
            observers.append(MailObserver(config.notifications.mail, self._mail_credential(), config.hostname))
        self._observers = Observers(observers)
        self._runner = BackupRunner(
            self.storage, self.catalog, self._observers, self._processes, self._lock_directory, clock
        )

    @classmethod
    def open(
        cls, config_path: Union[Path, str] = DEFAULT_CONFIG_PATH, *, trigger: str = "command", clock: Clock = utc_now
    ) -> Engine:
        """Read the configuration and open the secrets that it names.

        Raises:
            ConfigError: The configuration is missing or wrong.
        """
        config = load_config(config_path)
        names = {instance.credentials_id for instance in config.instances}
        if config.notifications.mail is not None and config.notifications.mail.credentials:
            names.add(config.notifications.mail.credentials)
        return cls(config, _open_credentials(config, names), trigger=trigger, clock=clock)

    def drop_privileges(self) -> None:
        """Go on as the owner of the state directory, where we are root and that is somebody else."""
        drop_to_owner(self.config.state_directory)

    def _mail_credential(self) -> Optional[Credential]:
        mail = self.config.notifications.mail
        opened = self._credentials.get(mail.credentials) if mail is not None and mail.credentials else None
        return opened if isinstance(opened, Credential) else None

    def _dbms(self, instance: Instance) -> Dbms:
        credential = self._credentials[instance.credentials_id]
        if isinstance(credential, BackupDbError):
            raise credential
        return create_dbms(instance, credential, self._processes)

    @contextlib.contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        """End every child when told to stop; the runs then fail, clean up and are put on record as usual.

        Raises:
            StoppedError: At the end, when a signal had come.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        received: list[int] = []

        def stop(number: int, _frame: Optional[FrameType]) -> None:
            received.append(number)
            self._processes.cancel()

        previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if received:
            raise StoppedError(f"Stopped by {signal.Signals(received[0]).name}; what was under way was cleaned up.")

    # -- backup ---------------------------------------------------------------------------------------------------

    def backup(
        self,
        *,
        policy: Optional[str] = None,
        database_id: Optional[str] = None,
        databases: Optional[Sequence[str]] = None,
        dry_run: bool = False,
        progress: Optional[ProgressCallback] = None,
        prune: Optional[bool] = None,
    ) -> BackupReport:
        """Back up what a policy covers, or some or all databases of an instance.

        Args:
            policy: The policy to follow; alone it names all that it covers.
            database_id: The instance, instead of the policy's.
            databases: Databases of that instance; all that are not excluded when left out.
            dry_run: Only look up what would be done.
            progress: Told how far each database is; called from several threads.
            prune: Whether retention follows for the databases that succeeded; when left out, for policies only.

        Raises:
            ConfigError: The policy or instance is not configured, or the arguments contradict.
            StoppedError: A signal ended it.
        """
        jobs = self._jobs(policy, database_id, databases)
        if dry_run:
            results = planned(jobs)
            return BackupReport(changed=any(r.outcome == "planned" for r in results), results=tuple(results))
        parallel = self.config.policy(policy).limits.parallel if policy else 2
        with self._stopped_by_signals():
            self._close_vanished()
            ended = asyncio.run(
                self._runner.run(jobs, parallel=parallel, trigger=self.trigger, progress=progress)
            )
            removed: list[str] = []
            if prune if prune is not None else policy is not None:
                for result, _record in ended:
                    if result.outcome == SUCCESS:
                        pruned = self._prune_database(result.database_id, result.database, dry_run=False)
                        removed += [entry["artifact"] for entry in pruned.removed]
            self._finish_batch("backup", policy, [record for _, record in ended if record is not None])
        results = [result for result, _record in ended]
        return BackupReport(any(r.outcome == SUCCESS for r in results), tuple(results), tuple(removed))

    def _jobs(
        self, policy_name: Optional[str], database_id: Optional[str], databases: Optional[Sequence[str]]
    ) -> list[BackupJob]:
        if policy_name is None and database_id is None:
            raise ConfigError("Nothing says what to back up.", "Name a policy, or an instance by its database_id.")
        if databases and database_id is None:
            raise ConfigError("Databases are named without their instance.", "Give the instance's database_id.")
        policy = self.config.policy(policy_name) if policy_name else None
        if database_id is not None:
            instances = [self.config.instance(database_id)]
        else:
            instances = [i for i in self.config.instances if policy is not None and policy.covers_instance(i.database_id)]
        jobs = []
        for instance in instances:
            jobs += self._jobs_of_instance(instance, policy, databases)
        return jobs

    def _jobs_of_instance(
        self, instance: Instance, policy: Optional[Policy], names: Optional[Sequence[str]]
    ) -> list[BackupJob]:
        def policy_for(database: str) -> Policy:
            return policy or self.config.policy_of(instance.database_id, database)

        try:
            dbms = self._dbms(instance)
            sizes = dbms.databases()
        except BackupDbError as exc:  # this instance fails, the others go on
            return [
                BackupJob(instance.database_id, name, policy_for(name), error=exc) for name in names or (ALL_DATABASES,)
            ]
        if names:
            chosen = list(dict.fromkeys(names))
        else:
            chosen = [name for name in sorted(sizes) if policy is None or policy.covers_database(name)]
            if policy is not None and not any(self.config.instances[1:]):
                # A database that a policy names outright is missed when it is not there; a pattern may match nothing.
                chosen += [name for name in policy.include if not set(name) & set("*?[") and name not in sizes]
        return [BackupJob(instance.database_id, name, policy_for(name), dbms, sizes.get(name, 0)) for name in chosen]

    def _close_vanished(self) -> None:
        for record in self.catalog.close_vanished():
            self._observers.run_finished(record)

    def _finish_batch(self, kind: str, policy: Optional[str], records: list[RunRecord]) -> None:
        self._observers.batch_finished(Batch(kind, policy, self.trigger, tuple(records)))

    # -- restore --------------------------------------------------------------------------------------------------

    def restore(
        self,
        *,
        database_id: str,
        database: str,
        artifact: Optional[Path] = None,
        before: Optional[datetime] = None,
        target: Optional[str] = None,
        overwrite: bool = False,
        dry_run: bool = False,
        progress: Optional[ProgressCallback] = None,
    ) -> RestoreReport:
        """Restore one database from an artifact: the newest, the newest before a moment, or one by its path.

        Args:
            database_id: The instance that takes it.
            database: The database that the artifact is of.
            artifact: The artifact's path; the newest of the database when left out.
            before: Take the newest artifact made at or before this moment.
            target: The name to restore into; the database's own when left out.
            overwrite: Whether an existing target may be replaced.
            dry_run: Only examine whether it can be done.
            progress: Told how far it is.

        Raises:
            BackupDbError: Refused or failed; the message says in what state the database is.
        """
        instance = self.config.instance(database_id)
        stored = self._choose_artifact(database_id, database, artifact, before)
        restorer = Restorer(self._processes, self._clock)
        dbms = self._dbms(instance)
        policy = self.config.policy_of(database_id, database)
        name = target or database
        plan = restorer.plan(stored, dbms, name, overwrite, policy.limits.stall_timeout)
        report = RestoreReport(
            changed=True,
            database_id=database_id,
            database=database,
            target=name,
            artifact=str(stored.path),
            created_at=to_text(stored.manifest.created_at),
            outcome="planned",
            overwritten=plan.exists,
        )
        if dry_run:
            return report

        def safety_backup() -> BackupResult:
            job = BackupJob(database_id, name, policy, dbms)
            return self._runner.backup(job, self.trigger, progress, locked=True)[0]

        with self._stopped_by_signals(), database_lock(self._lock_directory, database_id, name, "a restore"):
            self._close_vanished()
            run = self.catalog.start("restore", database_id, name, policy=policy.name, trigger=self.trigger)
            facts = {
                "artifact": str(stored.path),
                "stored_bytes": stored.manifest.stored_bytes,
                "plain_bytes": stored.manifest.plain_bytes,
            }
            try:
                done = restorer.restore(plan, safety_backup, progress)
            except BaseException as exc:
                words = str(exc) if isinstance(exc, BackupDbError) else f"Internal error: {type(exc).__name__}."
                self._record_end(self.catalog.finish(run.run_id, FAILED, error=words, **facts))
                raise
            record = self.catalog.finish(run.run_id, SUCCESS, **facts)
            self._record_end(record)
        return dataclasses.replace(
            report,
            outcome=SUCCESS,
            duration=round(record.duration or 0.0, 3),
            safety_backup=done.safety_backup,
            warnings=done.warnings,
        )

    def _record_end(self, record: RunRecord) -> None:
        self._observers.run_finished(record)
        self._finish_batch(record.kind, record.policy, [record])

    def _choose_artifact(
        self, database_id: str, database: str, artifact: Optional[Path], before: Optional[datetime]
    ) -> StoredArtifact:
        if artifact is not None and before is not None:
            raise ConfigError("An artifact's path and a moment were both given.", "Give one of them.")
        if artifact is not None:
            stored = find_artifact(artifact)
            if stored.manifest.database != database:
                raise ConfigError(
                    f"The artifact {stored.path} is of the database {stored.manifest.database!r}, not of {database!r}.",
                    f"Name {stored.manifest.database!r} as the database, and {database!r} as the target if that is meant.",
                )
            return stored
        found = self.storage.artifacts(database_id, database)
        if not found:
            raise ArtifactError(
                f"There is no artifact of {database_id}/{database} below {self.storage.root / self.storage.hostname}.",
                "List what exists: vya-backupdb list.",
            )
        if before is None:
            return found[0]
        fitting = [stored for stored in found if stored.manifest.created_at <= before]
        if not fitting:
            raise ArtifactError(
                f"No artifact of {database_id}/{database} is from {to_text(before)} or earlier;"
                f" the oldest is from {to_text(found[-1].manifest.created_at)}."
            )
        return fitting[0]

    # -- retention and verification -------------------------------------------------------------------------------

    def prune(
        self, *, database_id: Optional[str] = None, database: Optional[str] = None, dry_run: bool = False
    ) -> RetentionReport:
        """Apply each database's retention.

        Args:
            database_id: Only this instance.
            database: Only this database of it.
            dry_run: Only say what would be removed.

        Raises:
            BackupDbError: The storage cannot be read or written, or a database is in use by another run.
        """
        if database_id is not None:
            self.config.instance(database_id)
        found = self.storage.artifacts(database_id, database)
        owners = sorted({(s.manifest.database_id, s.manifest.database) for s in found})
        with self._stopped_by_signals():
            reports = [self._prune_database(owner_id, name, dry_run) for owner_id, name in owners]
        return RetentionReport(
            changed=any(report.changed for report in reports),
            kept=tuple(entry for report in reports for entry in report.kept),
            removed=tuple(entry for report in reports for entry in report.removed),
            held=tuple(entry for report in reports for entry in report.held),
        )

    def _prune_database(self, database_id: str, database: str, dry_run: bool) -> RetentionReport:
        retention = self.config.policy_of(database_id, database).retention
        decisions = plan_retention(self.storage.artifacts(database_id, database), retention)
        entries = [
            {
                "database_id": database_id,
                "database": database,
                "artifact": str(decision.stored.path),
                "created_at": to_text(decision.stored.manifest.created_at),
                "reasons": list(decision.reasons),
            }
            for decision in decisions
        ]
        kept = tuple(entry for entry, decision in zip(entries, decisions, strict=True) if decision.keep)
        spent = [decision for decision in decisions if not decision.keep]
        removed = tuple(entry for entry, decision in zip(entries, decisions, strict=True) if not decision.keep)
        last = self.catalog.runs("backup", database_id, database, limit=1)
        if spent and last and last[0].outcome in (FAILED, "vanished"):
            held = {"database_id": database_id, "database": database, "reason": "The newest backup run failed."}
            return RetentionReport(False, tuple(entries), (), (held,))
        if dry_run or not spent:
            return RetentionReport(bool(spent), kept, removed, ())
        with database_lock(self._lock_directory, database_id, database, "retention"):
            for decision in spent:
                self._remove(database_id, database, decision.stored)
        return RetentionReport(True, kept, removed, ())

    def _remove(self, database_id: str, database: str, stored: StoredArtifact) -> None:
        run = self.catalog.start("retention", database_id, database, trigger=self.trigger)
        facts = {"artifact": str(stored.path), "stored_bytes": stored.manifest.stored_bytes}
        try:
            remove_artifact(stored)
        except BackupDbError as exc:
            self._observers.run_finished(self.catalog.finish(run.run_id, FAILED, error=str(exc), **facts))
            raise
        self._observers.run_finished(self.catalog.finish(run.run_id, SUCCESS, **facts))

    def verify(
        self,
        *,
        database_id: Optional[str] = None,
        database: Optional[str] = None,
        artifact: Optional[Path] = None,
        newest_only: bool = False,
        progress: Optional[ProgressCallback] = None,
    ) -> VerificationReport:
        """Read artifacts back as a whole and mark those found whole as ``verified``.

        Args:
            database_id: Only artifacts of this instance.
            database: Only artifacts of this database.
            artifact: Only the artifact at this path.
            newest_only: Only the newest artifact of each database.
            progress: Told how far it is.

        Raises:
            BackupDbError: The storage or the catalog cannot be used; damaged artifacts are results, not errors.
        """
        chosen = [find_artifact(artifact)] if artifact else self.storage.artifacts(database_id, database)
        if newest_only:
            newest: dict[tuple[str, str], StoredArtifact] = {}
            for stored in chosen:
                newest.setdefault((stored.manifest.database_id, stored.manifest.database), stored)
            chosen = list(newest.values())
        with self._stopped_by_signals():
            results = []
            for stored in chosen:
                if self._processes.cancelled.is_set():
                    break
                results.append(self._verify_one(stored, progress))
        return VerificationReport(any(r.outcome == SUCCESS for r in results), tuple(results))

    def _verify_one(self, stored: StoredArtifact, progress: Optional[ProgressCallback]) -> VerificationResult:
        from .core.backup import Progress

        manifest = stored.manifest
        names = (manifest.database_id, manifest.database)

        def tell(done: int) -> None:
            if progress:
                progress(Progress(*names, "verifying", done, manifest.plain_bytes))

        run = self.catalog.start("verification", *names, trigger=self.trigger)
        error: Optional[str] = None
        try:
            verify_artifact(stored, tell)
            manifest = manifest.with_proof("verified", self._clock())
            manifest.write(stored.path.parent)
        except BackupDbError as exc:
            error = str(exc)
        except OSError as exc:
            error = f"The manifest of {stored.path} cannot be written: {exc.strerror}."
        outcome = FAILED if error else SUCCESS
        record = self.catalog.finish(run.run_id, outcome, artifact=str(stored.path), error=error)
        self._observers.run_finished(record)
        return VerificationResult(str(stored.path), *names, outcome, None if error else manifest.proof, error)

    # -- looking --------------------------------------------------------------------------------------------------

    def info(self, *, database_id: Optional[str] = None, database: Optional[str] = None) -> InfoReport:
        """Return what exists: artifacts with their proof, and the databases that have none."""
        chosen = [self.config.instance(database_id)] if database_id else list(self.config.instances)
        artifacts = self.storage.artifacts(database_id, database)
        protected = {(s.manifest.database_id, s.manifest.database) for s in artifacts}
        instances = []
        for instance in chosen:
            entry: dict[str, Any] = {"database_id": instance.database_id, "dbms": instance.dbms}
            try:
                dbms = self._dbms(instance)
                names = sorted(dbms.databases())
                entry |= {"reachable": True, "server": dbms.server().description, "error": None}
            except BackupDbError as exc:
                names = []
                entry |= {"reachable": False, "server": None, "error": str(exc)}
            if database is not None:
                names = [name for name in names if name == database]
            entry["databases"] = names
            entry["databases_without_backup"] = [n for n in names if (instance.database_id, n) not in protected]
            instances.append(entry)
        return InfoReport(tuple(instances), tuple(describe_artifact(stored) for stored in artifacts))

    def check(self, *, database_id: Optional[str] = None) -> CheckReport:
        """Examine whether this host can back up each instance: connection, version, clients, privileges."""
        chosen = [self.config.instance(database_id)] if database_id else list(self.config.instances)
        checks = []
        for instance in chosen:
            try:
                found = [dataclasses.asdict(check) for check in self._dbms(instance).checks()]
            except BackupDbError as exc:
                found = [{"check": "connection", "status": "failed", "detail": exc.message, "hint": exc.hint}]
            checks += [{"database_id": instance.database_id, **check} for check in found]
        return CheckReport(all(check["status"] != "failed" for check in checks), tuple(checks))

    def status(self) -> StatusReport:
        """Return how the host stands, from the catalog and the storage; no server is asked."""
        runs = self.catalog.runs("backup")
        databases: dict[tuple[str, str], dict[str, Any]] = {}
        for run in runs:  # newest first
            entry = databases.setdefault(
                (run.database_id, run.database),
                {
                    "database_id": run.database_id,
                    "database": run.database,
                    "last_outcome": run.outcome,
                    "last_error": run.error,
                    "last_success": None,
                    "artifact": None,
                    "proof": None,
                    "stored_bytes": None,
                },
            )
            if run.outcome == SUCCESS and entry["last_success"] is None:
                entry["last_success"] = to_text(run.started_at)
        stored_bytes = 0
        for stored in self.storage.artifacts():
            stored_bytes += stored.manifest.stored_bytes
            found = databases.get((stored.manifest.database_id, stored.manifest.database))
            if found is not None and found["artifact"] is None:
                found |= {
                    "artifact": str(stored.path),
                    "proof": stored.manifest.proof,
                    "stored_bytes": stored.manifest.stored_bytes,
                }
        return StatusReport(
            hostname=self.config.hostname,
            version=__version__,
            policies=tuple(self._policy_status(policy, runs) for policy in self.config.policies),
            databases=tuple(databases[key] for key in sorted(databases)),
            storage={
                "root": str(self.storage.root),
                "used_bytes": stored_bytes,
                "free_bytes": self.storage.free_bytes(),
            },
        )

    def _policy_status(self, policy: Policy, runs: Sequence[RunRecord]) -> dict[str, Any]:
        own = [run for run in runs if run.policy == policy.name]
        last_moment = own[0].started_at if own else None
        recent = [run for run in own if last_moment and (last_moment - run.started_at).total_seconds() < 1]
        outcome = None if not own else (SUCCESS if all(r.outcome == SUCCESS for r in recent) else own[0].outcome)
        return {
            "name": policy.name,
            "next_run": self._next_run(policy.name),
            "last_run": to_text(last_moment) if last_moment else None,
            "last_outcome": outcome,
        }

    def _next_run(self, policy: str) -> Optional[str]:
        """Ask systemd when the policy's timer fires next; None where there is no such timer or no systemd."""
        command = Command(("systemctl", "list-timers", "--output=json", f"{UNIT_PREFIX}{policy}.timer"))
        try:
            _code, output, _errors = self._processes.run(command, timeout=10)
            timers = json.loads(output)
            return to_text(datetime.fromtimestamp(timers[0]["next"] / 1_000_000, timezone.utc))
        except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
            return None


def _open_credentials(config: Config, names: set[str]) -> dict[str, Union[Credential, BackupDbError]]:
    """Open each credential, or keep why it could not be, so that one bad entry fails one instance only."""
    opened: dict[str, Union[Credential, BackupDbError]] = {}
    try:
        store: Optional[CredentialStore] = open_store(config)
        failure: Optional[BackupDbError] = None
    except BackupDbError as exc:
        store, failure = None, exc
    for name in names:
        try:
            opened[name] = store.get(name) if store else failure or ConfigError("No credentials.")
        except BackupDbError as exc:
            opened[name] = exc
    return opened
