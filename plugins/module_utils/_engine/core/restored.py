# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is looked at in a database that has just been restored: objects, rows, definitions, owners and grants."""

from __future__ import annotations

from ..db.base import Dbms
from ..db.figures import Figures
from ..errors import ServerError
from .comparison import (
    inventory_differences,
    object_differences,
    position_differences,
    refuse_differences,
    row_differences,
)
from .loads import Load
from .manifest import Manifest

Findings = tuple[tuple[str, ...], tuple[str, ...]]  # what differs, and what could not be done; in sentences

_SHOWN = 20


def refuse_other_objects(dbms: Dbms, load: Load, database: str) -> None:
    """Refuse a restored database in which an object is missing, or one is there that the artifact lacks.

    Raises:
        RestoreError: There is one.
        ServerError: The server cannot be asked.
    """
    refuse_differences(inventory_differences(load.inventory, dbms.inspect(database).inventory))


def look_at_rows(dbms: Dbms, load: Load, database: str, connections: int) -> Findings:
    """Refresh the planner's statistics and count the rows, by several connections at a time."""
    expected = load.rows
    try:
        unsure = dbms.refresh_statistics(database, expected or {}, connections)
        if expected is None:
            return (), (*unsure, "The rows were not counted: the manifest does not say exactly how many there were.")
        found = dbms.count_rows(database, expected, connections)
    except ServerError as exc:
        return (), (f"The database is loaded, but not all of it was looked at: {exc.message}",)
    return tuple(row_differences(expected, found)), tuple(unsure)


def look_at_definitions(dbms: Dbms, manifest: Manifest, database: str) -> Findings:
    """Compare definitions, owners, grants, sequences and automatic numbers with what they were in the server.

    That can be said where the server is of the same version, as each has its own way to write definitions, and where
    names of databases in definitions and grants (MySQL, MariaDB) are what they were.

    Args:
        dbms: The server.
        manifest: Of the artifact, all of which was loaded with the accounts that it names.
        database: What it was loaded into, which has its name, or gets it.
    """
    if manifest.figures is None or manifest.dbms.get("version") != dbms.server().version:
        return (), ()
    expected = Figures.from_document(manifest.figures)
    try:
        found = dbms.figures(database, contents=False)
    except ServerError as exc:
        return (), (f"The database is loaded, but its definitions were not looked at: {exc.message}",)
    differences = [*object_differences(expected, found), *position_differences(expected, found)]
    more = [f"and {len(differences) - _SHOWN} more of that sort"] if len(differences) > _SHOWN else []
    return (*differences[:_SHOWN], *more), ()
