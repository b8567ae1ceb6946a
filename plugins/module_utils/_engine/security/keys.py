# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host key, and the Fernet key made from it.

The host key is a file of random bytes that only root can read. The key that opens the credentials is derived from it
together with the machine's id and the host's name, so that a copy of the credentials opens nowhere else, not even with
a copy of the host key beside it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import CredentialsError
from ..utils.files import fsync_directory
from ..utils.third_party import require_dependencies

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY_BYTES = 32
NO_KEY = b"absent"  # what systemd hands to a service in the key's place where there is none
MACHINE_ID_FILE = Path("/etc/machine-id")
_PURPOSE = b"vya-backupdb credentials v1"
_PREPARE = "Apply the role vya.backupdb.credentials to this host."


def create_host_key(path: Path) -> bool:
    """Make the host key unless it is there; an existing file is never touched, however many do this at once.

    Args:
        path: The key file; its directory must exist.

    Returns:
        Whether the key was made.

    Raises:
        CredentialsError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        if os.path.lexists(path):
            return False
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            # Unlike a rename, a link refuses to replace a key that another process made meanwhile.
            os.link(temporary, path, follow_symlinks=False)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        fsync_directory(path.parent)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CredentialsError(f"The host key {path} cannot be written: {exc.strerror}.", _PREPARE) from None
    return True


def load_fernet(config: Config, machine_id_file: Path = MACHINE_ID_FILE) -> Fernet:
    """Return what opens and seals this host's credentials.

    Args:
        config: Names the key file and the host.
        machine_id_file: Where the machine's id is.

    Raises:
        CredentialsError: The host key or the machine id is missing, unreadable, damaged, or readable for others.
    """
    require_dependencies()
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    path = secret_path(config.key_file, "host.key")
    key = read_secret(path, "host key")
    if key is None or key == NO_KEY:
        raise CredentialsError(f"There is no host key at {config.key_file}.", _PREPARE)
    if len(key) != KEY_BYTES:
        raise CredentialsError(
            f"The host key {path} is damaged: it holds {len(key)} bytes instead of {KEY_BYTES}.",
            "Put it back from a copy, or delete it and apply the role vya.backupdb.credentials with all passwords.",
        )
    derivation = HKDF(SHA256(), 32, salt=_machine_id(machine_id_file), info=_PURPOSE + b"\0" + config.hostname.encode())
    return Fernet(base64.urlsafe_b64encode(derivation.derive(key)))


def secret_path(configured: Path, name: str) -> Path:
    """Return where to read a secret file: as a credential passed on by systemd if there is one, else as configured."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory:
        passed_on = Path(directory) / name
        if passed_on.exists():
            return passed_on
    return configured


def read_secret(path: Path, what: str) -> bytes | None:
    """Read a file that nobody but its owner may read.

    Files that systemd passed on are exempt from the check of their mode, since systemd grants access to them in its own
    way and protects the directory.

    Args:
        path: The file.
        what: What to call it in messages.

    Returns:
        The content, or None if there is no such file.

    Raises:
        CredentialsError: It cannot be read, is no regular file, or others may read or write it.
    """
    try:
        # Not blocking, so that a named pipe in the file's place is refused rather than waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _unreadable(path, what, exc) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CredentialsError(f"The {what} {path} is not a regular file.", "Remove it. " + _PREPARE)
        if not passed_on_by_systemd(path):
            _check_privacy(path, what, status)
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    except OSError as exc:
        raise _unreadable(path, what, exc) from None
    finally:
        os.close(descriptor)


def _check_privacy(path: Path, what: str, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise CredentialsError(
            f"The {what} {path} belongs to the user with the number {status.st_uid}, who could have exchanged it.",
            f"If it is genuine: chown root:root {path}",
        )
    refuse_open(path, what, status)


def refuse_open(path: Path, what: str, status: os.stat_result) -> None:
    """Refuse a file that others than its owner may read or write.

    Args:
        path: The file.
        what: What to call it in messages.
        status: What the system says of it.

    Raises:
        CredentialsError: They may.
    """
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o177:
        raise CredentialsError(
            f"The {what} {path} is open to other users (mode {mode:04o}) and is not used as it is.",
            f"Consider whether it has been read, then: chmod 0600 {path}",
        )


def passed_on_by_systemd(path: Path) -> bool:
    """Whether a file is one that systemd handed to this service."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and path.parent == Path(directory or "")


def _machine_id(path: Path) -> bytes:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if len(text) != 32:
        raise CredentialsError(
            f"This machine has no usable id in {path}, and the credentials are bound to it.",
            "Run systemd-machine-id-setup, then apply the role vya.backupdb.credentials.",
        )
    return text.encode()


def _unreadable(path: Path, what: str, exc: OSError) -> CredentialsError:
    return CredentialsError(
        f"The {what} {path} cannot be read: {exc.strerror}.",
        "Run this as root; the timers' services get it from systemd.",
    )
