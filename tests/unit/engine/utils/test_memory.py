# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Large blocks go back to the system; the small ones that a dump passes in do not."""

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
    from vya_backupdb.utils.memory import limit_kept_memory
    assert limit_kept_memory()
library.free(library.malloc(8 << 20))
place = library.malloc(1 << 20)
for line in open("/proc/self/maps"):
    if line.rstrip().endswith("[heap]"):
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= place < end:
            print("heap")
"""

PASSING = """
import os, resource
from vya_backupdb.utils.memory import PIECE_BYTES, limit_kept_memory
assert limit_kept_memory()
descriptor, rest = os.open("/dev/zero", os.O_RDONLY), b""
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(1000):
    data = rest + os.read(descriptor, PIECE_BYTES)
    rest = data[-100:]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the GNU C library")


@glibc
@pytest.mark.parametrize(("how", "where"), [("as ever", "heap\n"), ("fixed", "")])
def test_a_large_block_is_not_kept_in_the_heap(engine_environment: dict[str, str], how: str, where: str) -> None:
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=engine_environment)
    assert done.stdout == where


@glibc
def test_the_pieces_of_a_dump_need_no_new_pages(engine_environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", PASSING]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=engine_environment)
    assert int(done.stdout) < 1000  # less than a page for each piece, which has 60
