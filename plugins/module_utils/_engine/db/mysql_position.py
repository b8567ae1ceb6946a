# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a dump of MySQL or MariaDB stands in the server's binary log, found without any lock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ServerError
from .base import Server
from .mysql_inspection import Query

# MariaDB tells each session the position that belongs to its snapshot, and mariadb-dump writes it down.
SNAPSHOT_OPTION = "--master-data=2"
_COORDINATES = re.compile(r"MASTER_LOG_FILE='([^']+)', MASTER_LOG_POS=(\d+)")
_GTID = re.compile(r"gtid_slave_pos='([^']*)'")
_NO_LOG = "The server writes no binary log (log_bin is off)."


@dataclass(frozen=True)
class Point:
    """A place in the binary log, or the reason why it is not known.

    Attributes:
        file: The log's file.
        offset: Where in it, bytes.
        gtid: The same as a set of transactions; empty where the server numbers none.
        reason: Why the others are not known; empty if they are.
    """

    file: str = ""
    offset: int = 0
    gtid: str = ""
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as the manifest has it."""
        return {"file": self.file, "offset": self.offset, "gtid": self.gtid}


def current_point(query: Query, server: Server) -> Point:
    """Ask where the binary log ends now; that the server will not say is an answer too."""
    try:
        if str(query("SELECT @@GLOBAL.log_bin")[0][0]) not in {"1", "ON"}:
            return Point(reason=_NO_LOG)
        if server.flavour == "mariadb":
            status = {str(name).lower(): str(value) for name, value in query("SHOW STATUS LIKE 'binlog_snapshot_%%'")}
            gtid = str(query("SELECT @@GLOBAL.gtid_binlog_pos")[0][0])
            file, offset = status.get("binlog_snapshot_file", ""), status.get("binlog_snapshot_position", "0")
        else:
            what = "BINARY LOG" if server.number >= (8, 2) else "MASTER"
            row: Sequence[Any] = (*(query(f"SHOW {what} STATUS") or [("", 0)])[0], "", "", "", "")
            file, offset, gtid = str(row[0]), str(row[1]), str(row[4] or "").replace("\n", "")
    except ServerError as exc:
        return Point(reason=f"The server did not say where its binary log stands. {exc.message}")
    if not file:
        return Point(reason="The server does not say where its binary log stands.")
    return Point(file, int(offset), gtid)


def position_of(remarks: Sequence[str], before: Point, after: Point) -> dict[str, Any]:
    """Return the position of a dump for its manifest.

    Args:
        remarks: The comments of the dump that say a position.
        before: Where the log ended before the dump took its snapshot.
        after: Where it ended after that.
    """
    text = "\n".join(remarks)
    coordinates, gtid = _COORDINATES.search(text), _GTID.search(text)
    if coordinates:
        exact = Point(coordinates.group(1), int(coordinates.group(2)), gtid.group(1) if gtid else "").document()
        how = "the server's own note of where the dump's snapshot stands"
        return {"type": "binlog", "approximate": False, "from": exact, "to": exact, "method": how}
    if before.reason or after.reason:
        return {"type": None, "reason": before.reason or after.reason}
    how = "asked for before and after the dump's snapshot was taken"
    exactly = before == after
    return {
        "type": "binlog",
        "approximate": not exactly,
        "from": before.document(),
        "to": after.document(),
        "method": how,
    }
