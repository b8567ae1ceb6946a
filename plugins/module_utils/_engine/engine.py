# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine as its two front doors see it: the command line and the Ansible modules call nothing else.

What a backup needs is imported here. What only another operation needs is imported at the beginning of its method, so
that the backups of a night neither wait for it nor keep it in memory; at the beginning, so that an upgrade of the
engine during an operation cannot mix two versions.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Optional, Union

from .config import Config, Instance
from .config_file import DEFAULT_CONFIG_PATH, load_config
from .core.backup import Progress, ProgressCallback, planned
from .core.batch import make_backups
from .core.catalog import SUCCESS, Catalog
from .core.context import Context
from .core.events import Observers
from .core.locks import artifact_in_use, database_lock
from .core.recovery import recover_restores
from .core.retention import accept_database, databases_of, prune_database
from .core.scratch_space import ScratchSpace
from .core.selection import select_jobs
from .core.stopping import stopped_by_signals
from .core.storage import Storage
from .core.verification import choose_to_verify, verify_several
from .db.base import Dbms
from .db.factory import create_dbms
from .errors import BackupDbError, ConfigError
from .monitoring.metrics import MetricsObserver
from .reports import (
    AcceptanceReport,
    AdoptionReport,
    BackupReport,
    CheckReport,
    ContentsReport,
    DrillReport,
    HoldReport,
    InfoReport,
    RestoreReport,
    RetentionReport,
    StatusReport,
    VerificationReport,
    with_retention,
)
from .security.age_identity import AgeIdentity, configured_identity, read_identity
from .security.audit import AuditLog
from .security.credentials import Credential, CredentialStore, open_store
from .security.privileges import drop_to_owner
from .utils.clock import Clock, utc_now
from .utils.memory import limit_kept_memory
from .utils.processes import ProcessTable

__all__ = ["Engine", "Progress"]

OpenedCredentials = dict[str, Union[Credential, BackupDbError]]


class Engine:
    """One host's backups: opened from its configuration, used for one command, thrown away."""

    def __init__(
        self,
        config: Config,
        credentials: OpenedCredentials,
        *,
        trigger: str,
        identity: Optional[Union[AgeIdentity, BackupDbError]] = None,
        clock: Clock = utc_now,
    ) -> None:
        """Put the parts together; nothing on disk is touched.

        Args:
            config: The host's configuration.
            credentials: For each instance its opened credential, or why it could not be opened.
            trigger: ``timer``, ``command`` or ``ansible``, for the record.
            identity: What encrypted artifacts are read with, or why it could not be read.
            clock: What tells the time.
        """
        limit_kept_memory()
        self.config = config
        self._credentials = credentials
        self._processes = ProcessTable()
        self._audit = AuditLog(config.state_directory / "audit.log", clock)
        self.catalog = Catalog(config.state_directory / "catalog.sqlite3", clock)
        self._context = Context(
            config=config,
            storage=Storage(config.storage.root, config.hostname),
            catalog=self.catalog,
            observers=Observers(self._observers()),
            processes=self._processes,
            connect=self._connect,
            clock=clock,
            trigger=trigger,
            identity=identity,
        )

    @classmethod
    def open(
        cls, config_path: Union[Path, str] = DEFAULT_CONFIG_PATH, *, trigger: str = "command", clock: Clock = utc_now
    ) -> Engine:
        """Read the configuration and open the secrets that it names.

        Args:
            config_path: The configuration.
            trigger: ``timer``, ``command`` or ``ansible``, for the record.
            clock: What tells the time.

        Raises:
            ConfigError: The configuration is missing or wrong.
        """
        config = load_config(config_path)
        names = {instance.credentials_id for instance in config.instances}
        if config.notifications.mail is not None and config.notifications.mail.credentials:
            names.add(config.notifications.mail.credentials)
        return cls(
            config, _open_credentials(config, names), trigger=trigger, identity=_open_identity(config), clock=clock
        )

    def use_identity(self, path: Path) -> None:
        """Read encrypted artifacts with this age identity instead of the configured one.

        To be called before :meth:`drop_privileges`, so that the file may be root's alone.

        Raises:
            CredentialsError: It cannot be read, or others may read it.
        """
        self._context = dataclasses.replace(self._context, identity=read_identity(path))

    def _observers(self) -> list[Any]:
        observers: list[Any] = [self._audit]
        if self.config.metrics.textfile_directory is not None:
            observers.append(MetricsObserver(self.config, self.catalog))
        mail = self.config.notifications.mail
        if mail is not None:
            from .notifications.mail import MailObserver  # its libraries take a while to load

            opened = self._credentials.get(mail.credentials) if mail.credentials else None
            credential = opened if isinstance(opened, Credential) else None
            observers.append(MailObserver(mail, credential, self.config.hostname))
        return observers

    def _connect(self, instance: Instance) -> Dbms:
        credential = self._credentials[instance.credentials_id]
        if isinstance(credential, BackupDbError):
            raise credential
        return create_dbms(instance, credential, self._processes)

    def _instances(self, database_id: Optional[str]) -> Sequence[Instance]:
        return [self.config.instance(database_id)] if database_id else self.config.instances

    def drop_privileges(self) -> None:
        """Go on as the owner of the state directory, where we are root and that is somebody else."""
        drop_to_owner(self.config.state_directory)

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
        if dry_run:
            results = planned(select_jobs(self.config, self._connect, policy, database_id, databases))
            return BackupReport(changed=any(r.outcome == "planned" for r in results), results=tuple(results))
        followed = self.config.policy(policy) if policy is not None else None
        with stopped_by_signals(self._processes), self.catalog.kept_open():
            self._context.close_vanished()
            recover_restores(self._context)  # before anybody asks which databases there are
            ScratchSpace(self.config.scratch_directory).remove_dead()
            jobs = select_jobs(self.config, self._connect, policy, database_id, databases)
            ended = make_backups(self._context, jobs, followed, progress)
            pruned = []
            if prune if prune is not None else policy is not None:
                good = [(result.database_id, result.database) for result, _record in ended if result.outcome == SUCCESS]
                pruned = [self._prune(name, dry_run=False) for name in good]
            records = [record for _result, record in ended if record is not None]
            self._context.finish_batch("backup", policy, records)
        results = [result for result, _record in ended]
        retention = RetentionReport.merged(pruned)
        return BackupReport(
            changed=any(r.outcome == SUCCESS for r in results),
            results=tuple(with_retention(result, retention) for result in results),
            removed=tuple(entry["artifact"] for entry in retention.removed),
        )

    def _prune(self, name: tuple[str, str], dry_run: bool) -> RetentionReport:
        """Apply retention to one database; what goes wrong is in the report, so that it stops no other."""
        try:
            return prune_database(self._context, *name, dry_run)
        except BackupDbError as exc:
            failure = {"database_id": name[0], "database": name[1], "error": str(exc)}
            return RetentionReport(changed=False, failed=(failure,))

    def restore(
        self,
        *,
        database_id: str,
        database: str,
        artifact: Optional[Path] = None,
        before: Optional[datetime] = None,
        target: Optional[str] = None,
        overwrite: bool = False,
        jobs: Optional[int] = None,
        tables: Sequence[str] = (),
        content: str = "all",
        accounts: str = "none",
        owners: Optional[Mapping[str, str]] = None,
        dry_run: bool = False,
        progress: Optional[ProgressCallback] = None,
    ) -> RestoreReport:
        """Restore one database, or a part, from an artifact: the newest, the newest before a moment, or one by path.

        Args:
            database_id: The instance that takes it.
            database: The database that the artifact is of.
            artifact: The artifact's path; the newest of the database when left out.
            before: Take the newest artifact made at or before this moment.
            target: The name to restore into; the database's own when left out.
            overwrite: Whether an existing target may be replaced.
            jobs: How many processes may load at a time; what the policy says when left out.
            tables: Only these tables, by their names in the inventory; they need a target that does not exist yet.
            content: ``all``, ``schema`` for definitions without rows, which need such a target too, or ``data`` for
                rows alone, which are added to tables of the target that are there and empty.
            accounts: Whether the accounts of the artifact that the server lacks are made: ``missing`` or ``none``.
            owners: By what accounts are called in the artifact, what they are to be called.
            dry_run: Only examine whether it can be done.
            progress: Told how far it is.

        Raises:
            BackupDbError: Refused or failed; the message says in what state the database is.
        """
        from .core.part import Part
        from .core.restoration import RestoreRequest, restore_database

        part = Part(tuple(dict.fromkeys(tables)), content)
        request = RestoreRequest(
            database_id, database, artifact, before, target, overwrite, jobs, part, accounts, owners or {}
        )
        return restore_database(self._context, request, dry_run, progress)

    def prune(
        self, *, database_id: Optional[str] = None, database: Optional[str] = None, dry_run: bool = False
    ) -> RetentionReport:
        """Apply each database's retention.

        Args:
            database_id: Only this instance.
            database: Only this database of it.
            dry_run: Only say what would be removed.

        Raises:
            BackupDbError: The storage cannot be read; what fails for one database is in the report.
        """
        if database_id is not None:
            self.config.instance(database_id)
        with stopped_by_signals(self._processes), self.catalog.kept_open():
            if not dry_run:
                self._context.close_vanished()
            names = databases_of(*self._context.storage.names(database_id, database))
            stopped = self._processes.cancelled.is_set
            report = RetentionReport.merged(self._prune(name, dry_run) for name in names if not stopped())
            if report.changed and not dry_run:
                self._context.finish_batch("retention", None, [])
        return report

    def accept(self, *, database_id: str, database: str, reason: str = "", dry_run: bool = False) -> AcceptanceReport:
        """Say that a database is meant to be as its newest artifact has it, so that retention goes on.

        Args:
            database_id: The instance.
            database: The database.
            reason: Why, for the record.
            dry_run: Only say whether anything holds retention back that could be accepted.

        Raises:
            BackupDbError: The database has no artifact, or the storage or the catalog cannot be used.
        """
        self.config.instance(database_id)
        lock = database_lock(self._context.lock_directory, database_id, database, "an acceptance")
        with contextlib.nullcontext() if dry_run else lock:
            changed = accept_database(self._context, database_id, database, reason, dry_run)
        return AcceptanceReport(changed, database_id, database)

    def adopt_storage(self, *, dry_run: bool = False) -> AdoptionReport:
        """Make the storage of this host's name this machine's, whoever's it was before.

        Args:
            dry_run: Only say whether that would change anything.

        Raises:
            StorageError: There is no such storage, or it cannot be written.
        """
        changed = self._context.ownership.adopt(dry_run)
        if changed and not dry_run:
            home = str(self._context.storage.home)
            self._audit.note(operation="adopt-storage", database_id="*", result="success", artifact=home)
        return AdoptionReport(changed, str(self._context.storage.home))

    def hold(self, *, artifact: Path, reason: str = "", dry_run: bool = False) -> HoldReport:
        """Put a hold on an artifact, so that retention never removes it.

        Args:
            artifact: Its path.
            reason: Why it is wanted.
            dry_run: Only say whether that would change anything.

        Raises:
            BackupDbError: There is no such artifact, or the hold cannot be written.
        """
        from .core.holds import put_hold

        return put_hold(artifact, reason, self._audit, self._context.clock, dry_run)

    def release(self, *, artifact: Path, dry_run: bool = False) -> HoldReport:
        """Take the hold off an artifact.

        Args:
            artifact: Its path.
            dry_run: Only say whether that would change anything.

        Raises:
            BackupDbError: There is no such artifact, or the hold cannot be removed.
        """
        from .core.holds import take_hold_off

        return take_hold_off(artifact, self._audit, dry_run)

    def contents(
        self,
        *,
        database_id: str,
        database: str,
        artifact: Optional[Path] = None,
        before: Optional[datetime] = None,
    ) -> ContentsReport:
        """Return what an artifact holds: the newest, the newest before a moment, or one by its path.

        Args:
            database_id: The instance.
            database: The database that the artifact is of.
            artifact: The artifact's path; the newest of the database when left out.
            before: Take the newest artifact made at or before this moment.

        Raises:
            BackupDbError: There is no such artifact.
        """
        from .core.artifact_choice import choose_artifact

        return ContentsReport.of(choose_artifact(self._context.storage, database_id, database, artifact, before))

    def extract(
        self,
        *,
        database_id: str,
        database: str,
        table: str,
        artifact: Optional[Path] = None,
        before: Optional[datetime] = None,
    ) -> Iterator[bytes]:
        """Yield the SQL of one table out of an artifact: the newest, the newest before a moment, or one by its path.

        Args:
            database_id: The instance.
            database: The database that the artifact is of.
            table: The table as in the manifest's inventory.
            artifact: The artifact's path; the newest of the database when left out.
            before: Take the newest artifact made at or before this moment.

        Raises:
            BackupDbError: There is no such artifact or table, it is damaged, or it cannot be decrypted.
        """
        from .core.artifact_choice import choose_artifact
        from .core.extraction import extract_table

        stored = choose_artifact(self._context.storage, database_id, database, artifact, before)
        with artifact_in_use(stored.path):
            yield from extract_table(stored, table, self._context.decryption)

    def verify(
        self,
        *,
        database_id: Optional[str] = None,
        database: Optional[str] = None,
        artifact: Optional[Path] = None,
        policy: Optional[str] = None,
        newest_only: bool = False,
        progress: Optional[ProgressCallback] = None,
    ) -> VerificationReport:
        """Read artifacts back as a whole, mark those found whole as ``verified``, and those that are not as damaged.

        Of encrypted ones only the checksum is read where there is no identity; they are marked as ``checksum``.

        Args:
            database_id: Only artifacts of this instance.
            database: Only artifacts of this database.
            artifact: Only the artifact at this path.
            policy: Only artifacts of the databases that follow this policy.
            newest_only: Only the newest artifact of each database.
            progress: Told how far it is.

        Raises:
            BackupDbError: The storage or the catalog cannot be used; damaged artifacts are results, not errors.
        """
        followed = self.config.policy(policy) if policy is not None else None
        with stopped_by_signals(self._processes), self.catalog.kept_open():
            self._context.close_vanished()
            chosen = choose_to_verify(self._context, artifact, database_id, database, followed, newest_only)
            results = verify_several(self._context, chosen, policy, progress)
        return VerificationReport(any(r.outcome == SUCCESS for r in results), tuple(results))

    def drill(
        self,
        *,
        database_id: Optional[str] = None,
        database: Optional[str] = None,
        artifact: Optional[Path] = None,
        due: bool = False,
        progress: Optional[ProgressCallback] = None,
    ) -> DrillReport:
        """Load the newest artifact of each database into a scratch server on this host and compare what came back.

        Those that pass are marked as ``restored``, with how long the restore took.

        Args:
            database_id: Only databases of this instance.
            database: Only databases of this name.
            artifact: The artifact at this path instead.
            due: Only those whose turn it is, such that each is proven within ``drill.every_days``.
            progress: Told how far it is.

        Raises:
            BackupDbError: The storage or the catalog cannot be used, or another drill is at work; drills that fail
                or cannot be made are results, not errors.
        """
        from .core.drill import Driller, choose_to_drill

        if database_id is not None and artifact is None:
            self.config.instance(database_id)
        with stopped_by_signals(self._processes), self.catalog.kept_open():
            self._context.close_vanished()
            chosen = choose_to_drill(self._context, artifact, database_id, database, due)
            results = Driller(self._context, progress).drill_several(chosen)
        return DrillReport(any(result.outcome == SUCCESS for result in results), tuple(results))

    def info(self, *, database_id: Optional[str] = None, database: Optional[str] = None) -> InfoReport:
        """Return what exists: artifacts with their proof, and the databases that have none."""
        from .core.overview import describe_instances

        return describe_instances(self._context, self._instances(database_id), database_id, database)

    def check(self, *, database_id: Optional[str] = None) -> CheckReport:
        """Examine whether this host can back up each instance: connection, version, clients, privileges."""
        from .core.overview import check_instances

        return check_instances(self._context, self._instances(database_id))

    def status(self) -> StatusReport:
        """Return how the host stands, from the catalog and the storage; no server is asked."""
        from .core.overview import summarize_host

        return summarize_host(self._context)


def _open_identity(config: Config) -> Optional[Union[AgeIdentity, BackupDbError]]:
    """Read the identity, or keep why it could not be read: only what is encrypted needs it."""
    if config.age_identity_file is None:
        return None
    try:
        return configured_identity(config.age_identity_file)
    except BackupDbError as exc:
        return exc


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
