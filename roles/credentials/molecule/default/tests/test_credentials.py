# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the role credentials leaves on a host."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://database_hosts"]

SECRETS = "/etc/vya-backupdb/.secrets"


@pytest.mark.parametrize("name", ["host.key", "credentials.json"])
def test_secrets_are_for_root_alone(host: Host, name: str) -> None:
    file = host.file(f"{SECRETS}/{name}")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    assert host.run(f"runuser -u vya-backupdb -- cat {SECRETS}/{name}").rc != 0


def test_entries_are_encrypted(host: Host) -> None:
    content = host.file(f"{SECRETS}/credentials.json").content_string
    document = json.loads(content)
    assert [entry["id"] for entry in document["databases"]] == ["mysql-01", "postgresql-01", "mail"]
    for plain in ("vya_backup", "robot@example.com", "secret", "3141"):
        assert plain not in content


def test_they_open_the_servers(host: Host) -> None:
    check = host.run("vya-backupdb check --json")
    assert check.stdout, check.stderr
    servers = {
        entry["database_id"]: entry["status"]
        for entry in json.loads(check.stdout)["checks"]
        if entry["check"] in ("connection", "server")
    }
    assert servers == {"mysql-01": "ok", "postgresql-01": "ok"}, check.stdout


def test_accounts_as_the_readme_makes_them_are_enough(host: Host) -> None:
    check = json.loads(host.run("vya-backupdb check --json").stdout)
    assert check["ok"], check


def test_nothing_secret_is_in_the_journal(host: Host) -> None:
    journal = host.run("journalctl --no-pager")
    assert journal.stdout
    for plain in ("mail-secret-3141", 'it\'s a "secret"', "it's a"):
        assert plain not in journal.stdout
