# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding the vendors' client programs, and the one that fits a server."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from ..errors import ClientError
from ..utils.processes import Command, ProcessTable
from .base import Client, version_number

_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/usr/local/mysql/bin"
_POSTGRESQL_DIRECTORIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_VERSION = re.compile(r"(Distrib|from|Ver|\(PostgreSQL\))\s+(\d+(?:\.\d+)+)")


def examine_client(path: str, processes: ProcessTable) -> Client:
    """Ask a client for its version.

    Raises:
        ClientError: It cannot be run or does not say its version.
    """
    try:
        code, output, errors = processes.run(Command((path, "--version")))
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ClientError(f"The client {path} cannot be run: {exc}.") from None
    # "mysqldump  Ver 10.19 Distrib 10.11.14-MariaDB": where Distrib or from stands, that is the release.
    found = dict(_VERSION.findall(output))
    version = found.get("Distrib") or found.get("from") or found.get("Ver") or found.get("(PostgreSQL)")
    if code != 0 or version is None:
        raise ClientError(f"The client {path} does not say its version: {(errors or output)[:200]}.")
    flavour = "postgresql" if "PostgreSQL" in output else "mariadb" if "MariaDB" in output else "mysql"
    return Client(path, flavour, version, version_number(version))


def mysql_client(flavour: str, mariadb_name: str, mysql_name: str, processes: ProcessTable) -> Client:
    """Return the installed client of a server's own make.

    MariaDB's clients against MySQL write values for generated columns; MySQL's against MariaDB miss sequences and
    history. So the make must match.

    Args:
        flavour: The server's make.
        mariadb_name: The program's name at MariaDB, such as ``mariadb-dump``.
        mysql_name: The program's name at MySQL, such as ``mysqldump``.
        processes: What starts children.

    Raises:
        ClientError: There is none; the message names the package.
    """
    names = (mariadb_name, mysql_name) if flavour == "mariadb" else (mysql_name,)
    for name in names:
        path = shutil.which(name, path=_SEARCH_PATH)
        if path:
            client = examine_client(path, processes)
            if client.flavour == flavour:
                return client
    package = "mariadb-client" if flavour == "mariadb" else "mysql-client"
    label = "MariaDB" if flavour == "mariadb" else "MySQL"
    raise ClientError(
        f"No {names[0]} of {label} is installed, which a {label} server needs.", f"Install the package {package}."
    )


def postgresql_client(name: str, server_major: int, processes: ProcessTable) -> Client:
    """Return the oldest installed client that is not older than the server.

    pg_dump refuses servers newer than itself; one much newer writes settings that the old server does not know.

    Raises:
        ClientError: There is none; the message names the package.
    """
    candidates = {str(path) for pattern in _POSTGRESQL_DIRECTORIES for path in Path("/").glob(f"{pattern[1:]}/{name}")}
    # Debian's wrapper in /usr/bin goes by its cluster, not by the server we talk to: only where nothing else is.
    plain = shutil.which(name, path=_SEARCH_PATH)
    if not candidates and plain:
        candidates = {plain}
    clients = sorted((examine_client(path, processes) for path in sorted(candidates)), key=lambda c: c.number)
    for client in clients:
        if client.number and client.number[0] >= server_major:
            return client
    newest = f"; the newest installed is {clients[-1].version}" if clients else ""
    raise ClientError(
        f"No {name} of PostgreSQL {server_major} or later is installed{newest}.",
        f"Install the package postgresql-client-{server_major}.",
    )
