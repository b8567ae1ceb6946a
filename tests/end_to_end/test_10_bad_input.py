# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input in configuration, arguments and secrets: one clear sentence, the documented code, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from harness.ansible import Ansible
from harness.calls import answers, refused_by_command, refused_by_module
from harness.hosts import CONFIG, Host, for_each
from harness.inventory import NIGHTLY, TEXTFILES, backup_state, changes, nightly
from harness.servers import NOTES, Target

BAD = "/etc/vya-backupdb/bad.yml"
SECRETS = "/etc/vya-backupdb/.secrets"
ARGUMENTS, CREDENTIALS, ARTIFACT = 2, 3, 6  # exit codes


@pytest.fixture(autouse=True)
def nothing_lost(targets: list[Target], hosts: list[Host]) -> Iterator[None]:
    """Whatever a test here tries: artifacts, manifests, configuration and secrets are as before, and all works."""

    def state(host: Host) -> dict[str, Any]:
        found = backup_state(host)
        return {
            path: facts
            for path, facts in found.items()
            if not path.startswith(("/var/lib/vya-backupdb", BAD, TEXTFILES))
        }

    before = for_each(hosts, state)
    yield
    for_each(hosts, lambda host: host.shell(f"rm -f {BAD}"))
    for host, after in for_each(hosts, state).items():
        assert changes(before[host], after) == {}, host.name
    assert all(done.returncode == 0 for done in for_each(hosts, lambda host: host.command("list")).values())


def edited(host: Host, edit: Callable[[dict[str, Any]], None]) -> str:
    """The host's configuration after an edit."""
    document = yaml.safe_load(host.read(CONFIG))
    edit(document)
    return yaml.safe_dump(document)


def policy(**settings: Any) -> Callable[[Host], str]:
    """What makes a configuration whose policy has other settings."""
    return lambda host: edited(host, lambda document: document["policies"][0].update(settings))


def schedule(**settings: Any) -> Callable[[Host], str]:
    """What makes a configuration whose policy has that schedule."""
    return policy(schedule=settings)


CONFIGURATIONS: dict[str, tuple[str | Callable[[Host], str], str]] = {
    "empty": ("", "not a configuration"),
    "garbage": ("\x01: {{{ [", "not valid YAML"),
    "foreign": ("services:\n  web: {image: nginx}\n", "services: there is no such setting"),
    "a list": ("- a\n- b\n", "not a configuration"),
    "misspelt": (policy(exlude=["shop"]), "exlude: there is no such setting"),
    "of the future": (
        lambda host: edited(host, lambda document: document.update(schema_version=99)),
        "schema version 99.*upgrade",
    ),
    "30 February": (schedule(cron="0 0 30 2 *"), "never|no such|30"),
    "an unknown time zone": (schedule(times=["02:00"], timezone="Mars/Phobos"), "'Mars/Phobos' is not a time zone"),
    "an impossible time": (schedule(times=["25:00"]), "'25:00' is not a time of day"),
    "two kinds of schedule": (schedule(times=["02:00"], interval="6h"), "exactly one of times, interval"),
    "a policy for nobody": (policy(instances=["nowhere"]), "instance 'nowhere', which is not configured"),
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_a_configuration_that_cannot_be_used(
    ansible: Ansible, hosts: list[Host], targets: list[Target], kind: str
) -> None:
    text, words = CONFIGURATIONS[kind]

    def check(host: Host) -> None:
        host.write(BAD, text if isinstance(text, str) else text(host), owner="root:vya-backupdb", mode="0640")
        for arguments in (["backup", "--policy", NIGHTLY], ["status"], ["config", "validate", BAD]):
            refused_by_command(host.command(*arguments, config=BAD), ARGUMENTS, words)

    for_each(hosts, check)
    modules = {"of the future": ("db_backup", {"policy": NIGHTLY}), "30 February": ("backup_schedule", {})}
    if kind in modules:  # they read it by the same code as the command
        module, arguments = modules[kind]
        for answer in ansible.module(module, {**arguments, "config_path": BAD}).values():
            refused_by_module(answer, "ConfigError", words)


def test_a_configuration_that_is_not_there_or_not_readable(hosts: list[Host], targets: list[Target]) -> None:
    def check(host: Host) -> None:
        refused_by_command(host.command("status", config="/etc/nowhere.yml"), ARGUMENTS, "no configuration", "role")
        done = host.run("runuser", "-u", "nobody", "--", "/usr/local/bin/vya-backupdb", "status", check=False)
        refused_by_command(done, ARGUMENTS, "cannot be read: Permission denied", "Run as root")

    for_each(hosts, check)


def test_an_impossible_schedule_is_refused_before_the_playbook_changes_anything(ansible: Ansible) -> None:
    policies = [{**nightly(), "schedule": {"times": ["02:00"], "timezone": "Mars/Phobos"}}]
    play = ansible.playbook("site", "--tags", "config", variables={"backupdb_policies": policies}, check=False)
    assert play.code != 0
    assert "'Mars/Phobos' is not a time zone" in play.output
    assert "Traceback" not in play.output
    assert all(counts["failed"] == 1 and counts["changed"] == 0 for counts in play.recap.values()), play.output


def test_names_that_are_not_configured(hosts: list[Host], targets: list[Target]) -> None:
    def check(host: Host) -> None:
        refused_by_command(host.command("backup", "--policy", "no"), ARGUMENTS, "No policy 'no'", "Configured: nightly")
        refused_by_command(
            host.command("backup", "--instance", "no"), ARGUMENTS, "No instance 'no'", "Configured: main-"
        )
        refused_by_command(host.command("restore", "no", "shop", "--yes"), ARGUMENTS, "No instance 'no'")

    for_each(hosts, check)


def test_a_database_that_is_not_there(ansible: Ansible, targets: list[Target]) -> None:
    def check(target: Target) -> None:
        done = target.host.command("backup", "--instance", target.database_id, "nowhere")
        refused_by_command(done, 1, "no database 'nowhere'", "notes")
        done = target.host.command("restore", target.database_id, "nowhere", "--yes")
        refused_by_command(done, ARTIFACT, "no artifact of .*nowhere", "vya-backupdb list")

    for_each(targets, check)
    called = answers(ansible, "db_backup", targets, lambda t: {"database_id": t.database_id, "databases": ["nowhere"]})
    for answer in called.values():
        refused_by_module(answer, "BackupFailed", "no database 'nowhere'")
    called = answers(ansible, "db_restore", targets, lambda t: {"database_id": t.database_id, "database": "nowhere"})
    for answer in called.values():
        refused_by_module(answer, "ArtifactError", "no artifact of .*nowhere")


def test_an_artifact_that_is_none(targets: list[Target]) -> None:
    """Foreign files, a manifest of the future, an artifact of another database or another DBMS."""

    def check(target: Target) -> None:
        newest = target.host.report("list", target.database_id, NOTES)["artifacts"][0]["artifact"]
        directory = f"/tmp/none-{target.family}"
        target.host.shell(
            f"mkdir -p {directory}; echo hello > {directory}/a.sql.gz; cp '{newest}' {directory}/b.sql.gz"
        )
        manifest = json.loads(target.host.read(f"{newest}.manifest.json"))
        future = json.dumps({**manifest, "artifact": "b.sql.gz", "schema_version": 99})
        target.host.write(f"{directory}/b.sql.gz.manifest.json", future)

        def restore(path: str, database: str = NOTES, code: int = ARTIFACT, words: str = "") -> None:
            arguments = ["--artifact", path, "--target", "notes_new", "--yes"]
            refused_by_command(target.host.command("restore", target.database_id, database, *arguments), code, words)
            assert "notes_new" not in target.databases()

        restore("/nowhere.sql.gz", words="no artifact /nowhere.sql.gz")
        restore(f"{directory}/a.sql.gz", words="no manifest")
        restore(f"{directory}/b.sql.gz", words="schema version 99")
        restore(newest, database="shop", code=ARGUMENTS, words="is of the database 'notes', not of 'shop'")
        other = "main-mysql" if target.family == "postgresql" else "main-postgresql"
        foreign = target.host.report("list", other, NOTES)["artifacts"][0]["artifact"]
        restore(foreign, code=7, words="The artifact is from .*nothing was changed")
        target.host.shell(f"rm -r {directory}")

    for_each(targets, check)


@pytest.mark.parametrize("kind", ["damaged", "of the future", "too open", "of another host", "without its key"])
def test_credentials_that_cannot_be_used(ansible: Ansible, hosts: list[Host], targets: list[Target], kind: str) -> None:
    """Backups fail, each instance with the reason; changing credentials fails outright. Then all is put back."""
    file, key = f"{SECRETS}/credentials.json", f"{SECRETS}/host.key"
    spoil, words = {
        "damaged": (f"echo '{{' > {file}", "credentials file .* cannot be used"),
        "of the future": (f'sed -i \'s/"schema_version": 1/"schema_version": 99/\' {file}', "schema version 99"),
        "too open": (f"chmod 0644 {file}", "0600|chmod"),
        "of another host": (f"head -c 32 /dev/urandom > {key}", "encrypted for another host"),
        "without its key": (f"rm {key}", "host.key|host key"),
    }[kind]
    for_each(hosts, lambda host: host.shell(f"cp -a {SECRETS} {SECRETS}.kept; {spoil}"))
    try:

        def check(host: Host) -> None:
            refused_by_command(host.command("backup", "--policy", NIGHTLY), 1, words)
            refused_by_command(host.command("restore", "main-mysql", NOTES, "--yes"), CREDENTIALS, words)

        for_each(hosts, check)
        if kind == "of another host":  # the modules read them by the same code
            for answer in ansible.module("db_backup", {"policy": NIGHTLY}).values():
                refused_by_module(answer, "BackupFailed", words)
    finally:
        for_each(hosts, lambda host: host.shell(f"rm -r {SECRETS}; mv {SECRETS}.kept {SECRETS}"))
