# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the role runtime leaves on a host."""

from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://database_hosts"]

USER = "vya-backupdb"
REQUIREMENTS = Path(__file__).parents[3] / "files" / "requirements.txt"


def test_user_is_a_system_user_who_cannot_log_in(host: Host) -> None:
    user = host.user(USER)
    assert user.uid < 1000
    assert user.group == USER
    assert user.home == "/var/lib/vya-backupdb"
    assert user.shell == "/usr/sbin/nologin"


@pytest.mark.parametrize(
    ("path", "owner", "group", "mode"),
    [
        ("/etc/vya-backupdb", "root", USER, 0o750),
        ("/etc/vya-backupdb/.secrets", "root", "root", 0o711),
        ("/var/lib/vya-backupdb", USER, USER, 0o750),
        ("/var/backups/vya-backupdb", USER, USER, 0o750),
    ],
)
def test_directories(host: Host, path: str, owner: str, group: str, mode: int) -> None:
    directory = host.file(path)
    assert directory.is_directory
    assert (directory.user, directory.group, directory.mode) == (owner, group, mode)


def test_command_answers_root_and_the_user(host: Host) -> None:
    command = host.run("/usr/local/bin/vya-backupdb --version")
    assert command.rc == 0, command.stderr
    as_user = host.run(f"runuser -u {USER} -- /usr/local/bin/vya-backupdb --version")
    assert as_user.stdout == command.stdout


def test_environment_belongs_to_root_alone(host: Host) -> None:
    others = host.run("find /opt/vya-backupdb ! -type l '(' ! -user root -o -perm /022 ')' -print -quit")
    assert (others.rc, others.stdout) == (0, "")


def test_environment_is_consistent(host: Host) -> None:
    assert host.run("/opt/vya-backupdb/venv/bin/python -m pip check").rc == 0


def test_versions_are_the_pinned_ones(host: Host) -> None:
    wanted = {line.split()[0] for line in REQUIREMENTS.read_text().splitlines() if "==" in line and "win32" not in line}
    found = host.run("/opt/vya-backupdb/venv/bin/python -m pip list --format=freeze").stdout.splitlines()
    assert wanted
    assert wanted <= {line.lower().replace("_", "-") for line in found}


def test_nothing_of_the_build_is_left(host: Host) -> None:
    assert sorted(host.file("/opt/vya-backupdb").listdir())[0] == "venv"
    assert len(host.file("/opt/vya-backupdb").listdir()) == 2
    assert host.file("/opt/vya-backupdb/venv").is_symlink
