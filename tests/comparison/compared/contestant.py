# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tool is to the comparison: one backup a night, of which the newest is kept, and the newest is restored."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import Server

DATABASE = "vya_compared"
# An account that every tool is given; plain, so that nobody stumbles over how a password is quoted.
ACCOUNT, PASSWORD = "vya_compared", "plain-and-long-1234"
SOCKET = "/run/mysqld/mysqld.sock"
PATIENCE = 60.0  # seconds; what takes longer hangs
_MARK = "VYA_COMPARED"  # in the environment of all that a tool starts
# What is done while a call is under way; it is given what says whether the call has ended.
Meanwhile = Callable[[Callable[[], bool]], object]


@dataclass(frozen=True)
class Ended:
    """How a call ended; no code if it did not within PATIENCE and was killed."""

    code: int | None
    said: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def hung(self) -> bool:
        return self.code is None


class Contestant(ABC):
    """A tool with a directory of its own, on one kind of server.

    Attributes:
        name: In the table.
        kinds: The kinds of servers that it is another tool for than its neighbours.
    """

    name = ""
    kinds: tuple[str, ...] = ("mysql", "postgresql")

    def __init__(self, server: Server, root: Path) -> None:
        self.server = server
        self.root = root / type(self).__name__.lower()
        self.store = self.root / "store"
        self._kept = root / f"{self.root.name}-as-it-was"
        self._calls = itertools.count(1)

    @property
    def postgresql(self) -> bool:
        return self.server.kind == "postgresql"

    def prepare(self) -> None:
        """Set the tool up, and give its clients the account as the clients' vendors say."""
        for directory in (self.store, self.root / "run", self.root / "tmp"):
            directory.mkdir(parents=True)
        secrets = {
            ".my.cnf": f"[client]\nuser={ACCOUNT}\npassword={PASSWORD}\nsocket={SOCKET}\n",
            ".pgpass": f"127.0.0.1:*:*:{ACCOUNT}:{PASSWORD}\n",
        }
        for name, text in secrets.items():
            (self.root / name).write_text(text)
            (self.root / name).chmod(0o600)

    def keep(self) -> None:
        """Remember all of the tool's files as they are now."""
        shutil.copytree(self.root, self._kept, symlinks=True)

    def put_back(self) -> None:
        """Put the tool's files back as they were."""
        shutil.rmtree(self.root)
        shutil.copytree(self._kept, self.root, symlinks=True)

    @contextlib.contextmanager
    def on_a_small_disk(self) -> Iterator[None]:
        """Have what is stored on a disk of 64 MB of its own."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.store], check=True)
        try:
            shutil.copytree(self._kept / self.store.name, self.store, symlinks=True, dirs_exist_ok=True)
            yield
        finally:
            subprocess.run(["umount", "--lazy", self.store], check=True)

    @abstractmethod
    def backup(self, database: str = DATABASE, meanwhile: Meanwhile | None = None) -> Ended:
        """Back up as every night."""

    @abstractmethod
    def restore(self, meanwhile: Meanwhile | None = None) -> Ended:
        """Restore what the tool takes for the newest backup, in place."""

    @abstractmethod
    def check(self) -> Ended | None:
        """Look whether what is stored is whole, as the tool's users do; None if it has nothing for that."""

    def backups(self) -> list[str]:
        """What the tool, or whoever looks into its directory, takes for backups of the database, oldest first."""
        return sorted(str(path) for path in self.store.glob(f"{DATABASE}-*.gz"))

    def main_file(self) -> Path:
        """The file that holds the newest backup, or most of it."""
        return Path(self.backups()[-1])

    def holds_plain_files(self) -> bool:
        """Whether a backup is a file that somebody may mistake for another."""
        return True

    def call(
        self,
        words: Sequence[str],
        meanwhile: Meanwhile | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a command, do something when it is under way, and end all that it has left behind."""
        mark = f"{_MARK}={self.root}/{next(self._calls)}"
        name, _, value = mark.partition("=")
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**self._environment(), **(environment or {}), name: value},
                cwd="/",
            )
            code: int | None = None
            try:
                if meanwhile:
                    meanwhile(lambda: process.poll() is not None)
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                pass
            finally:
                _kill_all(f"{mark}\0")
                process.wait()
            output.seek(0)
            return Ended(code, output.read().decode(errors="replace"))

    def kill(self) -> None:
        """Kill all that the tool has started, as a power cut does."""
        _kill_all(f"{_MARK}={self.root}/")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            # Two borgmatics at once would remove each other's dumps from the usual directories.
            "TMPDIR": str(self.root / "tmp"),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "LC_ALL": "C.UTF-8",
            "PGHOST": "127.0.0.1",
            "PGUSER": ACCOUNT,
            "PGPASSFILE": str(self.root / ".pgpass"),
        }


def _kill_all(mark: str) -> None:
    """Kill all processes that have a mark in their environment."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = False
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark.encode() in (directory / "environ").read_bytes():
                    found = True
                    os.kill(int(directory.name), signal.SIGKILL)
        if not found:
            return
        time.sleep(0.02)
