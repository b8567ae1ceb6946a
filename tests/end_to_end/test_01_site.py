# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``site.yml``: from unprepared hosts to backed-up ones, foreseen truthfully, and nothing to do the second time."""

from __future__ import annotations

from harness.hosts import COMMAND, Host, for_each
from harness.servers import Target

from conftest import Rollout


def test_check_on_unprepared_hosts_succeeds_and_changes_nothing(rollout: Rollout, hosts: list[Host]) -> None:
    assert rollout.foreseen.code == 0, rollout.foreseen.output[-8000:]
    for host in hosts:
        assert rollout.foreseen.recap[host.name]["failed"] == 0
        assert rollout.foreseen.recap[host.name]["changed"] > 0, "it must foresee what it would do"
        assert rollout.changed_by_check[host] == {}


def test_second_run_changes_nothing(rollout: Rollout, hosts: list[Host]) -> None:
    for host in hosts:
        assert rollout.first.recap[host.name]["changed"] > 0
        assert rollout.second.recap[host.name]["changed"] == 0, rollout.second.output[-8000:]


def test_check_afterwards_finds_nothing_to_do(rollout: Rollout, hosts: list[Host]) -> None:
    for host in hosts:
        assert rollout.checked.recap[host.name]["changed"] == 0, rollout.checked.output[-8000:]


def test_no_playbook_run_shows_a_secret(rollout: Rollout, targets: list[Target]) -> None:
    for play in (rollout.foreseen, rollout.first, rollout.second, rollout.checked, rollout.settled):
        for target in targets:
            assert target.mark is None or target.mark not in play.output


def test_a_policy_that_is_gone_takes_its_timer_along(targets: list[Target], hosts: list[Host]) -> None:
    def check(host: Host) -> None:
        units = host.shell("systemctl list-unit-files --no-legend 'vya-backupdb-*' | awk '{print $1, $2}'")
        assert "minutely" not in units
        assert "vya-backupdb-backup-nightly.timer enabled" in units
        assert host.shell("systemctl is-active vya-backupdb-backup-nightly.timer").strip() == "active"
        assert "minutely" not in host.shell("ls /etc/systemd/system")

    for_each(hosts, check)


def test_every_host_can_back_up_all_its_instances(targets: list[Target], hosts: list[Host]) -> None:
    def check(host: Host) -> None:
        done = host.run(COMMAND, "check", "--json", check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    for_each(hosts, check)


def test_the_engine_runs_from_its_own_environment_as_its_own_user(targets: list[Target], hosts: list[Host]) -> None:
    def check(host: Host) -> None:
        modes = host.shell(
            "stat -c '%n %U:%G %a' /etc/vya-backupdb /etc/vya-backupdb/config.yml /etc/vya-backupdb/.secrets"
            " /etc/vya-backupdb/.secrets/host.key /etc/vya-backupdb/.secrets/credentials.json"
            " /var/lib/vya-backupdb /var/backups/vya-backupdb"
        )
        assert modes.splitlines() == [
            "/etc/vya-backupdb root:vya-backupdb 750",
            "/etc/vya-backupdb/config.yml root:vya-backupdb 640",
            "/etc/vya-backupdb/.secrets root:root 711",
            "/etc/vya-backupdb/.secrets/host.key root:root 600",
            "/etc/vya-backupdb/.secrets/credentials.json root:root 600",
            "/var/lib/vya-backupdb vya-backupdb:vya-backupdb 750",
            "/var/backups/vya-backupdb vya-backupdb:vya-backupdb 750",
        ]
        # Also what was made by commands that root started belongs to the engine's user.
        assert host.shell("find /var/lib/vya-backupdb /var/backups/vya-backupdb ! -user vya-backupdb") == ""
        assert host.shell("find /opt/vya-backupdb ! -user root") == ""
        assert host.shell("find /opt/vya-backupdb /etc/vya-backupdb -perm /022 ! -type l") == ""

    for_each(hosts, check)
