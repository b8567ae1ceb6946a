# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""In what a restored database differs from the manifest of its artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
