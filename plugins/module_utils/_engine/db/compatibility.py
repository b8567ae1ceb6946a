# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What has to fit together, whatever the make: servers, clients, artifacts. Pure functions over facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import ClientError
from .base import Check, Client, Origin, Server, version_number

OK, WARNING, FAILED = "ok", "warning", "failed"
_NAMED = 5  # how many names a sentence spells out

# The release of each series that was the first with it; all later series have it from their beginning.
_SANDBOX_COMMENT: dict[tuple[int, ...], int] = {
    (10, 5): 25,
    (10, 6): 18,
    (10, 11): 8,
    (11, 0): 6,
    (11, 1): 5,
    (11, 2): 4,
    (11, 4): 2,
}
_RESTRICT_LINES: dict[tuple[int, ...], int] = {(13,): 22, (14,): 19, (15,): 14, (16,): 10, (17,): 6}
_TRANSACTION_TIMEOUT = 17


@dataclass(frozen=True)
class Clients:
    """What of the vendor's clients there is for one server, or why there is none.

    Attributes:
        dumper: The client that dumps, or the error that says why there is none.
        loader: The client that loads, likewise.
        login_error: What the client said when it was made to log in, without secrets; empty if it could, None if it
            was not tried.
    """

    dumper: Client | ClientError
    loader: Client | ClientError
    login_error: str | None = None


def listed(names: Iterable[str]) -> str:
    """Return names for a sentence, the first few in full."""
    ordered = sorted(set(names))
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


def _since(number: tuple[int, ...], first: Mapping[tuple[int, ...], int]) -> bool:
    """Whether a release has what each of these series got in one of its releases."""
    for series, release in first.items():
        if number[: len(series)] == series:
            return number[len(series) :] >= (release,)
    return number > max(first)


def knows_sandbox_comment(number: tuple[int, ...]) -> bool:
    """Whether MariaDB's clients of this version begin a dump with the comment of the sandbox mode, and can read it."""
    return _since(number, _SANDBOX_COMMENT)


def knows_restrict_lines(number: tuple[int, ...]) -> bool:
    r"""Whether PostgreSQL's clients of this version write ``\restrict`` into a dump, and can read it."""
    return _since(number, _RESTRICT_LINES)


def client_present(clients: Clients) -> list[Check]:
    """Examine whether there are clients to dump and to load that a server of this make and version needs."""
    found = []
    for client, status, what in ((clients.dumper, FAILED, ""), (clients.loader, WARNING, " Only restores need it.")):
        if isinstance(client, ClientError):
            found.append(Check(client.check, status, client.message + what, client.hint))
    present = [f"{c.path} {c.version}" for c in (clients.dumper, clients.loader) if isinstance(c, Client)]
    return [*found, Check("client-present", OK, ", ".join(present))] if present else found


def client_login(clients: Clients, server: Server) -> list[Check]:
    """Examine whether the client logs in as the engine does."""
    if clients.login_error is None:
        return []
    if not clients.login_error:
        return [Check("client-login", OK, "The client can log in.")]
    return [
        Check(
            "client-login",
            FAILED,
            f"The vendor's client cannot log in to {server.description} although the engine can:"
            f" {clients.login_error.rstrip('.')}.",
            "Install the client of the server's version with its plugins, or let the account log in another way.",
        )
    ]


def sandbox_comment(written_by: tuple[int, ...], loader: Client, status: str, what: str) -> list[Check]:
    """Examine whether a dump by a MariaDB client of one version can be loaded by another."""
    if knows_sandbox_comment(written_by) and not knows_sandbox_comment(loader.number):
        return [
            Check(
                "sandbox-comment",
                status,
                f"{what} begins with a comment of MariaDB's sandbox mode, which {loader.path} {loader.version} cannot"
                " read: a load would end at its first line.",
                "Install a mariadb-client of 10.5.25, 10.6.18, 10.11.8, 11.4.2 or later.",
            )
        ]
    return [Check("sandbox-comment", OK, "What the dump client writes, the loading client reads.")]


def restrict_lines(written_by: tuple[int, ...], loader: Client, status: str, what: str) -> list[Check]:
    r"""Examine whether a dump by ``pg_dump`` of one version can be loaded by ``psql`` of another."""
    if knows_restrict_lines(written_by) and not knows_restrict_lines(loader.number):
        return [
            Check(
                "restrict-lines",
                status,
                f"{what} has \\restrict lines, which {loader.path} {loader.version} cannot read: a load would end at"
                " the first of them.",
                "Upgrade postgresql-client to 13.22, 14.19, 15.14, 16.10, 17.6 or later.",
            )
        ]
    return [Check("restrict-lines", OK, "What pg_dump writes, psql reads.")]


def dump_settings(written_by: tuple[int, ...], server: Server, status: str, what: str) -> list[Check]:
    """Examine whether a dump by ``pg_dump`` sets what the server that is to take it does not know."""
    if written_by >= (_TRANSACTION_TIMEOUT,) and server.number < (_TRANSACTION_TIMEOUT,):
        return [
            Check(
                "dump-settings",
                status,
                f"{what} sets transaction_timeout, as pg_dump does since PostgreSQL 17; {server.description} does not"
                " know it and would refuse the load.",
                f"Install the package postgresql-client-{server.number[0]} for dumps of this server, or restore into"
                " PostgreSQL 17 or later.",
            )
        ]
    return [Check("dump-settings", OK, "The server knows all that pg_dump sets.")]


def same_make_and_no_newer(origin: Origin, server: Server) -> list[Check]:
    """Examine whether an artifact's server was of this one's make and no newer; only what speaks against it."""
    if origin.dbms["flavour"] != server.flavour:
        return [
            Check(
                "make",
                FAILED,
                f"The artifact is from {origin.dbms['description']}, this server is {server.description}.",
                "Restore it into a server of the same make.",
            )
        ]
    parts = 1 if server.flavour == "postgresql" else 2
    if version_number(origin.dbms["version"])[:parts] > server.number[:parts]:
        return [
            Check(
                "version",
                FAILED,
                f"The artifact is from {origin.dbms['description']}, newer than this server ({server.description}).",
                "Restore it into a server of the same or a newer version.",
            )
        ]
    return []
