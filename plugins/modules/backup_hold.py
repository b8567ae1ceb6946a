#!/usr/bin/python
# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_hold
short_description: Keep a backup from being removed
version_added: 2.0.0
description:
  - Puts a hold on an artifact, so that retention never removes it, or takes the hold off.
  - The hold is a file beside the artifact. It needs no database and goes wherever the artifact is copied with it.
options:
  artifact:
    description:
      - Path of the artifact, as M(vya.backupdb.backup_info) and M(vya.backupdb.db_backup) return it.
    type: path
    required: true
  state:
    description:
      - Whether there should be a hold on it.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description:
      - Why it is wanted, for those who wonder later. A hold that is there already keeps its reason if none is given.
    type: str
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
  - module: vya.backupdb.backup_retention
author:
  - Yves Marinho (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Back up before a migration
  vya.backupdb.db_backup:
    database_id: prod-mysql-01
    databases: [shop]
  register: before

- name: Keep that backup until the migration has proved itself
  vya.backupdb.backup_hold:
    artifact: "{{ before.results[0].artifact }}"
    reason: before the migration to version 9

- name: Let retention have it again
  vya.backupdb.backup_hold:
    artifact: "{{ before.results[0].artifact }}"
    state: absent
"""

RETURN = r"""
artifact:
  description: Path of the artifact.
  returned: success
  type: str
  sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz
hold:
  description: Why it is held; V(null) if there is no hold on it.
  returned: success
  type: str
  sample: before the migration to version 9
error_kind:
  description: The kind of failure, a name that stays the same between versions.
  returned: on failure
  type: str
  sample: ArtifactError
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vya.backupdb.plugins.module_utils._module.operations import hold
from ansible_collections.vya.backupdb.plugins.module_utils._module.runner import run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_path": {"type": "path", "default": "/etc/vya-backupdb/config.yml"},
            "artifact": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "reason": {"type": "str"},
        },
        supports_check_mode=True,
    )
    run(module, hold)


if __name__ == "__main__":
    main()
