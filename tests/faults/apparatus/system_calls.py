# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs something in a forked process and kills that process just before its Nth system call that changes anything.

The kernel itself asks us before each such call, of whatever thread, and whether Python or a C library such as SQLite
makes it. (Wrappers around Python's ``os`` would miss the latter; ``strace --inject`` counts each thread by itself.)
Between two such calls the process changes nothing, so that killing it once before each of them, and letting it end
once, goes through every state that a SIGKILL can leave behind. Calls that only make durable what is there (fsync) do
not count: to a process that is killed they make no difference.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import seccomp

# Calls by the argument that says what file they change: a descriptor, or a path.
_BY_DESCRIPTOR = {"write": 0, "writev": 0, "pwrite64": 0, "pwritev": 0, "ftruncate": 0, "fallocate": 0, "fchmod": 0}
_BY_PATH = {"mkdir": 0, "rmdir": 0, "unlink": 0, "rename": 1, "link": 1, "chmod": 0, "truncate": 0, "open": 0}
_BY_PATH |= {"mkdirat": 1, "unlinkat": 1, "renameat": 3, "renameat2": 3, "linkat": 3, "fchmodat": 1, "openat": 1}
_FLAGS = {"open": 1, "openat": 2}
_SEND = "sendto"
# Statements after which a server is not as it was before.
_CHANGING = re.compile(r"\b(CREATE|ALTER|DROP|RENAME|INSERT|UPDATE|DELETE|SET GLOBAL|terminate_backend)\b")
_TEXT_BYTES = 4096
_GRACE = 8.0  # seconds for what a process has started, once it has ended itself
_MARK = "VYA_FAULTS_RUN"  # in the environment of all that the process starts


@dataclass(frozen=True)
class Watch:
    """What counts, and when to kill.

    Attributes:
        root: Calls that change something below this directory count.
        kill_before: The number of the call, from 0; None lets the process run to its end.
        sends: Whether what it sends counts too: statements that change something, and the input of children.
        merged: Whether calls that follow each other and do the same to the same file count as one. Between the page
            writes of one SQLite transaction nothing is decided.
        patience: Seconds for the whole.
        meanwhile: Runs beside it in a thread, with its process id.
        on_call: Told of each call that counts, in words, before it is made; the process waits meanwhile.
    """

    root: Path
    kill_before: int | None = None
    sends: bool = False
    merged: bool = False
    patience: float = 60.0
    meanwhile: Callable[[int], None] | None = None
    on_call: Callable[[str], None] = lambda _call: None


@dataclass
class Ended:
    """How a process ended.

    Attributes:
        status: Its exit code; negative is the number of the signal that killed it.
        calls: The calls that counted, in words; the last one was not made if it was killed before it.
        left_over: Processes that it had started and that still lived some seconds later (they have been killed).
    """

    status: int
    calls: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)


def run(action: Callable[[], int], watch: Watch) -> Ended:
    """Run ``action`` in a forked process; its value becomes the exit code."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _child(action, watch.sends, theirs)
    theirs.close()
    with ours:
        descriptors = socket.recv_fds(ours, 1, 1)[1]
    if not descriptors:
        raise RuntimeError("the forked process could not install its filter")
    try:
        with _beside(watch.meanwhile, pid):
            return _supervise(pid, descriptors[0], watch)
    finally:
        os.close(descriptors[0])


def _child(action: Callable[[], int], sends: bool, channel: socket.socket) -> None:
    code = 99
    try:
        os.setsid()
        os.environ[_MARK] = str(os.getpid())
        calls = {name: (os.O_CREAT, os.O_TRUNC) if name in _FLAGS else () for name in (*_BY_DESCRIPTOR, *_BY_PATH)}
        descriptor = seccomp.install(calls | ({_SEND: ()} if sends else {}), _FLAGS)
        socket.send_fds(channel, [b"x"], [descriptor])
        os.close(descriptor)
        channel.close()
        code = action()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@contextlib.contextmanager
def _beside(meanwhile: Callable[[int], None] | None, pid: int) -> Iterator[None]:
    if meanwhile is None:
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(meanwhile, pid)
        yield
        future.result()


def _supervise(pid: int, descriptor: int, watch: Watch) -> Ended:
    ended = Ended(0)
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(process, select.POLLIN)
    deadline = time.monotonic() + watch.patience
    alive = users = True  # users: whoever the filter concerns; what the process starts has inherited it
    while alive or users:
        ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
        if ready.get(descriptor, 0) & select.POLLIN:
            _answer(pid, descriptor, watch, ended)
        elif descriptor in ready:  # hung up
            poll.unregister(descriptor)
            users = False
        elif process in ready:
            poll.unregister(process)
            os.close(process)
            ended.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            alive, deadline = False, time.monotonic() + _GRACE
        else:
            ended.left_over += _end_children_of(pid)
            if alive:
                os.kill(pid, signal.SIGKILL)
                ended.left_over.append(f"the command itself, still at work after {watch.patience:.0f} s")
            deadline = time.monotonic() + _GRACE
    return ended


def _answer(pid: int, descriptor: int, watch: Watch, ended: Ended) -> None:
    call = seccomp.receive(descriptor)
    if call is None:
        return
    if os.path.exists(f"/proc/{pid}/task/{call.thread}"):
        words = _words(call, watch)
        if words and not (watch.merged and ended.calls and ended.calls[-1] == words):
            ended.calls.append(words)
            watch.on_call(words)
            if watch.kill_before is not None and len(ended.calls) == watch.kill_before + 1:
                os.kill(pid, signal.SIGKILL)
                return
    seccomp.let_pass(descriptor, call)


def _words(call: seccomp.Call, watch: Watch) -> str:
    """Say what a call changes; nothing if it changes nothing that counts."""
    if call.name == _SEND:
        text = _text(call, 1, 2)
        return f"send {text[:100]}" if _CHANGING.search(text) else ""
    if call.name in _BY_DESCRIPTOR:
        try:
            target = os.readlink(f"/proc/{call.thread}/fd/{call.arguments[_BY_DESCRIPTOR[call.name]]}")
        except OSError:
            return ""
        if watch.sends and target.startswith("pipe:"):
            return f"feed {_text(call, 1, 2)[:70]}"
        verb = call.name
    else:
        target = os.path.join(os.readlink(f"/proc/{call.thread}/cwd"), _path(call, _BY_PATH[call.name]))
        verb = "create" if call.name in _FLAGS else call.name
        if verb == "create" and os.path.exists(target) and not call.arguments[_FLAGS[call.name]] & os.O_TRUNC:
            return ""
    return f"{verb} {target[len(str(watch.root)) + 1 :]}" if target.startswith(f"{watch.root}/") else ""


def _memory(call: seccomp.Call, address: int, length: int) -> bytes:
    try:
        with open(f"/proc/{call.thread}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(length)
    except OSError:
        return b""


def _path(call: seccomp.Call, argument: int) -> str:
    # A page at a time: what follows the path's last page may not be there.
    address = call.arguments[argument]
    first = _memory(call, address, 4096 - address % 4096)
    content = first if b"\0" in first else first + _memory(call, address + len(first), 4096)
    return os.fsdecode(content.split(b"\0", 1)[0])


def _text(call: seccomp.Call, argument: int, length: int) -> str:
    content = _memory(call, call.arguments[argument], min(call.arguments[length], _TEXT_BYTES))
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in content)


def _end_children_of(pid: int) -> list[str]:
    """Kill what the process has started, known by its environment's mark, and return it in words."""
    found = []
    mark = f"{_MARK}={pid}\0".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != pid:
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                    os.kill(int(entry.name), signal.SIGKILL)
    return found
