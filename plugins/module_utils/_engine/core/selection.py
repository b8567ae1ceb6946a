# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Selection: which databases a backup command is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from ..config import Config, Instance, Policy
from ..errors import BackupDbError, ConfigError, ServerError
from .backup import BackupJob
from .catalog import ALL_DATABASES
from .context import Connect


def select_jobs(
    config: Config,
    connect: Connect,
    policy_name: Optional[str] = None,
    database_id: Optional[str] = None,
    databases: Optional[Sequence[str]] = None,
) -> list[BackupJob]:
    """Return a job for each database that is meant; one with an error for each that is meant but cannot be had.

    Args:
        config: The host's configuration.
        connect: Returns the driver of an instance.
        policy_name: The policy to follow; alone it means all that it covers.
        database_id: The instance that is meant.
        databases: Databases of that instance; all that the policy covers when left out.

    Raises:
        ConfigError: The policy or the instance is not configured, or the arguments contradict.
    """
    if policy_name is None and database_id is None:
        raise ConfigError("Nothing says what to back up.", "Name a policy, or an instance by its database_id.")
    if databases and database_id is None:
        raise ConfigError("Databases are named without their instance.", "Give the instance's database_id.")
    policy = config.policy(policy_name) if policy_name else None
    if database_id is not None:
        instances = [config.instance(database_id)]
    else:
        instances = [i for i in config.instances if policy is not None and policy.covers_instance(i.database_id)]
    jobs = [job for instance in instances for job in _jobs_of(config, connect, instance, policy, databases)]
    if policy is not None and not databases:
        jobs += _missed(policy, instances, jobs)
    return jobs


def _jobs_of(
    config: Config, connect: Connect, instance: Instance, policy: Optional[Policy], names: Optional[Sequence[str]]
) -> list[BackupJob]:
    name = instance.database_id
    try:
        dbms = connect(instance)
        if names is not None and len(names) == 1:  # with nothing to put in order by size
            dbms.server()
            sizes: Mapping[str, int] = {}
        else:
            sizes = dbms.databases()
    except BackupDbError as exc:  # this instance fails, the others go on
        missed = names or (ALL_DATABASES,)
        return [BackupJob(name, each, policy or config.policy_of(name, each), error=exc) for each in missed]
    chosen = names or [each for each in sorted(sizes) if policy is None or policy.covers_database(each)]
    return [
        BackupJob(name, each, policy or config.policy_of(name, each), dbms, sizes.get(each, 0))
        for each in dict.fromkeys(chosen)
    ]


def _missed(policy: Policy, instances: Sequence[Instance], jobs: Sequence[BackupJob]) -> list[BackupJob]:
    """Jobs that fail for databases that the policy names outright and no instance has; a pattern may match nothing."""
    if any(job.error for job in jobs):
        return []  # it may be on the instance that could not be reached, which fails by itself
    found = {job.database for job in jobs}
    outright = [name for name in policy.include if not set(name) & set("*?[") and policy.covers_database(name)]
    where = ", ".join(instance.database_id for instance in instances)
    return [
        BackupJob(
            instances[0].database_id,
            name,
            policy,
            error=ServerError(
                f"The policy {policy.name!r} includes the database {name!r}, but {where} has none of that name.",
                "Correct the policy, or see that the account may see the database.",
            ),
        )
        for name in outright
        if name not in found
    ]
