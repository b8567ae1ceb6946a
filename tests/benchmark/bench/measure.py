# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one command and measures what it cost: time, processor and memory."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SAMPLE_MILLISECONDS = 50  # how often the memory of the processes is looked at
PATIENCE = 3600.0
KILOBYTE = 1024


@dataclass(frozen=True)
class Measurement:
    """What one run of a command cost.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds of processor time, user and system, of the process and all that it waited for.
        server: Seconds of processor time that the database server took meanwhile.
        own_peak: Largest resident memory of the process itself, bytes.
        largest_peak: Largest resident memory of any single process of the case, bytes.
        code: Exit code; negative is the number of a signal.
        errors: The end of what it wrote to standard error.
    """

    wall: float
    cpu: float
    server: float
    own_peak: int
    largest_peak: int
    code: int
    errors: str


def run_script(script: str, *, timeout: float = PATIENCE) -> None:
    """Run a shell script that is not measured.

    Raises:
        RuntimeError: It failed; the message says why.
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {_last_words(done.stderr or done.stdout)}")


def measure(script: str, server_cpu: Callable[[], float], *, timeout: float = PATIENCE) -> Measurement:
    """Run a shell script and measure it. A program behind a leading ``exec`` takes the shell's place.

    Args:
        script: For bash, which fails when any part of a pipe fails.
        server_cpu: Returns the seconds of processor time that the server has taken so far.
        timeout: Seconds until it is killed.
    """
    with tempfile.TemporaryFile() as errors:
        before = server_cpu()
        began = time.perf_counter()
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        peaks = _watch(process.pid, began + timeout)
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        server = server_cpu() - before
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    return Measurement(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        server=server,
        own_peak=peaks.get(process.pid, 0),
        largest_peak=max(peaks.values(), default=0),
        code=process.returncode,
        errors=_last_words(said),
    )


def _watch(pid: int, deadline: float) -> dict[int, int]:
    """Wait for the end of a process, killing its group at the deadline; returns the peaks of memory in its tree.

    They are read from the processes while they run: what the kernel sums up after the end of a process counts the
    memory of whoever started it, too.
    """
    peaks: dict[int, int] = {}
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(SAMPLE_MILLISECONDS):
            for member in _tree(pid):
                peaks[member] = max(peaks.get(member, 0), _high_water_mark(member))
            if time.perf_counter() > deadline:
                os.killpg(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
    return peaks


def _tree(pid: int) -> list[int]:
    """A process and all below it, those that its threads have started included."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text("ascii").split()
        except OSError:  # the thread has ended meanwhile
            continue
        for child in children:
            found += _tree(int(child))
    return found


def _high_water_mark(pid: int) -> int:
    """The kernel's own record of the peak, so that what lies between two looks is not missed."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KILOBYTE
    except OSError:
        pass
    return 0


def settle(path: Path) -> int:
    """Write a file, or all files below a directory, out to the disk, so that the next case does not pay for it.

    Returns:
        Their size in bytes; 0 if there are none.
    """
    size = 0
    for each in [path] if path.is_file() else path.rglob("*"):
        if each.is_file():
            size += each.stat().st_size
            with each.open("rb") as stream:
                os.fsync(stream.fileno())
    return size


def _last_words(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())[-400:]
