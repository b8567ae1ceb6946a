# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet from its first file to its removal: the class that the command line, pytest and molecule share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

from . import bases, cgroups, doctor, hosts, kernel, network, ssh
from .errors import FleetError
from .processes import Processes, start_time, stopping_by_signal, undisturbed
from .state import FleetRecord, HostRecord, all_fleets, load, locked, state_dir, valid_name

DEFAULT_HOSTS = {"bookworm": "bookworm", "trixie": "trixie", "sid": "sid"}
BUILDS_AT_ONCE = 2
BOOTS_AT_ONCE = 4


def tell(line: str) -> None:
    """Say how far things are, on standard error."""
    sys.stderr.write(f"{line}\n")  # one write, so that lines of several threads do not mix


class Fleet:
    """Debian hosts with their database servers, up within the ``with`` block and gone after it.

    Args:
        name: The fleet's name; several fleets may be up at once.
        hosts: The suite of each host by the host's name; one host of each current suite if omitted.
        binds: Directories to show in all hosts, as ``(source, destination, writable)``.
        say: Gets a line for every step.

    Example:
        >>> with Fleet("demo", {"db1": "trixie"}) as fleet:
        ...     print(fleet.run("db1", ["mariadb", "-e", "select version()"]).stdout)
    """

    def __init__(
        self,
        name: str,
        hosts: Mapping[str, str] | None = None,
        *,
        binds: Sequence[tuple[Path, str, bool]] = (),
        say: Callable[[str], None] = tell,
    ) -> None:
        self.name = valid_name(name, "Fleet")
        self._hosts = {valid_name(host, "Host"): bases.suite(s).name for host, s in (hosts or DEFAULT_HOSTS).items()}
        self._binds = [_bind(source, destination, writable) for source, destination, writable in binds]
        self._say = say
        self._children: list[subprocess.Popen[bytes]] = []
        self._signals = ExitStack()

    @property
    def directory(self) -> Path:
        """The fleet's directory, with ``inventory.yml``, ``ssh_config`` and ``id_ed25519``."""
        return state_dir() / "fleets" / self.name

    @property
    def inventory(self) -> Path:
        """The Ansible inventory."""
        return self.directory / "inventory.yml"

    @property
    def ssh_config(self) -> Path:
        """The configuration to reach the hosts with, as ``ssh -F``."""
        return self.directory / "ssh_config"

    def address(self, host: str) -> str:
        """The IPv4 address of a host."""
        return next(record.address for record in load(self.name).hosts if record.name == host)

    def up(self, *, owned: bool, keep: bool = False) -> None:
        """Build what is missing, boot all hosts and wait until they serve.

        Args:
            owned: Whether the fleet ends with this process; if not, it stays until it is taken down.
            keep: Leave the hosts as they are if one of them fails, to look at them.

        Raises:
            FleetError: Something is missing or a host does not come up. Nothing is left over then, unless kept.
        """
        doctor.require()
        with locked():
            remove_leftovers(self._say)
            if (self.directory / "fleet.json").exists():
                raise FleetError(f"Fleet {self.name!r} is up already; take it down first or choose another name.")
            fleet = self._reserve()
        try:
            self._start(fleet)
            fleet.phase = "owned" if owned else "up"
            fleet.save()
        except BaseException:
            if keep:
                fleet.phase = "up"
                fleet.save()
            else:
                self.down()
            raise

    def _reserve(self) -> FleetRecord:
        subnet = network.free_subnet()
        records = [
            HostRecord(host, name, network.host_address(subnet, index), bases.recipe(name).key)
            for index, (host, name) in enumerate(self._hosts.items())
        ]
        pid = os.getpid()
        fleet = FleetRecord(self.name, subnet, pid, start_time(pid) or "", binds=self._binds, hosts=records)
        fleet.save()
        try:
            network.create(fleet)
            kernel.raise_settings()
        except BaseException:
            remove(fleet)
            raise
        return fleet

    def _start(self, fleet: FleetRecord) -> None:
        processes = Processes()
        wanted = sorted(set(self._hosts.values()))
        all_of(BUILDS_AT_ONCE, processes, [partial(bases.ensure, name, processes, self._say) for name in wanted])
        key = ssh.make_key(fleet.directory / "id_ed25519", f"fleet {fleet.name}")
        ssh.write_access_files(fleet, {host.name: hosts.prepare(fleet, host, key) for host in fleet.hosts})

        def boot(host: HostRecord) -> None:
            if not processes.cancelled.is_set():
                self._children.append(hosts.start(fleet, host))
            hosts.wait(fleet, host, processes, self._say)

        all_of(BOOTS_AT_ONCE, processes, [partial(boot, host) for host in fleet.hosts])

    def down(self) -> None:
        """End all hosts and remove everything of the fleet; does nothing if it is not up."""
        with undisturbed(), locked():
            if (self.directory / "fleet.json").exists():
                remove(load(self.name))
        for child in self._children:
            child.wait()
        self._children.clear()

    def run(
        self, host: str, command: Sequence[str], *, check: bool = True, text: str | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host.

        Args:
            host: The host's name.
            command: The command and its arguments; no shell reads them.
            check: Raise if the command fails.
            text: What the command reads on standard input.
            timeout: Seconds until it is given up.

        Raises:
            subprocess.CalledProcessError: The command failed and ``check`` is set.
        """
        words = ssh.command(load(self.name), host, list(command))
        return subprocess.run(words, input=text or "", capture_output=True, text=True, check=check, timeout=timeout)

    def __enter__(self) -> Fleet:
        self._signals.enter_context(stopping_by_signal())
        try:
            self.up(owned=True)
        except BaseException:
            self._signals.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.down()
        finally:
            self._signals.close()


def remove(fleet: FleetRecord) -> None:
    """End and remove a fleet, whatever state it is in; to be called under the lock."""
    cgroups.end(fleet)
    network.remove(fleet)
    if not network.any_bridge():
        kernel.restore_settings()
    # The record goes last: what is interrupted here is found again.
    for path in (fleet.directory / "hosts", fleet.directory):
        subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)


def remove_leftovers(say: Callable[[str], None]) -> None:
    """Remove fleets whose owner died or whose hosts are gone (a reboot); to be called under the lock."""
    for fleet in all_fleets():
        orphaned = fleet.phase != "up" and not fleet.owner_alive
        if orphaned or (fleet.phase == "up" and not cgroups.populated(fleet)):
            say(f"fleet {fleet.name}: left over, removing it")
            remove(fleet)


def _bind(source: Path, destination: str, writable: bool) -> str:
    if not source.is_dir() or not destination.startswith("/") or ":" in f"{source}{destination}":
        raise FleetError(f"Cannot bind {source} to {destination!r}: give an existing directory and an absolute path.")
    return f"--bind{'' if writable else '-ro'}={source.resolve()}:{destination}"


def all_of(at_once: int, processes: Processes, jobs: Sequence[Callable[[], object]]) -> None:
    """Run jobs in threads; the first failure, or a signal, stops the others and is raised."""
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            with undisturbed():
                processes.cancel()
                pool.shutdown(cancel_futures=True)
            raise
