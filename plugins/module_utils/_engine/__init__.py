# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The backup engine: importable without Ansible, installed on hosts as the package ``vya_backupdb``.

PRIVATE to the collection: the modules and the host's own command are its only users.
"""

from __future__ import annotations

__version__ = "2.0.0.dev0"
