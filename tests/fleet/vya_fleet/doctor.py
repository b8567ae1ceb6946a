# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine must have, and how to get it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import cgroups
from .errors import FleetError, UnusableMachineError

NOT_ROOT = "The fleet boots machines and needs root; run it again with sudo."
# The command that is needed, and Debian's package of it.
_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ssh": "openssh-client",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def missing_packages() -> list[str]:
    """The Debian packages that are not installed but needed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {package for tool, package in _TOOLS.items() if not shutil.which(tool, path=path)}
    return sorted(missing | (set() if _KEYRING.exists() else {"debian-archive-keyring"}))


def problems() -> list[str]:
    """Everything that keeps a fleet from running here, one sentence each."""
    found = []
    if os.geteuid():
        found.append(NOT_ROOT)
    if not shutil.which("apt-get"):
        found.append("The fleet needs Debian or Ubuntu; this machine has no apt-get.")
    if missing := missing_packages():
        found.append(
            f"Missing packages; install them with `apt-get install {' '.join(missing)}` or `doctor --install`."
        )
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        found.append("The kernel has no overlay file system; load it with `modprobe overlay`.")
    try:
        cgroups.hierarchies(Path("/proc/mounts").read_text(encoding="utf-8"))
    except FleetError as error:
        found.append(str(error))
    return found


def require() -> None:
    """Check that a fleet can run here.

    Raises:
        UnusableMachineError: It cannot; the message says what to do.
    """
    if found := problems():
        raise UnusableMachineError(" ".join(found))


def install() -> None:
    """Install the missing packages.

    Raises:
        FleetError: apt-get failed.
    """
    missing = missing_packages()
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    steps = [["update", "-q"], ["install", "-qy", "--no-install-recommends", *missing]] if missing else []
    for step in steps:
        if subprocess.run(["apt-get", "-o", "DPkg::Lock::Timeout=300", *step], env=env, check=False).returncode:
            raise FleetError(f"`apt-get {' '.join(step)}` failed; see what it says above.")
