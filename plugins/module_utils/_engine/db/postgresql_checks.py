# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What speaks against a backup of PostgreSQL, judged from facts alone.

``failed`` is what makes a dump fail or not whole. What only a restore to the same server would meet is a warning.
"""

from __future__ import annotations

from collections.abc import Sequence

from .base import Check, Client, Server
from .compatibility import FAILED, OK, WARNING, client_login, client_present, dump_settings, listed, restrict_lines
from .postgresql_facts import Account, DatabaseFacts, InstanceFacts
from .postgresql_settings import quote_name, quote_text

_NAMED_OBJECTS = 20  # how many large objects a GRANT spells out
_SUPERUSER_HINT = "As a superuser: ALTER ROLE {role} SUPERUSER; or give the instance the credentials of a superuser."


def check_instance(facts: InstanceFacts, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Return everything that is examined of an instance and its databases, good or bad."""
    clients, server = facts.clients, facts.server
    found = [Check("server", OK, server.description), *client_present(clients)]
    if isinstance(clients.dumper, Client):
        written_by, writer = clients.dumper.number, f"What {clients.dumper.path} {clients.dumper.version} writes"
        found.append(Check("client-age", OK, "pg_dump is not older than the server."))
        found += dump_settings(written_by, server, WARNING, writer)
        if isinstance(clients.loader, Client):
            found += restrict_lines(written_by, clients.loader, WARNING, writer)
    found += client_login(clients, server)
    found += dump_privileges(server, facts.account, databases) or _privileges_held(facts.account)
    found += [*standby(facts.account, databases), *restore_privileges(facts.account), *extensions(facts, databases)]
    return found


def check_dump(server: Server, account: Account, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Return what foretells that dumps of these databases fail or are not whole."""
    unfit = [check for check in standby(account, databases) if check.status == FAILED]
    return [*dump_privileges(server, account, databases), *unfit]


def _privileges_held(account: Account) -> list[Check]:
    if account.superuser:
        return [Check("privileges", OK, "The role is a superuser.")]
    role = quote_name(account.name)
    lacking = [
        (name, grant)
        for name, held, grant in (
            ("pg_read_all_data", account.reads_all, f"GRANT pg_read_all_data TO {role};"),
            ("BYPASSRLS", account.bypasses, f"ALTER ROLE {role} BYPASSRLS;"),
        )
        if not held
    ]
    if not lacking:
        return [Check("privileges", OK, "The role may read everything that there is now.")]
    return [
        Check(
            "privileges",
            WARNING,
            f"The role may read everything that there is now, but lacks {', '.join(name for name, _grant in lacking)}:"
            " a table made tomorrow may fail its backup.",
            f"As a superuser: {' '.join(grant for _name, grant in lacking)}",
        )
    ]


def dump_privileges(server: Server, account: Account, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Return what the role lacks for whole dumps of these databases, each with its remedy."""
    if account.superuser:
        return []
    role = quote_name(account.name)
    found = []
    for facts in databases:
        if facts.closed:
            detail = f"The role may not connect to {facts.name}."
            hint = f"As a superuser: GRANT CONNECT ON DATABASE {quote_name(facts.name)} TO {role};"
            found.append(Check("connect", FAILED, detail, hint, facts.name))
            continue
        if facts.relations or facts.schemas:
            found.append(_unreadable(server, account, facts))
        if facts.row_secured:
            found.append(
                Check(
                    "row-security",
                    FAILED,
                    f"Row-level security hides rows from the role in {facts.name} ({listed(facts.row_secured)}):"
                    " pg_dump ends with an error there.",
                    f"As a superuser: ALTER ROLE {role} BYPASSRLS;",
                    facts.name,
                )
            )
        if facts.large_objects:
            found.append(_large_objects(account, facts))
        for name, what, things in (
            ("subscriptions", "subscriptions", facts.subscriptions),
            ("user-mappings", "options of user mappings for the foreign servers", facts.user_mappings),
        ):
            if things:
                found.append(
                    Check(
                        name,
                        FAILED,
                        f"{facts.name} has {what} {listed(things)}, which pg_dump leaves out for all but superusers.",
                        _SUPERUSER_HINT.format(role=role),
                        facts.name,
                    )
                )
    return found


def _unreadable(server: Server, account: Account, facts: DatabaseFacts) -> Check:
    role = quote_name(account.name)
    things = [*facts.relations, *(f"schema {name}" for name in facts.schemas)]
    if server.number >= (14,):
        hint = f"As a superuser: GRANT pg_read_all_data TO {role};"
    else:
        # Names of relations come as schema.name; a dot in either only widens the list.
        schemas = sorted({*facts.schemas, *(name.partition(".")[0] for name in facts.relations)})
        grants = " ".join(
            f"GRANT USAGE ON SCHEMA {name} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {role};"
            f" GRANT SELECT ON ALL SEQUENCES IN SCHEMA {name} TO {role};"
            for name in map(quote_name, schemas)
        )
        hint = f"As a superuser, in {facts.name}: {grants}"
    return Check(
        "privileges",
        FAILED,
        f"The role may not read all of {facts.name} ({listed(things)}): pg_dump ends with an error there.",
        hint,
        facts.name,
    )


def _large_objects(account: Account, facts: DatabaseFacts) -> Check:
    role, count = quote_name(account.name), len(facts.large_objects)
    if count <= _NAMED_OBJECTS:
        grant = f"GRANT SELECT ON LARGE OBJECT {', '.join(map(str, sorted(facts.large_objects)))} TO {role};"
    else:
        statement = quote_text(f"GRANT SELECT ON LARGE OBJECT %s TO {role.replace('%', '%%')}")
        grant = f"DO $$ BEGIN EXECUTE (SELECT format({statement}, string_agg(oid::text, ', '))"
        grant += " FROM pg_largeobject_metadata); END $$;"
    return Check(
        "large-objects",
        FAILED,
        f"The role may not read {count} large objects of {facts.name}: pg_dump ends with an error there.",
        f"As a superuser, in {facts.name}: {grant}",
        facts.name,
    )


def standby(account: Account, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Examine what a server that takes no changes means for backups and restores."""
    found = [
        Check(
            "unlogged-tables",
            FAILED,
            f"{facts.name} has unlogged tables, which a standby cannot read: {listed(facts.unlogged)}.",
            "Back up on the primary.",
            facts.name,
        )
        for facts in databases
        if account.standby and facts.unlogged
    ]
    if account.standby or account.read_only:
        what = "a standby" if account.standby else "read-only by default_transaction_read_only"
        found.append(
            Check(
                "read-only",
                WARNING,
                f"The server is {what}: backups work, restores do not.",
                "Restore on the primary." if account.standby else "Set default_transaction_read_only off for the role.",
            )
        )
    return found


def restore_privileges(account: Account) -> list[Check]:
    """Examine whether the role could restore any database as a whole."""
    if account.superuser:
        return [Check("restore-privileges", OK, "The role may restore databases as a whole.")]
    role = quote_name(account.name)
    return [
        Check(
            "restore-privileges",
            WARNING,
            "The role is enough for backups; a restore of any database as a whole needs a superuser.",
            f"Before a restore: ALTER ROLE {role} SUPERUSER; and NOSUPERUSER afterwards.",
        )
    ]


def extensions(facts: InstanceFacts, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Examine whether a restore to this server could create the extensions again."""
    missing = {name for each in databases for name in each.extensions if name not in facts.available}
    other = {
        f"{name} {version} (would be {facts.available[name]})"
        for each in databases
        for name, version in each.extensions.items()
        if name in facts.available and facts.available[name] != version
    }
    found = []
    if missing:
        found.append(
            Check(
                "extensions",
                WARNING,
                f"The files of extensions are gone from this server, so that a restore could not create them:"
                f" {listed(missing)}.",
                "Install the packages that bring them (postgresql-contrib and the like).",
            )
        )
    if other:
        found.append(
            Check(
                "extensions",
                WARNING,
                f"A restore to this server would create other versions of extensions: {listed(other)}.",
                "ALTER EXTENSION … UPDATE, or keep the packages of these versions.",
            )
        )
    return found or [Check("extensions", OK, "All installed extensions could be created again.")]
