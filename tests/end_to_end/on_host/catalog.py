# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Print runs of the catalog as JSON, newest first, read by SQLite's own means.

catalog.py CONDITION
"""

from __future__ import annotations

import json
import sqlite3
import sys


def main() -> None:
    connection = sqlite3.connect("file:/var/lib/vya-backupdb/catalog.sqlite3?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    rows = connection.execute(f"SELECT * FROM runs WHERE {sys.argv[1]} ORDER BY started_at DESC")
    json.dump([dict(row) for row in rows], sys.stdout)


main()
