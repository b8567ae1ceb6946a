# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk of its own for the data of a server, whose size can be changed at any time: a tmpfs over its directory."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from servers import Server

from .stand_ins import mounted

MEGABYTE = 1024**2
_ROOMY = 512 * MEGABYTE


@dataclass(frozen=True)
class DataDisk:
    """The disk that has the data of a server, and nothing else."""

    directory: Path

    def leave(self, free: int) -> None:
        """Make it so small that no more than this is free, bytes."""
        while True:
            state = os.statvfs(self.directory)
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            try:
                self._resize(used + free)
                return
            except subprocess.CalledProcessError:
                now = os.statvfs(self.directory)
                if (now.f_blocks - now.f_bfree) * now.f_frsize == used:  # else the server has just written more
                    raise

    def widen(self) -> None:
        """Let there be more room than any test needs."""
        self.leave(_ROOMY)

    def _resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.directory], check=True)


def data_directory(server: Server) -> Path:
    """Where a server has its data."""
    return Path(server.sql("SELECT @@datadir;" if server.kind == "mysql" else "SHOW data_directory;"))


@contextlib.contextmanager
def on_its_own_disk(server: Server, place: Path) -> Iterator[DataDisk]:
    """Let a server have a copy of its data on a disk of its own, and then the original again, as it was before.

    Args:
        server: The server, which is started anew at the beginning and at the end.
        place: A directory where the disk is mounted as well.
    """
    directory = data_directory(server)
    server.service("stop")
    with contextlib.ExitStack() as undo:
        undo.callback(server.service, "start")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOMY}", "tmpfs", place], check=True)
        undo.callback(subprocess.run, ["umount", "--lazy", place], check=True)
        subprocess.run(["cp", "--archive", f"{directory}/.", place], check=True)
        undo.enter_context(mounted(place, directory))
        server.service("start")
        undo.callback(server.service, "stop")
        disk = DataDisk(place)
        undo.callback(disk.widen)  # without room some do not even stop
        yield disk
