# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""No secret anywhere: what processes show while they work, what Ansible and the engine write, what stays on disk."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field

import pytest
from harness.ansible import Ansible
from harness.hosts import Host, for_each
from harness.inventory import NIGHTLY, nightly
from harness.servers import ACCOUNT, NOTES, SHOP, Target

# Where something could be left lying: logs, the journal's files, what the collection writes, what Ansible writes.
PLACES = (
    *("/etc/vya-backupdb", "/etc/systemd/system", "/var/lib/vya-backupdb", "/var/lib/prometheus", "/var/log", "/run"),
    *("/tmp", "/var/tmp", "/root", "/home", "/var/lib/systemd", "/opt/vya-backupdb", "/var/backups"),
)
CONTROL = "hush-control"


@dataclass
class Work:
    """What was to be seen while a backup, a restore and a change of credentials ran.

    Attributes:
        output: All that Ansible wrote with -vvvv and --diff.
        seen: For each host what its processes showed that held a mark: (mark, where, the process).
        sweeps: How often each host's processes were looked at.
    """

    output: str = ""
    seen: dict[str, list[list[str]]] = field(default_factory=dict)
    sweeps: dict[str, int] = field(default_factory=dict)


def marks(targets: list[Target]) -> list[str]:
    """What of the passwords is searched for."""
    return [target.mark for target in targets if target.mark]


@pytest.fixture(scope="module")
def work(ansible: Ansible, targets: list[Target], hosts: list[Host]) -> Work:
    """Do all that needs secrets, as loudly as can be, while every host's processes are watched."""
    done = Work()
    watchers = {host: _watch(host, [*marks(targets), CONTROL]) for host in hosts}
    try:
        done.output = _do_all_that_needs_secrets(ansible)
        for_each(hosts, lambda host: host.command("backup", "--policy", NIGHTLY))
        for_each(hosts, lambda host: host.run("env", f"X={CONTROL}", "sleep", "0.3"))
    finally:
        for host, watcher in watchers.items():
            report = json.loads(watcher.communicate("", timeout=60)[0])
            done.seen[host.name], done.sweeps[host.name] = report["seen"], report["sweeps"]
    for_each(targets, lambda target: target.drop("shop_beside"))
    return done


def _do_all_that_needs_secrets(ansible: Ansible) -> str:
    loud, which = ("-vvvv", "--diff"), {"database_id": "{{ database_id }}"}
    outputs = []
    for module, arguments in (
        # Removed and stored again, with the passwords from the inventory.
        ("backup_credentials", {"name": "{{ database_id }}", "state": "absent"}),
        ("backup_credentials", {"name": "{{ database_id }}", "username": ACCOUNT, "password": "{{ password }}"}),
        ("db_backup", {**which, "databases": [SHOP, NOTES]}),
        ("db_restore", {**which, "database": NOTES, "overwrite": True}),
        ("db_restore", {**which, "database": SHOP, "target": "shop_beside"}),
    ):
        answered, output = ansible.module_with_output(module, arguments, *loud, hosts="instances")
        assert {answer.status for answer in answered.values()} == {"CHANGED"}, output[-5000:]
        outputs.append(output)
    play = ansible.playbook("site", *loud, "--tags", "config,credentials", variables={"backupdb_policies": [nightly()]})
    return "\n".join([*outputs, play.output])


def _watch(host: Host, words: list[str]) -> subprocess.Popen[str]:
    process = host.start("python3", "/end_to_end/watch_processes.py")
    assert process.stdin is not None
    process.stdin.write(json.dumps(words) + "\n")
    process.stdin.flush()
    return process


def test_no_process_shows_a_password(work: Work) -> None:
    for name, seen in work.seen.items():
        assert work.sweeps[name] > 500, "looked too rarely to see anything"
        found = {(mark, where) for mark, where, _process in seen}
        # What is planted on purpose is seen, so the watcher would have seen anything else too.
        assert (CONTROL, "environ") in found, seen
        assert not [entry for entry in seen if entry[0] != CONTROL], f"on {name}"


def test_ansible_shows_no_password(work: Work, targets: list[Target]) -> None:
    assert "EXEC" in work.output, "it must have been loud"
    assert "as_wanted" in work.output, "it must have shown diffs"
    for mark in marks(targets):
        place = work.output.find(mark)
        assert place < 0, work.output[max(0, place - 300) : place + 100]


def test_no_password_stays_on_the_hosts(work: Work, targets: list[Target], hosts: list[Host]) -> None:
    def check(host: Host) -> None:
        host.shell("journalctl --rotate; journalctl --sync; echo planted-hush-control > /var/tmp/planted")
        words = "\n".join([*marks(targets), "planted-hush-control"])
        # grep ends with 1 if it finds nothing, which cannot be: something was planted.
        found = host.run(
            *("grep", "--recursive", "--files-with-matches", "--fixed-strings", "--text", "--file=-"),
            *("--devices=skip", "--", *PLACES),
            text=words,
            check=False,
        ).stdout.splitlines()
        journal = host.run(
            "bash", "-c", "journalctl --no-pager --all --output=export | grep -aFf <(cat)", text=words, check=False
        )
        host.shell("rm /var/tmp/planted")
        assert found == ["/var/tmp/planted"]
        assert journal.stdout == ""

    for_each(hosts, check)


def test_secrets_and_artifacts_are_closed_to_others(work: Work, hosts: list[Host]) -> None:
    def check(host: Host) -> None:
        secrets = host.shell("stat -c '%a %U %n' /etc/vya-backupdb/.secrets/*").splitlines()
        assert secrets == [
            "600 root /etc/vya-backupdb/.secrets/credentials.json",
            "600 root /etc/vya-backupdb/.secrets/host.key",
        ]
        # Artifacts hold all the data there is.
        assert host.shell("find /var/backups/vya-backupdb /var/lib/vya-backupdb -perm /o+rwx") == ""
        done = host.run("runuser", "-u", "nobody", "--", "ls", "/var/backups/vya-backupdb", check=False)
        assert "Permission denied" in done.stderr

    for_each(hosts, check)


def test_a_password_that_is_an_ordinary_word_defaces_nothing(ansible: Ansible, targets: list[Target]) -> None:
    """On one host the password is ``mysql``, which is in the name of the instance and of its client."""
    target = next(target for target in targets if target.mark is None)
    stored = ansible.succeed(
        "backup_credentials",
        {"name": target.database_id, "username": ACCOUNT, "password": "{{ password }}"},
        hosts=str(target),
    )
    told = ansible.succeed("backup_info", {"database_id": target.database_id}, hosts=str(target))
    for document in (stored, told):
        assert "VALUE_SPECIFIED" not in json.dumps(document[str(target)].get("artifacts", []))
        assert "***" not in json.dumps(document)
    assert told[str(target)]["artifacts"][0]["database_id"] == "main-mysql"
    assert "mysqldump" in json.dumps(told[str(target)]["artifacts"][0])
