# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other owners: a restore in which accounts of the artifact are replaced by others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..db.base import Dbms
from ..errors import RestoreError
from .accounts import names_of
from .manifest import Manifest
from .part import Part
from .segmentation import DEFINITIONS, ROWS

_KINDS = {"preamble", DEFINITIONS, ROWS, "postamble"}


def mapped_settings(settings: Mapping[str, Any], owners: Mapping[str, str]) -> dict[str, Any]:
    """Return what a manifest says of the database itself, with other accounts in it."""

    def new(name: Any) -> Any:
        return owners.get(name, name)

    found = dict(settings)
    if "owner" in found:
        found["owner"] = new(found["owner"])
    if found.get("acl"):
        found["acl"] = [[new(grantee), *privilege] for grantee, *privilege in found["acl"]]
    if found.get("configuration"):
        found["configuration"] = [[new(role), *assignments] for role, *assignments in found["configuration"]]
    if found.get("extension_owners"):
        found["extension_owners"] = {name: new(owner) for name, owner in found["extension_owners"].items()}
    needs = dict(found.get("needs") or {})
    for key in {"roles", "definers"} & needs.keys():
        needs[key] = sorted({new(name) for name in needs[key]})
    return found | ({"needs": needs} if needs else {})


def refuse_unmappable(
    dbms: Dbms, manifest: Manifest, part: Part, owners: Mapping[str, str], made: Collection[str]
) -> None:
    """Refuse to replace accounts where that cannot be done.

    Args:
        dbms: The server.
        manifest: Of the artifact.
        part: Which part of it is restored.
        owners: By what accounts are called in the artifact, what they are to be called.
        made: The accounts that are made first.

    Raises:
        RestoreError: The artifact is not of that form, or accounts are missing in it or in the server.
        ServerError: The server does not say which accounts there are.
    """
    if not owners:
        return
    if manifest.strategy != "logical" or not {segment.kind for segment in manifest.segments} <= _KINDS:
        raise RestoreError(
            f"The owners in the artifact {manifest.artifact} cannot be replaced: it is no single stream of SQL, or an"
            " earlier engine made it. Nothing was changed.",
            "Restore it with its own owners, and change them afterwards.",
        )
    if not part.is_whole:
        raise RestoreError(
            f"A part of the artifact {manifest.artifact} is restored with its own owners only; nothing was changed.",
            "Restore all of it with other owners, or the part without.",
        )
    needs = manifest.settings.get("needs") or {}
    known = {*names_of(manifest), *needs.get("roles", ()), *needs.get("definers", ())}
    strange = [old for old in owners if old not in known]
    if strange:
        raise RestoreError(
            f"The artifact names no account {', '.join(strange)}; nothing was changed.",
            f"It names: {', '.join(sorted(known)) or 'none'}.",
        )
    encoding = manifest.settings.get("encoding", "UTF8")
    if encoding != "UTF8" and not "".join((*owners, *owners.values())).isascii():
        raise RestoreError(
            f"Names outside ASCII cannot be replaced in a database that is encoded in {encoding}; nothing was changed.",
            "Restore it with its own owners, and change them afterwards.",
        )
    there = {*dbms.existing_accounts(), *made}
    missing = sorted({new for new in owners.values() if new not in there})
    if missing:
        raise RestoreError(
            f"Accounts that are to take the place of others do not exist: {', '.join(missing)}; nothing was changed.",
            "Create them first.",
        )
