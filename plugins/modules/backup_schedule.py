#!/usr/bin/python
# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_schedule
short_description: Manage the timers that run the backup policies
version_added: 2.0.0
description:
  - Writes a systemd service and a timer for each policy of the host's configuration that has a schedule, the same for
    the verification of a policy's backups if that has one, and for drills, and removes those that no longer do.
  - Starts the timers and lets them start with the host, and stops those that are removed.
  - The role P(vya.backupdb.schedule#role) uses this module.
options:
  state:
    description:
      - Whether the units should be there; V(absent) removes those of all policies.
    type: str
    choices: [present, absent]
    default: present
  enabled:
    description:
      - Whether systemd is told. If V(false), only the files are written and removed.
    type: bool
    default: true
  unit_directory:
    description:
      - Where the units are written.
    type: path
    default: /etc/systemd/system
  user:
    description:
      - The system user that the services run as.
    type: str
    default: vya-backupdb
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
  - module: vya.backupdb.db_backup
author:
  - Yves Marinho (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let the timers follow the configuration
  vya.backupdb.backup_schedule:

- name: Show what a change of the configuration means for the units
  vya.backupdb.backup_schedule:
  check_mode: true
  diff: true

- name: Stop all scheduled backups
  vya.backupdb.backup_schedule:
    state: absent
"""

RETURN = r"""
timers:
  description: The timers of all policies with a schedule.
  returned: success
  type: list
  elements: str
  sample: [vya-backupdb-backup-nightly.timer]
written:
  description: The unit files that were, or in check mode would be, written.
  returned: success
  type: list
  elements: str
  sample: [vya-backupdb-backup-nightly.service, vya-backupdb-backup-nightly.timer]
removed:
  description: The unit files that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
started:
  description: The timers that were, or in check mode would be, enabled and started.
  returned: success
  type: list
  elements: str
  sample: [vya-backupdb-backup-nightly.timer]
error_kind:
  description: The kind of failure, a name that stays the same between versions.
  returned: on failure
  type: str
  sample: ConfigError
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vya.backupdb.plugins.module_utils._module.runner import run
from ansible_collections.vya.backupdb.plugins.module_utils._module.schedule import apply


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_path": {"type": "path", "default": "/etc/vya-backupdb/config.yml"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "enabled": {"type": "bool", "default": True},
            "unit_directory": {"type": "path", "default": "/etc/systemd/system"},
            "user": {"type": "str", "default": "vya-backupdb"},
        },
        supports_check_mode=True,
    )
    run(module, apply)


if __name__ == "__main__":
    main()
