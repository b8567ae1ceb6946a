# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a drill compares: a loaded database with what the manifest says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..db.figures import Figures
from .comparison import inventory_differences, object_differences, position_differences, row_differences
from .manifest import Manifest

NO_CONTENTS = (
    "Values were not compared: the backup was made without verification.content_checksums, so that only rows were"
    " counted."
)
NO_FIGURES = "Definitions, grants and sequences were not compared: the artifact is of an engine that recorded none."


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        differences: In words; none if all is as the manifest says.
        objects: How many objects were compared by their definitions, grants included.
        positions: How many sequences and automatic numbers were compared.
        rows: Of how many tables the rows were counted.
        contents: Of how many tables the values were compared.
        remarks: What could not be compared, in sentences.
    """

    differences: tuple[str, ...]
    objects: int
    positions: int
    rows: int
    contents: int
    remarks: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Return what was compared, in plain JSON types."""
        document = asdict(self)
        del document["differences"]
        return {**document, "remarks": list(self.remarks)}


def compare(manifest: Manifest, inventory: Mapping[str, list[str]], found: Figures) -> Comparison:
    """Compare what was loaded with a manifest.

    Args:
        manifest: Of the artifact.
        inventory: What was loaded, by name.
        found: Its figures.
    """
    expected = Figures.from_document(manifest.figures or {})
    counted = _counts(found.contents or {})
    rows = {name: count for name, count in (manifest.rows or {}).items() if name in counted}
    if manifest.row_counts.get("approximate"):
        rows = {}
    contents = {name: sums for name, sums in (expected.contents or {}).items() if name not in found.left_out}
    differences = [
        *inventory_differences(manifest.inventory, inventory),
        *object_differences(expected, found),
        *position_differences(expected, found),
        *row_differences(rows, counted, ", of which the artifact has"),
        *_different_contents(contents, found.contents or {}),
    ]
    return Comparison(
        tuple(dict.fromkeys(differences)),
        objects=sum(len(names) for names in expected.objects.values()),
        positions=len(expected.positions),
        rows=len(rows),
        contents=len(contents),
        remarks=tuple(_remarks(manifest, expected, found)),
    )


def _different_contents(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    differences = []
    for name, sums in sorted(expected.items()):
        present = found.get(name)
        if present is None:
            differences.append(f"table {name} is missing")
        elif present != sums:
            was, now = (int(each.partition(":")[0]) for each in (sums, present))
            differences.append(
                f"table {name} has {now} rows, of which the server had {was}"
                if was != now
                else f"table {name} has other values than it had in the server"
            )
    return differences


def _counts(contents: Mapping[str, str]) -> dict[str, int]:
    return {name: int(sums.partition(":")[0]) for name, sums in contents.items()}


def _remarks(manifest: Manifest, expected: Figures, found: Figures) -> list[str]:
    remarks = []
    if not manifest.figures:
        remarks.append(NO_FIGURES)
    if expected.contents is None:
        remarks.append(NO_CONTENTS)
    for name, reason in sorted({**expected.left_out, **found.left_out}.items()):
        remarks.append(f"The values of table {name} were not compared: {reason.rstrip('.')}.")
    return remarks
