# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What speaks against loading an artifact into a PostgreSQL server, judged from facts alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .base import Check, Client, Origin, version_number
from .compatibility import FAILED, OK, dump_settings, listed, restrict_lines, same_make_and_no_newer
from .postgresql_facts import InstanceFacts
from .postgresql_settings import quote_name


@dataclass(frozen=True)
class TargetFacts:
    """What of the server that is to take an artifact the checks judge.

    Attributes:
        roles: Its roles.
        tablespaces: Its tablespaces.
        owned_by_others: Whether the database to be replaced belongs to somebody else.
    """

    roles: Collection[str]
    tablespaces: Collection[str]
    owned_by_others: bool


def check_restore(facts: InstanceFacts, found_there: TargetFacts, origin: Origin, target: str) -> list[Check]:
    """Return what speaks against it, all at once.

    Args:
        facts: The server that is to take the artifact.
        found_there: What it has.
        origin: Where the artifact comes from.
        target: The database that it is to become.
    """
    server, loader = facts.server, facts.clients.loader
    unfit = same_make_and_no_newer(origin, server)
    if unfit:  # what is another make's or newer would differ in everything else
        return unfit
    needs: Mapping[str, Any] = origin.settings.get("needs") or {}
    written_by = version_number(str(origin.tool.get("version", "")))
    found = dump_settings(written_by, server, FAILED, "The artifact")
    if isinstance(loader, Client):
        found += restrict_lines(written_by, loader, FAILED, "The artifact")
    else:
        found.append(Check(loader.check, FAILED, loader.message, loader.hint))
    found += [*_takes_changes(facts), *_extensions(facts, origin), *_roles(found_there, needs, origin)]
    found += [*_tablespaces(found_there, needs), *_privileges(facts, found_there, target)]
    return [check for check in found if check.status != OK]


def _takes_changes(facts: InstanceFacts) -> list[Check]:
    if facts.account.standby:
        return [Check("read-only", FAILED, "This server is a standby, which is read-only.", "Restore on the primary.")]
    if facts.account.read_only:
        detail = "default_transaction_read_only is on: this server is read-only for the role."
        return [Check("read-only", FAILED, detail, "Set it off for the role, if this is meant.")]
    return []


def _extensions(facts: InstanceFacts, origin: Origin) -> list[Check]:
    missing = [name for name in origin.inventory.get("extension", ()) if name not in facts.available]
    if not missing:
        return []
    return [
        Check(
            "extensions",
            FAILED,
            f"The artifact needs extensions whose files this server does not have: {listed(missing)}.",
            "Install the packages that bring them (postgresql-contrib and the like).",
        )
    ]


def _roles(found_there: TargetFacts, needs: Mapping[str, Any], origin: Origin) -> list[Check]:
    missing = [role for role in needs.get("roles", ()) if role not in {*found_there.roles, *origin.made}]
    if not missing:
        return []
    by_hand = f"As a superuser: {' '.join(f'CREATE ROLE {quote_name(role)};' for role in missing)}"
    offered = "The artifact can make them: --accounts missing. " if set(missing) <= set(origin.accounts) else ""
    return [
        Check(
            "roles",
            FAILED,
            f"The artifact has objects of, or grants to, roles that this server does not have: {listed(missing)}.",
            offered + by_hand,
        )
    ]


def _tablespaces(found_there: TargetFacts, needs: Mapping[str, Any]) -> list[Check]:
    missing = [name for name in needs.get("tablespaces", ()) if name not in found_there.tablespaces]
    if not missing:
        return []
    return [
        Check(
            "tablespaces",
            FAILED,
            f"The artifact has tables in tablespaces that this server does not have: {listed(missing)}.",
            "Create them: CREATE TABLESPACE name LOCATION 'directory';",
        )
    ]


def _privileges(facts: InstanceFacts, found_there: TargetFacts, target: str) -> list[Check]:
    account = facts.account
    role, found = quote_name(account.name), []
    if not (account.superuser or account.creates):
        found.append(
            Check(
                "restore-privileges",
                FAILED,
                "The role may not create databases.",
                f"As a superuser: ALTER ROLE {role} SUPERUSER; (CREATEDB is enough for some databases).",
            )
        )
    if found_there.owned_by_others:
        found.append(
            Check(
                "restore-privileges",
                FAILED,
                f"The database {target} belongs to somebody else, so that the role may not replace it.",
                f"As a superuser: ALTER ROLE {role} SUPERUSER; or restore into another name.",
            )
        )
    return found
