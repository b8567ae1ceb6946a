# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways into the hosts: a key made for the run, an ssh_config, an Ansible inventory."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from .bases import suite
from .processes import must
from .state import FleetRecord, HostRecord


def make_key(path: Path, comment: str) -> str:
    """Make an ed25519 key without a passphrase and return its public half."""
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    return path.with_suffix(".pub").read_text(encoding="ascii").strip()


def render_ssh_config(fleet: FleetRecord) -> str:
    """The ssh_config of a fleet; used with ``ssh -F``, so that the user's own files are neither read nor written."""
    lines = []
    for host in fleet.hosts:
        lines += [f"Host {host.name} {host.address}", f"    HostName {host.address}"]
    return "\n".join(
        [
            *lines,
            "Host *",
            "    User root",
            f"    IdentityFile {fleet.directory}/id_ed25519",
            "    IdentitiesOnly yes",
            f"    UserKnownHostsFile {fleet.directory}/known_hosts",
            "    GlobalKnownHostsFile /dev/null",
            "    StrictHostKeyChecking yes",
            "    PasswordAuthentication no",
            "    LogLevel ERROR",
            "    ConnectTimeout 10",
            "    ServerAliveInterval 15",
            "",
        ]
    )


def render_inventory(fleet: FleetRecord) -> str:
    """The Ansible inventory of a fleet; scalars are written as JSON, which every YAML parser reads alike."""
    lines = ["all:", "  vars:"]
    common = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": f"{fleet.directory}/id_ed25519",
        "ansible_ssh_common_args": f"-F {shlex.quote(f'{fleet.directory}/ssh_config')}",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    lines += [f"    {key}: {json.dumps(value)}" for key, value in common.items()]
    lines += ["  children:", "    database_hosts:", "      hosts:"]
    for host in fleet.hosts:
        lines += [f"        {host.name}:", f"          ansible_host: {json.dumps(host.address)}"]
        lines += [f"          fleet_suite: {host.suite}"]
        lines += [f"          fleet_engines: {json.dumps(list(suite(host.suite).engines))}"]
    return "\n".join([*lines, ""])


def write_access_files(fleet: FleetRecord, host_keys: dict[str, str]) -> None:
    """Write known_hosts, ssh_config and inventory of a fleet.

    Args:
        fleet: The fleet.
        host_keys: The public ssh host key of each host.
    """

    def known(host: HostRecord) -> str:
        return f"{host.name},{host.address} {' '.join(host_keys[host.name].split()[:2])}\n"

    (fleet.directory / "known_hosts").write_text("".join(map(known, fleet.hosts)), encoding="ascii")
    (fleet.directory / "ssh_config").write_text(render_ssh_config(fleet), encoding="utf-8")
    (fleet.directory / "inventory.yml").write_text(render_inventory(fleet), encoding="utf-8")


def command(fleet: FleetRecord, host: str, words: list[str], *options: str) -> list[str]:
    """The ssh command that runs words on a host exactly as given, without the remote shell reading anything in them."""
    return ["ssh", "-F", f"{fleet.directory}/ssh_config", *options, host, "--", shlex.join(words)]
