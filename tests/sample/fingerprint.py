#!/usr/bin/env python3
"""Take a fingerprint of a database and compare two of them: the proof that a restore brought everything back.

    fingerprint.py mariadb shop > before.json
    fingerprint.py compare before.json after.json

A fingerprint is JSON: the definition of every object, the grants on them, settings, positions of counters, and
for every table the number of rows and a checksum over the exact bytes of every column. It is taken by the vendor's
own client over the local socket as administrator, so it owes nothing to the engine that is being tested.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fingerprint_mysql
import fingerprint_postgresql

DBMS = ("mariadb", "mysql", "postgresql")


def fingerprint(dbms: str, database: str, client: list[str] | None = None) -> dict[str, Any]:
    """Describe everything that a database holds.

    Args:
        dbms: ``mariadb``, ``mysql`` or ``postgresql``.
        database: The database to describe.
        client: The client and its options, if the vendor's default does not reach the right server.

    Returns:
        Sections, each a mapping by name; made of JSON types only.

    Raises:
        RuntimeError: The client failed, or there is no such database.
        ValueError: The DBMS is not known.
    """
    if dbms == "postgresql":
        return fingerprint_postgresql.fingerprint(client, database)
    if dbms in DBMS:
        return fingerprint_mysql.fingerprint(client or [dbms], database)
    raise ValueError(f"{dbms} is none of {', '.join(DBMS)}")


def _differences(path: str, before: Any, after: Any) -> list[str]:
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in sorted(before.keys() | after.keys()):
            where = f"{path} / {key}" if path else key
            if key not in after:
                found.append(f"{where}: missing afterwards, was {_short(before[key])}")
            elif key not in before:
                found.append(f"{where}: not there before, now {_short(after[key])}")
            else:
                found += _differences(where, before[key], after[key])
        return found
    return [f"{path}: was {_short(before)}, now {_short(after)}"]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "present"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 600 else text[:600] + " ..."


def compare(before: dict[str, Any], after: dict[str, Any], ignore: tuple[str, ...] = ()) -> list[str]:
    """Tell what differs between two fingerprints.

    Args:
        before: The fingerprint of the original.
        after: The fingerprint of what was restored.
        ignore: Sections to leave out, for instance ``("settings", "grants")`` for a vendor's dump of one database.

    Returns:
        One sentence for each difference; empty if there is none.
    """
    found = []
    for section in sorted(before.keys() | after.keys()):
        if section not in ignore:
            found += _differences(section, before.get(section, {}), after.get(section, {}))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done or equal, 1 different, 2 failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for dbms in DBMS:
        command = commands.add_parser(dbms, help=f"print the fingerprint of a {dbms} database")
        command.add_argument("database")
        command.add_argument(
            "--client", nargs=argparse.REMAINDER, help="the client to run, with its options; comes last"
        )
    command = commands.add_parser("compare", help="compare two fingerprints; exits 1 if they differ")
    command.add_argument("before", type=Path)
    command.add_argument("after", type=Path)
    command.add_argument("--ignore", action="append", default=[], metavar="SECTION", help="leave a section out")
    options = parser.parse_args(arguments)
    try:
        if options.command == "compare":
            before, after = (json.loads(path.read_text("utf-8")) for path in (options.before, options.after))
            found = compare(before, after, tuple(options.ignore))
            sys.stdout.write("\n".join(found or ["no difference"]) + "\n")
            return 1 if found else 0
        json.dump(fingerprint(options.command, options.database, options.client), sys.stdout, indent=1, sort_keys=True)
        sys.stdout.write("\n")
        return 0
    except (RuntimeError, OSError, ValueError) as error:
        sys.stderr.write(f"fingerprint: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
