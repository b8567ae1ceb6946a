# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of the machine's kernel that the hosts need, raised while there are any and put back afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .state import RUNTIME_DIR

# All hosts share the machine's limits; the usual ones are used up by some fifteen hosts.
NEEDED = {
    Path("/proc/sys/net/ipv4/ip_forward"): 1,
    Path("/proc/sys/fs/inotify/max_user_instances"): 1024,
    Path("/proc/sys/fs/aio-max-nr"): 1048576,
}


def raise_settings(needed: Mapping[Path, int] = NEEDED, saved: Path = RUNTIME_DIR) -> None:
    """Raise what is too low and note what it was; to be called under the lock."""
    for path, value in needed.items():
        before = path.read_text(encoding="ascii").strip()
        if int(before) < value:
            note = saved / path.name
            if not note.exists():
                note.write_text(before, encoding="ascii")
            path.write_text(str(value), encoding="ascii")


def restore_settings(needed: Mapping[Path, int] = NEEDED, saved: Path = RUNTIME_DIR) -> None:
    """Put back what was raised; to be called under the lock, after the last fleet."""
    for path in needed:
        note = saved / path.name
        if note.exists():
            path.write_text(note.read_text(encoding="ascii"), encoding="ascii")
            note.unlink()
