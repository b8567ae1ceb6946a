# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The servers of a test host, spoken to as administrator, and an engine configured in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fingerprint
import yaml

from vya_backupdb.engine import Engine
from vya_backupdb.security.credentials import open_store
from vya_backupdb.security.keys import create_host_key

SAMPLE = Path(__file__).resolve().parent.parent / "sample"
# Everything that option files, connection strings, shells and SQL treat as special, and a letter outside ASCII.
PASSWORD = "p\"a\\s's#;=w% $HOME `id` é:x"
ACCOUNT = "vya_integration"


def sql_text(text: str) -> str:
    """Quote a MySQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def installed(program: str) -> Path:
    """Return where a vendor's client really is, behind links and wrappers of the distribution."""
    own = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = str(own[-1]) if own else shutil.which(program)
    if found is None:
        raise FileNotFoundError(program)
    return Path(found).resolve()


@dataclass
class Server:
    """A server of this host, and what an administrator does to it without the engine."""

    kind: str  # mysql or postgresql
    flavour: str
    instance: dict[str, Any] = field(default_factory=dict)

    @property
    def database_id(self) -> str:
        return f"test-{self.kind}"

    @cached_property
    def client(self) -> list[str]:
        """The vendor's client as administrator.

        It is started thousands of times, so without what takes longer than the questions themselves: TLS on the local
        socket, and Debian's psql, which is a Perl script that looks for the real one.
        """
        if self.kind == "mysql":
            return [self.flavour, "--skip-ssl" if self.flavour == "mariadb" else "--ssl-mode=DISABLED"]
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", str(installed("psql"))]

    def sql(self, statements: str, database: str | None = None) -> str:
        """Run statements as administrator and return what they print."""
        if self.kind == "mysql":
            options = ["--batch", "--skip-column-names", "--default-character-set=utf8mb4", "--binary-mode"]
            options += [f"--database={database}"] if database else []
        else:
            options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-"]
        done = subprocess.run(
            [*self.client, *options],
            input=statements.encode(),
            capture_output=True,
            cwd="/",
            check=False,
            # As an option, a name with "=" in it would be taken for a connection string.
            env={**os.environ, "PGDATABASE": database or "postgres"},
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return done.stdout.decode().strip()

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`" if self.kind == "mysql" else '"' + name.replace('"', '""') + '"'

    def create(self, name: str, statements: str = "") -> None:
        self.drop(name)
        self.sql(f"CREATE DATABASE {self.quoted(name)};")
        if statements:
            self.sql(statements, name)

    def drop(self, name: str) -> None:
        if self.kind == "postgresql" and self.exists(name):
            for subscription in self.sql(
                "SELECT quote_ident(subname) FROM pg_subscription WHERE subdbid ="
                f" (SELECT oid FROM pg_database WHERE datname = '{name.replace(chr(39), chr(39) * 2)}');"
            ).splitlines():
                self.sql(
                    f"ALTER SUBSCRIPTION {subscription} DISABLE; ALTER SUBSCRIPTION {subscription}"
                    f" SET (slot_name = NONE); DROP SUBSCRIPTION {subscription};",
                    name,
                )
        force = " WITH (FORCE)" if self.kind == "postgresql" else ""
        self.sql(f"DROP DATABASE IF EXISTS {self.quoted(name)}{force};")

    def exists(self, name: str) -> bool:
        query = "SHOW DATABASES;" if self.kind == "mysql" else "SELECT datname FROM pg_database;"
        return name in self.sql(query).splitlines()

    def load_sample(self, name: str) -> None:
        self.drop(name)
        self.sql((SAMPLE / f"{self.flavour}-accounts.sql").read_text())
        self.sql(f"CREATE DATABASE {self.quoted(name)};")
        self.sql((SAMPLE / f"{self.flavour}.sql").read_text(), name)

    def fingerprint(self, name: str) -> dict[str, Any]:
        return fingerprint.fingerprint(self.flavour, name, self.client)

    @property
    def unit(self) -> str:
        """The systemd unit of the server itself.

        Of PostgreSQL it is that of the cluster: Debian's postgresql.service does not wait for it. It is named in full,
        since a pattern matches nothing, and without an error, once systemd has forgotten a unit that has ended.
        """
        if self.kind == "mysql":
            return f"{self.flavour}.service"
        clusters = subprocess.run(["pg_lsclusters", "--no-header"], capture_output=True, text=True, check=True).stdout
        (major, name), *_others = [line.split()[:2] for line in clusters.splitlines()]
        return f"postgresql@{major}-{name}.service"

    def service(self, action: str) -> None:
        subprocess.run(["systemctl", action, self.unit], check=True)
        while action == "start" and not self.answers():
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            return self.sql("SELECT 1;") == "1"
        except RuntimeError:
            return False


@dataclass
class Host:
    """A configured host below a folder of its own."""

    root: Path
    document: dict[str, Any]

    @property
    def config_path(self) -> Path:
        return self.root / "config.yml"

    @property
    def storage(self) -> Path:
        return self.root / "backups"

    def write(self, **changes: Any) -> None:
        self.document |= changes
        self.config_path.write_text(yaml.safe_dump(self.document))

    def engine(self, trigger: str = "command") -> Engine:
        return Engine.open(self.config_path, trigger=trigger)

    def files(self) -> dict[str, bytes]:
        """All that is stored, for comparisons of before and after."""
        return {str(path): path.read_bytes() for path in sorted(self.storage.rglob("*")) if path.is_file()}


def prepared_servers() -> dict[str, Server]:
    """Return this host's servers, each with an account for the engine, by kind."""
    flavour = "mariadb" if shutil.which("mariadb") else "mysql"
    mysql = Server("mysql", flavour, {"dbms": flavour, "socket": "/run/mysqld/mysqld.sock"})
    postgresql = Server("postgresql", "postgresql", {"dbms": "postgresql", "host": "127.0.0.1"})
    account = f"{ACCOUNT}@localhost"
    mysql.sql(
        f"CREATE USER IF NOT EXISTS {account}; ALTER USER {account} IDENTIFIED BY {sql_text(PASSWORD)};"
        f" GRANT ALL ON *.* TO {account} WITH GRANT OPTION;"
    )
    escaped = PASSWORD.replace("'", "''")
    # Two processes may prepare one server at a time, which PostgreSQL would refuse: "tuple concurrently updated".
    postgresql.sql(
        f"BEGIN; SELECT pg_advisory_xact_lock(hashtext('{ACCOUNT}'));"
        f" DO $$ BEGIN CREATE ROLE {ACCOUNT}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        f" ALTER ROLE {ACCOUNT} LOGIN SUPERUSER PASSWORD '{escaped}'; COMMIT;"
    )
    return {"mysql": mysql, "postgresql": postgresql}


def configured_host(root: Path, servers: dict[str, Server], **changes: Any) -> Host:
    """Return a host below a folder, with the servers configured and their credentials in place.

    Args:
        root: The folder.
        servers: The servers by kind.
        **changes: Further entries of the configuration, or other values for them.
    """
    instances = [{"database_id": s.database_id, **s.instance} for s in servers.values()]
    document = {
        "schema_version": 1,
        "hostname": "host1",
        "storage": {"root": str(root / "backups"), "reserve": "0B"},
        "state_directory": str(root / "state"),
        "credentials_file": str(root / "credentials.json"),
        "key_file": str(root / "host.key"),
        "instances": instances,
        "policies": [],
        **changes,
    }
    made = Host(root, document)
    (root / "state").mkdir()
    made.write()
    engine = made.engine()
    create_host_key(engine.config.key_file)
    store = open_store(engine.config)
    for instance in instances:
        store.set(str(instance["database_id"]), ACCOUNT, PASSWORD)
    return made
