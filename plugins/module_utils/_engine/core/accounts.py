# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The accounts of an artifact: how they stand in its manifest, and how a restore makes those that a server lacks.

They stand there as SQL, encrypted where the artifact is; only then are passwords in it, as the server stores them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Optional

from ..config import Encryption
from ..db.accounts import Accounts, Statement
from ..db.base import Dbms
from ..errors import ArtifactError, BackupDbError, ConfigError, DamageError, RestoreError, ServerError, with_state
from ..utils.processes import ProcessTable
from .encryption import Decryption, Decryptor, Encryptor, HashedFile
from .manifest import Manifest
from .recovery import ACCOUNTS

NONE, MISSING = "none", "missing"
_END = ";\n"
# age's own armor (https://age-encryption.org/v1), which the standard tool reads as it is.
_ARMOR = ("-----BEGIN AGE ENCRYPTED FILE-----\n", "\n-----END AGE ENCRYPTED FILE-----\n")
_ARMOR_COLUMNS = 64
_PIECE = 65536


def read_accounts(
    dbms: Dbms,
    database: str,
    settings: Mapping[str, Any],
    encryption: Optional[Encryption],
    processes: ProcessTable,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what the manifest of a new artifact says of accounts, and warnings.

    No backup is given up because the account that makes it may not read others.

    Args:
        dbms: The server.
        database: The database.
        settings: What was found of it.
        encryption: Of the artifact.
        processes: What starts and ends children.

    Raises:
        DumpError: They could not be encrypted.
        ClientError: age is not installed.
    """
    warnings: tuple[str, ...] = ()
    try:
        found = dbms.accounts(database, settings, passwords=encryption is not None)
        if encryption is not None and found.reason:
            warnings = (found.reason,)
    except ServerError as exc:
        found = Accounts(reason=f"The accounts are missing, as the server did not say who they are: {exc.message}")
        warnings = (found.reason,)
    text = "".join(each.sql + _END for each in found.statements)
    encrypted = _encrypted(text, encryption, processes) if encryption is not None and text else None
    document = {
        "names": list(found.names),
        "passwords": found.passwords,
        "reason": found.reason or None,
        "statements": [
            {"accounts": list(each.accounts), "length": len((each.sql + _END).encode())} for each in found.statements
        ],
        "sql": text if encryption is None else None,
        "encrypted": encrypted,
    }
    return document, warnings


def _encrypted(text: str, encryption: Encryption, processes: ProcessTable) -> str:
    output = bytearray()
    with Encryptor(processes, encryption.recipients, output.extend) as encryptor:
        encryptor.write(text.encode())
        encryptor.finish()
    lines = textwrap.wrap(base64.b64encode(output).decode("ascii"), _ARMOR_COLUMNS)
    return "\n".join(lines).join(_ARMOR)


def names_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the accounts that could be made from an artifact; none of those that earlier engines made."""
    return tuple((manifest.accounts or {}).get("names", ()))


def statements_of(manifest: Manifest, decryption: Decryption) -> list[Statement]:
    """Return what makes the accounts of an artifact, in its order.

    Args:
        manifest: Of the artifact.
        decryption: What to decrypt them with, where they are encrypted.

    Raises:
        DamageError: They are not what the manifest says.
        CredentialsError: They cannot be decrypted.
        ArtifactError: Likewise.
        ClientError: age is not installed.
    """
    document = manifest.accounts or {}
    what = f"What makes the accounts of the artifact {manifest.artifact}"
    text = str(document.get("sql") or "").encode()
    if document.get("encrypted"):
        text = _decrypted(str(document["encrypted"]), decryption, what)
    found, position = [], 0
    for each in document.get("statements", ()):
        piece = text[position : position + each["length"]]
        position += each["length"]
        found.append(Statement(tuple(each["accounts"]), piece.decode("utf-8", "replace").removesuffix(_END)))
    if position != len(text):
        raise DamageError(f"{what} is not as long as its manifest says.", "Use another artifact.")
    return found


def _decrypted(armored: str, decryption: Decryption, what: str) -> bytes:
    try:
        content = base64.b64decode(armored.removeprefix(_ARMOR[0]).removesuffix(_ARMOR[1]))
    except ValueError:
        raise DamageError(f"{what} is damaged.", "Use another artifact.") from None
    with open(os.memfd_create("accounts"), "w+b") as file:
        file.write(content)
        file.seek(0)
        stored = HashedFile(file.fileno())
        with Decryptor(decryption, stored, hashlib.sha256(content).hexdigest(), what) as opened:
            return b"".join(iter(lambda: opened.read(_PIECE), b""))


def lacking(
    dbms: Dbms, manifest: Manifest, choice: str, replaced: Collection[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which accounts of an artifact a restore makes, and in warnings which it leaves out.

    Args:
        dbms: The server.
        manifest: Of the artifact.
        choice: ``missing`` or ``none``.
        replaced: Those of them that others take the place of.

    Raises:
        ConfigError: There is no such choice.
        ArtifactError: The artifact has none.
        ServerError: The server does not say which accounts there are.
    """
    if choice not in (NONE, MISSING):
        raise ConfigError(f"Of accounts, {choice!r} cannot be restored.", "Choose missing or none.")
    names, reason = names_of(manifest), (manifest.accounts or {}).get("reason")
    if choice == MISSING and not names and (manifest.accounts is None or reason):
        raise ArtifactError(
            f"The artifact {manifest.artifact} has no accounts: {reason or 'an earlier engine made it.'}",
            "Make the accounts by hand, and restore without them.",
        )
    if not names:
        return (), ()
    try:
        there = dbms.existing_accounts()
    except ServerError:
        if choice == MISSING:
            raise
        return (), ()
    missing = tuple(name for name in names if name not in {*there, *replaced})
    if choice == MISSING or not missing:
        return missing, ()
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return (), (
        (
            f"The server lacks accounts that belong to the artifact: {', '.join(missing[:5])}{more}. They are not made,"
            " and what was granted to them is left out; --accounts missing (accounts: missing) makes them."
        ),
    )


class NewAccounts:
    """The accounts that a restore makes."""

    def __init__(self, dbms: Dbms, manifest: Manifest, names: tuple[str, ...], decryption: Decryption) -> None:
        """Take what to make; nothing is made yet.

        Args:
            dbms: The server.
            manifest: Of the artifact.
            names: Which of its accounts.
            decryption: What to decrypt them with, where they are encrypted.
        """
        self._dbms = dbms
        self._manifest = manifest
        self._names = names
        self._decryption = decryption

    @contextlib.contextmanager
    def there(self, leave: Callable[[Mapping[str, str]], None]) -> Iterator[None]:
        """Make the accounts, and drop them again if what is done within the context fails.

        Args:
            leave: Puts on record what would be left if this process died.

        Raises:
            RestoreError: They could not be made; nothing was changed.
        """
        if not self._names:
            yield
            return
        made = set(self._names)
        statements = [each for each in statements_of(self._manifest, self._decryption) if made & set(each.accounts)]
        leave({ACCOUNTS: ", ".join(self._names)})
        try:
            self._dbms.make_accounts(statements)
        except ServerError as exc:
            raise RestoreError(f"{exc.message} Nothing was changed. {self._dropped()}".strip(), exc.hint) from None
        try:
            yield
        except BaseException as exc:
            raise with_state(exc, self._dropped()) from None

    def _dropped(self) -> str:
        """Drop them, and say in a sentence what became of them."""
        names = ", ".join(self._names)
        try:
            self._dbms.drop_accounts(self._names)
        except BackupDbError as exc:
            return f"Accounts that were made for it may still be there ({names}): {exc.message}"
        return f"The accounts that were made for it were dropped again: {names}."
