# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that misbehave, in the place of the vendor's clients.

A script is mounted over the real program for the length of a test, so that the engine finds it where it always finds
its client, and no engine code knows of tests. The script reaches the real client as ``$real``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from servers import Server, installed

DUMPER = {"mariadb": "mariadb-dump", "mysql": "mysqldump", "postgresql": "pg_dump"}
_NEW_MOUNT_NAMESPACE = 0x20000
LOADER = {"mariadb": "mariadb", "mysql": "mysql", "postgresql": "psql"}

# The options file must stay the first argument, and asking for the version is answered as ever.
_HEAD = """#!/bin/bash
real={real}
for word in "$@"; do
    [ "$word" = --version ] && exec "$real" "$@"
done
# Others call the client too: Debian's start script of a server does so in the background for a while.
caller=$PPID
until [ "$caller" -le 1 ] || [ "$caller" = {tests} ]; do
    caller=$(awk '/^PPid:/ {{print $2}}' "/proc/$caller/status" 2> /dev/null || echo 0)
done
printf '%s\n' "from $caller: $*" >> {calls}
[ "$caller" = {tests} ] || exec "$real" "$@"
"""


@contextlib.contextmanager
def in_place_of(program: str, script: str, directory: Path) -> Iterator[Path]:
    """Let a shell script stand in for a client; yields the file that gets a line for each call of it.

    Args:
        program: The client's name.
        script: What to do instead; ``"$real" "$@"`` is what the real one would do.
        directory: Where the script and a copy of the real client are put; readable by all who call it.
    """
    place = installed(program)
    real = directory / "real" / program
    real.parent.mkdir(exist_ok=True)
    shutil.copy(place, real)
    wrapper = directory / f"{program}-stand-in"
    calls = directory / f"{program}-calls"
    calls.touch()
    calls.chmod(0o666)  # whoever calls the client
    wrapper.write_text(_HEAD.format(real=real, tests=os.getpid(), calls=calls) + script)
    wrapper.chmod(0o755)
    with mounted(wrapper, place):
        yield calls


@contextlib.contextmanager
def mounted(source: Path, place: Path) -> Iterator[None]:
    """Let a file or a directory be seen in the place of another."""
    subprocess.run(["mount", "--bind", source, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)  # somebody may be running it still


def as_another_machine(identity: Path, action: Callable[[], list[str]]) -> list[str]:
    """Run something in a process of its own, for which the machine has another id; return what it returns.

    The rest of the host sees nothing of that.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNT_NAMESPACE):
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "--bind", identity, "/etc/machine-id"], check=True)
            os.write(writing, json.dumps(action()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("what was done as another machine has failed")
    return list(json.loads(content))


def dumper(server: Server) -> str:
    """The name of the client that dumps."""
    return DUMPER[server.flavour]


def loader(server: Server) -> str:
    """The name of the client that loads."""
    return LOADER[server.flavour]
