# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures: what tells a database's content from another, small enough for the manifest.

The server is asked for them when it is dumped, not the dump: so they show what a dump does not have although it should.
A drill asks the scratch server for the same figures of what it loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..errors import ServerError
from .base import Inspection

_DIGEST_LETTERS = 32  # 128 bits: nobody is kept from forging by it, who could forge the manifest as well


@dataclass(frozen=True)
class Figures:
    """What a server says of a database.

    Attributes:
        objects: By kind and name, a digest of each object's definition; grants are of the kind ``grant``.
        positions: Of each sequence and automatic number the lowest and the highest that came next while the dump was
            made.
        contents: Of each table its number of rows and a checksum of them that no order changes, ``rows:checksum``;
            None where they were not asked for.
        left_out: The tables whose contents were to be summed up and could not, and why.
        accounts: The accounts that have grants: user and host; of PostgreSQL, whose grants name roles, none.
    """

    objects: dict[str, dict[str, str]] = field(default_factory=dict)
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    contents: Optional[dict[str, str]] = None
    left_out: dict[str, str] = field(default_factory=dict)
    accounts: tuple[tuple[str, str], ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Return them in plain JSON types, for the manifest."""
        document: dict[str, Any] = {
            "objects": self.objects,
            "positions": {name: list(span) for name, span in self.positions.items()},
            "accounts": [list(account) for account in self.accounts],
        }
        if self.contents is not None:
            document |= {"contents": self.contents, "left_out": self.left_out}
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Figures:
        """Return what a manifest says.

        Raises:
            KeyError, TypeError, ValueError: It is not of this form.
        """
        return cls(
            {str(kind): dict(names) for kind, names in document.get("objects", {}).items()},
            {str(name): (int(low), int(high)) for name, (low, high) in document.get("positions", {}).items()},
            dict(document["contents"]) if "contents" in document else None,
            dict(document.get("left_out", {})),
            tuple((str(user), str(host)) for user, host in document.get("accounts", ())),
        )


def without_figures(inspection: Inspection, why: ServerError) -> Inspection:
    """Return what is known of a database that is dumped although its figures could not be had.

    They are not worth a backup: where somebody holds a lock on a table, the dump may wait for it, and these do not.
    """
    warning = f"Drills cannot compare all of the content, as the server did not say what it is: {why.message}"
    return dataclasses.replace(inspection, warnings=(*inspection.warnings, warning))


def digest_objects(rows: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, str]]:
    """Sum up what is known of each object: any number of rows of kind, name and facts, in any order."""
    facts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, name, known in rows:
        facts[kind, name].append(json.dumps(known, ensure_ascii=True, default=str))
    found: dict[str, dict[str, str]] = {}
    for (kind, name), texts in sorted(facts.items()):
        digest = hashlib.sha256("\n".join(sorted(texts)).encode("ascii")).hexdigest()
        found.setdefault(kind, {})[name] = digest[:_DIGEST_LETTERS]
    return found


def unchanged_objects(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return the digests of those objects that were the same both times."""
    return {
        kind: {name: digest for name, digest in names.items() if after.get(kind, {}).get(name) == digest}
        for kind, names in before.items()
    }


def spans(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return between which values each counter was that was there both times."""
    return {name: (min(value, after[name]), max(value, after[name])) for name, value in before.items() if name in after}
