# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose storage it is: two machines that call themselves alike must not take each other's artifacts for their own.

The machine that first seals an artifact below ``{root}/{hostname}`` leaves a file there that is bound to its machine
id. On any other machine nothing is made, removed or marked there; reading and restoring stay possible.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from pathlib import Path
from typing import Optional

from ..errors import StorageError
from ..utils.clock import Clock, to_text
from ..utils.files import make_directories, remove_left_over, write_atomically
from .storage import storage_error

FILE_NAME = ".vya-backupdb-owner.json"
MACHINE_ID_FILE = Path("/etc/machine-id")
_PURPOSE = b"vya-backupdb storage v1"


class Ownership:
    """The mark of a machine on the directory of a host."""

    def __init__(self, home: Path, hostname: str, clock: Clock, machine_id_file: Path = MACHINE_ID_FILE) -> None:
        """Name the directory; nothing is read yet.

        Args:
            home: The directory of the host's artifacts.
            hostname: The host's name, for the file and for messages.
            clock: What tells the time.
            machine_id_file: Where the machine's id is.
        """
        self.path = home / FILE_NAME
        self._hostname = hostname
        self._clock = clock
        self._machine_id_file = machine_id_file

    def refuse_others(self) -> None:
        """Refuse to go on where the storage is another machine's; one that is nobody's yet is fine.

        Raises:
            StorageError: It is another machine's, or that cannot be found out.
        """
        owner = self._owner()
        if owner is not None and not hmac.compare_digest(owner, self._machine()):
            raise StorageError(
                f"{self.path.parent} belongs to another machine that also calls itself {self._hostname!r}; nothing was"
                " changed there.",
                "Give one of them another name (hostname in its configuration). If this is the same host after it was"
                " installed anew or cloned: vya-backupdb adopt-storage",
            )

    def claim(self) -> None:
        """Make the storage this machine's, unless it is somebody's already.

        Raises:
            StorageError: It is another machine's, or the mark cannot be written.
        """
        if self._owner() is None:
            try:
                make_directories(self.path.parent)
                with contextlib.suppress(FileExistsError):  # another machine may have been quicker
                    write_atomically(self.path, self._content(), 0o640, replace=False)
            except OSError as exc:
                raise storage_error(exc, self.path) from None
        remove_left_over(self.path)
        self.refuse_others()

    def adopt(self, dry_run: bool = False) -> bool:
        """Make the storage this machine's, whoever's it was; return whether that changed anything.

        Args:
            dry_run: Only say whether it would.

        Raises:
            StorageError: There is no such storage, or the mark cannot be written.
        """
        if not self.path.parent.is_dir():
            raise StorageError(f"There is no storage {self.path.parent}.", "It is made by the first backup.")
        with contextlib.suppress(StorageError):  # a mark that cannot be read is replaced
            if self._owner() == self._machine():
                return False
        if dry_run:
            return True
        try:
            write_atomically(self.path, self._content(), 0o640)
        except OSError as exc:
            raise storage_error(exc, self.path) from None
        return True

    def _owner(self) -> Optional[str]:
        try:
            return str(json.loads(self.path.read_bytes())["machine"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise storage_error(exc, self.path) from None
        except (ValueError, KeyError, TypeError):
            raise StorageError(
                f"{self.path}, which says whose storage this is, is damaged; nothing was changed there.",
                "If it is this host's: vya-backupdb adopt-storage",
            ) from None

    def _machine(self) -> str:
        """Return what stands for this machine; its id itself is not meant to be shown around (machine-id(5))."""
        try:
            identity = self._machine_id_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            identity = ""
        if not identity:
            raise StorageError(
                f"{self._machine_id_file} cannot be read, so that nobody can tell whose storage this is.",
                "Make it with systemd-machine-id-setup.",
            )
        return hmac.new(identity.encode(), _PURPOSE, hashlib.sha256).hexdigest()

    def _content(self) -> bytes:
        document = {"hostname": self._hostname, "machine": self._machine(), "since": to_text(self._clock())}
        return json.dumps(document, indent=2).encode() + b"\n"
