# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``vya-backupdb`` as a user runs it, in processes forked from this one.

Forked, since starting Python and importing the libraries would take half a second each of a thousand times. So all of
them are imported here, also those that the command imports only where it needs them.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import pkgutil
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from servers import Host, Server

import vya_backupdb
from vya_backupdb.cli import main
from vya_backupdb.engine import Engine
from vya_backupdb.utils.third_party import REQUIRED

from . import system_calls

for _found in pkgutil.walk_packages(vya_backupdb.__path__, f"{vya_backupdb.__name__}."):
    importlib.import_module(_found.name)
_DIALECTS = ("mysql.pymysql", "postgresql.psycopg", "sqlite.pysqlite")
for _name in (*REQUIRED, *(f"sqlalchemy.dialects.{name}" for name in _DIALECTS)):
    importlib.import_module(_name)

KILLED = -9
_PROGRESS = re.compile(r"^\S+/\S+: (dumping|verifying|loading)\b")
_APART = "import sys; sys.path[0] = sys.argv.pop(1); from vya_backupdb.cli import main; sys.exit(main())"
BEGIN = datetime(2026, 1, 9, 2, 0, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Ran:
    """How one call of the command ended.

    Attributes:
        code: Its exit code; negative is the number of the signal that killed it.
        out: Its standard output.
        err: Its standard error.
        calls: The system calls that counted.
        left_over: Processes that it started and left behind.
        seconds: How long it took.
    """

    code: int
    out: str
    err: str
    calls: list[str]
    left_over: list[str]
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        """The report that ``--json`` wrote; empty if there is none."""
        try:
            return dict(json.loads(self.out))
        except ValueError:
            return {}

    @property
    def said(self) -> str:
        """Why it failed, in its own words."""
        errors = [result["error"] for result in self.report.get("results", ()) if result.get("error")]
        lines = [line for line in self.err.splitlines() if not _PROGRESS.match(line)]
        return " / ".join(errors) or " ".join(lines).removeprefix("Error: ")


class Tool:
    """Runs the command on a configured host, at times that the test says.

    Attributes:
        now: When the next call begins; a minute passes from call to call.
        drift: What the clock jumps by once it has been read three times.
    """

    def __init__(self, host: Host, output: Path) -> None:
        self._host = host
        self._output = output
        self.now = BEGIN
        self.drift = timedelta(0)

    def run(self, *arguments: str, **watch: Any) -> Ran:
        """Run the command with these arguments; ``watch`` are those of :class:`system_calls.Watch`."""
        out, err = self._output / "out", self._output / "err"
        action = self._action(arguments, out, err)
        self.now += timedelta(minutes=1)
        began = time.monotonic()
        ended = system_calls.run(action, system_calls.Watch(self._host.root, **watch))
        seconds = time.monotonic() - began
        return Ran(ended.status, out.read_text(), err.read_text(), ended.calls, ended.left_over, seconds)

    def apart(self, *arguments: str) -> Ran:
        """Run the command in a Python of its own, so that it can be done while another call is under way."""
        package = self._output / "package"
        package.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (package / "vya_backupdb").symlink_to(Path(str(vya_backupdb.__file__)).parent)
        command = [sys.executable, "-c", _APART, str(package), "--config", str(self._host.config_path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return Ran(done.returncode, done.stdout, done.stderr, [], [], 0.0)

    def backup(self, server: Server, *databases: str, **how: Any) -> Ran:
        """Back up databases of a server."""
        return self.run("backup", "--instance", server.database_id, *databases, "--json", **how)

    def policy(self, **how: Any) -> Ran:
        """Back up what the policy named ``nightly`` covers; retention follows."""
        return self.run("backup", "--policy", "nightly", "--json", **how)

    def restore(self, server: Server, database: str, *options: str, **how: Any) -> Ran:
        """Restore a database of a server."""
        return self.run("restore", server.database_id, database, "--yes", "--json", *options, **how)

    def _action(self, arguments: Sequence[str], out: Path, err: Path) -> Callable[[], int]:
        start, drift, config = self.now, self.drift, self._host.config_path

        def action() -> int:
            _write_to(out, 1)
            _write_to(err, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            began = time.monotonic()
            readings = itertools.count()

            def clock() -> datetime:
                jumped = drift if next(readings) > 2 else timedelta(0)
                return start + jumped + timedelta(seconds=time.monotonic() - began)

            def opener(path: Path, trigger: str) -> Engine:
                return Engine.open(path, trigger=trigger, clock=clock)

            code = main(["--config", str(config), *arguments], opener, clock)
            sys.stdout.flush()
            sys.stderr.flush()
            return code

        return action


def _write_to(path: Path, descriptor: int) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(opened, descriptor)
    os.close(opened)
