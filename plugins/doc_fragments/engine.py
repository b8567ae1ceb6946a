# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What every module that drives the engine documents alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment ``vya.backupdb.engine``."""

    DOCUMENTATION = r"""
options:
  config_path:
    description:
      - The host's configuration, as the role P(vya.backupdb.config#role) writes it.
    type: path
    default: /etc/vya-backupdb/config.yml
requirements:
  - A host on which the role P(vya.backupdb.runtime#role) has installed the engine's Python environment
    (C(/opt/vya-backupdb/venv), Python 3.11 or later). The module changes to that Python by itself.
notes:
  - The module must run as C(root), because only C(root) can read the host's key and credentials. Databases and
    artifacts are handled as the owner of the state directory, the system user C(vya-backupdb).
"""
