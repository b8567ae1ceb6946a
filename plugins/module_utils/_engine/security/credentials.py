# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The credentials file: user names and passwords of the instances, each sealed with the host's Fernet key."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..errors import CredentialsError
from ..utils.files import write_atomically
from .keys import MACHINE_ID_FILE, load_fernet, read_secret, secret_path

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SCHEMA_VERSION = 1
_SECRETS = ("username", "password")
_SET_AGAIN = "Set it again with the role vya.backupdb.credentials or the module vya.backupdb.backup_credentials."


@dataclass(frozen=True)
class Credential:
    """A user name and a password; neither shows in its representation.

    Attributes:
        id: The entry's name, as instances refer to it.
        username: The account.
        password: Its password.
    """

    id: str
    username: str = field(repr=False)
    password: str = field(repr=False)


class CredentialStore:
    """Reads and changes the credentials file."""

    def __init__(self, path: Path, fernet: Fernet) -> None:
        """Name the file; nothing is read before it is needed.

        Args:
            path: The file; need not exist.
            fernet: What opens and seals its secrets.
        """
        self.path = path
        self._fernet = fernet

    def __repr__(self) -> str:
        return f"CredentialStore({str(self.path)!r})"

    def ids(self) -> list[str]:
        """Return the names of all entries, sorted; a missing file has none.

        Raises:
            CredentialsError: The file cannot be used.
        """
        return sorted(self._entries(self._read()))

    def get(self, id: str) -> Credential:  # noqa: A002 - the file's own word
        """Return one entry, opened.

        Raises:
            CredentialsError: The file cannot be used, has no such entry, or the entry was sealed with another key.
        """
        entries = self._entries(self._read())
        if id not in entries:
            known = ", ".join(sorted(entries)) or "none"
            raise CredentialsError(
                f"There are no credentials {id!r} on this host.", f"Known: {known}. {_SET_AGAIN.replace(' again', '')}"
            )
        return self._opened(entries[id])

    def set(self, id: str, username: str, password: str, *, check: bool = False) -> bool:  # noqa: A002
        """Put an entry in, or give it another user name or password.

        Args:
            id: The entry's name.
            username: The account.
            password: Its password.
            check: Only tell whether something would change.

        Returns:
            Whether the entry was, or would be, changed.

        Raises:
            CredentialsError: The file cannot be used or written.
        """
        if not id or not id.isprintable():
            raise CredentialsError(f"{id!r} cannot name credentials.", "Use letters, digits and punctuation.")
        if any("\ud800" <= character <= "\udfff" for character in username + password):
            raise CredentialsError(f"The user name or password for {id!r} is not valid Unicode text.", "Use UTF-8.")
        wanted = Credential(id, username, password)
        with self._locked(check):
            document = self._read()
            entry = self._entries(document).get(id)
            if entry is not None and self._holds(entry, wanted):
                return False
            if not check:
                if entry is None:
                    entry = {"id": id}
                    document["databases"].append(entry)
                entry["username"] = self._sealed(username)
                entry["password"] = self._sealed(password)
                self._write(document)
        return True

    def remove(self, id: str, *, check: bool = False) -> bool:  # noqa: A002
        """Take an entry out.

        Args:
            id: The entry's name.
            check: Only tell whether something would change.

        Returns:
            Whether the entry was, or would be, taken out.

        Raises:
            CredentialsError: The file cannot be used or written.
        """
        with self._locked(check):
            document = self._read()
            if id not in self._entries(document):
                return False
            if not check:
                document["databases"] = [entry for entry in document["databases"] if entry["id"] != id]
                self._write(document)
        return True

    def _opened(self, entry: dict[str, Any]) -> Credential:
        from cryptography.fernet import InvalidToken

        try:
            username, password = (self._fernet.decrypt(entry[name].encode()).decode() for name in _SECRETS)
        except (InvalidToken, ValueError):
            raise CredentialsError(
                f"The credentials {entry['id']!r} in {self.path} do not open: they were encrypted for another host or "
                "with another host key, or the file is damaged.",
                _SET_AGAIN,
            ) from None
        return Credential(entry["id"], username, password)

    def _holds(self, entry: dict[str, Any], wanted: Credential) -> bool:
        try:
            return self._opened(entry) == wanted
        except CredentialsError:  # sealed with another key: whatever it holds, it is of no use here
            return False

    def _sealed(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def _read(self) -> dict[str, Any]:
        content = read_secret(self.path, "credentials file")
        if content is None:
            return {"schema_version": SCHEMA_VERSION, "databases": []}
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._damaged("it is not a JSON object")
        version = document.get("schema_version", SCHEMA_VERSION)
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise self._damaged("its schema_version is not a positive whole number")
        if version > SCHEMA_VERSION:
            raise CredentialsError(
                f"{self.path} has schema version {version}, but this engine knows versions up to {SCHEMA_VERSION}.",
                "It was written by a newer engine: upgrade this one by applying the role vya.backupdb.runtime.",
            )
        if not isinstance(document.get("databases"), list):
            raise self._damaged('it has no list "databases"')
        return document

    def _entries(self, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = {}
        for number, entry in enumerate(document["databases"], start=1):
            if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in ("id", *_SECRETS)):
                raise self._damaged(f"entry {number} has not the texts id, username and password")
            if entry["id"] in entries:
                raise self._damaged(f"it has two entries {entry['id']!r}")
            entries[entry["id"]] = entry
        return entries

    def _damaged(self, why: str) -> CredentialsError:
        return CredentialsError(
            f"The credentials file {self.path} cannot be used: {why}.",
            "Put it back from a copy, or delete it and apply the role vya.backupdb.credentials with all passwords.",
        )

    def _write(self, document: dict[str, Any]) -> None:
        text = json.dumps({**document, "schema_version": SCHEMA_VERSION}, indent=2) + "\n"
        try:
            write_atomically(self.path, text.encode(), 0o600)
        except OSError as exc:
            raise self._unwritable(exc) from None

    def _unwritable(self, exc: OSError) -> CredentialsError:
        return CredentialsError(
            f"The credentials file {self.path} cannot be written: {exc.strerror}.",
            "Run this as root, on a host that the role vya.backupdb.credentials has prepared.",
        )

    @contextmanager
    def _locked(self, check: bool) -> Iterator[None]:
        """Keep other writers out from reading to writing; their lock is the directory, so that no file is left."""
        if check:
            yield
            return
        try:
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise self._unwritable(exc) from None
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)


def open_store(config: Config, machine_id_file: Path = MACHINE_ID_FILE) -> CredentialStore:
    """Return the credentials of this host.

    Args:
        config: Names the credentials file, the key file and the host.
        machine_id_file: Where the machine's id is.

    Raises:
        CredentialsError: The host key cannot be used.
    """
    path = secret_path(config.credentials_file, "credentials.json")
    return CredentialStore(path, load_fernet(config, machine_id_file))
