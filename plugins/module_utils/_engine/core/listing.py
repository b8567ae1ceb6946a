# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies in the storage, told from the names alone: no file is opened, so that a hundred thousand are no burden."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional, Union

from ..errors import StorageError
from .forms import ARTIFACT_EXTENSIONS, form_of
from .manifest import SUFFIX
from .marks import DAMAGE_SUFFIX, HOLD_SUFFIX

_ENDINGS = tuple(extension + SUFFIX for extension in ARTIFACT_EXTENSIONS)
_UNSAFE = re.compile(r"[%/\x00-\x1f\x7f]|^\.")
_ESCAPED = re.compile(r"%([0-9A-F]{2})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_STAMP = re.compile(r"_([12]\d{3})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)")


@dataclass(frozen=True)
class Entry:
    """An artifact with a manifest, as the names in its directory tell.

    Attributes:
        path: The artifact.
        database_id: The instance whose directory it is in.
        database: The database whose directory it is in, by its true name.
        moment: When its dump began, to the second.
        held: Whether there is a hold on it.
        damaged: Whether it was found damaged.
    """

    path: Path
    database_id: str
    database: str
    moment: datetime
    held: bool
    damaged: bool

    @property
    def manifest_path(self) -> Path:
        """Where its manifest is."""
        return self.path.with_name(self.path.name + SUFFIX)

    @property
    def stored_bytes(self) -> int:
        """Its size; 0 if it has just gone."""
        try:
            return form_of(self.path).stored_bytes(self.path)
        except OSError:
            return 0


@dataclass(frozen=True)
class Orphan:
    """A manifest whose artifact is gone: its removal was interrupted, or somebody else took it.

    Attributes:
        path: Where the artifact was.
        database_id: The instance whose directory it was in.
        database: The database whose directory it was in.
        held: Whether there is a hold on it.
    """

    path: Path
    database_id: str
    database: str
    held: bool


def path_component(name: str) -> str:
    """Turn a database's name into one path component: unsafe characters become ``%XX``, all others stay readable."""
    return _UNSAFE.sub(lambda match: f"%{ord(match.group()):02X}", name)


def database_of(component: str) -> str:
    """Turn what :func:`path_component` made back into the database's name."""
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), component)


def walk_storage(
    base: Path, database_id: Optional[str] = None, database: Optional[str] = None
) -> Iterator[Union[Entry, Orphan]]:
    """Yield the artifacts that have a manifest and the manifests that have no artifact, day by day.

    Links are not followed, and what is not named as this engine names things is passed over.

    Args:
        base: The directory of one host.
        database_id: Only this instance.
        database: Only this database of it.

    Raises:
        StorageError: A directory cannot be read.
    """
    for instance in [database_id] if database_id is not None else _directories(base):
        folder = base / instance
        components = [path_component(database)] if database is not None else _directories(folder)
        for component in components:
            name = database_of(component)
            for day in _directories(folder / component):
                if _DATE.fullmatch(day):
                    yield from _walk_day(folder / component / day, instance, component, name)


def _walk_day(day: Path, database_id: str, component: str, database: str) -> Iterator[Union[Entry, Orphan]]:
    found = {entry.name: entry for entry in _scan(day)}
    for name, manifest in found.items():
        if not name.endswith(_ENDINGS) or not manifest.is_file(follow_symlinks=False):
            continue
        artifact = name.removesuffix(SUFFIX)
        moment = _moment(artifact, component)
        if moment is None or f"{moment:%Y-%m-%d}" != day.name:
            continue
        held = artifact + HOLD_SUFFIX in found
        there = found.get(artifact)
        if there is not None and form_of(day / artifact).is_entry(there):
            damaged = artifact + DAMAGE_SUFFIX in found
            yield Entry(day / artifact, database_id, database, moment, held, damaged)
        elif there is None:
            yield Orphan(day / artifact, database_id, database, held)


def _moment(artifact: str, component: str) -> Optional[datetime]:
    """Return when an artifact was made by its name; None if that is not a name of an artifact of this database."""
    if not artifact.startswith(component + "_"):
        return None
    stem = artifact[len(component) :].partition(".")[0]
    match = _STAMP.fullmatch(stem) if artifact[len(component + stem) :] in ARTIFACT_EXTENSIONS else None
    if match is None:
        return None
    try:
        # mypy cannot see that the pattern has six groups, as many as there are numbers before the time zone.
        return datetime(*(int(part) for part in match.groups()), tzinfo=timezone.utc)  # type: ignore[arg-type,misc]
    except ValueError:
        return None


def _directories(path: Path) -> list[str]:
    return sorted(entry.name for entry in _scan(path) if entry.is_dir(follow_symlinks=False))


def _scan(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as exc:
        raise StorageError(
            f"{path} cannot be read: {exc.strerror}.", "It must belong to the user vya-backupdb."
        ) from None
