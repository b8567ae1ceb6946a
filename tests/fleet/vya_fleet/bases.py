# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Base roots: one installed Debian per suite, built once and shared read-only by all hosts of that suite."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import apt
from .errors import FleetError
from .machine import CA_BUNDLE, added_certificates
from .processes import Processes
from .state import RUNTIME_DIR, all_fleets, locked, state_dir

# Counts up whenever the code below makes something else of the same packages.
BUILD_VERSION = 2
BUILD_TIMEOUT = 1200.0
# fmt: off
_SYSTEM = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "python3", "python3-venv", "python3-apt",
    "tzdata", "locales", "ca-certificates", "iproute2", "procps", "curl", "less", "age",
)
# fmt: on
_MARIADB, _MYSQL = ("mariadb-server", "mariadb-client"), ("mysql-server", "mysql-client")
_POSTGRESQL = ("postgresql", "postgresql-client")
# Jobs of the distribution that would hold the package lock or load the disk in the middle of a test.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer")


@dataclass(frozen=True)
class Suite:
    """A Debian release and the database servers that come with it."""

    name: str
    engines: tuple[str, ...]
    packages: tuple[str, ...]


SUITES = {
    "bullseye": Suite("bullseye", ("mariadb", "postgresql"), (*_MARIADB, *_POSTGRESQL)),
    "bookworm": Suite("bookworm", ("mariadb", "postgresql"), (*_MARIADB, *_POSTGRESQL)),
    "trixie": Suite("trixie", ("mariadb", "postgresql"), (*_MARIADB, *_POSTGRESQL)),
    "sid": Suite("sid", ("mysql", "postgresql"), (*_MYSQL, *_POSTGRESQL)),
}


def suite(name: str) -> Suite:
    """Look up a suite.

    Raises:
        FleetError: It is none of those that the fleet knows.
    """
    if name not in SUITES:
        raise FleetError(f"Unknown suite {name!r}; choose one of {', '.join(SUITES)}.")
    return SUITES[name]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a base root contains."""

    suite: str
    packages: tuple[str, ...]
    sources: tuple[str, ...]
    options: tuple[str, ...]
    certificates: str

    @property
    def key(self) -> str:
        """The name of the base root: the suite and a hash of the recipe."""
        parts = [BUILD_VERSION, self.suite, sorted(self.packages), self.sources, self.options, self.certificates]
        return f"{self.suite}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"


def recipe(name: str) -> Recipe:
    """The recipe for a suite on this machine."""
    packages = (*_SYSTEM, *suite(name).packages)
    sources, options = apt.configured_lines(name), apt.configured_options(name)
    bundle = Path(CA_BUNDLE)
    certificates = bundle.read_text(encoding="utf-8") if bundle.exists() else ""
    return Recipe(name, packages, tuple(sources), tuple(options), certificates)


def bases_dir() -> Path:
    """Where the base roots lie."""
    return state_dir() / "bases"


def ensure(name: str, processes: Processes, say: Callable[[str], None], rebuild: bool = False) -> str:
    """Return the key of the base root of a suite, building it if there is none yet.

    Args:
        name: The suite.
        processes: Runs the build.
        say: Gets a line when a build begins and ends.
        rebuild: Build anew even if it exists; refused while a host uses it.

    Raises:
        FleetError: The build failed; the message says where its log is.
    """
    wanted = recipe(name)
    with locked(RUNTIME_DIR / f"base-{name}.lock"):
        root = bases_dir() / wanted.key
        if rebuild and root.exists():
            if any(host.base == wanted.key for fleet in all_fleets() for host in fleet.hosts):
                raise FleetError(f"Hosts run on the base root of {name}; take their fleets down before rebuilding it.")
            shutil.rmtree(root)
        if not root.exists():
            say(f"base {name}: building")
            began = time.monotonic()
            partial = root.with_suffix(".part")
            shutil.rmtree(partial, ignore_errors=True)
            _build(wanted, partial, processes)
            partial.rename(root)
            say(f"base {name}: built in {time.monotonic() - began:.0f} s")
    return wanted.key


def _build(wanted: Recipe, root: Path, processes: Processes) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    log = root.with_suffix(".log")
    # If the tool is killed, the kernel kills the build with it; the private mount namespace leaves nothing mounted.
    guard = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(wanted.packages)}"]
    # The package lists stay: a role's first install then needs no download of them.
    command += ["--skip=cleanup/apt/lists", *(f"--aptopt={option}" for option in wanted.options)]
    command += ['--aptopt=Acquire::Languages "none"']
    command += [wanted.suite, str(root), *wanted.sources]
    with log.open("w", encoding="utf-8") as output:
        done = processes.run([*guard, *command], output=output, timeout=BUILD_TIMEOUT)
    if done.returncode:
        said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        shutil.rmtree(root, ignore_errors=True)
        raise FleetError(f"The base root of {wanted.suite} could not be built ({log}): {' / '.join(said[-4:])}")
    _customize(wanted, root, log, processes)
    log.unlink()


def _customize(wanted: Recipe, root: Path, log: Path, processes: Processes) -> None:
    """Remove what must differ between hosts, and make the root trust whom the machine trusts."""
    for path in (*root.glob("etc/ssh/ssh_host_*"), root / "etc/hostname", root / "etc/resolv.conf"):
        path.unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("", encoding="ascii")
    for keyring in apt.keyrings(wanted.sources):
        inside = root / keyring.lstrip("/")
        if not inside.exists():
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(keyring, inside)
    local = root / "usr/local/share/ca-certificates"
    theirs = (root / CA_BUNDLE.lstrip("/")).read_text(encoding="utf-8")
    for number, pem in enumerate(added_certificates(wanted.certificates, theirs)):
        (local / f"machine-{number}.crt").write_text(pem, encoding="ascii")
    steps = [
        ["systemctl", "enable", "systemd-networkd.service", "ssh.service"],
        ["systemctl", "mask", *_MASKED],
        ["update-ca-certificates"],
    ]
    with log.open("a", encoding="utf-8") as output:
        for step in steps:
            done = processes.run(["chroot", str(root), *step], output=output, timeout=120)
            if done.returncode:
                raise FleetError(f"`{' '.join(step)}` failed in the base root of {wanted.suite}; see {log}.")


def remove_unused(everything: bool) -> list[str]:
    """Remove base roots that no fleet uses: half-built and outdated ones, or all of them.

    Returns:
        The names of those removed.
    """
    removed = []
    for name in SUITES:
        current = recipe(name).key
        with locked(RUNTIME_DIR / f"base-{name}.lock"):
            used = {host.base for fleet in all_fleets() for host in fleet.hosts}
            for path in sorted(bases_dir().glob(f"{name}-*")):
                if path.name in used or (path.name == current and not everything):
                    continue
                subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)
                removed.append(path.name)
    return removed
