# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A control group per host: it keeps the hosts' systemd apart, shows who lives, and ends all of a host at once."""

from __future__ import annotations

import time
from pathlib import Path

from .errors import FleetError
from .state import FleetRecord

_PARENT = "vya-fleet"


def hierarchies(mounts: str) -> list[Path]:
    """Where process groups are kept, from the text of /proc/mounts: cgroup v2 first, then systemd's v1 tree if any.

    Raises:
        FleetError: There is no cgroup v2.
    """
    rows = [line.split() for line in mounts.splitlines()]
    unified = [Path(row[1]) for row in rows if row[2] == "cgroup2"]
    if not unified:
        raise FleetError("This machine mounts no cgroup v2; boot it with `systemd.unified_cgroup_hierarchy=1`.")
    named = [Path(row[1]) for row in rows if row[2] == "cgroup" and "name=systemd" in row[3].split(",")]
    return [unified[0], *named[:1]]


def _roots() -> list[Path]:
    return hierarchies(Path("/proc/mounts").read_text(encoding="utf-8"))


def create(fleet: FleetRecord, host: str) -> list[Path]:
    """Make the groups of one host and return the files that a process joins them by."""
    made = [root / _PARENT / fleet.key / host for root in _roots()]
    for group in made:
        group.mkdir(parents=True, exist_ok=True)
    for level in (made[0].parents[1], made[0].parents[0]):
        # Handed down, so that limits such as MemoryMax= hold in the hosts.
        for controller in (level / "cgroup.controllers").read_text(encoding="ascii").split():
            (level / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
    return [group / "cgroup.procs" for group in made]


def populated(fleet: FleetRecord, host: str = "") -> bool:
    """Whether any process of a host, or of the whole fleet, is alive."""
    events = _roots()[0] / _PARENT / fleet.key / host / "cgroup.events"
    return events.exists() and "populated 1" in events.read_text(encoding="ascii")


def end(fleet: FleetRecord, timeout: float = 20.0) -> None:
    """Kill every process of a fleet, wait until they are gone, and remove its groups.

    Raises:
        FleetError: Some process outlives its killing.
    """
    kill = _roots()[0] / _PARENT / fleet.key / "cgroup.kill"
    deadline = time.monotonic() + timeout
    while populated(fleet):
        kill.write_text("1", encoding="ascii")
        time.sleep(0.05)
        if time.monotonic() > deadline:
            raise FleetError(f"Processes of fleet {fleet.name!r} cannot be killed; see {kill.parent}.")
    for root in _roots():
        top = root / _PARENT / fleet.key
        for group in sorted(top.glob("**/"), key=lambda path: -len(path.parts)):
            group.rmdir()
        if (root / _PARENT).is_dir() and not any(path.is_dir() for path in (root / _PARENT).iterdir()):
            (root / _PARENT).rmdir()
