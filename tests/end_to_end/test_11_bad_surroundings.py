# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers, clients and disks that are not as they should be: said in a sentence, and over as soon as it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from harness.ansible import Ansible
from harness.calls import answers, refused_by_command, refused_by_module
from harness.hosts import CONFIG, Host, for_each
from harness.inventory import NIGHTLY, changes
from harness.servers import NOTES, SHOP, Target

ELSEWHERE = "/etc/vya-backupdb/elsewhere.yml"
DISK = "/srv/small"


def artifacts(target: Target) -> dict[str, Any]:
    """All files of the instance's artifacts."""
    found: dict[str, Any] = target.host.python("listing.py", target.storage)
    return found


@contextmanager
def all_is_well_afterwards(targets: list[Target]) -> Iterator[None]:
    """Require that the artifacts that there were are untouched, none was begun, and the next backup works."""
    before = for_each(targets, artifacts)
    yield

    def check(target: Target) -> None:
        assert changes(before[target], artifacts(target)) == {}
        result = target.host.report("backup", "--instance", target.database_id, NOTES)["results"][0]
        assert result["outcome"] == "success", result

    for_each(targets, check)


def refused(ansible: Ansible, targets: list[Target], *words: str, config: str = CONFIG) -> None:
    """Require that command and module fail to back up, say why, and have no artifact to show for it."""

    def by_command(target: Target) -> None:
        done = target.host.command("backup", "--instance", target.database_id, SHOP, config=config)
        refused_by_command(done, 1, *words)

    for_each(targets, by_command)
    called = answers(
        ansible,
        "db_backup",
        targets,
        lambda target: {"database_id": target.database_id, "databases": [SHOP], "config_path": config},
    )
    for answer in called.values():
        refused_by_module(answer, "BackupFailed", *words)
        assert [result["artifact"] for result in answer.result["results"]] == [None]


def test_a_wrong_password(ansible: Ansible, targets: list[Target]) -> None:
    with all_is_well_afterwards(targets):
        for_each(targets, lambda target: target.set_password("another"))
        try:
            refused(ansible, targets, "refuses the account", "backup_credentials")
            for_each(
                targets,
                lambda target: refused_by_command(
                    target.host.command("restore", target.database_id, NOTES, "--target", "notes_new", "--yes"),
                    4,
                    "refuses the account",
                ),
            )
            for_each(targets, lambda target: refused_by_command(target.host.command("check"), 1, "refuses the account"))
        finally:
            for_each(targets, lambda target: target.set_password(target.password))


def test_a_server_that_is_down(ansible: Ansible, targets: list[Target]) -> None:
    services = for_each(targets, lambda target: target.service)
    with all_is_well_afterwards(targets):
        for_each(targets, lambda target: target.host.shell(f"systemctl stop {services[target]}"))
        try:
            refused(ansible, targets, "cannot be reached", "See that it runs")
            information = answers(ansible, "backup_info", targets, lambda target: {"database_id": target.database_id})
            for answer in information.values():  # not a failure: it is what there is to know
                assert answer.result["instances"][0]["reachable"] is False
                assert "cannot be reached" in answer.result["instances"][0]["error"]
                assert answer.result["artifacts"]
        finally:
            for_each(targets, lambda target: target.host.shell(f"systemctl start {services[target]}"))


def test_a_missing_client(ansible: Ansible, targets: list[Target]) -> None:
    names = {"mariadb": "mariadb-dump mysqldump", "mysql": "mysqldump", "postgresql": "pg_dump"}
    packages = {"mariadb": "mariadb-client", "mysql": "mysql-client", "postgresql": r"postgresql-client-\d+"}

    def move(target: Target, there: bool) -> None:
        places = "/usr/bin" if target.family == "mysql" else "$(echo /usr/lib/postgresql/*/bin) /usr/bin"
        old, new = (".hidden", "") if there else ("", ".hidden")
        target.host.shell(
            f"for place in {places}; do for name in {names[target.dbms]}; do"
            f" if [ -e $place/$name{old} ]; then mv $place/$name{old} $place/$name{new}; fi; done; done"
        )

    with all_is_well_afterwards(targets):
        for_each(targets, lambda target: move(target, there=False))
        try:
            for dbms in sorted({target.dbms for target in targets}):
                chosen = [target for target in targets if target.dbms == dbms]
                refused(ansible, chosen, "No .*dump of", f"Install the package {packages[dbms]}")
        finally:
            for_each(targets, lambda target: move(target, there=True))


@pytest.fixture
def elsewhere(hosts: list[Host], targets: list[Target]) -> Iterator[str]:
    """A configuration whose artifacts go to a small disk of their own."""

    def prepare(host: Host) -> None:
        host.shell(f"mkdir -p {DISK}; mount -t tmpfs -o size=64k,mode=0755 tmpfs {DISK}")
        host.shell(f"mkdir {DISK}/root; chown vya-backupdb: {DISK}/root")
        document = yaml.safe_load(host.read(CONFIG))
        document["storage"].update(root=f"{DISK}/root", reserve="0B")
        host.write(ELSEWHERE, yaml.safe_dump(document), owner="root:vya-backupdb", mode="0640")

    for_each(hosts, prepare)
    yield ELSEWHERE
    for_each(hosts, lambda host: host.shell(f"umount {DISK}; rmdir {DISK}; rm {ELSEWHERE}"))


def test_a_disk_that_fills_up(ansible: Ansible, targets: list[Target], hosts: list[Host], elsewhere: str) -> None:
    with all_is_well_afterwards(targets):
        # An older artifact is on the disk: it must not give way.
        old = for_each(
            targets,
            lambda target: target.host.report("backup", "--instance", target.database_id, NOTES, config=elsewhere),
        )
        refused(ansible, targets, "The disk of .* (is full|has .* free)", "Free space", config=elsewhere)

        def check(target: Target) -> None:
            kept = {path for result in old[target]["results"] for path in (result["artifact"], result["manifest"])}
            found = target.host.shell(f"find {DISK}/root/{target.host.name}/{target.database_id} -type f").splitlines()
            assert set(found) == kept

        for_each(targets, check)
        for_each(hosts, lambda host: host.shell(f"mount -o remount,size=64m {DISK}"))
        for_each(
            targets,
            lambda target: target.host.report("backup", "--instance", target.database_id, SHOP, config=elsewhere),
        )


def test_a_root_that_cannot_be_written(
    ansible: Ansible, targets: list[Target], hosts: list[Host], elsewhere: str
) -> None:
    with all_is_well_afterwards(targets):
        for_each(hosts, lambda host: host.shell(f"mount -o remount,size=64m {DISK}; chown root: {DISK}/root"))
        refused(ansible, targets, "cannot be written: Permission denied", "vya.backupdb.runtime", config=elsewhere)
        for_each(hosts, lambda host: host.shell(f"mount -o remount,ro {DISK}"))
        refused(ansible, targets, "cannot be written", config=elsewhere)


def test_one_instance_that_is_down_stops_no_other(targets: list[Target], hosts: list[Host]) -> None:
    down = [target for target in targets if target.family == "postgresql"]
    services = for_each(down, lambda target: target.service)
    for_each(down, lambda target: target.host.shell(f"systemctl stop {services[target]}"))
    try:

        def check(host: Host) -> None:
            done = host.command("backup", "--policy", NIGHTLY)
            refused_by_command(done, 1, "main-postgresql +.* failed", "main-mysql +shop +success", "cannot be reached")

        for_each(hosts, check)
    finally:
        for_each(down, lambda target: target.host.shell(f"systemctl start {services[target]}"))
