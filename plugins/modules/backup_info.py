#!/usr/bin/python
# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_info
short_description: Tell which backups and databases a host has
version_added: 2.0.0
description:
  - Lists the artifacts on the host with what is proven of each.
  - Lists the instances, whether they can be reached, their databases, and those databases that have no backup.
options:
  database_id:
    description:
      - Only this instance; all instances if not given.
    type: str
  database:
    description:
      - Only this database of the instance O(database_id).
    type: str
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.engine
  - vya.backupdb.attributes.info_module
attributes:
  platform:
    support: full
seealso:
  - module: vya.backupdb.backup_hold
  - module: vya.backupdb.db_backup
  - module: vya.backupdb.db_restore
author:
  - Yves Marinho (!UNKNOWN)
"""

EXAMPLES = r"""
- name: See what there is
  vya.backupdb.backup_info:
  register: backups

- name: Insist on a backup of every database
  ansible.builtin.assert:
    that: backups.instances | map(attribute='databases_without_backup') | flatten | length == 0
"""

RETURN = r"""
instances:
  description: The instances of the host.
  returned: success
  type: list
  elements: dict
  contains:
    database_id:
      description: The instance.
      returned: always
      type: str
      sample: prod-mysql-01
    dbms:
      description:
        - V(mariadb), V(mysql) or V(postgresql).
      returned: always
      type: str
      sample: mariadb
    reachable:
      description: Whether the server let the backup account in.
      returned: always
      type: bool
    server:
      description: Product and version of the server, V(null) if it cannot be reached.
      returned: always
      type: str
      sample: MariaDB 11.8.3
    error:
      description: Why it cannot be reached, V(null) if it can.
      returned: always
      type: str
    databases:
      description: The databases in the instance, without those of the server itself.
      returned: always
      type: list
      elements: str
      sample: [shop, wiki]
    databases_without_backup:
      description: Those of RV(instances[].databases) that have no artifact.
      returned: always
      type: list
      elements: str
      sample: [wiki]
artifacts:
  description: The artifacts on the host that have a manifest.
  returned: success
  type: list
  elements: dict
  contains:
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
    artifact:
      description: Path of the artifact.
      returned: always
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz
    manifest:
      description: Path of its manifest.
      returned: always
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz.manifest.json
    created_at:
      description: When it was made.
      returned: always
      type: str
      sample: "2026-01-09T02:30:00Z"
    stored_bytes:
      description: Its size.
      returned: always
      type: int
      sample: 1048576
    plain_bytes:
      description: Size of the dump before it was compressed.
      returned: always
      type: int
      sample: 9437184
    duration:
      description: Seconds that the backup took.
      returned: always
      type: float
      sample: 2.5
    proof:
      description:
        - How much is known of it, V(sealed), V(checksum), V(verified) or V(restored).
      returned: always
      type: str
      sample: sealed
    encrypted:
      description: Whether it is encrypted.
      returned: always
      type: bool
    hold:
      description: Why somebody wants it kept; V(null) if there is no hold on it.
      returned: always
      type: str
      sample: before the migration
    damage:
      description: What a verification found wrong with it; V(null) if nothing.
      returned: always
      type: str
    sha256:
      description: Its checksum.
      returned: always
      type: str
    tool:
      description: The program that made the dump, with its version.
      returned: always
      type: str
      sample: mariadb-dump 11.8.3
    server:
      description: Product and version of the server that was dumped.
      returned: always
      type: str
      sample: MariaDB 11.8.3
    warnings:
      description: What deserved attention when it was made.
      returned: always
      type: list
      elements: str
error_kind:
  description: The kind of failure, a name that stays the same between versions.
  returned: on failure
  type: str
  sample: ConfigError
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vya.backupdb.plugins.module_utils._module.operations import info
from ansible_collections.vya.backupdb.plugins.module_utils._module.runner import run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_path": {"type": "path", "default": "/etc/vya-backupdb/config.yml"},
            "database_id": {"type": "str"},
            "database": {"type": "str"},
        },
        required_by={"database": "database_id"},
        supports_check_mode=True,
    )
    run(module, info)


if __name__ == "__main__":
    main()
