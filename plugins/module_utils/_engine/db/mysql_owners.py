# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other accounts in the statements of a dump of MySQL or MariaDB that name a definer, and in our grants after it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .mysql_grants import Account, quote_name, quote_text

_BEFORE = re.compile(rb"(?:\s+|(?:--(?=\s)|#)[^\n]*\n)*")
_NAME = rb"`((?:[^`]|``)*)`"
# Whatever the dump clients write between, in whichever of their comments, no name or text stands before the definer.
_DEFINER = re.compile(rb"(?:/\*M?!\d+ )?CREATE\b[^`'\"]{0,300}?\bDEFINER\s*=\s*(" + _NAME + rb"(?:@" + _NAME + rb")?)")
_BEGINNING = "SET @vya_grant = "


def with_definer(text: bytes, owners: Mapping[Account, Account]) -> bytes:
    """Return a statement of a dump, with what stands before it, in which the definer is another account.

    Args:
        text: The statement.
        owners: By what accounts are called in it, what they are to be called.
    """
    before = _BEFORE.match(text)
    found = _DEFINER.match(text, before.end() if before else 0)
    if found is None:
        return text
    user, host = (b"" if part is None else part.replace(b"``", b"`") for part in found.groups()[1:])
    new = owners.get((user.decode("utf-8", "surrogateescape"), host.decode("utf-8", "surrogateescape")))
    if new is None:
        return text
    written = quote_name(new[0]) + (f"@{quote_name(new[1])}" if new[1] else "")
    return text[: found.start(1)] + written.encode("utf-8") + text[found.end(1) :]


def with_grantees(text: str, owners: Mapping[Account, Account]) -> str:
    """Return what an artifact ends with, see :mod:`.mysql_grants`, in which accounts have other names."""
    statements = text.split(_BEGINNING)
    for number, statement in enumerate(statements):
        for old, new in owners.items():
            grant, condition, rest = statement.partition(_condition(old))
            head, found, tail = grant.rpartition(_grantee(old))
            if condition and found:
                statements[number] = f"{head}{_grantee(new)}{tail}{_condition(new)}{rest}"
                break
    return _BEGINNING.join(statements)


def _condition(account: Account) -> str:
    return f" FROM mysql.user WHERE User = {quote_text(account[0])} AND Host = {quote_text(account[1])});\n"


def _grantee(account: Account) -> str:
    user, host = account
    written = f"{quote_text(user)}@{quote_text(host)}" if host else quote_name(user)
    return quote_text(f" TO {written}")[1:-1]
