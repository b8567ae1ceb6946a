# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The fleet, the collection as its tarball installs it, and hosts that went through ``site.yml``.

Needs root, and the engine's libraries as wheels in the directory that VYA_WHEEL_DIRECTORY names.
To work on single tests, VYA_TEST_FLEET names a fleet that is up already and stays up (with the two directories bound
that the fixture ``fleet`` names). Hosts of it that are set up are taken as they are.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

_HERE = Path(__file__).resolve().parent
for _directory in (_HERE, _HERE.parent / "fleet", _HERE.parent / "sample"):
    sys.path.insert(0, str(_directory))

from harness.ansible import Ansible, Play, install_collection  # noqa: E402
from harness.hosts import COMMAND, ON_HOST, SAMPLE, Host, for_each  # noqa: E402
from harness.inventory import changes, minutely, nightly, system_state, write_inventory  # noqa: E402
from harness.servers import PASSWORDS, Target  # noqa: E402
from vya_fleet import Fleet  # noqa: E402


@dataclass(frozen=True)
class Rollout:
    """How ``site.yml`` went, from unprepared hosts on.

    Attributes:
        foreseen: In check mode on hosts that nothing was done to.
        changed_by_check: What that changed on each host.
        first: The first real run, with a timer that fires every minute.
        second: The same again.
        checked: The same in check mode with diffs.
        settled: The run that takes that timer away.
    """

    foreseen: Play
    changed_by_check: dict[Host, dict[str, object]]
    first: Play
    second: Play
    checked: Play
    settled: Play


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The directory with the engine's libraries."""
    path = Path(os.environ.get("VYA_WHEEL_DIRECTORY", ""))
    if not list(path.glob("*.whl")):
        pytest.fail("Set VYA_WHEEL_DIRECTORY to a directory with the wheels of roles/runtime/files/requirements.txt.")
    return path.resolve()


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Three hosts, one of each current suite."""
    binds = [(_HERE / "on_host", ON_HOST, False), (_HERE.parent / "sample", SAMPLE, False)]
    name = os.environ.get("VYA_TEST_FLEET")
    if name:
        yield Fleet(name)
        return
    with Fleet(f"e2e-{os.getpid()}", binds=binds) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def hosts(fleet: Fleet) -> Iterator[list[Host]]:
    """The hosts, each reached by one connection."""
    inventory = yaml.safe_load(fleet.inventory.read_text(encoding="utf-8"))
    described = inventory["all"]["children"]["database_hosts"]["hosts"]
    with tempfile.TemporaryDirectory(prefix="vya-e2e-") as control:  # a socket's path must be short
        found = [Host(fleet.name, name, entry["fleet_engines"], Path(control)) for name, entry in described.items()]
        yield found
        for host in found:
            host.close()


@pytest.fixture(scope="session")
def instances(hosts: list[Host]) -> list[Target]:
    """The instances with their accounts and databases; nothing of the collection is on the hosts yet."""
    targets = []
    for host in hosts:
        for dbms in host.engines:
            family = "postgresql" if dbms == "postgresql" else "mysql"
            targets.append(Target(host, family, dbms, *PASSWORDS[host.name, family]))
    if not _taken_as_they_are(hosts):
        for_each(targets, Target.prepare)
    return targets


def _taken_as_they_are(hosts: list[Host]) -> bool:
    if "VYA_TEST_FLEET" not in os.environ:
        return False
    return all(for_each(hosts, lambda host: host.run("test", "-x", COMMAND, check=False).returncode == 0).values())


@pytest.fixture(scope="session")
def ansible(fleet: Fleet, instances: list[Target], wheels: Path, repository: Path) -> Iterator[Ansible]:
    """Ansible with the collection as its tarball installs it."""
    with tempfile.TemporaryDirectory(prefix="vya-e2e-") as directory:
        collections = install_collection(repository, Path(directory))
        inventory = Path(directory, "backups.yml")
        write_inventory(inventory, instances, fleet.inventory, wheels)
        yield Ansible(Path(directory), collections, inventory)


@pytest.fixture(scope="session")
def rollout(ansible: Ansible, hosts: list[Host]) -> Rollout:
    """Apply ``site.yml`` as a user would, time and again."""
    timed = {"backupdb_policies": [minutely(), nightly()]}
    only_nightly = {"backupdb_policies": [nightly()]}
    before = for_each(hosts, system_state)
    foreseen = ansible.playbook("site", "--check", "--diff", variables=timed, check=False)
    after = for_each(hosts, system_state)
    first = ansible.playbook("site", "--diff", variables=timed)
    second = ansible.playbook("site", variables=timed)
    checked = ansible.playbook("site", "--check", "--diff", variables=timed)
    for_each(hosts, _await_timer)
    settled = ansible.playbook("site", "--diff", "--tags", "config,schedule", variables=only_nightly)
    return Rollout(
        foreseen, {host: changes(before[host], after[host]) for host in hosts}, first, second, checked, settled
    )


def _await_timer(host: Host) -> None:
    """Wait until the timer's service has ended once and does not run; what it did is for the tests to judge."""
    host.python("await_service.py", "vya-backupdb-backup-minutely.service", "90")


@pytest.fixture(scope="session")
def targets(request: pytest.FixtureRequest, hosts: list[Host], instances: list[Target]) -> list[Target]:
    """The instances on hosts that are set up, whose timers have made first artifacts and are silent now."""
    if not _taken_as_they_are(hosts):
        request.getfixturevalue("rollout")
    return instances
