# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes: started from argument lists without a shell, watched, and always ended.

Each child leads a process group of its own, so that ending it ends whatever it started too. A :class:`ProcessTable`
knows the children that are alive; a signal handler ends them all through it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Optional

_PIPE_BYTES = 1024 * 1024
_STDERR_BYTES = 64 * 1024
_F_SETPIPE_SZ = 1031
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Command:
    """One call of a vendor's client.

    Attributes:
        arguments: Program and arguments; never a secret.
        environment: Variables to add to a copy of ours; never a secret.
        secret_file: Content that the child reads through the variable or option ``{secret}`` stands for.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    secret_file: bytes = field(default=b"", repr=False)

    @property
    def program(self) -> str:
        """The program's file name, for messages."""
        return os.path.basename(self.arguments[0])


@contextlib.contextmanager
def secret_descriptor(content: bytes) -> Iterator[int]:
    """Yield a descriptor of an anonymous file in memory (mode 0600) that holds the content.

    A child that inherits it reads it as ``/proc/self/fd/N``. It never has a name on a disk and is gone with the last
    process that holds it, whatever ends us. Clients that insist on a regular file that no one else may write (MySQL's
    option files, libpq's password file) accept it.
    """
    descriptor = os.memfd_create("vya-backupdb", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, content)
        yield descriptor
    finally:
        os.close(descriptor)


class Child:
    """A running client with its standard error collected."""

    def __init__(self, process: subprocess.Popen[bytes], program: str) -> None:
        self.process = process
        self.program = program
        self._stderr = bytearray()
        self._reader = threading.Thread(target=self._drain, daemon=True, name=f"stderr of {program}")
        self._reader.start()

    def _drain(self) -> None:
        stream = self.process.stderr
        if stream is None:
            return
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]  # Popen gives a BufferedReader
            self._stderr += chunk
            del self._stderr[:-_STDERR_BYTES]

    def kill(self) -> None:
        """End the child and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the child to end; kill its process group when it has not within five seconds."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for the end and return the exit code; negative is the number of the signal that killed it.

        Raises:
            subprocess.TimeoutExpired: It has not ended after ``timeout`` seconds.
        """
        code = self.process.wait(timeout)
        self._reader.join(_GRACE_SECONDS)
        return code

    def bytes_read(self) -> int:
        """Return how many bytes it and the children that it has now have read of files so far (see proc(5))."""
        pid, total = self.process.pid, 0
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listing:
                children = listing.read().split()
        except OSError:  # it has ended, or this kernel does not list them
            children = []
        for each in (str(pid), *children):
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{each}/io", encoding="ascii") as figures:
                total += int(figures.readline().removeprefix("rchar:"))
        return total

    @property
    def stderr(self) -> str:
        """The last 64 KiB of what it wrote to standard error."""
        return bytes(self._stderr).decode("utf-8", errors="replace").strip()


class ProcessTable:
    """Starts children and remembers those alive, so that all can be ended together."""

    def __init__(self) -> None:
        self._children: set[Child] = set()
        self._lock = threading.RLock()  # a signal handler may cancel while the main thread holds it
        self.cancelled = threading.Event()

    @contextlib.contextmanager
    def start(
        self, command: Command, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE
    ) -> Iterator[Child]:
        """Start a child for the length of a ``with`` block; whatever ends the block, the child has ended after it.

        Args:
            command: What to run.
            stdin: As for :class:`subprocess.Popen`.
            stdout: As for :class:`subprocess.Popen`.
        """
        with secret_descriptor(command.secret_file) as secret:
            path = f"/proc/self/fd/{secret}"
            child = Child(
                subprocess.Popen(
                    [*_ending_with_us(), *(argument.replace("{secret}", path) for argument in command.arguments)],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    env={
                        **_clean_environment(),
                        **{k: v.replace("{secret}", path) for k, v in command.environment.items()},
                    },
                    pass_fds=(secret,),
                    start_new_session=True,
                ),
                command.program,
            )
            for stream in (child.process.stdin, child.process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # above the user's limit of pipe memory: smaller pipes work too
                        fcntl.fcntl(stream.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)
            with self._lock:
                self._children.add(child)
            if self.cancelled.is_set():
                child.kill()
            try:
                yield child
            finally:
                if child.process.poll() is None:
                    child.terminate()
                child.wait()
                for stream in (child.process.stdin, child.process.stdout, child.process.stderr):
                    if stream is not None:
                        with contextlib.suppress(OSError):  # what the child did not take is lost with it
                            stream.close()
                with self._lock:
                    self._children.discard(child)

    def run(self, command: Command, timeout: float = 30.0) -> tuple[int, str, str]:
        """Run a short command to its end and return exit code, standard output and standard error.

        Raises:
            subprocess.TimeoutExpired: It has not ended after ``timeout`` seconds (and is ended then).
        """
        with self.start(command) as child:
            timer = threading.Timer(timeout, child.kill)
            timer.start()
            try:
                output = child.process.stdout.read() if child.process.stdout else b""
                code = child.wait()
            finally:
                expired = not timer.is_alive()
                timer.cancel()
            if expired:
                raise subprocess.TimeoutExpired(command.program, timeout)
            return code, output.decode("utf-8", errors="replace"), child.stderr

    def cancel(self) -> None:
        """Kill every child and let no new one live: the engine is being stopped."""
        self.cancelled.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            child.kill()


@functools.cache
def _ending_with_us() -> tuple[str, ...]:
    """Return what goes before a command so that the kernel ends it when we are killed.

    A client that waits for a lock or is stopped would otherwise outlive us and hold its connection. (Setting this up
    between fork and exec ourselves is not safe with threads.)
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    before = (setpriv, "--pdeathsig", "KILL")
    # Some sandboxes do not let it do its work; a client that might outlive us is better than none.
    works = subprocess.run([*before, setpriv, "--version"], capture_output=True, check=False).returncode == 0
    return before if works else ()


def _clean_environment() -> dict[str, str]:
    """Our environment without what would steer a client elsewhere than its arguments say."""
    dropped = ("PG", "MYSQL", "MARIADB")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    environment["LC_ALL"] = "C.UTF-8"
    return environment


def write_all(
    descriptor: int, data: bytes, stall_timeout: Optional[timedelta], excused: Callable[[], bool] = lambda: False
) -> None:
    """Write all of the data to a child's input, which must not block.

    Args:
        descriptor: The pipe.
        data: The data.
        stall_timeout: Longest time without the child taking a byte; None for any.
        excused: Asked once its time is up: whether somebody else, such as the server, is at work for it.

    Raises:
        TimeoutError: It took nothing for so long.
        BrokenPipeError: It has closed its input.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    milliseconds = None if stall_timeout is None else stall_timeout.total_seconds() * 1000
    view = memoryview(data)
    while view:
        while not poll.poll(milliseconds):
            if not excused():
                raise TimeoutError
        view = view[os.write(descriptor, view) :]


def describe_exit(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
