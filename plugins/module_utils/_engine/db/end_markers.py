# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How a whole dump of each kind of server ends; a table of its own, since whoever reads a dump back needs no driver."""

from __future__ import annotations

import re

_MYSQL = re.compile(rb"\n-- Dump completed(?: on [0-9: -]+)?\s*\Z")
_POSTGRESQL = re.compile(rb"\n-- PostgreSQL database dump complete\n--\s*(?:\\unrestrict [A-Za-z0-9]+\s*)?\Z")
END_MARKERS: dict[str, re.Pattern[bytes]] = {"mariadb": _MYSQL, "mysql": _MYSQL, "postgresql": _POSTGRESQL}
