# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Accounts that a database's objects refer to: users and roles, which belong to the server and are in no dump of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ..errors import ServerError

PASSWORDS_NOT_KEPT = "Passwords are kept only where the artifact is encrypted."

_Key = TypeVar("_Key")
# Where servers and drivers quote the statement that they could not run: it may hold what stands for a password.
_QUOTATION = re.compile(r"\s*(?:near '|LINE \d+:).*", re.DOTALL)


@dataclass(frozen=True)
class Statement:
    """A statement of SQL without its semicolon, and the accounts that it is about."""

    accounts: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class Accounts:
    """The accounts of a database.

    Attributes:
        names: Who they are: roles of PostgreSQL, ``user@host`` of MySQL and MariaDB (``role@`` of MariaDB's roles).
        statements: What makes them, in their order.
        passwords: Whether their passwords, as the server stores them, are in these.
        reason: Why something of them is missing, a sentence; empty where nothing is.
    """

    names: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    passwords: bool = False
    reason: str = ""


def related(
    named: Collection[_Key], memberships: Iterable[tuple[_Key, _Key]], counted: Callable[[_Key, _Key], bool]
) -> set[_Key]:
    """Return those who are named, all that are members of them, and all that they are members of, at any remove.

    What else the members are members of is left out: it has nothing to do with what they were found by.

    Args:
        named: Accounts that objects refer to.
        memberships: Role and member.
        counted: Whether such a role brings such a member along.
    """
    edges = list(memberships)
    members = [edge for edge in edges if counted(*edge)]
    return _reached(named, members) | _reached(named, [(member, role) for role, member in edges])


def _reached(begin: Collection[_Key], edges: Collection[tuple[_Key, _Key]]) -> set[_Key]:
    found, new = set(begin), set(begin)
    while new:
        new = {target for source, target in edges if source in new} - found
        found |= new
    return found


@contextlib.contextmanager
def unquoted_errors(statement: Statement) -> Iterator[None]:
    """Say of a statement that fails what it is about, and nothing that the server quotes of it.

    Raises:
        ServerError: It has failed.
    """
    try:
        yield
    except ServerError as exc:
        reason = _QUOTATION.sub("", exc.message).rstrip(" .;:")
        names = ", ".join(statement.accounts)
        raise ServerError(f"The account {names} could not be made: {reason}.", exc.hint) from None
