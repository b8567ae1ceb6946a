# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""One host: its own layer above the base root, its boot, and the wait until it serves."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from . import cgroups, machine, network, ssh
from .bases import bases_dir, suite
from .errors import FleetError
from .processes import Processes
from .state import FleetRecord, HostRecord

BOOT_TIMEOUT = 180.0
# Joins the host's groups, mounts its root where only it can see it (so that nothing stays mounted when it ends), and
# becomes nspawn.
_LAUNCH = """
set -eu
root=$1 layers=$2; shift 2
while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift
mount -t overlay overlay -o "$layers" "$root"
exec "$@"
"""
# Waits for the end of the boot, then reports each failed unit and each engine that does not run.
_PROBE = """
echo "state $(systemctl is-system-running --wait)"
systemctl list-units --failed --plain --no-legend | while read -r unit rest; do echo "failed $unit"; done
for engine in "$@"; do
  case $engine in
    postgresql) pg_lsclusters --no-header | grep -qw online || echo "down $engine" ;;
    *) systemctl is-active --quiet "$engine" || echo "down $engine" ;;
  esac
done
"""


def directory(fleet: FleetRecord, host: HostRecord) -> Path:
    """Where a host's layer and its console log lie."""
    return fleet.directory / "hosts" / host.name


def prepare(fleet: FleetRecord, host: HostRecord, authorized_key: str) -> str:
    """Make a host's own layer: identity, network, access.

    Returns:
        Its public ssh host key.
    """
    home = directory(fleet, host)
    upper = home / "upper"
    for path in ("work", "root", "upper/etc/ssh", "upper/etc/systemd/network", "upper/root/.ssh"):
        (home / path).mkdir(parents=True)
    upper.chmod(0o755)
    for path in ("root", "root/.ssh"):
        (upper / path).chmod(0o700)
    peers = "".join(f"{peer.address} {peer.name}\n" for peer in fleet.hosts)
    link = f"[Match]\nName=host0\n\n[Link]\nMTUBytes={network.uplink_mtu()}\nRequiredForOnline=yes\n\n"
    link += f"[Network]\nAddress={host.address}/24\nGateway={network.gateway(fleet.subnet)}\n"
    link += "LinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\n"
    files = {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{peers}",
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/pip.conf": machine.pip_conf(machine.machine_pip_settings()),
        "etc/resolv.conf": machine.machine_resolv_conf(),
        "etc/systemd/network/10-host0.network": link,
        "root/.ssh/authorized_keys": f"{authorized_key}\n",
    }
    for name, text in files.items():
        (upper / name).write_text(text, encoding="utf-8")
        (upper / name).chmod(0o644)
    return ssh.make_key(upper / "etc/ssh/ssh_host_ed25519_key", host.name)


def start(fleet: FleetRecord, host: HostRecord) -> subprocess.Popen[bytes]:
    """Boot a host; it runs on when this process ends."""
    home = directory(fleet, host)
    layers = f"lowerdir={bases_dir() / host.base},upperdir={home / 'upper'},workdir={home / 'work'}"
    launch = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _LAUNCH, "sh", str(home / "root"), layers]
    nspawn = ["systemd-nspawn", "--quiet", "--boot", f"--directory={home / 'root'}"]
    nspawn += [f"--machine={fleet.key}-{host.name}", f"--hostname={host.name}", f"--network-bridge={fleet.bridge}"]
    nspawn += ["--register=no", "--keep-unit", "--console=passive"]
    nspawn += ["--resolv-conf=off", "--timezone=off", "--link-journal=no", *fleet.binds]
    # New systemd needs cgroup v2 inside; /tmp is left to the host, as on a real one.
    env = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
    groups = [str(path) for path in cgroups.create(fleet, host.name)]
    with (home / "console.log").open("wb") as console:
        return subprocess.Popen(
            [*launch, *groups, "--", *nspawn],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=env,
            start_new_session=True,
        )


def wait(fleet: FleetRecord, host: HostRecord, processes: Processes, say: Callable[[str], None]) -> None:
    """Wait until a host has booted, ssh answers and its database servers run.

    Raises:
        FleetError: It does not get there; the message carries what is known of why.
    """
    began = time.monotonic()
    while not _listening(host.address):
        if not cgroups.populated(fleet, host.name):
            raise FleetError(f"Host {host.name} ended while booting: {_console_tail(fleet, host)}")
        if time.monotonic() - began > BOOT_TIMEOUT:
            raise FleetError(f"Host {host.name} does not answer ssh: {_console_tail(fleet, host)}")
        if processes.cancelled.wait(0.2):
            raise FleetError("stopped before everything was up")
    engines = suite(host.suite).engines
    probe = ssh.command(fleet, host.name, ["sh", "-c", _PROBE, "sh", *engines], "-n")
    done = processes.run(probe, output=subprocess.PIPE, timeout=BOOT_TIMEOUT)
    report = [line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line]
    found: dict[str, list[str]] = {"state": [], "failed": [], "down": []}
    for kind, value in report:
        found.setdefault(kind, []).append(value)
    if found["state"] not in (["running"], ["degraded"]):
        raise FleetError(f"Host {host.name} does not finish booting: {done.stdout.strip() or 'ssh says nothing'}")
    if found["down"]:
        raise FleetError(
            f"On host {host.name} these do not run: {', '.join(found['down'])} (failed units: "
            f"{', '.join(found['failed']) or 'none'}); start the fleet with --keep and look at its journal."
        )
    units = f", failed units: {', '.join(found['failed'])}" if found["failed"] else ""
    seconds = time.monotonic() - began
    say(f"host {host.name} ({host.suite}, {host.address}): {found['state'][0]} in {seconds:.1f} s{units}")


def _listening(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            greeting = connection.recv(64)
            connection.sendall(b"SSH-2.0-fleet\r\n")  # sshd logs an error for visitors who do not say it
            return greeting.startswith(b"SSH-")
    except OSError:
        return False


def _console_tail(fleet: FleetRecord, host: HostRecord) -> str:
    log = directory(fleet, host) / "console.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return " / ".join(line.strip() for line in lines if line.strip())[-600:] or f"nothing in {log}"
