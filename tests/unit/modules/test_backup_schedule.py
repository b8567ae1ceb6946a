# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The module backup_schedule: units follow the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

POLICY = {"name": "nightly", "schedule": {"times": ["02:30"]}}
SERVICE, TIMER = "vya-backupdb-backup-nightly.service", "vya-backupdb-backup-nightly.timer"


@pytest.fixture
def units(host: Any) -> Path:
    """The directory of the units; the configuration has one policy with a schedule and one without."""
    directory: Path = host.root / "units"
    directory.mkdir()
    host.configure(policies=[POLICY, {"name": "by-hand"}])
    return directory


@pytest.fixture
def files_only(run_module: Callable[..., Any], units: Path) -> Callable[..., Any]:
    """Runs the module without telling systemd."""
    return lambda **arguments: run_module(
        "backup_schedule", **{"unit_directory": str(units), "enabled": False, **arguments}
    )


def test_units_are_written_once(files_only: Callable[..., Any], units: Path) -> None:
    """For policies with a schedule only; a second run changes nothing."""
    result = files_only()
    assert result["changed"] is True
    assert result["timers"] == [TIMER]
    assert result["written"] == sorted(path.name for path in units.iterdir()) == [SERVICE, TIMER]
    assert {path.stat().st_mode & 0o777 for path in units.iterdir()} == {0o644}
    again = files_only()
    assert (again["changed"], again["written"], again["removed"]) == (False, [], [])


def test_units_follow_the_configuration(files_only: Callable[..., Any], units: Path, host: Any) -> None:
    """What changed is rewritten, what is gone is removed, what others put there is left alone."""
    files_only()
    (units / "vya-backupdb-backup-nightly.service.d").mkdir()
    (units / "mariadb.service").write_text("", encoding="utf-8")
    host.configure(
        policies=[
            {"name": "nightly", "schedule": {"times": ["03:00"]}},
            {"name": "hourly", "schedule": {"interval": "1h"}},
        ]
    )
    result = files_only()
    assert result["written"] == ["vya-backupdb-backup-hourly.service", "vya-backupdb-backup-hourly.timer", TIMER]
    assert "03:00:00" in (units / TIMER).read_text("utf-8")
    host.configure(policies=[])
    assert files_only()["removed"] == [
        "vya-backupdb-backup-hourly.service",
        "vya-backupdb-backup-hourly.timer",
        SERVICE,
        TIMER,
    ]
    assert sorted(path.name for path in units.iterdir()) == ["mariadb.service", "vya-backupdb-backup-nightly.service.d"]


def test_absent_needs_no_configuration(files_only: Callable[..., Any], units: Path, host: Any) -> None:
    """So that a host can be cleaned whatever state it is in."""
    files_only()
    host.config_path.unlink()
    assert files_only(state="absent")["removed"] == [SERVICE, TIMER]
    assert list(units.iterdir()) == []
    assert files_only(state="absent")["changed"] is False


def test_check_mode_shows_the_difference_and_changes_nothing(
    files_only: Callable[..., Any], units: Path, host: Any
) -> None:
    """The difference is that of the unit files."""
    files_only()
    host.configure(policies=[{"name": "nightly", "schedule": {"times": ["03:00"]}}])
    before = host.snapshot()
    result = files_only(check=True, diff=True)
    assert host.snapshot() == before
    assert result["changed"] is True
    (change,) = result["diff"]
    assert change["before_header"] == str(units / TIMER)
    assert "02:30:00" in change["before"]
    assert "03:00:00" in change["after"]


def test_a_missing_directory_is_explained(files_only: Callable[..., Any], host: Any) -> None:
    """One sentence, no traceback."""
    result = files_only(unit_directory=str(host.root / "nowhere"))
    assert "nowhere cannot be read: No such file or directory." in result["msg"]
    assert "exception" not in result


def test_an_unwritable_directory_is_explained(files_only: Callable[..., Any]) -> None:
    """For example without become; the directory of the kernel refuses even root."""
    result = files_only(unit_directory="/proc/self")
    assert "A unit in /proc/self cannot be changed" in result["msg"]


SYSTEMCTL = """#!/bin/sh
# Stands in for systemctl: keeps the timers that are enabled and running in a directory, and notes what it is told.
echo "$*" >> {log}
shift # --quiet
case $1 in
is-enabled | is-active) test -e {state}/"$2" ;;
enable) shift 2; for name; do test -e {units}/"$name" || exit 1; touch {state}/"$name"; done ;;
disable) shift 2; for name; do test -e {units}/"$name" || exit 1; rm -f {state}/"$name"; done ;;
restart) test "{failing}" = no || {{ echo "Job failed." >&2; exit 1; }} ;;
esac
"""


@pytest.fixture
def systemd(
    units: Path, tmp_path: Path, shared: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Gives a stand-in for systemctl; returns, and forgets, what it was told to change."""
    log = tmp_path / "systemctl.log"
    state = tmp_path / "enabled"
    state.mkdir()
    binary = tmp_path / "bin" / "systemctl"
    binary.parent.mkdir()

    def told(failing: str = "no") -> list[str]:
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        binary.write_text(SYSTEMCTL.format(log=log, state=state, units=units, failing=failing), encoding="utf-8")
        binary.chmod(0o755)
        return [line.removeprefix("--quiet ") for line in lines if "is-" not in line]

    told()
    schedule = shared("_module.schedule")
    monkeypatch.setattr(schedule.AnsibleModule, "get_bin_path", lambda *_: str(binary))
    monkeypatch.setattr(schedule.os.path, "isdir", lambda path: path == "/run/systemd/system")
    return told


def test_timers_are_put_to_work(
    run_module: Callable[..., Any], units: Path, host: Any, systemd: Callable[..., list[str]]
) -> None:
    """Started when new, restarted when changed, stopped before their files go; nothing when all is as wanted."""
    arguments = {"unit_directory": str(units)}
    assert run_module("backup_schedule", check=True, **arguments)["started"] == [TIMER]
    assert systemd() == []
    assert run_module("backup_schedule", **arguments)["started"] == [TIMER]
    assert systemd() == ["daemon-reload", f"enable --now {TIMER}"]
    assert run_module("backup_schedule", **arguments)["changed"] is False
    assert systemd() == []
    host.configure(policies=[{"name": "nightly", "schedule": {"times": ["03:00"]}}])
    assert run_module("backup_schedule", **arguments)["written"] == [TIMER]
    assert systemd() == ["daemon-reload", f"restart {TIMER}"]
    assert run_module("backup_schedule", state="absent", **arguments)["changed"] is True
    assert systemd() == [f"disable --now {TIMER}", "daemon-reload"]


def test_a_stopped_timer_is_started_again(
    run_module: Callable[..., Any], units: Path, systemd: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Although its file is as it should be."""
    run_module("backup_schedule", unit_directory=str(units))
    (tmp_path / "enabled" / TIMER).unlink()
    systemd()
    result = run_module("backup_schedule", unit_directory=str(units))
    assert (result["changed"], result["written"], result["started"]) == (True, [], [TIMER])
    assert systemd() == [f"enable --now {TIMER}"]


def test_systemd_s_refusal_is_passed_on(
    run_module: Callable[..., Any], units: Path, host: Any, systemd: Callable[..., list[str]]
) -> None:
    """With its own words."""
    run_module("backup_schedule", unit_directory=str(units))
    host.configure(policies=[{"name": "nightly", "schedule": {"times": ["03:00"]}}])
    systemd(failing="yes")
    result = run_module("backup_schedule", unit_directory=str(units))
    assert f"systemctl restart {TIMER} failed: Job failed." in result["msg"]


def test_a_host_without_systemd_is_told_so(
    run_module: Callable[..., Any], units: Path, shared: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written then."""
    monkeypatch.setattr(shared("_module.schedule").AnsibleModule, "get_bin_path", lambda *_: None)
    result = run_module("backup_schedule", unit_directory=str(units))
    assert "not run by systemd" in result["msg"]
    assert list(units.iterdir()) == []
