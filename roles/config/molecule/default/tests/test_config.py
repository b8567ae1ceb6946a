# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the role config leaves on a host."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://database_hosts"]

PATH = "/etc/vya-backupdb/config.yml"


@pytest.fixture
def document(host: Host) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(host.file(PATH).content_string)
    return content


def test_only_root_writes_it_and_only_the_service_reads_it(host: Host) -> None:
    file = host.file(PATH)
    assert (file.user, file.group, file.mode) == ("root", "vya-backupdb", 0o640)


def test_it_says_what_the_variables_say(document: dict[str, Any]) -> None:
    assert document["schema_version"] == 1
    assert document["storage"] == {"root": "/var/backups/vya-backupdb", "reserve": "5%"}
    assert [instance["database_id"] for instance in document["instances"]] == ["mariadb-01", "postgresql-01"]
    assert document["policies"][0]["retention"] == {"daily": 14, "timezone": "America/Sao_Paulo"}
    assert document["policies"][0]["limits"] == {
        "bandwidth": "50MiB",
        "hold_back": {"running": 20, "replication_lag": "5m", "wait": "1h", "then": "proceed"},
    }
    assert (document["max_dumps"], document["instances"][0]["max_dumps"]) == (3, 1)
    assert document["policies"][1]["encryption"]["recipients"][0].startswith("age1")
    assert document["age_identity_file"] == "/root/identity.txt"
    assert document["notifications"]["mail"]["on_failure"] == ["dba@example.com"]


def test_what_is_not_set_is_not_written(document: dict[str, Any]) -> None:
    assert not {"hostname", "metrics"} & set(document)


def test_the_engine_understands_it(host: Host) -> None:
    validation = host.run("vya-backupdb config validate")
    assert validation.rc == 0, validation.stderr
    assert "2 instances, 2 policies" in validation.stdout


def test_the_user_of_the_service_can_read_it(host: Host) -> None:
    assert host.run("runuser -u vya-backupdb -- vya-backupdb config validate").rc == 0
