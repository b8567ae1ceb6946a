# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tool knows between its runs: a directory of records, made so that a killed run leaves none unknown."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import FleetError
from .processes import start_time

# For what belongs to the machine, whichever state directory is used; gone after a reboot, as the network is.
RUNTIME_DIR = Path("/run/vya-backupdb-fleet")
BRIDGE_NAME = re.compile(r"vya[0-9a-f]{8}")
_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$")


def state_dir() -> Path:
    """Where everything of the fleet lies: VYA_FLEET_DIR, or a directory under /var/lib."""
    return Path(os.environ.get("VYA_FLEET_DIR", "/var/lib/vya-backupdb-fleet")).absolute()


def valid_name(name: str, what: str) -> str:
    """Check the name of a fleet or a host, which becomes a host name and part of paths.

    Raises:
        FleetError: The name is not one.
    """
    if not _NAME.match(name):
        raise FleetError(f"{what} {name!r}: use up to 48 lower-case letters, digits and inner hyphens.")
    return name


@dataclass
class HostRecord:
    """One host of a fleet."""

    name: str
    suite: str
    address: str
    base: str


@dataclass
class FleetRecord:
    """Everything needed to find a fleet again and to remove it. Written before anything of it is made."""

    name: str
    subnet: str
    owner_pid: int
    owner_start: str
    phase: str = "starting"  # the owner still works on it; "owned": ends with its owner; "up": stays until `down`
    binds: list[str] = field(default_factory=list)
    hosts: list[HostRecord] = field(default_factory=list)
    state: str = field(default_factory=lambda: str(state_dir()))

    @property
    def key(self) -> str:
        """A short name for kernel objects, different for fleets of the same name under other state directories."""
        return hashlib.sha256(f"{self.state}\0{self.name}".encode()).hexdigest()[:8]

    @property
    def bridge(self) -> str:
        """The network interface of the fleet (at most 15 characters)."""
        return f"vya{self.key}"

    @property
    def table(self) -> str:
        """The fleet's own nftables table."""
        return f"vya_fleet_{self.key}"

    @property
    def directory(self) -> Path:
        """Where the fleet's files lie."""
        return Path(self.state) / "fleets" / self.name

    @property
    def owner_alive(self) -> bool:
        """Whether the process that brought the fleet up still runs."""
        return start_time(self.owner_pid) == self.owner_start

    def save(self) -> None:
        """Write the record, whole or not at all."""
        self.directory.mkdir(parents=True, exist_ok=True)
        partial = self.directory / "fleet.json.part"
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(self.directory / "fleet.json")


def load(name: str) -> FleetRecord:
    """Read the record of a fleet.

    Raises:
        FleetError: There is no such fleet.
    """
    path = state_dir() / "fleets" / name / "fleet.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FleetError(f"There is no fleet {name!r}; `fleet.py list` shows those that are up.") from None
    data["hosts"] = [HostRecord(**host) for host in data["hosts"]]
    return FleetRecord(**data)


def all_fleets() -> list[FleetRecord]:
    """The records of all fleets, by name."""
    return [load(path.parent.name) for path in sorted(state_dir().glob("fleets/*/fleet.json"))]


@contextmanager
def locked(path: Path = RUNTIME_DIR / "lock") -> Iterator[None]:
    """Hold a lock, by default the machine's; the kernel frees it when the process ends, however it ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
