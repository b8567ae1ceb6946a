# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How this process asks the system for memory, and in pieces of what size it passes data on."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3), malloc.h
_LARGE_BYTES = 256 * 1024
_SPARE_BYTES = 1024 * 1024

# Of a dump or an artifact, what is read, or unpacked, at a time. Blocks of this size are not large, so the C library
# has their pages at hand; those of larger ones the kernel clears anew each time, which costs a second for a gigabyte.
PIECE_BYTES = 240 * 1024


def limit_kept_memory() -> bool:
    """Have the C library give large blocks back to the system, and keep a few small ones; return whether it does so.

    Else the GNU C library takes a size of which many blocks were freed for a small one (mallopt(3), M_MMAP_THRESHOLD:
    the dynamic threshold), keeps them in its heap, and that grows with the length of a dump: from 89 to 123 MB while
    two gigabytes passed in pieces of a megabyte. And it would give back the end of its heap (M_TRIM_THRESHOLD) with
    every piece that is freed, to ask for it again with the next.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES) and mallopt(_M_TRIM_THRESHOLD, _SPARE_BYTES))
    except (AttributeError, OSError):  # another C library
        return False
