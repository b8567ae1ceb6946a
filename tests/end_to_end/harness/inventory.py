# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The inventory that the tests apply, and the state of a host that a check must not change."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from .hosts import Host
from .servers import ACCOUNT, Target

NIGHTLY, MINUTELY = "nightly", "minutely"
TEXTFILES = "/var/lib/prometheus/node-exporter"


class _Verbatim(str):
    """A text that Ansible must not read as a template."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Verbatim, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


def nightly() -> dict[str, Any]:
    """A policy whose timer does not fire while the tests run."""
    moment = datetime.now(timezone.utc) + timedelta(hours=12)
    schedule = {"times": [f"{moment:%H:%M}"], "window": "30m", "retries": 1, "retry_delay": "5s"}
    return {"name": NIGHTLY, "schedule": schedule}


def minutely() -> dict[str, Any]:
    """A policy whose timer fires every minute, and which asks the servers first whether they are busy."""
    limits = {"hold_back": {"running": 500, "replication_lag": "10m"}}
    return {"name": MINUTELY, "schedule": {"cron": "* * * * *"}, "limits": limits}


def write_inventory(path: Path, targets: list[Target], fleet_inventory: Path, wheels: Path) -> None:
    """Write what a user keeps in an inventory: instances, credentials, where the wheels are.

    Beside the group ``database_hosts`` there is a group ``instances`` with a member for each instance, by which one ad
    hoc call is about all of them.
    """
    reached = yaml.safe_load(fleet_inventory.read_text(encoding="utf-8"))["all"]
    addresses = reached["children"]["database_hosts"]["hosts"]
    hosts: dict[str, dict[str, Any]] = {}
    instances: dict[str, dict[str, Any]] = {}
    for target in targets:
        address = {"ansible_host": addresses[target.host.name]["ansible_host"]}
        instances[str(target)] = {**address, "database_id": target.database_id, "password": _Verbatim(target.password)}
        variables = hosts.setdefault(
            target.host.name, {**address, "backupdb_instances": [], "backupdb_credentials": []}
        )
        variables["backupdb_instances"].append(target.instance)
        variables["backupdb_credentials"].append(
            {"id": target.database_id, "username": ACCOUNT, "password": _Verbatim(target.password)}
        )
    common = {
        **reached["vars"],
        "backupdb_wheel_directory": str(wheels),
        "backupdb_textfile_directory": TEXTFILES,
        "backupdb_max_dumps": 2,
    }
    groups = {"database_hosts": {"hosts": hosts}, "instances": {"hosts": instances}}
    path.touch(0o600)
    document = {"all": {"vars": common, "children": groups}}
    path.write_text(yaml.dump(document, Dumper=_Dumper, allow_unicode=True), encoding="utf-8")


def system_state(host: Host) -> dict[str, Any]:
    """What the roles could change on a host: files, accounts, packages, units."""
    state: dict[str, Any] = host.python(
        "listing.py",
        *("/etc", "/opt", "/usr/local", "/var/backups", "/var/lib", "/root"),
        "--except",
        # The servers at work, and what systemd, ssh and the shell write by themselves.
        *("/var/lib/mysql", "/var/lib/postgresql", "/var/lib/systemd", "/root/.ansible", "/root/.cache"),
    )
    for name, script in (
        ("accounts", "getent passwd; getent group"),
        ("packages", "dpkg-query --show"),
        ("units", "systemctl list-unit-files --no-legend"),
        ("running", "systemctl list-units --type=service,timer --state=active --no-legend --plain | awk '{print $1}'"),
    ):
        state[name] = sorted(host.shell(script).splitlines())
    return state


def backup_state(host: Host) -> dict[str, Any]:
    """All files that belong to the backups."""
    state: dict[str, Any] = host.python(
        "listing.py",
        *("/etc/vya-backupdb", "/etc/systemd/system", "/opt/vya-backupdb", "/var/backups", "/var/lib/vya-backupdb"),
        *(TEXTFILES, "--except", "/var/lib/prometheus/node-exporter/none"),
    )
    return {path: facts for path, facts in state.items() if "__pycache__" not in path}


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is not the same in two states, each with how it was and how it is."""
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }
