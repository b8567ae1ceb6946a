# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The age identity (private key) that encrypted artifacts are read with, where there is one.

It is read while we are still root, so that its file may be root's alone, and kept in memory.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CredentialsError
from .keys import passed_on_by_systemd, refuse_open, secret_path

CREDENTIAL = "age-identity"  # its name where systemd passes it on
ABSENT = b"absent"  # what systemd hands to a service in its place where there is none
_LARGEST = 64 * 1024


@dataclass(frozen=True)
class AgeIdentity:
    """An age identity.

    Attributes:
        path: Where it was read.
        content: What the file holds.
    """

    path: Path
    content: bytes = field(repr=False)


def configured_identity(path: Path) -> AgeIdentity:
    """Read the identity that the configuration names, or what systemd passed on of it; raises as the next."""
    found = secret_path(path, CREDENTIAL)
    identity = read_identity(found)
    if identity.content == ABSENT:
        raise CredentialsError(f"There is no age identity {path}.", "See age_identity_file in the configuration.")
    return AgeIdentity(path, identity.content)


def read_identity(path: Path) -> AgeIdentity:
    """Read an identity from a file that nobody but its owner may read.

    Raises:
        CredentialsError: It is missing or cannot be read, is no regular file, or others may read it.
    """
    try:
        # Not blocking, so that a named pipe in the file's place is refused rather than waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CredentialsError(f"The age identity {path} is not a regular file.")
            if not passed_on_by_systemd(path):  # whose it is does not matter: an exchanged one decrypts nothing
                refuse_open(path, "age identity", status)
            return AgeIdentity(path, stream.read(_LARGEST))
    except FileNotFoundError:
        raise CredentialsError(f"There is no age identity {path}.", "Name the file that holds it.") from None
    except OSError as exc:
        raise CredentialsError(
            f"The age identity {path} cannot be read: {exc.strerror}.",
            "Run this as root, or as the user whom the file belongs to.",
        ) from None
