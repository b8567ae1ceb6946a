# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts of the fleet, as the tests use them: commands, files, and the same check on many at a time."""

from __future__ import annotations

import json
import subprocess
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from vya_fleet import ssh
from vya_fleet.state import load

ON_HOST = "/end_to_end"
SAMPLE = "/sample"
COMMAND = "/usr/local/bin/vya-backupdb"
CONFIG = "/etc/vya-backupdb/config.yml"
STORAGE = "/var/backups/vya-backupdb"
STATE = "/var/lib/vya-backupdb"
UNIT = "vya-backupdb-backup-{policy}"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Host:
    """One host of the fleet.

    Attributes:
        name: Its name in the fleet and in Ansible's inventory.
        engines: The DBMS that run on it.
    """

    def __init__(self, fleet_name: str, name: str, engines: Sequence[str], control: Path) -> None:
        self.name = name
        self.engines = tuple(engines)
        self._fleet = load(fleet_name)
        # One connection for all commands: each would otherwise cost a third of a second.
        self._options = ["-o", "ControlMaster=auto", "-o", f"ControlPath={control}/%n", "-o", "ControlPersist=600"]

    def __str__(self) -> str:
        return self.name

    def words(self, *words: str) -> list[str]:
        """The local command that runs these words on the host."""
        return ssh.command(self._fleet, self.name, list(words), *self._options)

    def run(
        self, *words: str, text: str = "", check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root; fails the test with all that it said if it fails and ``check`` is set."""
        done = subprocess.run(self.words(*words), input=text, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            pytest.fail(f"{self.name}: {words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def shell(self, script: str, *, text: str = "", check: bool = True, timeout: float = 300) -> str:
        """Run a script by bash, stopping at the first error, and return its standard output."""
        return self.run("bash", "-euo", "pipefail", "-c", script, text=text, check=check, timeout=timeout).stdout

    def python(self, program: str, *arguments: str, text: str = "", timeout: float = 300) -> Any:
        """Run one of the programs in ``on_host`` and return the JSON document that it prints."""
        return json.loads(
            self.run("python3", f"{ON_HOST}/{program}", *arguments, text=text, timeout=timeout).stdout or "null"
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command that goes on until its standard input is closed; the caller ends it."""
        return subprocess.Popen(
            self.words(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def command(
        self, *arguments: str, config: str | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run ``vya-backupdb``; its end is for the caller to judge."""
        options = ["--config", config] if config else []
        return self.run(COMMAND, *options, *arguments, check=False, timeout=timeout)

    def report(self, *arguments: str, config: str | None = None) -> Any:
        """Run ``vya-backupdb … --json``, which must succeed, and return its document."""
        options = ["--config", config] if config else []
        return json.loads(self.run(COMMAND, *options, *arguments, "--json").stdout)

    def read(self, path: str) -> str:
        """Return a file's content."""
        return self.run("cat", "--", path).stdout

    def write(self, path: str, content: str, *, owner: str = "root:root", mode: str = "0644") -> None:
        """Write a file, never wider open than ``mode``."""
        self.shell(
            'umask 077; cat > "$1.new"; chown "$2" "$1.new"; chmod "$3" "$1.new"; mv -f "$1.new" "$1"'.replace(
                "$1", path
            )
            .replace("$2", owner)
            .replace("$3", mode),
            text=content,
        )

    def journal(self, unit: str, lines: int = 60) -> str:
        """The last lines of a unit's journal, for messages."""
        return self.shell(f"journalctl --no-pager --lines {lines} --unit '{unit}'", check=False)

    def close(self) -> None:
        """End the shared connection."""
        words = self.words()
        subprocess.run([*words[: words.index(self.name)], "-O", "exit", self.name], capture_output=True)


def until(happens: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until something happens; fails the test if it does not."""
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {seconds:.0f} seconds in vain: {what}.")
        time.sleep(0.2)


def for_each(items: Iterable[Item], check: Callable[[Item], Result]) -> dict[Item, Result]:
    """Run a check for all items at the same time and return what each returned.

    If any of them fails, the test fails with the reasons of all.
    """
    chosen = list(items)
    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        futures = {item: pool.submit(check, item) for item in chosen}
    problems = []
    for item, future in futures.items():
        failure = future.exception()
        if failure is not None:
            problems.append(f"=== {item}\n{''.join(_told(failure))}")
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
    return {item: future.result() for item, future in futures.items()}


def _told(failure: BaseException) -> list[str]:
    if isinstance(failure, AssertionError | pytest.fail.Exception):
        place = traceback.extract_tb(failure.__traceback__)
        own = [frame for frame in place if "end_to_end" in frame.filename and frame.name != "run"]
        where = "".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.line}\n" for frame in own)
        return [where, str(failure)]
    return traceback.format_exception(failure)
