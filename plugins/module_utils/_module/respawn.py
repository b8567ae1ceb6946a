# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""From the host's own Python to the one that the engine's libraries are installed for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import stat
import sys
from pathlib import PurePath

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.respawn import has_respawned, respawn_module

ENGINE_PYTHON = "/opt/vya-backupdb/venv/bin/python"
ROLE = "vya.backupdb.runtime"
OLDEST_PYTHON = (3, 11)

# What the engine cannot do without, and from which major version on: distributions often carry an older one.
LIBRARIES = {
    "cryptography": 0,
    "isal": 0,
    "prometheus_client": 0,
    "psycopg": 3,
    "pydantic": 2,
    "pymysql": 1,
    "sqlalchemy": 2,
    "yaml": 0,
}

# respawn_module() writes the arguments into a pipe that nobody reads yet: more than it holds would hang for ever.
_LARGEST_ARGUMENTS = 60000


def ensure_engine(module: AnsibleModule) -> None:
    """Return when this Python can run the engine; otherwise start the module again in the Python that can.

    Ends the module with a failure if there is no such Python. Nothing of the engine may be imported before this call.
    """
    missing = missing_libraries()
    if not missing:
        return
    if has_respawned():
        why = f"It is installed in {ENGINE_PYTHON}, but not as this version of the collection needs it."
    else:
        why = untrusted(ENGINE_PYTHON)
        if not why:
            _respawn(module)
    lacking = missing_required_lib(", ".join(missing), reason=f"by the backup engine, which the role {ROLE} installs")
    module.fail_json(
        msg=f"The backup engine cannot run on this host: apply the role {ROLE}. {why} {lacking}",
        error_kind="EngineMissing",
    )


def missing_libraries() -> list[str]:
    """Return what this Python lacks to run the engine: names of libraries, or Python itself in a later version."""
    if sys.version_info < OLDEST_PYTHON:
        return [f"Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later"]
    return [name for name, major in LIBRARIES.items() if not _has(name, major)]


def _has(name: str, major: int) -> bool:
    if importlib.util.find_spec(name) is None:
        return False
    if not major:
        return True
    try:
        return int(importlib.metadata.version(name).split(".")[0]) >= major
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False


def untrusted(python: str) -> str:
    """Say in a sentence why that Python must not be run as root; the empty string if nothing speaks against it.

    Whoever can replace it, or a directory on the way to it, could run anything as root.
    """
    for start in (python, os.path.realpath(python)):
        for path in (start, *(str(parent) for parent in PurePath(start).parents)):
            try:
                statuses = (os.lstat(path), os.stat(path))  # a link's own, and that of what it leads to
            except OSError as exc:
                return f"{path} cannot be used: {exc.strerror}."
            if any(_changeable(status) for status in statuses):
                return f"{path} does not belong to root, or others can write to it, so {python} is not used."
    return ""


def _changeable(status: os.stat_result) -> bool:
    """Whether anyone but root can change it; the permission bits of a link mean nothing."""
    return status.st_uid != 0 or (not stat.S_ISLNK(status.st_mode) and bool(status.st_mode & 0o022))


def _respawn(module: AnsibleModule) -> None:
    if len(repr(json.dumps(module.params))) > _LARGEST_ARGUMENTS:
        module.fail_json(msg="The arguments are too long for a module; name fewer databases.", error_kind="ConfigError")
    respawn_module(ENGINE_PYTHON)
