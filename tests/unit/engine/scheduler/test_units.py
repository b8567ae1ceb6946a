# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The units: what systemd thinks of them, and what they promise."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.config import Config
from vya_backupdb.config_file import parse_config
from vya_backupdb.core.scheduler import UNIT_PREFIX, UNIT_PREFIXES, render_units
from vya_backupdb.errors import ConfigError

USER = pwd.getpwuid(1).pw_name  # some account that is on every machine


def config_with(*policies: dict[str, Any], **settings: Any) -> Config:
    """A configuration with one instance."""
    instances = settings.pop("instances", [{"database_id": "prod", "dbms": "mariadb"}])
    return parse_config({"instances": instances, "policies": list(policies), **settings}, "config.yml")


def nightly(**schedule: Any) -> dict[str, Any]:
    """A policy with a schedule."""
    return {"name": "nightly", "schedule": schedule or {"times": ["02:30"]}}


def settings_of(text: str) -> dict[str, list[str]]:
    """All settings of a unit file, those given several times with all values."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def service_of(config: Config, **options: Any) -> dict[str, list[str]]:
    """The settings of the only policy's service."""
    return settings_of(render_units(config, **options)[f"{UNIT_PREFIX}nightly.service"])


def timer_of(config: Config) -> dict[str, list[str]]:
    """The settings of the only policy's timer."""
    return settings_of(render_units(config)[f"{UNIT_PREFIX}nightly.timer"])


def test_each_policy_with_a_schedule_has_two_units() -> None:
    config = config_with({"name": "a", "schedule": {"times": ["01:00"]}}, {"name": "b"}, nightly())
    assert sorted(render_units(config)) == [
        "vya-backupdb-backup-a.service",
        "vya-backupdb-backup-a.timer",
        "vya-backupdb-backup-nightly.service",
        "vya-backupdb-backup-nightly.timer",
    ]


def test_a_verification_with_a_schedule_has_two_units_of_its_own() -> None:
    policy = {"name": "nightly", "verification": {"schedule": {"times": ["12:00"], "days": ["sun"]}}}
    units = render_units(config_with(policy))
    assert sorted(units) == ["vya-backupdb-verify-nightly.service", "vya-backupdb-verify-nightly.timer"]
    service = settings_of(units["vya-backupdb-verify-nightly.service"])
    assert service["ExecStart"][0].endswith(" verify --policy nightly --trigger timer")
    assert service["Description"] == ["Verification of the backups of the policy nightly"]
    assert settings_of(units["vya-backupdb-verify-nightly.timer"])["OnCalendar"] == ["Sun *-*-* 12:00:00 UTC"]
    backup = service_of(config_with(nightly()))
    assert {key: value for key, value in service.items() if key not in ("ExecStart", "Description")} == {
        key: value for key, value in backup.items() if key not in ("ExecStart", "Description")
    }


def test_drills_with_a_schedule_have_two_units_for_the_whole_host() -> None:
    drill = {"schedule": {"times": ["05:00"]}, "directory": "/srv/drills"}
    units = render_units(config_with({"name": "nightly"}, drill=drill))
    assert sorted(units) == ["vya-backupdb-drill.service", "vya-backupdb-drill.timer"]
    service = settings_of(units["vya-backupdb-drill.service"])
    assert service["ExecStart"][0].endswith(" drill --due --trigger timer")
    assert "capset @chown" in service["SystemCallFilter"]
    assert service["CapabilityBoundingSet"] == [""]
    assert "-/srv/drills" in service["ReadWritePaths"][0].split()
    assert settings_of(units["vya-backupdb-drill.timer"])["OnCalendar"] == ["*-*-* 05:00:00 UTC"]
    assert all(name.startswith(UNIT_PREFIXES) for name in units)
    assert render_units(config_with({"name": "nightly"}, drill={"every_days": 7})) == {}


def test_what_a_service_gets_where_processor_and_disks_are_scarce() -> None:
    usual = service_of(config_with(nightly()))
    assert (usual["Nice"], "CPUWeight" in usual, "IOWeight" in usual) == (["10"], False, False)
    limits = {"nice": 3, "cpu_weight": 20, "io_weight": 30}
    chosen = service_of(config_with({**nightly(), "limits": limits}))
    assert (chosen["Nice"], chosen["CPUWeight"], chosen["IOWeight"]) == (["3"], ["20"], ["30"])


def test_the_same_configuration_gives_the_same_text() -> None:
    assert render_units(config_with(nightly())) == render_units(config_with(nightly()))


class TestService:
    """The service does one policy's work, with as little as it needs."""

    def test_it_runs_the_policy(self) -> None:
        service = service_of(config_with(nightly()), executable=Path("/opt/x/bin/vya-backupdb"), user="backup")
        assert service["ExecStart"] == [
            "/opt/x/bin/vya-backupdb --config /etc/vya-backupdb/config.yml backup --policy nightly --trigger timer"
        ]
        assert service["User"] == service["Group"] == ["backup"]
        assert service["Type"] == ["oneshot"]

    def test_its_group_may_be_another(self) -> None:
        service = service_of(config_with(nightly()), user="backup", group="dba")
        assert (service["User"], service["Group"]) == (["backup"], ["dba"])

    def test_it_gets_the_secrets_that_only_root_can_read(self) -> None:
        service = service_of(config_with(nightly(), key_file="/k/host.key", credentials_file="/c/100%.json"))
        assert service["LoadCredential"] == ["host.key:/k/host.key", "credentials.json:/c/100%%.json"]

    def test_it_gets_the_age_identity_where_the_host_has_one(self) -> None:
        service = service_of(config_with(nightly(), age_identity_file="/root/100%.txt"))
        assert service["LoadCredential"][2:] == ["age-identity:/root/100%%.txt"]
        assert service["SetCredential"][2:] == ["age-identity:absent"]

    def test_missing_secrets_are_left_to_the_engine_to_explain(self) -> None:
        service = service_of(config_with(nightly()))
        assert service["SetCredential"] == ["host.key:absent", 'credentials.json:{"databases": []}']

    def test_it_waits_for_servers_and_network(self) -> None:
        service = service_of(config_with(nightly()))
        after = service["After"][0].split()
        assert {"network-online.target", "mariadb.service", "mysql.service", "postgresql.service"} <= set(after)
        assert service["Wants"] == ["network-online.target"]

    def test_it_writes_where_it_must_and_nowhere_else(self) -> None:
        service = service_of(config_with(nightly(), storage={"root": "/srv/backups"}))
        assert service["ReadWritePaths"] == ["-/srv/backups -/var/lib/vya-backupdb"]
        assert service["ProtectSystem"] == ["strict"]
        metrics = {"textfile_directory": "/var/lib/prometheus/node-exporter"}
        service = service_of(config_with(nightly(), metrics=metrics))
        assert service["ReadWritePaths"][0].endswith(" -/var/lib/prometheus/node-exporter")

    def test_it_does_not_fill_the_mount_point_of_a_missing_disk(self) -> None:
        service = service_of(config_with(nightly(), storage={"root": "/mnt/backups/db"}))
        assert service["RequiresMountsFor"] == ["/mnt/backups/db"]

    def test_nothing_keeps_it_from_running_again(self) -> None:
        """systemd's start limit counts every start, so it could refuse the night's run after a few by hand."""
        service = service_of(config_with(nightly(times=["02:30"], retries=5)))
        assert not {"Restart", "StartLimitBurst", "StartLimitIntervalSec"} & service.keys()

    @pytest.mark.parametrize(
        ("settings", "home", "tmp"),
        [
            ({}, "yes", "yes"),
            ({"storage": {"root": "/home/backups"}}, "read-only", "yes"),
            ({"state_directory": "/root/state"}, "read-only", "yes"),
            ({"storage": {"root": "/homeless"}}, "yes", "yes"),
            ({"storage": {"root": "/var/tmp/backups"}}, "yes", "no"),
            ({"instances": [{"database_id": "a", "dbms": "mysql", "socket": "/tmp/mysql.sock"}]}, "yes", "no"),
            (
                {"instances": [{"database_id": "a", "dbms": "mysql", "host": "b", "tls": {"ca_file": "/home/ca.pem"}}]},
                "read-only",
                "yes",
            ),
        ],
    )
    def test_what_it_needs_is_not_hidden_from_it(self, settings: dict[str, Any], home: str, tmp: str) -> None:
        service = service_of(config_with(nightly(), **settings))
        assert (service["ProtectHome"], service["PrivateTmp"]) == ([home], [tmp])

    def test_clients_may_be_bound_to_its_life(self) -> None:
        """What setpriv needs comes back after all that is privileged was taken away."""
        service = service_of(config_with(nightly()))
        assert service["SystemCallFilter"] == ["@system-service", "~@privileged @resources", "capset"]

    def test_it_leaves_no_core_with_secrets_and_no_open_files(self) -> None:
        service = service_of(config_with(nightly()))
        assert service["LimitCORE"] == ["0"]
        assert service["UMask"] == ["0027"]

    def test_odd_paths_stay_one_word(self) -> None:
        service = service_of(
            config_with(nightly(), storage={"root": '/srv/my "back\\ups" 100%'}), config_path=Path("/etc/a b$c%.yml")
        )
        assert service["ExecStart"][0].split(" --config ")[1].startswith('"/etc/a b$$c%%.yml" backup')
        assert service["ReadWritePaths"][0].startswith('"-/srv/my \\"back\\\\ups\\" 100%%" -/var')
        assert service["RequiresMountsFor"] == ['"/srv/my \\"back\\\\ups\\" 100%%"']

    @pytest.mark.parametrize("path", ["/srv/a\nExecStart=/bin/sh", "/srv/a\x00", "/srv/\x1b"])
    def test_no_path_can_smuggle_a_line_in(self, path: str) -> None:
        with pytest.raises(ConfigError, match="cannot be written into a systemd unit"):
            render_units(config_with(nightly(), storage={"root": path}))


class TestTimer:
    """The timer keeps the schedule."""

    def test_times(self) -> None:
        timer = timer_of(config_with(nightly(times=["02:30", "14:00"], days=["mon"], timezone="Europe/Lisbon")))
        assert timer["OnCalendar"] == ["Mon *-*-* 02:30:00 Europe/Lisbon", "Mon *-*-* 14:00:00 Europe/Lisbon"]
        assert timer["AccuracySec"] == ["1s"]
        assert timer["WantedBy"] == ["timers.target"]
        assert "RandomizedDelaySec" not in timer

    @pytest.mark.parametrize(("catch_up", "persistent"), [(True, "yes"), (False, "no")])
    def test_missed_runs(self, catch_up: bool, persistent: str) -> None:
        timer = timer_of(config_with(nightly(times=["02:30"], catch_up=catch_up)))
        assert timer["Persistent"] == [persistent]

    def test_the_window_is_spread_but_stable(self) -> None:
        timer = timer_of(config_with(nightly(times=["02:30"], window="30m")))
        assert timer["RandomizedDelaySec"] == ["1800s"]
        assert timer["FixedRandomDelay"] == ["yes"]

    @pytest.mark.parametrize(
        ("catch_up", "first"), [(True, ("OnBootSec", ["900s"])), (False, ("OnActiveSec", ["172800s"]))]
    )
    def test_an_interval_without_expression_is_counted(self, catch_up: bool, first: tuple[str, list[str]]) -> None:
        timer = timer_of(config_with(nightly(interval="2d", catch_up=catch_up)))
        assert timer["OnUnitActiveSec"] == ["172800s"]
        assert first in timer.items()
        assert not {"OnCalendar", "Persistent"} & timer.keys()


ODD = {"storage": {"root": '/srv/my "back\\ups" 100%'}, "key_file": "/etc/a b/host.key"}


class TestAgainstSystemd:
    """systemd's own opinion."""

    @pytest.fixture
    def written(self, tmp_path: Path) -> list[Path]:
        """The units of a configuration that uses everything, on disk."""
        config = config_with(
            nightly(times=["02:30", "14:00"], days=["mon", "sun"], timezone="America/Sao_Paulo", window="30m"),
            {"name": "often", "schedule": {"interval": "96m"}},
            {"name": "counted", "schedule": {"interval": "7m"}, "verification": {"schedule": {"cron": "@weekly"}}},
            {"name": "cron", "schedule": {"cron": "*/7 1-5,8 1,15 jan-mar,9 mon,7", "catch_up": False}},
            metrics={"textfile_directory": "/var/lib/prometheus/node-exporter"},
            **ODD,
        )
        units = render_units(config, executable=Path("/bin/true"), config_path=Path("/etc/a b$.yml"), user=USER)
        for name, text in units.items():
            (tmp_path / name).write_text(text)
        return [tmp_path / name for name in units]

    def test_verify_has_nothing_to_say(self, written: list[Path], systemd_analyze: str) -> None:
        done = subprocess.run([systemd_analyze, "verify", *map(str, written)], capture_output=True, text=True)
        # Other units of the machine, which verify loads along, may have faults of their own.
        lines = (done.stdout + done.stderr).splitlines()
        own = [line for line in lines if any(prefix in line for prefix in UNIT_PREFIXES)]
        assert own == []

    def test_verify_would_have_something_to_say(self, written: list[Path], systemd_analyze: str) -> None:
        broken = written[0]
        broken.write_text(broken.read_text().replace("KillMode=mixed", "KillMode=gently"))
        done = subprocess.run([systemd_analyze, "verify", str(broken)], capture_output=True, text=True)
        assert "gently" in done.stderr

    def test_the_sandbox_is_tight(self, written: list[Path], systemd_analyze: str) -> None:
        """Exposure in tenths: the network is what is left open."""
        service = next(path for path in written if path.name == f"{UNIT_PREFIX}nightly.service")
        done = subprocess.run(
            [systemd_analyze, "security", "--offline=yes", "--threshold=20", str(service)],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
        )
        if "unrecognized option" in done.stderr:
            pytest.skip("this systemd-analyze cannot examine a file")
        assert done.returncode == 0, done.stdout
