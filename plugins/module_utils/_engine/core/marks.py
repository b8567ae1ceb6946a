# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks beside an artifact: a hold that somebody put on it, and the finding that it is damaged.

They are files of their own, so that they survive a lost catalog and never touch the manifest. A mark that cannot be
read counts as one: it is better to keep too much than to remove what somebody wanted kept.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Optional

from ..utils.clock import from_text, to_text
from ..utils.files import fsync_directory, write_atomically

HOLD_SUFFIX = ".hold.json"
DAMAGE_SUFFIX = ".damaged.json"


@dataclass(frozen=True)
class Mark:
    """What a mark says.

    Attributes:
        reason: Why it was put there.
        by: Who put it there.
        at: When; None if the mark cannot be read.
    """

    reason: str
    by: str = ""
    at: Optional[datetime] = None


def hold_path(artifact: Path) -> Path:
    """Return where the hold on an artifact is."""
    return artifact.with_name(artifact.name + HOLD_SUFFIX)


def damage_path(artifact: Path) -> Path:
    """Return where the finding that an artifact is damaged is."""
    return artifact.with_name(artifact.name + DAMAGE_SUFFIX)


def read_mark(path: Path) -> Optional[Mark]:
    """Return what a mark says; None only where there certainly is none."""
    try:
        document = json.loads(path.read_bytes())
        return Mark(str(document["reason"]), str(document["by"]), from_text(str(document["at"])))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return Mark(f"{path.name} cannot be read")


def write_mark(path: Path, mark: Mark) -> None:
    """Put a mark beside its artifact, durably.

    Raises:
        OSError: It could not be written.
    """
    document = {"reason": mark.reason, "by": mark.by, "at": to_text(mark.at) if mark.at else None}
    write_atomically(path, json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8") + b"\n", 0o640)


def remove_mark(path: Path) -> None:
    """Take a mark away, durably; harmless when there is none.

    Raises:
        OSError: It could not be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        fsync_directory(path.parent)
