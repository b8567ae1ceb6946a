#!/usr/bin/python
# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_credentials
short_description: Manage the credentials that backups use
version_added: 2.0.0
description:
  - Puts entries into the host's credentials file, changes them, or takes them out.
  - User names and passwords are encrypted with a key that is bound to the host. A host
    that has no key yet gets one.
  - The accounts in the servers themselves are not touched.
  - The role P(vya.backupdb.credentials#role) uses this module.
options:
  name:
    description:
      - The entry, which is the instance's C(database_id) unless its configuration names another one.
    type: str
    required: true
    aliases: [database_id]
  username:
    description:
      - The account in the server.
      - Required if O(state=present).
    type: str
  password:
    description:
      - The account's password; empty for an account that has none.
      - Required if O(state=present).
      - Never returned. Keep it in a vault, and give it by a variable instead of on the command line.
    type: str
  state:
    description:
      - Whether the entry should be there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.engine
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    support: full
seealso:
  - module: vya.backupdb.backup_info
    description: Tells whether the credentials open the instance.
author:
  - Yves Marinho (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Store the account of an instance
  vya.backupdb.backup_credentials:
    name: prod-mysql-01
    username: backup
    password: "{{ vault_prod_mysql_01_password }}"

- name: Forget the account of an instance that is gone
  vya.backupdb.backup_credentials:
    name: prod-mysql-02
    state: absent
"""

RETURN = r"""
error_kind:
  description: The kind of failure, a name that stays the same between versions.
  returned: on failure
  type: str
  sample: CredentialsError
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vya.backupdb.plugins.module_utils._module.credentials import apply, take_secret
from ansible_collections.vya.backupdb.plugins.module_utils._module.runner import run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_path": {"type": "path", "default": "/etc/vya-backupdb/config.yml"},
            "name": {"type": "str", "required": True, "aliases": ["database_id"]},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ("username", "password"))],
        supports_check_mode=True,
    )
    password = take_secret(module, "password")
    run(module, lambda module: apply(module, password), secrets=[password] if password else [])


if __name__ == "__main__":
    main()
