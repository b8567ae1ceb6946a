# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Giving up root: work goes on as the owner of the state directory, so that no backup belongs to root."""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from .. import errors
from ..errors import BackupDbError, StorageError

_PR_SET_PDEATHSIG = 1


def drop_to_owner(path: Path) -> None:
    """Become the owner of a path, for good. Does nothing unless we are root and the owner is somebody else.

    Files and descriptors that are open stay so; open what only root may read before.

    Raises:
        StorageError: The path does not exist, or the owner cannot be taken on.
    """
    owner = _owner(path)
    if owner is None:
        return
    uid, gid, name, home = owner
    try:
        if name:
            os.initgroups(name, gid)
        else:
            os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as exc:
        raise StorageError(
            f"The user {name or uid}, who owns {path}, cannot be taken on: {exc.strerror}.",
            "Run this as that user, or as root with the capabilities SETUID and SETGID.",
        ) from None
    os.environ["HOME"] = home
    if not os.access(".", os.X_OK):  # programs complain of a working directory that they cannot enter
        os.chdir("/")


def call_as_owner(path: Path, function: Callable[[], Any]) -> Any:
    """Call a function in a child process that has become the owner of a path; this process stays what it is.

    Args:
        path: Whose owner to become.
        function: What to call; what it returns must be plain JSON.

    Returns:
        What the function returned.

    Raises:
        BackupDbError: The function raised it (it keeps its class, message and hint), the child died, or the function
            met an error that nobody foresaw.
        StorageError: The path does not exist, or its owner cannot be taken on.
    """
    if _owner(path) is None:
        return json.loads(json.dumps(function()))
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(parent, writing, path, function)
    os.close(writing)
    with open(reading, "rb") as stream:
        answer = stream.read()
    status = os.waitpid(child, 0)[1]
    return _result(answer, os.waitstatus_to_exitcode(status))


def _owner(path: Path) -> tuple[int, int, str, str] | None:
    """Whom to become, as uid, gid, name and home; None if we are not root or root is the owner."""
    if os.geteuid() != 0:
        return None
    try:
        status = path.stat()
    except OSError as exc:
        raise StorageError(
            f"{path} cannot be examined: {exc.strerror}.", "Apply the role vya.backupdb.runtime to this host."
        ) from None
    if status.st_uid == 0:
        return None
    try:
        account = pwd.getpwuid(status.st_uid)
    except KeyError:
        return status.st_uid, status.st_gid, "", "/"
    return account.pw_uid, account.pw_gid, account.pw_name, account.pw_dir


def _work(parent: int, writing: int, path: Path, function: Callable[[], Any]) -> NoReturn:
    """The child's whole life. It never returns into the caller's code, which belongs to the parent."""
    try:
        try:
            drop_to_owner(path)
            # After the change of user, which clears it: end when the parent is ended.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)
            answer = {"result": function()}
            text = json.dumps(answer)
        except BaseException as exc:  # every end must be told to the parent, there is nobody above us
            text = json.dumps({"error": _told(exc)})
        with open(writing, "wb") as stream:
            stream.write(text.encode())
        os._exit(0)
    finally:
        os._exit(1)


def _told(exc: BaseException) -> dict[str, str]:
    """An exception in words. Of unforeseen ones the text stays out, since nobody knows what it quotes."""
    if isinstance(exc, BackupDbError):
        return {"class": type(exc).__name__, "message": exc.message, "hint": exc.hint}
    place = traceback.extract_tb(exc.__traceback__)[-1]
    return {
        "class": BackupDbError.__name__,
        "message": f"An error that was not foreseen ended the work: {type(exc).__name__} in {place.name}, "
        f"{Path(place.filename).name} line {place.lineno}.",
        "hint": "This is a defect of vya.backupdb; please report it.",
    }


def _result(answer: bytes, exit_code: int) -> Any:
    try:
        document = json.loads(answer)
    except ValueError:
        end = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with status {exit_code}"
        raise BackupDbError(
            f"The process that did the work {end} before it could report.",
            "See the system's journal, for example for a lack of memory, then try again.",
        ) from None
    if "error" in document:
        error = document["error"]
        raise getattr(errors, error["class"], BackupDbError)(error["message"], error["hint"])
    return document["result"]
