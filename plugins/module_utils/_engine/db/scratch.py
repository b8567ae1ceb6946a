# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Scratch servers: servers of this host's own programs that live for one drill in a directory of their own.

They listen on a socket in that directory and on no network, run as somebody without privileges, and are killed by the
kernel when we die.
"""

from __future__ import annotations

import abc
import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Instance
from ..errors import BackupDbError, NotPossibleError
from ..security.credentials import Credential
from ..utils.processes import Child, Command, ProcessTable, describe_exit
from .base import Client, Dbms, version_number
from .clients import examine_client
from .factory import create_dbms

NICE = 10
_LONGEST_SOCKET = 100  # unix(7): 108 bytes, of which servers use some for lock files
_START_SECONDS = 120
_CREATE_SECONDS = 300
_POLL_SECONDS = 0.2
_USERS = ("vya-backupdb", "nobody")


@dataclass(frozen=True)
class Lowered:
    """As whom a server runs: what goes before its command, and whose its directory is; empty where that is us."""

    before: tuple[str, ...] = ()
    user: int = -1
    group: int = -1


def lowered() -> Lowered:
    """Return as whom to run a server, none of which should run as root.

    Raises:
        NotPossibleError: We are root and cannot become anybody else.
    """
    if os.geteuid() != 0:
        return Lowered()
    setpriv = shutil.which("setpriv")
    for name in _USERS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if setpriv is not None:
                who = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--pdeathsig=KILL")
                return Lowered((setpriv, *who), entry.pw_uid, entry.pw_gid)
    raise NotPossibleError(
        "As root no scratch server can be started without setpriv (package util-linux).", "Run it as vya-backupdb."
    )


class ScratchServer(abc.ABC):
    """One server that does not exist yet."""

    def __init__(self, processes: ProcessTable, flavour: str, version: str, directory: Path, memory: int) -> None:
        """Name what is wanted; nothing is started.

        Args:
            processes: What starts and ends children.
            flavour: ``mariadb``, ``mysql`` or ``postgresql``.
            version: Of which version it should be.
            directory: An empty directory for all that is its own.
            memory: How many bytes it may use for its caches.
        """
        self._processes = processes
        self._flavour = flavour
        self._number = version_number(version)
        self._directory = directory
        self._memory = memory
        self._lowered = lowered()

    @property
    @abc.abstractmethod
    def username(self) -> str:
        """Its administrator."""

    @property
    @abc.abstractmethod
    def socket(self) -> Path:
        """Where it listens, as an instance has it."""

    @property
    @abc.abstractmethod
    def room(self) -> int:
        """How many bytes an empty server takes on the disk."""

    @abc.abstractmethod
    def find(self) -> Client:
        """Return the installed server program of this flavour and version.

        Raises:
            NotPossibleError: There is none.
        """

    @abc.abstractmethod
    def creation(self, program: Client) -> Command:
        """Return the call that makes an empty server."""

    @abc.abstractmethod
    def serving(self, program: Client) -> Command:
        """Return the call that runs it."""

    @abc.abstractmethod
    def end(self, child: Child) -> None:
        """End it at once: its data is not needed any more."""

    @contextlib.contextmanager
    def running(self) -> Iterator[Dbms]:
        """Make the server and run it for the length of a ``with`` block.

        Raises:
            NotPossibleError: It cannot be made or does not start.
        """
        program = self.find()
        if len(os.fsencode(self._directory)) > _LONGEST_SOCKET - 20:
            raise NotPossibleError(
                f"The path {self._directory} is too long for a server's socket.",
                "Set drill.directory to a shorter one.",
            )
        self._give(self._directory)
        self._create(program)
        with self._processes.start(self._as_somebody(self.serving(program)), stdout=subprocess.DEVNULL) as child:
            try:
                instance = Instance(database_id="scratch", dbms=self._flavour, socket=self.socket)
                dbms = create_dbms(instance, Credential("scratch", self.username, ""), self._processes)
                self._await(os.path.basename(program.path), child, dbms)
                yield dbms
            finally:
                self.end(child)

    def place(self, name: str) -> Path:
        """Make a directory of this name in the server's own, for the server to write to."""
        path = self._directory / name
        path.mkdir(mode=0o700)
        self._give(path)
        return path

    def _give(self, path: Path) -> None:
        if self._lowered.before:
            os.chown(path, self._lowered.user, self._lowered.group)

    def _as_somebody(self, command: Command) -> Command:
        nice = shutil.which("nice")
        before = (*self._lowered.before, *((nice, "-n", str(NICE)) if nice else ()))
        return Command((*before, *command.arguments), command.environment)

    def _create(self, program: Client) -> None:
        command = self.creation(program)
        try:
            code, output, errors = self._processes.run(self._as_somebody(command), timeout=_CREATE_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise NotPossibleError(f"No scratch server could be made: {exc}.") from None
        if code != 0:
            raise self._failure("made", command.program, code, errors or output)

    def _await(self, program: str, child: Child, dbms: Dbms) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            code = child.process.poll()
            if code is not None:
                child.wait()
                raise self._failure("started", program, code, child.stderr)
            try:
                dbms.server()
                return
            except BackupDbError as exc:
                if time.monotonic() > deadline:
                    raise NotPossibleError(f"The scratch server did not answer in time: {exc.message}") from None
            time.sleep(_POLL_SECONDS)

    def _failure(self, what: str, program: str, code: int, said: str) -> NotPossibleError:
        if self._processes.cancelled.is_set():
            return NotPossibleError("The drill was stopped.")
        lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
        told = [line for line in lines if "ERROR" in line or "error" in line or "FATAL" in line] or lines
        reason = " / ".join(told[-3:]) or "it gave no reason"
        return NotPossibleError(
            f"The scratch server could not be {what}: {program} ended ({describe_exit(code)}): {reason}",
            f"See that the user it runs as can use {self._directory.parent}, and that no AppArmor profile forbids it.",
        )

    def _fitting(self, paths: Sequence[str], digits: int, package: str) -> Client:
        """Return that of some programs whose make is right, and whose version to so many numbers."""
        found, unusable = [], []
        for path in paths:
            try:
                found.append(examine_client(path, self._processes))
            except BackupDbError as exc:
                unusable.append(exc.message.rstrip("."))
        for program in found:
            if program.flavour == self._flavour and program.number[:digits] == self._number[:digits]:
                return program
        wanted = ".".join(str(part) for part in self._number[:digits])
        others = ", ".join([*(f"{program.path} is {program.version}" for program in found), *unusable])
        raise NotPossibleError(
            f"The artifact is of {self._flavour} {wanted}, and no server program of that is installed on this host"
            f"{f' ({others})' if others else ''}.",
            f"Install the package {package}, or make the drill on a host that has it.",
        )
