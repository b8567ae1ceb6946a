# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding the vendors' client programs, the one that fits a server, and what that one can do."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import ClientError
from ..utils.processes import Command, ProcessTable
from .base import Client, version_number

_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/usr/local/mysql/bin"
_POSTGRESQL_DIRECTORIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_VERSION = re.compile(r"(Distrib|from|Ver|\(PostgreSQL\))\s+(\d+(?:\.\d+)+)")
_MAKES = {"mariadb": "MariaDB", "mysql": "MySQL"}
_WHY_NOT = {
    "mariadb": "whose dumps of MySQL hold values of generated columns, which MySQL refuses when they are loaded",
    "mysql": "whose dumps of MariaDB lack sequences and the history of system-versioned tables",
}
# Options that not every release of a make knows, and since when: asked of a client only if it does.
_OPTIONS_SINCE = {
    ("mysql", "--set-gtid-purged"): (5, 6, 9),
    ("mysql", "--get-server-public-key"): (5, 7, 23),
    ("mysql", "--column-statistics"): (8, 0, 2),
    ("mysql", "--skip-masking-policies"): (9, 7),
    ("mariadb", "--dump-history"): (10, 11),
}


def examine_client(path: str, processes: ProcessTable) -> Client:
    """Ask a client for its version, once for as long as the file stays the same.

    Raises:
        ClientError: It cannot be run or does not say its version.
    """
    try:
        status = os.stat(path)
    except OSError as exc:
        raise ClientError(f"The client {path} cannot be run: {exc}.") from None
    return _examine(path, (status.st_ino, status.st_mtime_ns), processes)


@functools.lru_cache(maxsize=64)
def _examine(path: str, _file: tuple[int, int], processes: ProcessTable) -> Client:
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


def knows_option(flavour: str, number: tuple[int, ...], option: str) -> bool:
    """Whether a make's clients of this version know an option, given as ``--name`` or ``--name=value``."""
    since = _OPTIONS_SINCE.get((flavour, option.partition("=")[0]))
    return since is None or number >= since


def known_options(client: Client, options: Iterable[str]) -> list[str]:
    """Return those options that the client knows."""
    return [option for option in options if knows_option(client.flavour, client.number, option)]


def mysql_client(
    flavour: str, mariadb_name: str, mysql_name: str, processes: ProcessTable, server: tuple[int, ...] = ()
) -> Client:
    """Return the installed client of a server's own make that fits its version best.

    MariaDB's clients against MySQL write values for generated columns; MySQL's against MariaDB miss sequences and
    history. So the make must match.

    Args:
        flavour: The server's make.
        mariadb_name: The program's name at MariaDB, such as ``mariadb-dump``.
        mysql_name: The program's name at MySQL, such as ``mysqldump``.
        processes: What starts children.
        server: The server's version; with it the oldest client that is not older is chosen, else the newest.

    Raises:
        ClientError: There is none; the message names the package.
    """
    names = (mariadb_name, mysql_name) if flavour == "mariadb" else (mysql_name,)
    clients, broken = _examined(_in_search_path(names), processes)
    fitting = [client for client in clients if client.flavour == flavour]
    if not fitting:
        raise broken or missing_mysql_client(flavour, names[0], clients)
    if not server:
        return fitting[0]
    fitting.sort(key=lambda client: client.number)
    return next((client for client in fitting if client.number[:2] >= server[:2]), fitting[-1])


def missing_mysql_client(flavour: str, name: str, others: Sequence[Client]) -> ClientError:
    """Return the error that says which client is missing, why those that are there do not serve, and the remedy."""
    label = _MAKES[flavour]
    message = f"No {name} of {label} is installed, which a {label} server needs"
    if others:
        other = others[0]
        message += f"; {other.path} is {_MAKES[other.flavour]}'s ({other.version}), {_WHY_NOT[other.flavour]}"
    package = "mariadb-client" if flavour == "mariadb" else "mysql-client"
    check = "client-make" if others else "client-present"
    return ClientError(f"{message}.", f"Install the package {package}.", check=check)


def postgresql_client(name: str, server_major: int, processes: ProcessTable) -> Client:
    """Return the oldest installed client that is not older than the server.

    pg_dump refuses servers newer than itself; one much newer writes settings that the old server does not know.

    Raises:
        ClientError: There is none; the message names the package.
    """
    candidates = {str(path) for pattern in _POSTGRESQL_DIRECTORIES for path in Path("/").glob(f"{pattern[1:]}/{name}")}
    # Debian's wrapper in /usr/bin goes by its cluster, not by the server we talk to: only where nothing else is.
    clients, broken = _examined(sorted(candidates) or _in_search_path((name,))[:1], processes)
    clients.sort(key=lambda client: client.number)
    for client in clients:
        if client.number and client.number[0] >= server_major:
            return client
    if broken:
        raise broken
    newest = f"; the newest installed is {clients[-1].version}" if clients else ""
    raise ClientError(
        f"No {name} of PostgreSQL {server_major} or later is installed{newest}.",
        f"Install the package postgresql-client-{server_major}.",
        check="client-age" if clients else "client-present",
    )


def find_program(name: str) -> str | None:
    """Return the path of an installed program, searched where the vendors' clients are."""
    return next(iter(_in_search_path((name,))), None)


def _in_search_path(names: Sequence[str]) -> list[str]:
    """Return the programs of these names, each once, whatever links lead to it; the first name first."""
    found: dict[str, str] = {}
    for name in names:
        for directory in _SEARCH_PATH.split(":"):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _examined(paths: Sequence[str], processes: ProcessTable) -> tuple[list[Client], ClientError | None]:
    """Ask clients for their versions; one that cannot be asked must not hide those that can."""
    clients: list[Client] = []
    broken: ClientError | None = None
    for path in paths:
        try:
            clients.append(examine_client(path, processes))
        except ClientError as exc:
            broken = broken or exc
    return clients, broken
