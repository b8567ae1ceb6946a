#!/usr/bin/python
# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_backup
short_description: Back up databases now
version_added: 2.0.0
description:
  - Backs up databases of the host with the same engine that its timers run, so that locks, proofs and records are the
    same.
  - Several databases are backed up in parallel, up to the policy's limit. The failure of one does not stop the others.
    The module fails at the end if any database failed.
options:
  policy:
    description:
      - Name of the policy to run now, as its timer would do.
      - Exactly one of O(policy) and O(database_id) is required.
    type: str
  database_id:
    description:
      - The instance whose databases are backed up.
    type: str
  databases:
    description:
      - The databases of the instance O(database_id) that are backed up.
      - All databases of the instance if not given.
    type: list
    elements: str
  prune:
    description:
      - Whether artifacts that the retention no longer keeps are removed afterwards, of each database whose backup
        succeeded.
      - If not given, this is done when a policy is run, and not for databases chosen by O(database_id).
    type: bool
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
notes:
  - A backup takes as long as it takes. Use C(async) and C(poll) if the connection does not last as long.
seealso:
  - module: vya.backupdb.db_restore
  - module: vya.backupdb.backup_info
  - module: vya.backupdb.backup_retention
author:
  - Yves Marinho (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Back up what the nightly policy covers
  vya.backupdb.db_backup:
    policy: nightly

- name: Back up all databases of an instance
  vya.backupdb.db_backup:
    database_id: prod-mysql-01

- name: Back up a database before it is changed
  vya.backupdb.db_backup:
    database_id: prod-pg-01
    databases:
      - shop
  register: backup

- name: Show what the policy would back up
  vya.backupdb.db_backup:
    policy: nightly
  check_mode: true
  diff: true
"""

RETURN = r"""
results:
  description:
    - One entry for each database, whether it succeeded or not. Also returned when the module fails.
  returned: when the run has started
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
    outcome:
      description:
        - V(success), V(failed), or V(planned) in check mode.
      returned: always
      type: str
      sample: success
    artifact:
      description: Path of the stored backup, V(null) if there is none.
      returned: always
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz
    manifest:
      description: Path of the manifest beside the artifact, V(null) if there is none.
      returned: always
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz.manifest.json
    stored_bytes:
      description: Size of the artifact, V(null) if there is none.
      returned: always
      type: int
      sample: 1048576
    plain_bytes:
      description: Size of the dump before it was compressed, V(null) if there is none.
      returned: always
      type: int
      sample: 9437184
    duration:
      description: Seconds that it took.
      returned: always
      type: float
      sample: 2.5
    proof:
      description:
        - How much is known of the artifact, V(sealed), V(checksum), V(verified) or V(restored); V(null) if there is
          none.
      returned: always
      type: str
      sample: sealed
    error:
      description: What failed and what to do, V(null) if nothing did.
      returned: always
      type: str
    run_id:
      description: The run in the host's catalog, V(null) in check mode.
      returned: always
      type: str
    warnings:
      description: What deserves attention although the backup succeeded.
      returned: always
      type: list
      elements: str
removed:
  description:
    - Paths of the artifacts that were removed because the retention no longer keeps them. Not foreseen in check mode,
      see M(vya.backupdb.backup_retention).
  returned: when the run has started
  type: list
  elements: str
error_kind:
  description:
    - The kind of failure, a name that stays the same between versions; V(BackupFailed) if single databases failed.
  returned: on failure
  type: str
  sample: ServerError
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vya.backupdb.plugins.module_utils._module.operations import backup
from ansible_collections.vya.backupdb.plugins.module_utils._module.runner import run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_path": {"type": "path", "default": "/etc/vya-backupdb/config.yml"},
            "policy": {"type": "str"},
            "database_id": {"type": "str"},
            "databases": {"type": "list", "elements": "str"},
            "prune": {"type": "bool"},
        },
        mutually_exclusive=[("policy", "database_id"), ("policy", "databases")],
        required_one_of=[("policy", "database_id")],
        required_by={"databases": "database_id"},
        supports_check_mode=True,
    )
    run(module, backup)


if __name__ == "__main__":
    main()
