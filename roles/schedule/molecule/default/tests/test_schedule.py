# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the role schedule leaves on a host, and whether it works."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://database_hosts"]

POLICIES = ["nightly", "hourly"]
VERIFICATION = "vya-backupdb-verify-nightly"


def unit(policy: str, kind: str) -> str:
    return f"vya-backupdb-backup-{policy}.{kind}"


def test_there_are_units_for_the_policies_with_a_schedule_only(host: Host) -> None:
    found = host.run("ls /etc/systemd/system").stdout.split()
    expected = {unit(policy, kind) for policy in POLICIES for kind in ("service", "timer")}
    expected |= {f"{VERIFICATION}.{kind}" for kind in ("service", "timer")}
    assert {name for name in found if name.startswith("vya-") and "." in name} == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_timers_wait_and_start_with_the_host(host: Host, policy: str) -> None:
    timer = host.service(unit(policy, "timer"))
    assert timer.is_running
    assert timer.is_enabled
    next_run = host.run(
        f"systemctl show {unit(policy, 'timer')} --property NextElapseUSecRealtime,NextElapseUSecMonotonic"
    )
    assert any(line.partition("=")[2] not in ("", "0", "infinity") for line in next_run.stdout.splitlines())


def test_systemd_finds_no_fault_with_the_units(host: Host) -> None:
    verdict = host.run("systemd-analyze verify /etc/systemd/system/vya-backupdb-*.service")
    assert (verdict.rc, verdict.stdout + verdict.stderr) == (0, "")


def test_service_is_well_locked_in(host: Host) -> None:
    verdict = host.run(f"systemd-analyze security --no-pager --threshold=30 {unit('nightly', 'service')}")
    assert verdict.rc == 0, verdict.stdout


def test_service_backs_up_as_its_own_user(host: Host) -> None:
    started = host.run(f"systemctl start {unit('nightly', 'service')}")
    assert started.rc == 0, started.stderr
    listed = host.run("find /var/backups/vya-backupdb -name '*.sql.gz' -printf '%f %u %m\n'").stdout.splitlines()
    assert [line for line in listed if line.startswith("shop_")]
    assert {line.split()[1] for line in listed} == {"vya-backupdb"}
    status = json.loads(host.run("vya-backupdb status --json").stdout)
    assert {entry["last_outcome"] for entry in status["databases"]} == {"success"}


def test_the_verification_has_a_timer_of_its_own(host: Host) -> None:
    timer = host.service(f"{VERIFICATION}.timer")
    assert timer.is_running
    assert timer.is_enabled
    started = host.run(f"systemctl start {VERIFICATION}.service")
    assert started.rc == 0, host.run(f"journalctl --no-pager -u {VERIFICATION}.service").stdout
    artifacts = json.loads(host.run("vya-backupdb list --json").stdout)["artifacts"]
    assert {artifact["proof"] for artifact in artifacts} == {"verified"}


def test_nothing_secret_is_in_the_journal(host: Host) -> None:
    journal = host.run("journalctl --no-pager").stdout
    assert "vya-backupdb" in journal
    assert "timer-secret-2718" not in journal
