# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the clients of MySQL and MariaDB are called to dump and to load."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import Instance
from ..security.credentials import Credential
from ..utils.processes import Command, ProcessTable
from .base import DumpPlan, Inspection, Server
from .clients import known_options, knows_option, mysql_client
from .connection import mysql_socket
from .mysql_grants import Privilege, grant_statements, quote_text
from .mysql_position import SNAPSHOT_OPTION

# Views may call functions. Triggers and events must not act on what is being loaded.
_DEFINITIONS = ["--routines"]
_PROGRAMS = ["--triggers", "--events"]
MAX_PACKET = "1073741824"  # the largest that server and client know; rows above the default would abort a dump


class MySqlCalls:
    """The calls of one server's clients."""

    def __init__(self, instance: Instance, credential: Credential, processes: ProcessTable, server: Server) -> None:
        """Begin.

        Args:
            instance: Where the server is.
            credential: Who calls.
            processes: What starts clients, here to ask them their version.
            server: What it is.
        """
        self._instance = instance
        self._credential = credential
        self._processes = processes
        self._server = server

    def dump(
        self, database: str, inspection: Inspection, privileges: Sequence[Privilege], *, writes_position: bool
    ) -> DumpPlan:
        """Plan a dump by ``mariadb-dump`` or ``mysqldump`` in one transaction, with everything that belongs to it.

        Args:
            database: The database.
            inspection: What is known of it.
            privileges: Those on it, which become grants at the dump's end.
            writes_position: Whether the client can write the position in the binary log that it dumps at.

        Raises:
            ClientError: There is no client of the server's make.
        """
        flavour = self._server.flavour
        client = mysql_client(flavour, "mariadb-dump", "mysqldump", self._processes, self._server.number)
        options = [
            "--single-transaction",
            "--quick",
            "--no-tablespaces",
            # No client's lock may keep another from loading the same table, and a locked table whose default comes
            # from a sequence could not be filled when loaded (error 1100).
            "--skip-add-locks",
            f"--max-allowed-packet={MAX_PACKET}",
        ]
        if flavour == "mysql":
            # Masking policies belong to the server; the dump would drop them there before it makes them.
            own = ["--set-gtid-purged=OFF", "--column-statistics=0", "--skip-masking-policies"]
            options += known_options(client, own)
        of_rows = [SNAPSHOT_OPTION] if flavour == "mariadb" and writes_position else []
        if inspection.settings.get("system_versioned_tables"):
            of_rows += known_options(client, ["--dump-history"])
        # Rows pass byte by byte where that can be, so that no character is lost on the way through Unicode, and at half
        # the cost; in definitions, texts of different character sets stand side by side, which only Unicode can hold.
        form = ["--default-character-set=utf8mb4", "--hex-blob"]
        form = form if inspection.text_only else ["--default-character-set=binary"]
        calls = [
            ["--default-character-set=utf8mb4", "--no-data", *_DEFINITIONS, "--skip-triggers"],
            [*form, "--no-create-info", "--skip-triggers", *of_rows],
            ["--default-character-set=utf8mb4", "--no-data", "--no-create-info", *_PROGRAMS],
        ]
        if inspection.in_one_call:
            calls = [["--default-character-set=utf8mb4", "--hex-blob", *_DEFINITIONS, *_PROGRAMS, *of_rows]]
        loader = "mariadb" if flavour == "mariadb" else "mysql"
        return DumpPlan(
            commands=tuple(
                self.command(client.path, client.number, [*options, *call, "--", database]) for call in calls
            ),
            client_version=client.version,
            preamble=_preamble(inspection),
            postamble=_postamble(database, inspection, privileges),
            restore_by_hand=f"{{unpacked}} | {loader} --binary-mode --comments"
            " --default-character-set=utf8mb4 NEW_DATABASE",
        )

    def load(self, database: str) -> Command:
        """Return the call of ``mariadb`` or ``mysql`` that loads SQL into a database.

        Line ends, NUL bytes and the comments in bodies of routines, triggers and events stay as they are.

        Raises:
            ClientError: There is no client of the server's make.
        """
        client = mysql_client(self._server.flavour, "mariadb", "mysql", self._processes, self._server.number)
        options = ["--batch", "--binary-mode", "--comments", "--default-character-set=utf8mb4"]
        options.append(f"--max-allowed-packet={MAX_PACKET}")
        return self.command(client.path, client.number, [*options, f"--database={database}"])

    def command(self, program: str, version: tuple[int, ...], arguments: list[str]) -> Command:
        """Return a client's call: who and where in an option file that only it can read, the rest as arguments.

        Args:
            program: The client's path.
            version: Its version.
            arguments: What it is to do.
        """
        options = {"user": self._credential.username, "password": self._credential.password}
        instance = self._instance
        if instance.host:
            options |= {"host": instance.host, "port": str(instance.port or 3306), "protocol": "TCP"}
        else:
            options |= {"socket": mysql_socket(instance), "protocol": "SOCKET"}
        lines = ["[client]", *(f"{key}={_option_value(value)}" for key, value in options.items() if value)]
        return Command(
            (program, "--defaults-file={secret}", *self._tls_arguments(version), *arguments),
            secret_file=("\n".join(lines) + "\n").encode("utf-8"),
        )

    def _tls_arguments(self, version: tuple[int, ...]) -> list[str]:
        mode, ca_file = self._instance.tls_mode, self._instance.tls.ca_file
        authority = [f"--ssl-ca={ca_file or '/etc/ssl/certs/ca-certificates.crt'}"] if mode == "verify" else []
        if self._server.flavour == "mariadb":
            return {"disabled": ["--skip-ssl"], "encrypt": ["--ssl", "--disable-ssl-verify-server-cert"]}.get(
                mode, ["--ssl", "--ssl-verify-server-cert", *authority]
            )
        # Without TLS, caching_sha2_password over TCP needs the server's RSA key.
        knows = knows_option("mysql", version, "--get-server-public-key")
        plain = ["--ssl-mode=DISABLED", *(["--get-server-public-key"] if self._instance.host and knows else [])]
        return {"disabled": plain, "encrypt": ["--ssl-mode=REQUIRED"]}.get(
            mode, ["--ssl-mode=VERIFY_IDENTITY", *authority]
        )


def _preamble(inspection: Inspection) -> str:
    settings = inspection.settings
    clauses = [f"CHARACTER SET {settings['character_set']}", f"COLLATE {settings['collation']}"]
    if settings.get("comment"):
        clauses.append(f"COMMENT {quote_text(settings['comment'])}")
    if settings.get("encryption") == "YES":
        clauses.append("ENCRYPTION 'Y'")
    return (
        "-- Settings of the database itself, applied to the one that is selected\n"
        f"ALTER DATABASE {' '.join(clauses)};\n"
    )


def _postamble(database: str, inspection: Inspection, privileges: Sequence[Privilege]) -> str:
    statements = grant_statements(privileges, database)
    if inspection.settings.get("read_only") == "True":
        statements.append("ALTER DATABASE READ ONLY = 1;\n")
    if not statements:
        return ""
    return "-- Grants on the database and its objects, for those accounts that exist\n" + "".join(statements)


def _option_value(value: str) -> str:
    """Write a value for an option file, quoted so that no character in it is special (MySQL manual, option files)."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
