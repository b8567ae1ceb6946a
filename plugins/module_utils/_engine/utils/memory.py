# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # mallopt(3), malloc.h
_LARGE_BYTES = 256 * 1024


def return_large_blocks() -> bool:
    """Let large blocks go back to the system as soon as they are freed; return whether the C library does so.

    Else the GNU C library takes a size of which many blocks were freed for a small one (mallopt(3), M_MMAP_THRESHOLD:
    the dynamic threshold), keeps them in its heap, and that grows with the length of a dump: from 89 to 123 MB while
    two gigabytes passed in pieces of a megabyte.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
    except (AttributeError, OSError):  # another C library
        return False
