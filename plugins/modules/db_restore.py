#!/usr/bin/python
# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_restore
short_description: Restore a database
version_added: 2.0.0
description:
  - Restores one database of the host from an artifact, the newest one unless O(artifact) or O(before) says otherwise.
  - The artifact is read as a whole and checked before anything in the server is touched.
  - An existing database is replaced only with O(overwrite=true).
options:
  database_id:
    description:
      - The instance that the database belongs to, and into which it is restored.
    type: str
    required: true
  database:
    description:
      - The database whose backup is restored.
    type: str
    required: true
  artifact:
    description:
      - Path of the artifact to restore.
    type: path
  before:
    description:
      - Restores the newest artifact that was made at or before this moment, given in ISO 8601.
      - Without an offset the moment is in the host's time zone.
    type: str
  target:
    description:
      - Name that the database gets, if not its own.
    type: str
  overwrite:
    description:
      - Whether a database of that name may be replaced.
    type: bool
    default: false
  jobs:
    description:
      - How many clients load rows at a time, also of one large table.
      - When it is left out, the policy of the database says so, in C(limits.jobs), and the default is 2.
      - With V(1) one client loads the artifact from its beginning to its end.
    type: int
  tables:
    description:
      - Restores these tables only, with their rows, keys, indexes, triggers and grants on them.
      - They are named as C(vya-backupdb show) lists them, those of PostgreSQL with their schema, for example
        V(public.item).
      - They are restored into a database of their own, which must not exist yet. O(target) must name it, and
        O(overwrite) must be V(false). What is needed can be copied from there. Only O(content=data) adds their rows to
        tables that are there.
      - Of PostgreSQL, their partitions and sequences come along, and those types, functions and extensions that need no
        other table. Foreign keys to other tables are left out there. In MySQL and MariaDB they are part of the
        definition of the table and stay.
      - What was not restored is told in warnings.
    type: list
    elements: str
    default: []
  content:
    description:
      - V(all) restores definitions and rows.
      - V(schema) restores definitions without rows, of the whole database or of O(tables), as the vendors' clients dump
        them with C(--schema-only) or C(--no-data). It needs an O(target) that does not exist yet, too.
      - V(data) restores rows without definitions, of all tables or of O(tables). They are added to tables of O(target),
        or of the database itself, that are there, have the same columns, and are empty. Either all rows are added, in
        one transaction, or none. They are first loaded into a database beside, which needs as much room again.
      - With V(data), triggers do not act in PostgreSQL. In MySQL and MariaDB, tables with triggers for C(INSERT) are
        refused, as are those of engines without transactions. Automatic numbers and the sequences of PostgreSQL go on
        where they stood.
    type: str
    choices: [all, schema, data]
    default: all
  accounts:
    description:
      - Whether accounts are made that belong to the artifact and that the server lacks.
      - V(missing) makes those that own objects of the database, define them or have privileges on them, with the roles
        that belong to them. They are as they were, with their passwords, if the artifact is encrypted. Otherwise they
        have no password, and those of MySQL and MariaDB are locked. Accounts that exist are left as they are.
      - V(none) makes none. What was granted to accounts that do not exist is left out then, and PostgreSQL refuses an
        artifact with objects of roles that do not exist.
    type: str
    choices: [missing, none]
    default: none
  owners:
    description:
      - Accounts of the artifact, and by which others they are replaced, as owners of objects, as DEFINERs, and in what
        is granted on the database and its objects.
      - They are named as in the manifest, C(user@host) of MySQL and MariaDB. The new ones must exist, or be made by
        O(accounts=missing).
      - Artifacts that are directories, and parts (O(tables), O(content)), cannot be restored with other owners.
    type: dict
  identity_file:
    description:
      - File on the host with the age identity (private key) that decrypts an encrypted artifact. By default it is the
        one that the host's configuration names in C(age_identity_file), if any.
      - Nobody but its owner may have access to it. It is read as root.
      - An existing database of MySQL or MariaDB whose policy has encryption is replaced only if this identity also
        decrypts what the policy encrypts, since its state is saved in that way first.
    type: path
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
  - The module is not idempotent, because it does not compare contents. Every successful run changes the server.
seealso:
  - module: vya.backupdb.db_backup
  - module: vya.backupdb.backup_info
author:
  - Yves Marinho (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Bring back a database that was dropped
  vya.backupdb.db_restore:
    database_id: prod-mysql-01
    database: shop

- name: Look at last week's state beside the present one
  vya.backupdb.db_restore:
    database_id: prod-pg-01
    database: shop
    before: "2026-01-09T02:00:00Z"
    target: shop_last_week

- name: Go back to a certain artifact
  vya.backupdb.db_restore:
    database_id: prod-mysql-01
    database: shop
    artifact: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz
    overwrite: true

- name: Get back two tables that were emptied by mistake, beside the database that goes on
  vya.backupdb.db_restore:
    database_id: prod-pg-01
    database: shop
    before: "2026-01-09T02:00:00Z"
    target: shop_rescue
    tables:
      - public.item
      - public.price

- name: Make an empty database with the same definitions
  vya.backupdb.db_restore:
    database_id: prod-mysql-01
    database: shop
    target: shop_empty
    content: schema

- name: Fill the tables that a migration has just made
  vya.backupdb.db_restore:
    database_id: prod-pg-01
    database: shop
    target: shop_new
    content: data

- name: Restore from an encrypted artifact, with an identity that was put on the host for this
  vya.backupdb.db_restore:
    database_id: prod-mysql-01
    database: crm
    target: crm_restored
    identity_file: /root/backup-identity.txt

- name: Restore a copy for tests, in which another role owns what the application owns
  vya.backupdb.db_restore:
    database_id: test-pg-01
    database: shop
    artifact: /srv/copies/shop_20260109_023000.sql.gz
    target: shop_test
    owners:
      app: app_test

- name: Bring a database to a new server, with the accounts that belong to it
  vya.backupdb.db_restore:
    database_id: prod-pg-01
    database: shop
    artifact: /srv/copies/shop_20260109_023000.sql.gz.age
    accounts: missing
    identity_file: /root/backup-identity.txt
"""

RETURN = r"""
database_id:
  description: The instance.
  returned: success
  type: str
  sample: prod-mysql-01
database:
  description: The database whose backup was restored.
  returned: success
  type: str
  sample: shop
target:
  description: The database that was, or in check mode would be, written.
  returned: success
  type: str
  sample: shop
artifact:
  description: Path of the artifact.
  returned: success
  type: str
  sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_023000.sql.gz
created_at:
  description: When the artifact was made.
  returned: success
  type: str
  sample: "2026-01-09T02:30:00Z"
outcome:
  description:
    - V(success), or V(planned) in check mode.
  returned: success
  type: str
  sample: success
duration:
  description: Seconds that it took.
  returned: success
  type: float
  sample: 4.2
overwritten:
  description: Whether a database of that name was, or in check mode would be, replaced.
  returned: success
  type: bool
tables:
  description: The tables that were asked for; empty if all were.
  returned: success
  type: list
  elements: str
content:
  description: What was restored, V(all), V(schema) if rows were not, or V(data) if only rows were.
  returned: success
  type: str
  sample: all
safety_backup:
  description: Path of the artifact that was made of the replaced database first, V(null) if there is none.
  returned: success
  type: str
accounts:
  description: The accounts that were, or in check mode would be, made.
  returned: success
  type: list
  elements: str
  sample: ["app@10.0.0.%"]
owners:
  description: The accounts that were, or in check mode would be, replaced, each with the one that takes its place.
  returned: success
  type: dict
  sample: {"app": "app_test"}
differences:
  description: What the restored database has otherwise than the manifest says; empty if all is as it was.
  returned: success
  type: list
  elements: str
error_kind:
  description: The kind of failure, a name that stays the same between versions.
  returned: on failure
  type: str
  sample: RestoreError
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vya.backupdb.plugins.module_utils._module.operations import restore
from ansible_collections.vya.backupdb.plugins.module_utils._module.runner import run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "config_path": {"type": "path", "default": "/etc/vya-backupdb/config.yml"},
            "database_id": {"type": "str", "required": True},
            "database": {"type": "str", "required": True},
            "artifact": {"type": "path"},
            "before": {"type": "str"},
            "target": {"type": "str"},
            "overwrite": {"type": "bool", "default": False},
            "jobs": {"type": "int"},
            "tables": {"type": "list", "elements": "str", "default": []},
            "content": {"type": "str", "choices": ["all", "schema", "data"], "default": "all"},
            "accounts": {"type": "str", "choices": ["missing", "none"], "default": "none"},
            "owners": {"type": "dict"},
            "identity_file": {"type": "path", "no_log": False},
        },
        mutually_exclusive=[("artifact", "before")],
        supports_check_mode=True,
    )
    run(module, restore)


if __name__ == "__main__":
    main()
