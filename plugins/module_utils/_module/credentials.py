# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The module ``backup_credentials``: entries of the host's credentials file, without ever showing one."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from .runner import Outcome


def take_secret(module: AnsibleModule, name: str) -> t.Optional[str]:
    """Take a secret argument out of everything that Ansible returns, and return it.

    Ansible masks a secret by its text wherever that occurs in a result. A password such as ``mysql`` or ``1`` would
    deface names, paths and messages that have nothing to do with it, and the holes would tell what it is. Nothing that
    the module returns is made from the secret, so nothing needs masking.
    """
    secret: t.Optional[str] = module.params[name]
    if secret:
        module.params[name] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
        module.no_log_values.discard(secret)
    return secret


def apply(module: AnsibleModule, password: t.Optional[str]) -> Outcome:
    """Bring one entry into the wanted state. Stays root, to whom the files belong."""
    from .._engine.config_file import load_config
    from .._engine.security.credentials import open_store
    from .._engine.security.keys import create_host_key

    params = module.params
    name, present = params["name"], params["state"] == "present"
    config = load_config(Path(params["config_path"]))
    if not present and not os.path.exists(config.credentials_file):
        return _outcome(before=False, after=False, changed=False)
    if present and not os.path.exists(config.key_file):
        if module.check_mode:
            return _outcome(before=False, after=True, changed=True)
        create_host_key(config.key_file)
    store = open_store(config)
    before = name in store.ids()
    if present:
        changed = store.set(name, params["username"], password or "", check=module.check_mode)
    else:
        changed = store.remove(name, check=module.check_mode)
    if changed and not module.check_mode:
        _put_on_record(module, config.state_directory, name, "credentials set" if present else "credentials removed")
    return _outcome(before, present, changed)


def _put_on_record(module: AnsibleModule, state_directory: Path, name: str, operation: str) -> None:
    """Add a line to the audit log; the credentials have been changed by now, so that a log out of order only warns."""
    from .._engine.errors import StorageError
    from .._engine.security.audit import AuditLog

    try:
        AuditLog(state_directory / "audit.log").note(operation=operation, database_id=name, result="success")
    except StorageError as exc:
        module.warn(str(exc))


def _outcome(before: bool, after: bool, changed: bool) -> Outcome:
    """The result and its diff: only whether the entry is there and as wanted, nothing of its content."""
    diff = {
        "before": {"present": before, "as_wanted": not changed},
        "after": {"present": after, "as_wanted": True},
    }
    return Outcome({"changed": changed}, diff)
