# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Schedules as systemd knows them: calendar expressions, and a service and a timer for each policy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from ..config import DEFAULT_CONFIG_PATH, WEEKDAYS, Config, Policy, Schedule
from ..errors import ConfigError
from ..security.keys import NO_KEY
from .cron import number_list, translate_cron, weekday_list

UNIT_PREFIX = "vya-backupdb-backup-"
EXECUTABLE = Path("/opt/vya-backupdb/venv/bin/vya-backupdb")
USER = "vya-backupdb"
_DAY = timedelta(days=1)
_SAFE_WORD = re.compile(r"[\w/.:@%+=,$-]+")
_FIRST_RUN_AFTER_BOOT = timedelta(minutes=15)


def calendar_expressions(schedule: Schedule) -> list[str]:
    """Return the schedule as values of ``OnCalendar=``; it runs whenever one of them comes true.

    An interval that does not divide a day into equal parts of whole minutes cannot be written so; for it the list is
    empty, and the timer counts from one run to the next instead.

    Raises:
        ValueError: The schedule contradicts itself or never comes true.
    """
    every_day = set(schedule.days) == set(WEEKDAYS)
    days = weekday_list(frozenset(WEEKDAYS.index(day) for day in schedule.days))
    if schedule.cron is not None:
        if not every_day:
            raise ValueError("days and cron contradict each other; name the days in the cron expression")
        lines = translate_cron(schedule.cron)
    elif schedule.interval is not None:
        lines = [f"{days}*-*-* {time}" for time in _interval_times(schedule.interval)]
        if not lines and not every_day:
            raise ValueError("this interval cannot be kept to certain days: it does not divide a day into equal parts")
    else:
        lines = [
            f"{days}*-*-* {time if time.count(':') == 2 else time + ':00'}" for time in sorted(set(schedule.times))
        ]
    return [f"{line} {schedule.timezone}" for line in lines]


def _interval_times(interval: timedelta) -> list[str]:
    """Times of day, counted from midnight, as few expressions as possible; none if the last part would be cut short."""
    if interval % timedelta(minutes=1) or interval > _DAY or _DAY % interval:
        return []
    step = interval // timedelta(minutes=1)
    minutes_of: dict[int, set[int]] = {}
    for minute in range(0, 24 * 60, step):
        minutes_of.setdefault(minute // 60, set()).add(minute % 60)
    hours_with: dict[frozenset[int], set[int]] = {}
    for hour, minutes in minutes_of.items():
        hours_with.setdefault(frozenset(minutes), set()).add(hour)
    return [
        f"{number_list(frozenset(hours), 0, 23)}:{number_list(minutes, 0, 59)}:00"
        for minutes, hours in hours_with.items()
    ]


def render_units(
    config: Config,
    *,
    executable: Path = EXECUTABLE,
    config_path: Path = DEFAULT_CONFIG_PATH,
    user: str = USER,
    group: str | None = None,
) -> dict[str, str]:
    """Write the service and the timer of every policy that has a schedule.

    Args:
        config: The host's configuration.
        executable: The host's command.
        config_path: Where the host's configuration is.
        user: Whom the services run as.
        group: Its group; named as the user unless given.

    Returns:
        The units' texts by their file names.

    Raises:
        ConfigError: A path holds a character that a unit file cannot.
    """
    units = {}
    for policy in config.policies:
        if policy.schedule is not None:
            name = UNIT_PREFIX + policy.name
            units[f"{name}.service"] = _service(config, policy, executable, config_path, user, group or user)
            units[f"{name}.timer"] = _timer(policy, policy.schedule, config_path)
    return units


def _service(config: Config, policy: Policy, executable: Path, config_path: Path, user: str, group: str) -> str:
    writable = [config.storage.root, config.state_directory]
    if config.metrics.textfile_directory is not None:
        writable.append(config.metrics.textfile_directory)
    used = [*writable, config_path]
    for instance in config.instances:
        used += [path for path in (instance.socket, instance.tls.ca_file) if path is not None]
    return _SERVICE.format(
        origin=_plain(config_path),
        policy=policy.name,
        storage=_quoted(config.storage.root),
        user=user,
        group=group,
        executable=_quoted(executable),
        config=_quoted(config_path).replace("$", "$$"),  # else it would stand for a variable
        key_file=_plain(config.key_file),
        credentials_file=_plain(config.credentials_file),
        no_key=NO_KEY.decode(),
        no_credentials='{"databases": []}',
        # A missing directory is better explained by the engine than by a service that cannot be set up.
        writable=" ".join(_quoted(path, prefix="-") for path in writable),
        protect_home="read-only" if _any_below(used, "home", "root", "run/user") else "yes",
        private_tmp="no" if _any_below(used, "tmp", "var/tmp") else "yes",
    )


def _timer(policy: Policy, schedule: Schedule, config_path: Path) -> str:
    expressions = calendar_expressions(schedule)
    if expressions:
        lines = [f"OnCalendar={expression}" for expression in expressions]
        lines.append(f"Persistent={_yes_no(schedule.catch_up)}")
    else:
        interval = schedule.interval or _DAY
        # systemd keeps no count over a reboot. Whoever wants missed runs caught up gets one soon after each boot.
        first = (
            f"OnBootSec={_seconds(_FIRST_RUN_AFTER_BOOT)}" if schedule.catch_up else f"OnActiveSec={_seconds(interval)}"
        )
        lines = [first, f"OnUnitActiveSec={_seconds(interval)}"]
    lines.append("AccuracySec=1s")
    if schedule.window:
        # The delay differs between hosts, so that not all of them start at once, but is always the same for a host.
        lines += [f"RandomizedDelaySec={_seconds(schedule.window)}", "FixedRandomDelay=yes"]
    return _TIMER.format(origin=_plain(config_path), policy=policy.name, lines="\n".join(lines))


def _seconds(duration: timedelta) -> str:
    return f"{int(duration.total_seconds())}s"


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _any_below(paths: Iterable[Path], *directories: str) -> bool:
    """Whether any path is in one of the directories, which are named from the root on."""
    return any(path.is_relative_to(Path("/", directory)) for path in paths for directory in directories)


def _plain(path: Path) -> str:
    """A path where systemd takes the rest of the line as it stands, but for its own ``%`` specifiers."""
    text = str(path)
    if not text.isprintable():
        raise ConfigError(f"The path {text!r} cannot be written into a systemd unit.", "Use printable characters only.")
    return text.replace("%", "%%")


def _quoted(path: Path, prefix: str = "") -> str:
    """A path as one word of several."""
    text = prefix + _plain(path)
    if _SAFE_WORD.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# What it leaves open, and why: /proc as it is, because the catalog looks there whether the process behind an unfinished
# run is still alive; no PrivateUsers, which fails in unprivileged containers; the network, for servers elsewhere.
_SERVICE = """\
# Made from {origin}; changes here are lost.
[Unit]
Description=Backup of the databases of the policy {policy}
Wants=network-online.target
After=network-online.target mariadb.service mysql.service mysqld.service postgresql.service
RequiresMountsFor={storage}

[Service]
Type=oneshot
ExecStart={executable} --config {config} backup --policy {policy} --trigger timer
User={user}
Group={group}
LoadCredential=host.key:{key_file}
LoadCredential=credentials.json:{credentials_file}
# In place of a file that is missing, so that it is the engine that says so, and to everybody whom failures concern.
SetCredential=host.key:{no_key}
SetCredential=credentials.json:{no_credentials}
Environment=LANG=C.UTF-8
SyslogIdentifier=vya-backupdb

# The command ends its own children; one of them killed for lack of memory is its failure alone, not the whole run's.
KillMode=mixed
OOMPolicy=continue
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
LimitCORE=0
UMask=0027

ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome={protect_home}
PrivateTmp={private_tmp}
PrivateDevices=yes
DevicePolicy=closed
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""

_TIMER = """\
# Made from {origin}; changes here are lost.
[Unit]
Description=Times of the policy {policy}'s backups

[Timer]
{lines}

[Install]
WantedBy=timers.target
"""
