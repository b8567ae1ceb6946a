# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Schedules as systemd knows them: a service and a timer for each policy's backups, its verification, and drills."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ..config import Config, Limits, Schedule
from ..config_file import DEFAULT_CONFIG_PATH
from ..errors import ConfigError
from ..security.age_identity import ABSENT, CREDENTIAL
from ..security.keys import NO_KEY

UNIT_PREFIX = "vya-backupdb-backup-"
VERIFY_PREFIX = "vya-backupdb-verify-"
DRILL_UNIT = "vya-backupdb-drill"
UNIT_PREFIXES = (UNIT_PREFIX, VERIFY_PREFIX, f"{DRILL_UNIT}.")
EXECUTABLE = Path("/opt/vya-backupdb/venv/bin/vya-backupdb")
USER = "vya-backupdb"
_SAFE_WORD = re.compile(r"[\w/.:@%+=,$-]+")
_FIRST_RUN_AFTER_BOOT = timedelta(minutes=15)


def render_units(
    config: Config,
    *,
    executable: Path = EXECUTABLE,
    config_path: Path = DEFAULT_CONFIG_PATH,
    user: str = USER,
    group: str | None = None,
) -> dict[str, str]:
    """Write a service and a timer for every policy that has a schedule, for every verification, and for drills.

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
        for prefix, command, what, schedule in (
            (UNIT_PREFIX, "backup", "Backup of the databases", policy.schedule),
            (VERIFY_PREFIX, "verify", "Verification of the backups", policy.verification.schedule),
        ):
            if schedule is not None:
                words = f"{what} of the policy {policy.name}"
                work = _Work(f"{command} --policy {policy.name}", words, policy.limits)
                name = prefix + policy.name
                units[f"{name}.service"] = _service(config, work, executable, config_path, user, group or user)
                units[f"{name}.timer"] = _timer(work, schedule, config_path)
    if config.drill.schedule is not None:
        # A server gives files the owner that they have; without a capability nobody can do more by that.
        work = _Work("drill --due", "Drills with the backups", Limits(), " @chown")
        units[f"{DRILL_UNIT}.service"] = _service(config, work, executable, config_path, user, group or user)
        units[f"{DRILL_UNIT}.timer"] = _timer(work, config.drill.schedule, config_path)
    return units


@dataclass(frozen=True)
class _Work:
    """What a unit does: the command, the same in words, within which limits, and with which other system calls."""

    command: str
    words: str
    limits: Limits
    calls: str = ""


def _service(config: Config, work: _Work, executable: Path, config_path: Path, user: str, group: str) -> str:
    writable = [config.storage.root, config.state_directory]
    if config.metrics.textfile_directory is not None:
        writable.append(config.metrics.textfile_directory)
    if config.drill.directory is not None and config.drill.schedule is not None:
        writable.append(config.drill.directory)
    used = [*writable, config_path]
    for instance in config.instances:
        used += [path for path in (instance.socket, instance.tls.ca_file) if path is not None]
    return _SERVICE.format(
        origin=_plain(config_path),
        words=work.words,
        command=work.command,
        calls=work.calls,
        weights="\n".join(_weights(work.limits)),
        storage=_quoted(config.storage.root),
        user=user,
        group=group,
        executable=_quoted(executable),
        config=_quoted(config_path).replace("$", "$$"),  # else it would stand for a variable
        key_file=_plain(config.key_file),
        credentials_file=_plain(config.credentials_file),
        identity="".join(_identity(config)),
        no_key=NO_KEY.decode(),
        no_credentials='{"databases": []}',
        # A missing directory is better explained by the engine than by a service that cannot be set up.
        writable=" ".join(_quoted(path, prefix="-") for path in writable),
        protect_home="read-only" if _any_below(used, "home", "root", "run/user") else "yes",
        private_tmp="no" if _any_below(used, "tmp", "var/tmp") else "yes",
    )


def _identity(config: Config) -> list[str]:
    """Return the lines that hand the age identity over, where the host has one."""
    if config.age_identity_file is None:
        return []
    return [
        f"LoadCredential={CREDENTIAL}:{_plain(config.age_identity_file)}\n",
        f"SetCredential={CREDENTIAL}:{ABSENT.decode()}\n",
    ]


def _weights(limits: Limits) -> list[str]:
    weights = {"Nice": limits.nice, "CPUWeight": limits.cpu_weight, "IOWeight": limits.io_weight}
    return [f"{name}={value}" for name, value in weights.items() if value is not None]


def _timer(work: _Work, schedule: Schedule, config_path: Path) -> str:
    expressions = schedule.calendar_expressions()
    if expressions:
        lines = [f"OnCalendar={expression}" for expression in expressions]
        lines.append(f"Persistent={_yes_no(schedule.catch_up)}")
    else:
        interval = schedule.interval or timedelta(days=1)
        # systemd keeps no count over a reboot. Whoever wants missed runs caught up gets one soon after each boot.
        first = (
            f"OnBootSec={_seconds(_FIRST_RUN_AFTER_BOOT)}" if schedule.catch_up else f"OnActiveSec={_seconds(interval)}"
        )
        lines = [first, f"OnUnitActiveSec={_seconds(interval)}"]
    lines.append("AccuracySec=1s")
    if schedule.window:
        # The delay differs between hosts, so that not all of them start at once, but is always the same for a host.
        lines += [f"RandomizedDelaySec={_seconds(schedule.window)}", "FixedRandomDelay=yes"]
    return _TIMER.format(origin=_plain(config_path), words=work.words, lines="\n".join(lines))


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


# What it leaves open, and why: no PrivateUsers, which fails in unprivileged containers; the network, for servers
# elsewhere.
_SERVICE = """\
# Made from {origin}; changes here are lost.
[Unit]
Description={words}
Wants=network-online.target
After=network-online.target mariadb.service mysql.service mysqld.service postgresql.service
RequiresMountsFor={storage}

[Service]
Type=oneshot
ExecStart={executable} --config {config} {command} --trigger timer
User={user}
Group={group}
LoadCredential=host.key:{key_file}
LoadCredential=credentials.json:{credentials_file}
# In place of a file that is missing, so that it is the engine that says so, and to everybody whom failures concern.
SetCredential=host.key:{no_key}
SetCredential=credentials.json:{no_credentials}
{identity}Environment=LANG=C.UTF-8
SyslogIdentifier=vya-backupdb

# The command ends its own children; one of them killed for lack of memory is its failure alone, not the whole run's.
KillMode=mixed
OOMPolicy=continue
{weights}
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
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# setpriv, which lets clients end with us, sets the capabilities that it has, none of them, anew.
SystemCallFilter=capset{calls}
SystemCallErrorNumber=EPERM
"""

_TIMER = """\
# Made from {origin}; changes here are lost.
[Unit]
Description=Times of: {words}

[Timer]
{lines}

[Install]
WantedBy=timers.target
"""
