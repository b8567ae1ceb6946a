#!/usr/bin/env python3
"""Load the sample that fits the server into a database that exists: the accounts, then the files for its version.

    load.py mariadb shop
    load.py mysql shop --own-name
    load.py postgresql shop

Runs on the database host as root, through the vendor's client over the local socket.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DBMS = ("mariadb", "mysql", "postgresql")


def client(dbms: str) -> list[str]:
    """The vendor's client as administrator, such that it stops at the first error and changes nothing on its way."""
    if dbms == "postgresql":
        become = [] if os.geteuid() else ["runuser", "-u", "postgres", "--"]
        return [*become, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    # MariaDB's client drops the comments from the bodies of routines unless it is told otherwise.
    return [dbms, "--comments", "--default-character-set=utf8mb4"]


def run(dbms: str, database: str, sql: str) -> str:
    """Run SQL and return what the client printed.

    Args:
        dbms: ``mariadb``, ``mysql`` or ``postgresql``.
        database: The database to run it in; empty for none in particular.
        sql: Statements, as the client reads them from a file.

    Raises:
        RuntimeError: The client failed; the message is the client's own.
    """
    command = client(dbms)
    if dbms == "postgresql":
        command += ["-A", "-t", "-d", database or "postgres", "-f", "-"]
    elif database:
        command += ["--batch", "--skip-column-names", database]
    else:
        command += ["--batch", "--skip-column-names"]
    done = subprocess.run(
        command, input=sql.encode("utf-8", "surrogateescape"), capture_output=True, check=False, cwd="/"
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode("utf-8", "replace").strip())
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def files(dbms: str, own_name: bool = False) -> list[Path]:
    """The files of the sample for the version of the server that runs here, in their order.

    Args:
        dbms: ``mariadb``, ``mysql`` or ``postgresql``.
        own_name: Also what comes back whole only under the database's own name.

    Raises:
        RuntimeError: The client failed.
    """
    version = run(dbms, "", "SHOW server_version;" if dbms == "postgresql" else "SELECT VERSION();")
    major = int(version.split(".")[0].split()[0])
    names = [f"{dbms}.sql"]
    names += [path.name for path in sorted(HERE.glob(f"{dbms}-[0-9]*.sql")) if int(path.stem.split("-")[1]) <= major]
    if own_name and dbms != "postgresql":
        names.append(f"{dbms}-own-name.sql")
    return [HERE / name for name in names]


def load(dbms: str, database: str, own_name: bool = False) -> None:
    """Load accounts and sample into a database that exists.

    Raises:
        RuntimeError: The client failed.
    """
    run(dbms, "", (HERE / f"{dbms}-accounts.sql").read_text("utf-8"))
    for path in files(dbms, own_name):
        run(dbms, database, path.read_text("utf-8"))


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dbms", choices=DBMS)
    parser.add_argument("database")
    parser.add_argument("--own-name", action="store_true", help="also what comes back whole only under its own name")
    options = parser.parse_args()
    try:
        load(options.dbms, options.database, options.own_name)
    except RuntimeError as error:
        sys.stderr.write(f"load: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
