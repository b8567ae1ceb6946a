# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What speaks against a backup of MySQL or MariaDB, judged from facts alone.

``failed`` is what makes a dump fail or not whole. What only a restore to the same server would meet is a warning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from . import mysql_privileges as privileges
from .base import Check, Client, Server
from .clients import known_options
from .compatibility import FAILED, OK, WARNING, client_login, client_present, listed, sandbox_comment
from .mysql_facts import Account, DatabaseFacts, InstanceFacts, Name
from .mysql_grants import quote_name
from .mysql_inspection import TRANSACTIONAL_ENGINES
from .mysql_privileges import EVERYWHERE, quote_account, quote_scope

_MEGABYTE = 1024 * 1024
_SMALL_PACKET = 16 * _MEGABYTE
# Clients older than these leave out without a word what such a server's tables may have.
_OLDEST_MARIADB_CLIENT = (10, 3)  # sequences, invisible columns, system versioning


def check_instance(facts: InstanceFacts, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Return everything that is examined of an instance and its databases, good or bad."""
    clients = facts.clients
    found = [*_server(facts), *client_present(clients)]
    if isinstance(clients.dumper, Client):
        found += client_age(facts.server, clients.dumper)
        found += client_options(facts.server, clients.dumper, databases)
        found += authentication_plugin(facts, clients.dumper)
    found += client_login(clients, facts.server)
    if isinstance(clients.dumper, Client) and isinstance(clients.loader, Client) and facts.server.flavour == "mariadb":
        found += sandbox_comment(clients.dumper.number, clients.loader, WARNING, f"What {clients.dumper.path} writes")
    found += dump_privileges(facts.server, facts.account, databases) or [
        Check("privileges", OK, "The account holds all that a whole dump needs.")
    ]
    found += [*log_position(facts), *restore_privileges(facts)]
    found += unreadable(facts.account, databases) or [Check("views", OK, "All views and tables can be opened.")]
    found += [*storage_engines(facts, databases), *definers(facts, databases), *_settings(facts, databases)]
    return found


def check_dump(
    server: Server, account: Account, dumper: Client | None, databases: Sequence[DatabaseFacts]
) -> list[Check]:
    """Return what foretells that dumps of these databases fail or are not whole."""
    age = client_age(server, dumper) if dumper else []
    return [*age, *dump_privileges(server, account, databases), *unreadable(account, databases)]


def _server(facts: InstanceFacts) -> list[Check]:
    found = [Check("server", OK, facts.server.description)]
    if facts.server.flavour != facts.configured:
        detail = f"It is configured as {facts.configured}, but it is {facts.server.description}."
        found.append(Check("dbms", WARNING, detail, f"Set dbms: {facts.server.flavour} for this instance."))
    return found


def client_age(server: Server, dumper: Client) -> list[Check]:
    """Examine whether the dump client is too old for the server."""
    if dumper.number[:2] >= server.number[:2]:
        return [Check("client-age", OK, "The client is not older than the server.")]
    if server.flavour == "mysql":
        too_old = dumper.number[0] < server.number[0]
    else:
        too_old = dumper.number < _OLDEST_MARIADB_CLIENT <= server.number
    status, meaning = (
        (FAILED, "it does not know all that this server's databases can hold, and would leave it out")
        if too_old
        else (WARNING, "what is new in the server's version may be missing from its dumps")
    )
    name = "mariadb-client" if server.flavour == "mariadb" else "mysql-client"
    return [
        Check(
            "client-age",
            status,
            f"{dumper.path} {dumper.version} is older than {server.description}: {meaning}.",
            f"Install {name} {server.number[0]}.{server.number[1] if len(server.number) > 1 else 0} or later.",
        )
    ]


def client_options(server: Server, dumper: Client, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Examine which options the dump client does not know, and what that costs."""
    if server.flavour == "mariadb":
        versioned = [f"{facts.name}.{table}" for facts in databases for table in facts.versioned]
        if versioned and not known_options(dumper, ["--dump-history"]):
            return [
                Check(
                    "client-options",
                    WARNING,
                    f"{dumper.path} {dumper.version} does not know --dump-history: the history of system-versioned"
                    f" tables will be missing ({listed(versioned)}).",
                    "Install mariadb-client 10.11 or later.",
                )
            ]
        return [Check("client-options", OK, "It knows all options that are used; PROCESS is not needed.")]
    wanted = ("--column-statistics", "--set-gtid-purged")
    without = set(wanted) - set(known_options(dumper, wanted))
    detail = f"{listed(without)} not known and not used" if without else "Without column statistics and GTIDs"
    return [Check("client-options", OK, f"{detail}; PROCESS is not needed.")]


def authentication_plugin(facts: InstanceFacts, dumper: Client) -> list[Check]:
    """Examine whether the client can log in by the account's authentication plugin."""
    plugin = (facts.plugins or {}).get(facts.account.name)
    if plugin is None:
        return []
    account = quote_account(facts.account.name)
    if plugin == "caching_sha2_password" and dumper.flavour == "mysql" and dumper.number < (5, 7, 23):
        return [
            Check(
                "authentication-plugin",
                FAILED,
                f"The account logs in by caching_sha2_password, which {dumper.path} {dumper.version} does not know.",
                "Install mysql-client 8.0 or later.",
            )
        ]
    if plugin == "mysql_native_password" and dumper.flavour == "mysql" and dumper.number >= (9,):
        return [
            Check(
                "authentication-plugin",
                WARNING,
                f"The account logs in by mysql_native_password, which is gone from servers since MySQL 9.0, and which"
                f" {dumper.path} {dumper.version} finds only in a plugin file beside it.",
                f"ALTER USER {account} IDENTIFIED WITH caching_sha2_password BY 'its password';",
            )
        ]
    return [Check("authentication-plugin", OK, f"{plugin}: the client knows it.")]


def dump_privileges(server: Server, account: Account, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Return the privileges that the account lacks for whole dumps of these databases, each with its GRANT."""
    grants = account.grants
    lacking: dict[str, list[privileges.Needed]] = defaultdict(list)
    for needed in privileges.DUMP:
        without = [
            facts.name
            for facts in databases or [DatabaseFacts(EVERYWHERE)]
            if (needed is not privileges.SHOW_VIEW or facts.views) and not grants.holds(needed.privilege, facts.name)
        ]
        # An account that was given single databases is not told to ask for all of them.
        everywhere = [name for name in without if not grants.narrowed_to(name)]
        for scope in [EVERYWHERE] if everywhere else without:
            lacking[scope].append(needed)
    if privileges.SELECT not in lacking[EVERYWHERE]:
        if not grants.holds("SELECT", "mysql"):
            lacking["mysql"].append(privileges.Needed("SELECT", privileges.GRANTS))
        readers = privileges.routine_privileges(server)
        if readers and not any(grants.holds(privilege) for privilege in readers):
            lacking[EVERYWHERE].append(privileges.Needed(readers[0], privileges.ROUTINES))
    found = [_lacking(account, scope, needed) for scope, needed in lacking.items() if needed]
    return [*found, *_uncallable(account, databases)]


def _lacking(account: Account, scope: str, lacking: Sequence[privileges.Needed]) -> Check:
    names = ", ".join(dict.fromkeys(needed.privilege for needed in lacking))
    meaning = "; ".join(dict.fromkeys(needed.without for needed in lacking))
    target = quote_scope(scope, account.grants.literal)
    hint = f"As an administrator: GRANT {names} ON {target} TO {quote_account(account.name)};"
    if account.grants.roles:
        hint += f" Or, if a role of it ({listed(account.grants.roles)}) holds that: make the role a default one."
    shown = "on all databases" if scope == EVERYWHERE else f"on {scope}"
    database = "" if scope in (EVERYWHERE, "mysql") else scope
    return Check("privileges", FAILED, f"The account lacks {names} {shown}: {meaning}.", hint, database)


def _uncallable(account: Account, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """The functions in views that the account may not execute."""
    missing: dict[Name, list[str]] = defaultdict(list)
    for facts in databases:
        for function in facts.functions:
            if not account.grants.holds("EXECUTE", *function, kind="FUNCTION"):
                missing[function].append(facts.name)
    if not missing:
        return []
    grants = " ".join(
        f"GRANT EXECUTE ON FUNCTION {quote_name(database)}.{quote_name(name)} TO {quote_account(account.name)};"
        for database, name in sorted(missing)
    )
    concerned = {name for names in missing.values() for name in names}
    return [
        Check(
            "privileges",
            FAILED,
            f"Views of {listed(concerned)} call functions that the account may not execute"
            f" ({listed(f'{database}.{name}' for database, name in missing)}): their dump ends with error 1370.",
            f"As an administrator: {grants}",
            concerned.pop() if len(concerned) == 1 else "",
        )
    ]


def log_position(facts: InstanceFacts) -> list[Check]:
    """Examine whether the position in the binary log can be read, for the manifest; MariaDB tells it to anyone."""
    if facts.variables.get("log_bin") != "ON":
        return []
    if facts.server.flavour == "mariadb" or any(
        facts.account.grants.holds(each) for each in ("REPLICATION CLIENT", "SUPER")
    ):
        return [Check("log-position", OK, "The position in the binary log can be read.")]
    return [
        Check(
            "log-position",
            WARNING,
            "The account lacks REPLICATION CLIENT: manifests will not say the position in the binary log.",
            f"As an administrator: GRANT REPLICATION CLIENT ON *.* TO {quote_account(facts.account.name)};",
        )
    ]


def restore_privileges(facts: InstanceFacts) -> list[Check]:
    """Examine whether the account could restore any database as a whole."""
    grants, account = facts.account.grants, quote_account(facts.account.name)
    missing = privileges.missing_on(grants, (*privileges.RESTORE, "GRANT OPTION"), EVERYWHERE)
    setters = privileges.definer_privileges(facts.server)
    missing += [] if any(grants.holds(each) for each in setters) else [setters[0]]
    if not missing:
        return [Check("restore-privileges", OK, "The account may restore databases as a whole.")]
    return [
        Check(
            "restore-privileges",
            WARNING,
            f"The account is enough for backups; a restore of any database as a whole needs also {', '.join(missing)}.",
            f"Before a restore: GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;",
        )
    ]


def unreadable(account: Account, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Return the views and tables that cannot be opened; the dump client ends at the first of them."""
    found = []
    for facts in databases:
        # Views that call what may not be executed cannot be opened either: the missing privilege is named instead.
        uncallable = bool(_uncallable(account, [facts]))
        names = [name for name in facts.unreadable if not (uncallable and name in facts.views)]
        if names:
            found.append(
                Check(
                    "views",
                    FAILED,
                    f"{facts.name} has views or tables that cannot be opened, so that its dump would end with an"
                    f" error: {listed(names)} ({facts.unreadable[min(names)]}).",
                    "Drop them, or restore what they refer to.",
                    facts.name,
                )
            )
    return found


def storage_engines(facts: InstanceFacts, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Examine the storage engines in use: whether they have transactions, and whether tables could be made again."""
    found = []
    used = {engine for each in databases for engine in each.engines}
    loose = {
        f"{each.name}.{table}"
        for each in databases
        for engine, tables in each.engines.items()
        if engine not in TRANSACTIONAL_ENGINES
        for table in tables
    }
    if loose:
        found.append(
            Check(
                "storage-engines",
                WARNING,
                f"Tables without transactions may be dumped with rows of different moments: {listed(loose)}.",
                "ALTER TABLE … ENGINE=InnoDB, or back up while nothing writes to them.",
            )
        )
    disabled = {name.strip().lower() for name in facts.variables.get("disabled_storage_engines", "").split(",")}
    gone = {engine for engine in used if engine not in facts.engines or engine.lower() in disabled}
    if gone:
        found.append(
            Check(
                "storage-engines",
                WARNING,
                f"A restore to this server could not make tables again whose storage engine is not available:"
                f" {listed(gone)}.",
                "Install or enable these storage engines before a restore.",
            )
        )
    return found or [Check("storage-engines", OK, listed(used) or "No tables.")]


def definers(facts: InstanceFacts, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Examine whether the accounts exist in whose names views, routines, triggers and events run."""
    if facts.plugins is None:
        return []
    missing = {name for each in databases for name in each.definers if not _exists(name, facts.plugins)}
    if not missing:
        return [Check("definers", OK, "All definers exist.")]
    return [
        Check(
            "definers",
            WARNING,
            f"Definers of views, routines, triggers or events do not exist: {listed(missing)}. They are dumped, but"
            " whoever uses them gets an error, now and after a restore.",
            "Create these accounts, or give the objects other definers.",
        )
    ]


def _exists(definer: str, accounts: Mapping[str, str]) -> bool:
    return definer in accounts or f"{definer}@" in accounts  # a role of MariaDB has no host


def _settings(facts: InstanceFacts, databases: Sequence[DatabaseFacts]) -> list[Check]:
    """Examine server settings that a restore to this server would meet."""
    variables, found = facts.variables, []
    if facts.read_only:
        detail = "The server is read-only: backups work, restores do not."
        found.append(Check("read-only", WARNING, detail, "Restore on the primary, or set read_only off."))
    packet = int(variables.get("max_allowed_packet", _SMALL_PACKET))
    binary, text = packet // 2 // _MEGABYTE, packet // _MEGABYTE
    detail = f"Rows of up to {binary} MiB of binary values or {text} MiB of text can be restored to this server."
    small = packet < _SMALL_PACKET
    hint = "Raise the server's max_allowed_packet (1 GiB at most)." if small else ""
    found.append(Check("max-allowed-packet", WARNING if small else OK, detail, hint))
    unkeyed = [f"{each.name}.{table}" for each in databases for table in each.unkeyed]
    if variables.get("sql_require_primary_key") == "ON" and unkeyed:
        found.append(
            Check(
                "primary-keys",
                WARNING,
                f"sql_require_primary_key is on: a restore to this server could not make {listed(unkeyed)} again.",
                "Give these tables primary keys, or set sql_require_primary_key off for a restore.",
            )
        )
    if variables.get("lower_case_table_names", "0") != "0":
        detail = "lower_case_table_names is on: names of tables come back in lower case."
        found.append(Check("lower-case-names", OK, detail))
    mode = variables.get("sql_mode", "")
    found.append(Check("sql-mode", OK, f"{mode.replace(',', ', ') or 'empty'}; dumps are loaded with a mode of theirs"))
    if variables.get("event_scheduler", "ON") != "ON":
        found.append(Check("event-scheduler", OK, "Off: events are backed up and restored, but do not run here."))
    return found
