# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""In what a restored database differs from the manifest of its artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from ..db.figures import Figures
from ..errors import RestoreError


def inventory_differences(expected: Mapping[str, list[str]], found: Mapping[str, list[str]]) -> list[str]:
    """Return in words what the two inventories do not have in common; kinds that only one knows are passed over."""
    differences = []
    for kind in sorted(expected.keys() & found.keys()):
        label = kind.replace("_", " ")
        differences += [f"{label} {name} is missing" for name in sorted(set(expected[kind]) - set(found[kind]))]
        differences += [f"{label} {name} is unexpected" for name in sorted(set(found[kind]) - set(expected[kind]))]
    return differences


def row_differences(
    expected: Mapping[str, int], found: Mapping[str, int], instead_of: str = " instead of"
) -> list[str]:
    """Return in words which tables have more or fewer rows; those that only one knows are passed over.

    Args:
        expected: How many each table should have.
        found: How many it has.
        instead_of: What stands between the two numbers.
    """
    return [
        f"table {name} has {found[name]} rows{instead_of} {expected[name]}"
        for name in sorted(expected.keys() & found.keys())
        if found[name] != expected[name]
    ]


def object_differences(expected: Figures, found: Figures) -> list[str]:
    """Return in words which objects are missing or defined in another way, and which grants are missing or new."""
    differences = []
    for kind, names in sorted(expected.objects.items()):
        present = found.objects.get(kind, {})
        label = kind.replace("_", " ")
        for name, digest in sorted(names.items()):
            if name not in present:
                differences.append(f"{label} {name} is missing")
            elif present[name] != digest:
                differences.append(f"{label} {name} is not as it was in the server")
    grants = expected.objects.get("grant")
    if grants is not None:
        extra = sorted(set(found.objects.get("grant", {})) - set(grants))
        differences += [f"grant {name} is unexpected" for name in extra]
    return differences


def position_differences(expected: Figures, found: Figures) -> list[str]:
    """Return in words which sequences and automatic numbers are missing or go on elsewhere."""
    differences = []
    for name, (low, high) in sorted(expected.positions.items()):
        place: Optional[tuple[int, int]] = found.positions.get(name)
        if place is None:
            differences.append(f"the sequence or automatic number {name} is missing")
        elif not low <= place[0] <= high:
            was = f"{low}" if low == high else f"{low} to {high}"
            differences.append(f"the sequence or automatic number {name} goes on at {place[0]} instead of {was}")
    return differences


def refuse_differences(differences: Sequence[str]) -> None:
    """Refuse a restored database that is not what the manifest says.

    Raises:
        RestoreError: There are differences.
    """
    if differences:
        raise RestoreError(
            f"What was loaded differs from the artifact's manifest: {'; '.join(differences[:10])}"
            f"{f' and {len(differences) - 10} more' if len(differences) > 10 else ''}."
        )
