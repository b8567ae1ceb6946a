# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Time as the engine sees it: aware, in UTC, and injected, so that a test can set it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(timezone.utc)


def to_text(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC with seconds, ``2026-01-09T02:00:00Z``."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_moment(text: str) -> datetime:
    """Read a moment in ISO 8601 that a person wrote; without an offset it is local time, a bare date its midnight.

    Raises:
        ValueError: The text is no such moment, or one that local time cannot express.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except OverflowError as exc:
        raise ValueError(str(exc)) from None


def from_text(text: str) -> datetime:
    """Read what :func:`to_text` wrote, or another ISO 8601 moment; without an offset it is taken as UTC.

    Raises:
        ValueError: The text is no such moment.
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
