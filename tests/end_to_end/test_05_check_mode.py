# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Check mode of each module on each of its paths: says truthfully what it would do, and changes nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from harness.ansible import Ansible
from harness.calls import answers
from harness.hosts import COMMAND, CONFIG, Host, for_each
from harness.inventory import NIGHTLY, backup_state, changes
from harness.servers import NOTES, SHOP, Target

OTHER_CONFIG = "/etc/vya-backupdb/other.yml"
NOT_SEEN = "not-seen-yet"


def state(host: Host) -> dict[str, Any]:
    """What must not change: the backups' files, units, and what the servers hold."""
    found = backup_state(host)
    found["units"] = host.shell(
        "systemctl list-unit-files --no-legend; systemctl list-timers --all --no-legend | wc -l"
    )
    return found


def server_state(target: Target) -> Any:
    """The server's databases and what is in one of them."""
    return sorted(target.databases()), target.fingerprint(NOTES)


@pytest.fixture(scope="module")
def unchanged(targets: list[Target], hosts: list[Host]) -> Iterator[None]:
    """Fails after the module's tests if any of them has changed anything."""

    def other_config(host: Host) -> None:
        document = yaml.safe_load(host.read(CONFIG))
        document["policies"].append({"name": "weekly", "schedule": {"cron": "@weekly"}})
        host.write(OTHER_CONFIG, yaml.safe_dump(document), owner="root:vya-backupdb", mode="0640")

    def spent_artifacts(target: Target) -> None:
        newest = target.host.report("list", target.database_id, NOTES)["artifacts"][0]
        # Two on one day: only the later one of them may be kept.
        moments = ("2020-01-01T01:00:00Z", "2020-01-01T02:00:00Z")
        target.host.python("make_artifact.py", "age", newest["artifact"], *moments)

    for_each(hosts, other_config)
    for_each(hosts, lambda host: host.run(COMMAND, "prune"))
    for_each(targets, spent_artifacts)
    before, servers_before = for_each(hosts, state), for_each(targets, server_state)
    yield
    after, servers_after = for_each(hosts, state), for_each(targets, server_state)
    for_each(hosts, lambda host: host.shell(f"rm {OTHER_CONFIG}"))
    for_each(targets, lambda target: target.host.shell(f"rm -r {target.storage}/{NOTES}/2020-*"))
    assert {host.name: changes(before[host], after[host]) for host in hosts} == {host.name: {} for host in hosts}
    assert servers_before == servers_after


THIS = {"database_id": "{id}"}  # the instance that is asked
PATHS: dict[str, tuple[str, dict[str, Any], bool | None]] = {
    # what it is: module, arguments, whether a change is announced (None: it fails)
    "back up a policy": ("db_backup", {"policy": NIGHTLY}, True),
    "back up an instance": ("db_backup", THIS, True),
    "back up databases and prune": ("db_backup", {**THIS, "databases": [NOTES, SHOP], "prune": True}, True),
    "back up an unknown database": ("db_backup", {**THIS, "databases": ["nowhere"]}, None),
    "restore into a new database": ("db_restore", {**THIS, "database": NOTES, "target": "notes_new"}, True),
    "restore over a database": ("db_restore", {**THIS, "database": NOTES, "overwrite": True}, True),
    "restore over a database unasked": ("db_restore", {**THIS, "database": NOTES}, None),
    "restore what there is no artifact of": ("db_restore", {**THIS, "database": "nowhere"}, None),
    "prune everything": ("backup_retention", {}, True),
    "prune a database": ("backup_retention", {**THIS, "database": NOTES}, True),
    "prune where nothing is spent": ("backup_retention", {**THIS, "database": SHOP}, False),
    "new credentials": ("backup_credentials", {"name": NOT_SEEN, "username": "u", "password": "p"}, True),
    "other credentials": ("backup_credentials", {"name": "main-mysql", "username": "u", "password": "p"}, True),
    "remove credentials": ("backup_credentials", {"name": "main-mysql", "state": "absent"}, True),
    "remove unknown credentials": ("backup_credentials", {"name": NOT_SEEN, "state": "absent"}, False),
    "information": ("backup_info", {}, False),
    "information on an instance": ("backup_info", THIS, False),
    "timers as they are": ("backup_schedule", {}, False),
    "another timer": ("backup_schedule", {"config_path": OTHER_CONFIG}, True),
    "no timers": ("backup_schedule", {"state": "absent"}, True),
}


@pytest.mark.parametrize("path", PATHS)
def test_check_mode(ansible: Ansible, targets: list[Target], unchanged: None, path: str) -> None:
    module, arguments, announced = PATHS[path]
    # What does not speak of an instance is asked once for each host.
    chosen = targets if "database_id" in arguments else [target for target in targets if target.family == "mysql"]

    def given(target: Target) -> dict[str, Any]:
        named = {"database_id": target.database_id} if "database_id" in arguments else {}
        return {**arguments, **named}

    done = answers(ansible, module, chosen, given, "--check", "--diff")
    for target in chosen:
        answer = done[target]
        if announced is None:
            assert answer.status == "FAILED", answer.result
            assert "Traceback" not in str(answer.result)
        else:
            assert answer.status != "FAILED", answer.result
            assert answer.result["changed"] is announced, answer.result


def test_check_mode_of_the_playbooks(ansible: Ansible, targets: list[Target], unchanged: None) -> None:
    ansible.playbook("backup", "--check", variables={"backupdb_policy": NIGHTLY})
    shown = ansible.playbook(
        "restore",
        "--check",
        variables={
            "backupdb_hosts": targets[0].host.name,
            "backupdb_instance": targets[0].database_id,
            "backupdb_database": NOTES,
            "backupdb_target": "notes_new",
        },
    )
    assert "notes_new (new)" in shown.output
