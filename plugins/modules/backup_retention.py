#!/usr/bin/python
# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_retention
short_description: Remove backups that the retention no longer keeps
version_added: 2.0.0
description:
  - Applies each policy's retention (days, weeks, months) to the artifacts of each database by itself.
  - Never removed are the newest artifact of a database that is not damaged, the one made last, artifacts under a hold
    (see M(vya.backupdb.backup_hold)), those that another one needs, those with a date in the future, and whatever is
    not recognised as an artifact of this host.
  - Nothing of a database is removed while its newest backup has failed, while a restore may have lost it, or while its
    newest artifact holds suspiciously less than those before it. RV(held) tells why.
options:
  database_id:
    description:
      - Only artifacts of this instance; of all instances if not given.
    type: str
  database:
    description:
      - Only artifacts of this database of the instance O(database_id).
    type: str
  accept:
    description:
      - Says that O(database) is meant to be as it is now, although it has become much smaller, or a restore of it ended
        in the middle. Retention then goes on. Look at the database first.
    type: bool
    default: false
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
  - module: vya.backupdb.backup_hold
  - module: vya.backupdb.backup_info
  - module: vya.backupdb.db_backup
author:
  - Yves Marinho (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Show what the retention would remove
  vya.backupdb.backup_retention:
  check_mode: true
  diff: true

- name: Remove what is no longer kept of one database
  vya.backupdb.backup_retention:
    database_id: prod-mysql-01
    database: shop

- name: Go on after most of a database has been moved elsewhere on purpose
  vya.backupdb.backup_retention:
    database_id: prod-mysql-01
    database: shop
    accept: true
"""

RETURN = r"""
kept:
  description: The artifacts that stay.
  returned: success
  type: list
  elements: dict
  contains: &artifact
    artifact:
      description: Path of the artifact.
      returned: always
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz
    database_id:
      description: The instance.
      returned: always
      type: str
      sample: prod-mysql-01
    database:
      description: The database.
      returned: always
      type: str
      sample: shop
    created_at:
      description: When the artifact was made.
      returned: always
      type: str
      sample: "2026-01-09T02:30:00Z"
    reasons:
      description: Why it stays or goes.
      returned: always
      type: list
      elements: str
      sample: [daily 2026-01-09, weekly 2026-W02]
removed:
  description: The artifacts that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: dict
  contains: *artifact
held:
  description: Databases of which nothing was removed although the retention would allow it.
  returned: success
  type: list
  elements: dict
  contains:
    database_id:
      description: The instance.
      returned: always
      type: str
    database:
      description: The database.
      returned: always
      type: str
    reason:
      description: Why nothing was removed.
      returned: always
      type: str
missing:
  description:
    - Paths of artifacts that are gone although this collection has not removed them; their manifests are still there.
  returned: success
  type: list
  elements: str
failed:
  description: Databases that retention could not work on. The module fails then.
  returned: always
  type: list
  elements: dict
  contains:
    database_id:
      description: The instance.
      returned: always
      type: str
    database:
      description: The database.
      returned: always
      type: str
    error:
      description: What stood against it.
      returned: always
      type: str
error_kind:
  description: The kind of failure, a name that stays the same between versions.
  returned: on failure
  type: str
  sample: StorageError
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vya.backupdb.plugins.module_utils._module.operations import retention
from ansible_collections.vya.backupdb.plugins.module_utils._module.runner import run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_path": {"type": "path", "default": "/etc/vya-backupdb/config.yml"},
            "database_id": {"type": "str"},
            "database": {"type": "str"},
            "accept": {"type": "bool", "default": False},
        },
        required_by={"database": "database_id"},
        required_if=[("accept", True, ("database",))],
        supports_check_mode=True,
    )
    run(module, retention)


if __name__ == "__main__":
    main()
