# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is at work: the person to name in records."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

LOGIN_UID_FILE = Path("/proc/self/loginuid")
_NO_LOGIN = 2**32 - 1


def acting_user(environment: Mapping[str, str] | None = None, login_uid_file: Path = LOGIN_UID_FILE) -> str:
    """Return the name of the person at work.

    That is who logged in, whatever sudo or su made of them since; the kernel keeps that number and does not let it be
    changed. Where nobody logged in (a timer) it is the user behind sudo, else the process's own user.

    Args:
        environment: The environment variables; the process's own unless given.
        login_uid_file: Where the kernel tells who logged in.
    """
    if environment is None:
        environment = os.environ
    try:
        uid = int(login_uid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        uid = _NO_LOGIN
    if uid == _NO_LOGIN:
        if environment.get("SUDO_USER"):
            return environment["SUDO_USER"]
        uid = os.getuid()
    return user_name(uid)


def user_name(uid: int) -> str:
    """Return the name of a user, or the number of one who has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
