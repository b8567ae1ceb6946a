# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The database servers on the hosts, spoken to by their own clients as their own administrator."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import Any

import fingerprint
import pytest

from .hosts import SAMPLE, STORAGE, Host

ACCOUNT = "vya_backup"
# Its name would break out of a path, an option, a shell command, a URL, and both servers' quotes.
ODD = """../o'dd "näme"; --all`$(id)`"""
SHOP, NOTES = "shop", "notes"
DATABASES = (SHOP, NOTES, ODD)

# Each holds a word of its own that is found whatever quoting surrounds it, but for the one that says nothing: a
# password that is also the name of a program must not deface everything in which that name occurs.
PASSWORDS = {
    ("bookworm", "mysql"): ("""-hush0Kd 'q"u\\o;te#""", "hush0Kd"),
    ("bookworm", "postgresql"): ("""hush1Kd:a\\b'c"d$HOME %s""", "hush1Kd"),
    ("trixie", "mysql"): ("""{{ hush2Kd }}%(x)s#é日本""", "hush2Kd"),
    ("trixie", "postgresql"): ("""--hush3Kd=`id`$(id)é""", "hush3Kd"),
    ("sid", "mysql"): ("mysql", None),
    ("sid", "postgresql"): ("""-hush5Kd\\\\"🙈# """, "hush5Kd"),
}


@dataclass(frozen=True)
class Target:
    """One instance on one host.

    Attributes:
        host: The host.
        family: ``mysql`` or ``postgresql``.
        dbms: ``mariadb``, ``mysql`` or ``postgresql``.
        password: That of the account that backups use.
        mark: What of the password is searched for; None if it is an ordinary word.
    """

    host: Host
    family: str
    dbms: str
    password: str = field(repr=False)
    mark: str | None = field(repr=False)

    def __str__(self) -> str:
        return f"{self.host.name}-{self.family}"

    @property
    def database_id(self) -> str:
        """The instance's name, the same on all hosts, so that one call of Ansible is about all of them."""
        return f"main-{self.family}"

    @property
    def instance(self) -> dict[str, Any]:
        """The instance as the configuration has it."""
        where = {"host": "127.0.0.1"} if self.family == "postgresql" or self.host.name == "trixie" else {}
        return {"database_id": self.database_id, "dbms": self.dbms, **where}

    @property
    def storage(self) -> str:
        """The directory of the instance's artifacts."""
        return f"{STORAGE}/{self.host.name}/{self.database_id}"

    @property
    def service(self) -> str:
        """The server's systemd unit."""
        if self.family == "mysql":
            return self.dbms
        return "postgresql@" + self.host.shell("pg_lsclusters --no-header | awk '{print $1\"-\"$2}'").strip()

    def sql(self, statements: str, database: str | None = None, check: bool = True) -> str:
        """Run statements as administrator and return the rows, columns separated by tabs."""
        return self.host.run(*self._client(database), text=statements, check=check).stdout

    def session(self, statements: str, database: str) -> subprocess.Popen[str]:
        """Run statements in a session that stays open until its standard input is closed."""
        process = self.host.start(*self._client(database))
        assert process.stdin is not None
        process.stdin.write(statements + "\n")
        process.stdin.flush()
        return process

    def shell_client(self, database: str) -> str:
        """The administrator's client for one database, as a shell takes it."""
        return shlex.join(self._client(database))

    def _client(self, database: str | None) -> list[str]:
        if self.family == "mysql":
            client = [self.dbms, "--default-character-set=utf8mb4", "--batch", "--skip-column-names", "--unbuffered"]
            return [*client, *(["--", database] if database else [])]
        options = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t"]
        name = (database or "postgres").replace("\\", "\\\\").replace("'", "\\'")
        return [
            "runuser",
            "-u",
            "postgres",
            "--",
            "env",
            "--chdir=/",
            "psql",
            *options,
            "--set=ON_ERROR_STOP=1",
            f"dbname='{name}'",
        ]

    def quoted(self, name: str) -> str:
        """Quote an identifier."""
        return "`" + name.replace("`", "``") + "`" if self.family == "mysql" else '"' + name.replace('"', '""') + '"'

    def create(self, database: str) -> None:
        """Create an empty database."""
        self.sql(f"CREATE DATABASE {self.quoted(database)};")

    def drop(self, database: str) -> None:
        """Drop a database if it is there, whoever is connected to it."""
        if self.family == "mysql":
            self.sql(f"DROP DATABASE IF EXISTS {self.quoted(database)};")
        elif database in self.databases():
            # PostgreSQL keeps a database as long as it has subscriptions.
            changes = "ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE);"
            statements = self.sql(
                f"SELECT format('{changes} DROP SUBSCRIPTION %1$I;', subname) FROM pg_subscription"
                " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database());",
                database,
            )
            self.sql(statements, database)
            self.sql(f"DROP DATABASE {self.quoted(database)} WITH (FORCE);")

    def databases(self) -> set[str]:
        """The names of all databases."""
        if self.family == "mysql":
            rows = self.sql("SELECT HEX(schema_name) FROM information_schema.schemata;").split()
        else:
            rows = self.sql("SELECT encode(convert_to(datname, 'UTF8'), 'hex') FROM pg_database;").split()
        return {bytes.fromhex(row).decode() for row in rows}

    def fingerprint(self, database: str) -> dict[str, Any]:
        """All that a database holds, by the sample's own tool."""
        tool = f"{SAMPLE}/fingerprint.py"
        document: dict[str, Any] = json.loads(self.host.run("python3", tool, self.dbms, database).stdout)
        return document

    def set_password(self, password: str) -> None:
        """Give the account of the backups a password."""
        if self.family == "mysql":
            literal = "'" + password.replace("\\", "\\\\").replace("'", "''") + "'"
            self.sql(f"ALTER USER {ACCOUNT}@localhost IDENTIFIED BY {literal};")
        else:
            literal = "'" + password.replace("'", "''") + "'"
            self.sql(f"ALTER ROLE {ACCOUNT} PASSWORD {literal};")

    def prepare(self) -> None:
        """Make the account of the backups and the databases, each anew."""
        for database in DATABASES:
            self.drop(database)
        if self.family == "mysql":
            self.sql(f"DROP USER IF EXISTS {ACCOUNT}@localhost; CREATE USER {ACCOUNT}@localhost;")
            self.sql(f"GRANT ALL ON *.* TO {ACCOUNT}@localhost WITH GRANT OPTION;")
        else:
            self.sql(f"DROP ROLE IF EXISTS {ACCOUNT}; CREATE ROLE {ACCOUNT} LOGIN SUPERUSER;")
        self.set_password(self.password)
        for database in DATABASES:
            self.create(database)
        self.load_sample(SHOP, own_name=True)
        for database in (NOTES, ODD):
            self.sql(
                "CREATE TABLE note (id int PRIMARY KEY, body text);"
                " INSERT INTO note VALUES (1, 'one'), (2, 'zw\u00f6lf');",
                database,
            )

    def load_sample(self, database: str, *, own_name: bool = False) -> None:
        """Fill an empty database with everything that the server offers.

        Args:
            database: The database.
            own_name: Also what comes back whole only under the same name.
        """
        self.host.run("python3", f"{SAMPLE}/load.py", self.dbms, database, *(["--own-name"] if own_name else []))


def assert_same(before: dict[str, Any], after: dict[str, Any], ignore: tuple[str, ...] = ()) -> None:
    """Fail with every difference between two fingerprints; one of an empty database proves nothing."""
    assert sum(len(section) for section in before.values()) > 3, before
    differences = fingerprint.compare(before, after, ignore)
    if differences:
        pytest.fail("\n".join(differences[:40]))
