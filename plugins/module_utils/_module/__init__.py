# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The Ansible side of the modules: the way to the engine's Python, and from its reports to results.

PRIVATE to the collection. Everything here runs on the host's own Python (3.9 or later) until :mod:`.respawn` has
changed to the engine's; therefore the engine is imported inside functions only.
"""
