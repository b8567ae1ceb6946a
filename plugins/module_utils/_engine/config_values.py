# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Values as people write them into the configuration: durations, times of day, sizes."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Optional

_DURATION = re.compile(r"^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|[KMGT]i?B|%)$")
_UNIT_BYTES = {
    f"{prefix}{unit}": factor**power
    for power, prefix in enumerate(("", "K", "M", "G", "T"))
    for unit, factor in (("B", 1000), ("iB", 1024))
}


def parse_duration(value: object) -> timedelta:
    """Read a duration such as ``90s``, ``30m``, ``1h30m`` or ``2d``; a bare number means seconds.

    Raises:
        ValueError: The text is no duration.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return timedelta(seconds=value)
    match = _DURATION.match(str(value)) if str(value) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write for example 90s, 30m, 1h30m or 2d")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def absolute_path(value: Optional[Path]) -> Optional[Path]:
    """Return a path as it is.

    Raises:
        ValueError: It is relative.
    """
    if value is not None and not value.is_absolute():
        raise ValueError("must be an absolute path")
    return value


def time_of_day(number: int) -> str:
    """Turn what YAML 1.1 made of ``14:00`` or ``14:00:30`` back into a time of day."""
    hours_minutes, seconds = divmod(number, 60) if number >= 24 * 60 else (number, 0)
    return f"{hours_minutes // 60:02d}:{hours_minutes % 60:02d}" + (f":{seconds:02d}" if seconds else "")


def bytes_of(text: str, total: int) -> int:
    """Read a size such as ``64MiB``, ``2GB`` or ``5%``.

    Args:
        text: The size.
        total: What a percentage is of, bytes.

    Raises:
        ValueError: The text is no size, or all of it or more.
    """
    match = _SIZE.match(text)
    if match is None or (match.group(2) == "%" and float(match.group(1)) >= 100):
        raise ValueError(f"{text!r} is no size; write for example 64MiB, 2GB or 5%")
    number, unit = float(match.group(1)), match.group(2)
    return round(total * number / 100 if unit == "%" else number * _UNIT_BYTES[unit])
