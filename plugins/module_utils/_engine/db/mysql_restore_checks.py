# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What speaks against loading an artifact into a MySQL or MariaDB server, judged from facts alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from . import mysql_privileges as privileges
from .base import Check, Client, Origin, version_number
from .compatibility import FAILED, OK, listed, same_make_and_no_newer, sandbox_comment
from .mysql_facts import InstanceFacts
from .mysql_privileges import quote_account, quote_scope


def check_restore(facts: InstanceFacts, origin: Origin, target: str) -> list[Check]:
    """Return what speaks against it, all at once.

    Args:
        facts: The server that is to take the artifact.
        origin: Where the artifact comes from.
        target: The database that it is to become.
    """
    unfit = same_make_and_no_newer(origin, facts.server)
    if unfit:  # what is another make's or newer would differ in everything else
        return unfit
    needs: Mapping[str, Any] = origin.settings.get("needs") or {}
    loader = facts.clients.loader
    found = []
    if isinstance(loader, Client):
        if facts.server.flavour == "mariadb":
            written_by = version_number(str(origin.tool.get("version", "")))
            found += sandbox_comment(written_by, loader, FAILED, "The artifact")
    else:
        found.append(Check(loader.check, FAILED, loader.message, loader.hint))
    found += [*_read_only(facts), *_engines(facts, needs), *_collations(facts, origin, needs)]
    found += [*_names(facts, origin), *_keys(facts, needs), *_privileges(facts, needs, target, origin.made)]
    return [check for check in found if check.status != OK]


def _read_only(facts: InstanceFacts) -> list[Check]:
    if not facts.read_only:
        return []
    hint = "Restore on the primary, or set read_only off if this is meant."
    return [Check("read-only", FAILED, f"{facts.server.description} is read-only.", hint)]


def _engines(facts: InstanceFacts, needs: Mapping[str, Any]) -> list[Check]:
    disabled = {name.strip().lower() for name in facts.variables.get("disabled_storage_engines", "").split(",")}
    missing = [e for e in needs.get("engines", ()) if e not in facts.engines or e.lower() in disabled]
    if not missing:
        return []
    return [
        Check(
            "storage-engines",
            FAILED,
            f"The artifact has tables of storage engines that this server does not offer: {listed(missing)}.",
            "Install or enable these storage engines.",
        )
    ]


def _collations(facts: InstanceFacts, origin: Origin, needs: Mapping[str, Any]) -> list[Check]:
    wanted = {origin.settings.get("character_set"), origin.settings.get("collation"), *needs.get("collations", ())}
    # What was called utf8 is called utf8mb3 since MariaDB 10.6 and MySQL 8.0.30.
    missing = {n for n in wanted if n and not {n, re.sub(r"^utf8(?=_|$)", "utf8mb3", n)} & facts.collations}
    if not missing:
        return []
    return [
        Check(
            "collations",
            FAILED,
            f"The artifact has character sets or collations that this server does not know: {listed(missing)}.",
            "Restore it into the version that it is from, or a later one.",
        )
    ]


def _names(facts: InstanceFacts, origin: Origin) -> list[Check]:
    if facts.variables.get("lower_case_table_names", "0") != "1":
        return []
    names = [name for kind in ("table", "view", "sequence") for name in origin.inventory.get(kind, ())]
    changed = [name for name in names if name != name.lower()]
    if not changed:
        return []
    return [
        Check(
            "lower-case-names",
            FAILED,
            f"This server makes names lower case (lower_case_table_names is 1); the artifact has {listed(changed)}.",
            "Restore it into a server with lower_case_table_names=0.",
        )
    ]


def _keys(facts: InstanceFacts, needs: Mapping[str, Any]) -> list[Check]:
    count = int(needs.get("tables_without_primary_key", 0))
    if not count or facts.variables.get("sql_require_primary_key") != "ON":
        return []
    return [
        Check(
            "primary-keys",
            FAILED,
            f"This server demands primary keys (sql_require_primary_key is on), which {count} tables of the artifact"
            " do not have.",
            "Set sql_require_primary_key off for the restore.",
        )
    ]


def _privileges(facts: InstanceFacts, needs: Mapping[str, Any], target: str, made: Collection[str]) -> list[Check]:
    grants = facts.account.grants
    account = quote_account(facts.account.name)
    found = []
    missing = privileges.missing_on(grants, privileges.RESTORE, target)
    if missing:
        scope = quote_scope(target, grants.literal)
        found.append(
            Check(
                "restore-privileges",
                FAILED,
                f"The account lacks {', '.join(missing)} on {target}, which a restore takes.",
                f"As an administrator: GRANT {', '.join(missing)} ON {scope} TO {account};",
            )
        )
    others = [definer for definer in needs.get("definers", ()) if definer != facts.account.name]
    setters = privileges.definer_privileges(facts.server)
    lacking = [setters[0]] if others and not any(grants.holds(each) for each in setters) else []
    there = None if facts.plugins is None else {*facts.plugins, *made}
    absent = [definer for definer in others if there is not None and definer not in there]
    nonexistent = "ALLOW_NONEXISTENT_DEFINER"
    if absent and setters[0] == "SET_ANY_DEFINER" and not any(grants.holds(each) for each in (nonexistent, "SUPER")):
        lacking.append(nonexistent)
    if lacking:
        found.append(
            Check(
                "definers",
                FAILED,
                f"The account lacks {', '.join(lacking)}, without which it cannot make objects whose definer is another"
                f" account ({listed(others)}).",
                f"As an administrator: GRANT {', '.join(lacking)} ON *.* TO {account};",
            )
        )
    return found
