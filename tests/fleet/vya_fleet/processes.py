# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes that end with the tool, whatever ends it, and the identity of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from .errors import FleetError, Interrupted

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if there is no such process (or only its zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def quiet(*command: str) -> None:
    """Run a short command of which failure means that there is nothing to do."""
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def must(*command: str, text: str | None = None) -> str:
    """Run a short command and return its output.

    Raises:
        FleetError: The command failed; the message carries what it said.
    """
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FleetError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class Processes:
    """Runs the long commands of several threads and can stop them all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.cancelled = threading.Event()

    def run(
        self, command: Sequence[str], *, output: IO[str] | int, env: Mapping[str, str] | None = None, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in its own session.

        Args:
            command: The command and its arguments.
            output: Where standard output and error go; ``subprocess.PIPE`` returns them.
            env: The environment, if not this process's.
            timeout: Seconds after which it is killed.

        Returns:
            The finished command, with its output if that was piped.

        Raises:
            FleetError: It ran out of time, or everything is being stopped.
        """
        with self._lock:
            if self.cancelled.is_set():
                raise FleetError("stopped before everything was up")
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env=env,
                start_new_session=True,
            )
            self._running.add(child)
        try:
            said, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise FleetError(f"`{command[0]}` did not end within {timeout:.0f} s") from None
        finally:
            with self._lock:
                self._running.discard(child)
            self._kill(child)
        return subprocess.CompletedProcess(command, child.returncode, said, "")

    def cancel(self) -> None:
        """Kill everything that runs and refuse to start more."""
        with self._lock:
            self.cancelled.set()
            for child in self._running:
                self._kill(child)

    @staticmethod
    def _kill(child: subprocess.Popen[str]) -> None:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextmanager
def stopping_by_signal() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into an exception, so that whatever was begun gets cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    before = {signum: signal.signal(signum, stop) for signum in _STOPPING}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals while something is being cleaned up: an impatient second Ctrl-C must not leave half of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A handler that does nothing, not SIG_IGN: children would inherit that.
    before = {signum: signal.signal(signum, lambda *_: None) for signum in _STOPPING}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
