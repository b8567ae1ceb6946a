# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Values in words: sizes, durations, moments, and names that come from elsewhere. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Optional

from ..utils.clock import from_text

NOTHING = "–"
_SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_AGE_UNITS = ((365 * 86400, "y"), (86400, "d"), (3600, "h"), (60, "min"))


def plain(text: object) -> str:
    r"""Return a text in one line that a terminal prints as it is.

    Names of databases may hold anything, even sequences that move a cursor or turn the reading direction. Whatever
    has no visible form of its own is written as its escape (``\x1b``).
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def sentence(text: object) -> str:
    """Return a message as one line: as :func:`plain`, but line breaks and runs of blanks become single spaces."""
    return plain(" ".join(str(text).split()))


def size(count: Optional[float]) -> str:
    """Write a number of bytes in binary units, ``12.3 MiB``."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in _SIZE_UNITS:
        if value < 1023.95 or unit == _SIZE_UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: Optional[float]) -> str:
    """Write a number of seconds in the two units that matter, ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def relative(moment: datetime, now: datetime) -> str:
    """Write how far a moment is from now in its largest unit, ``3 h ago`` or ``in 2 d``; less than a minute is now."""
    seconds = (now - moment).total_seconds()
    for length, unit in _AGE_UNITS:
        count = int(abs(seconds) // length)
        if count:
            return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"
    return "just now" if seconds >= 0 else "in a moment"


def when(iso: Optional[str], now: datetime) -> str:
    """Write a moment in local time with its zone, and how far it is from now.

    Args:
        iso: The moment as reports have it (ISO 8601), or None.
        now: The present, aware.
    """
    if not iso:
        return NOTHING
    moment = from_text(iso)
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z} ({relative(moment, now)})"


def count(number: int, singular: str, plural: Optional[str] = None) -> str:
    """Write a number of things, ``1 artifact``, ``2 artifacts``."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def listing(names: Iterable[object]) -> str:
    """Write names one after another, each as :func:`plain`."""
    return ", ".join(plain(name) for name in names)
