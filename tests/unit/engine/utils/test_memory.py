# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A large block that is freed makes the GNU C library take the next ones of that size from its heap.
SCRIPT = """
import ctypes, sys
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "fixed":
    from vya_backupdb.utils.memory import return_large_blocks
    assert return_large_blocks()
library.free(library.malloc(8 << 20))
place = library.malloc(1 << 20)
for line in open("/proc/self/maps"):
    if line.rstrip().endswith("[heap]"):
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= place < end:
            print("heap")
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the GNU C library")
@pytest.mark.parametrize(("how", "where"), [("as ever", "heap\n"), ("fixed", "")])
def test_a_large_block_is_not_kept_in_the_heap(engine_environment: dict[str, str], how: str, where: str) -> None:
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=engine_environment)
    assert done.stdout == where
