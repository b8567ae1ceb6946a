# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing files so that a crash at any moment leaves the old content or the new one, and no litter for ever."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from vya_backupdb.utils.files import write_atomically


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_dead_writers_of_the_same_file_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "all[1].prom"
    litter = [tmp_path / f".{path.name}.{number}.partial" for number in (dead_process(), os.getpid())]
    others = [
        tmp_path / f".{path.name}.{os.getppid()}.partial",  # its writer lives
        tmp_path / f".other.prom.{dead_process()}.partial",
        tmp_path / f".{path.name}.words.partial",
    ]
    for file in (*litter, *others):
        file.write_text("half")

    write_atomically(path, b"whole", 0o640)

    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o640
