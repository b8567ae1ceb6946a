# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What writers of artifacts leave that died: told from what living ones are writing by the lock, and removed."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ..utils.files import remove_unlocked
from .manifest import SUFFIX
from .partial_directory import content_of, identity_of
from .storage import PARTIAL_SUFFIX

logger = logging.getLogger("vya_backupdb")


def remove_dead_partials(directory: Path) -> list[Path]:
    """Remove partial files below a directory whose writers are dead, and return their paths.

    What such a file stands for (the artifact that it is too, or the directory that it marks) goes with it, unless the
    writer had written the manifest.
    """
    removed = []
    for path in sorted(directory.glob(f"**/.*{PARTIAL_SUFFIX}")):
        try:
            if remove_unlocked(path, _remove_without_manifest):
                removed.append(path)
        except OSError as exc:  # no reason for a backup to fail, but it takes space until somebody sees to it
            logger.warning("%s, which a run that died has left, could not be removed: %s", path, exc.strerror or exc)
    return removed


def _remove_without_manifest(partial: Path) -> None:
    content = content_of(partial)
    if content.is_dir():
        shutil.rmtree(content)
    final = partial.with_name(partial.name[1:].removesuffix(PARTIAL_SUFFIX))
    if final.is_symlink() or not final.exists() or final.with_name(final.name + SUFFIX).exists():
        return
    if final.is_dir():
        if partial.read_bytes() == identity_of(final):
            shutil.rmtree(final)
    elif final.samefile(partial):
        final.unlink()
