# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's servers as an administrator meets them: SQL, fast loading, comparing, and the processor time they take."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from .data import LARGE_TABLES, SMALL, Source, Table, batches, small_table

ACCOUNT, PASSWORD = "vya_bench", "benchmark only"
SMALL_DATABASE_TABLES = tuple(small_table(f"setting_{number}") for number in (1, 2, 3))


class Server:
    """One server of this host; the administrator is root, by the socket and without a password."""

    name: str
    instance: dict[str, str]
    binary_prefix: str
    _client: tuple[str, ...]
    _unit: str

    def sql(self, statements: str, database: str = "") -> str:
        """Run statements and return what they print.

        Raises:
            RuntimeError: One failed.
        """
        done = subprocess.run(
            [*self._client, *self._choose(database)], input=statements.encode(), capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip()[-400:])
        return done.stdout.decode().strip()

    def cpu(self) -> float:
        """Return the seconds of processor time that the server's unit has taken since it was started."""
        lines = (Path("/sys/fs/cgroup") / self._group.lstrip("/") / "cpu.stat").read_text("ascii").splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    @property
    def _group(self) -> str:
        words = ["systemctl", "show", "--property=ControlGroup", "--value", self._unit]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def build(self, database: str, size: int) -> None:
        """Make a database with large and small tables, in all about that many bytes as SQL."""
        self.create(database)
        source = Source(size)
        for table in LARGE_TABLES:
            self._fill(database, table, batches(source, table, size, self.binary_prefix))
        self.sql(self._small_content(source, SMALL), database)
        self.settle(database)

    def build_small(self, names: Sequence[str]) -> None:
        """Make many databases of three small tables each."""
        source = Source(1)
        for name in names:
            self.create(name)
            self.sql(self._small_content(source, SMALL_DATABASE_TABLES), name)

    def _small_content(self, source: Source, tables: Sequence[Table]) -> str:
        statements = [self._definition(table) for table in tables]
        for table in tables:
            rows = b"".join(batches(source, table, 0, self.binary_prefix)).decode().splitlines()
            values = ("('" + line.replace("'", "''").replace("\t", "','") + "')" for line in rows)
            statements.append(f"INSERT INTO {table.name} VALUES {','.join(values)};")
        return "\n".join([*statements, *self._finish(tables)])

    def _fill(self, database: str, table: Table, rows: Iterator[bytes]) -> None:
        self.sql(self._definition(table), database)
        process = subprocess.Popen([*self._client, *self._choose(database), *self._copy(table)], stdin=subprocess.PIPE)
        with process:
            if process.stdin is None:
                raise RuntimeError("no pipe")
            for batch in rows:
                process.stdin.write(batch)
        if process.returncode:
            raise RuntimeError(f"{table.name} could not be filled")
        self.sql("\n".join(self._finish((table,))), database)

    def fingerprint(self, database: str, table: str = "") -> str:
        """Return a checksum of all rows of all tables, or of one."""
        tables = [table] if table else sorted(self._tables(database))
        return hashlib.sha256(self._contents(database, tables).encode()).hexdigest()

    def inventory_name(self, table: str) -> str:
        """Return a table's name as the engine has it."""
        return table

    def prepare(self) -> None:
        """Make the accounts that the cases use."""
        raise NotImplementedError

    def create(self, database: str) -> None:
        """Make an empty database, in place of one that may be there."""
        self.drop(database)
        self.sql(f"CREATE DATABASE {database}")

    def drop(self, database: str) -> None:
        """Remove a database if it is there."""
        self.sql(f"DROP DATABASE IF EXISTS {database}")

    def settle(self, database: str) -> None:
        """Let the server do now what it would otherwise do behind the cases' back."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        """The server's version as it says itself."""
        raise NotImplementedError

    def _choose(self, database: str) -> list[str]:
        raise NotImplementedError

    def _definition(self, table: Table) -> str:
        raise NotImplementedError

    def _copy(self, table: Table) -> list[str]:
        raise NotImplementedError

    def _finish(self, tables: Sequence[Table]) -> list[str]:
        raise NotImplementedError

    def _tables(self, database: str) -> list[str]:
        raise NotImplementedError

    def _contents(self, database: str, tables: Sequence[str]) -> str:
        raise NotImplementedError


class MySql(Server):
    """MariaDB or MySQL, whichever the host has."""

    binary_prefix = ""

    def __init__(self) -> None:
        self.name = "mariadb" if shutil.which("mariadb") else "mysql"
        self.dump = f"{self.name}-dump" if self.name == "mariadb" else "mysqldump"
        self.instance = {"dbms": self.name, "socket": "/run/mysqld/mysqld.sock"}
        self._unit = self.name
        self._client = (self.name, "--batch", "--skip-column-names", "--default-character-set=utf8mb4")

    @property
    def version(self) -> str:
        """The server's version as it says itself."""
        return f"{'MariaDB' if self.name == 'mariadb' else 'MySQL'} {self.sql('SELECT VERSION()').split('-')[0]}"

    def prepare(self) -> None:
        """Make the account, and let the client send rows, and all dumps be loaded beside their original."""
        if self.name == "mysql":  # where the server counts transactions, that is what a dump sets by default
            Path("/etc/mysql/conf.d/benchmark.cnf").write_text("[mysqldump]\nset-gtid-purged=OFF\n", "ascii")
        account = f"{ACCOUNT}@localhost"
        self.sql(
            f"DROP USER IF EXISTS {account}; CREATE USER {account} IDENTIFIED BY '{PASSWORD}';"
            f" GRANT ALL ON *.* TO {account} WITH GRANT OPTION; SET GLOBAL local_infile = 1;"
        )

    def settle(self, database: str) -> None:
        """Bring the statistics up to date."""
        self.sql(f"ANALYZE TABLE {', '.join(table.name for table in (*LARGE_TABLES, *SMALL))}", database)

    def _choose(self, database: str) -> list[str]:
        return [f"--database={database}"] if database else []

    def _definition(self, table: Table) -> str:
        columns = [f"{column.name} {column.mysql}" for column in table.columns]
        keys = [f"KEY {column}_key ({column})" for column in table.indexes]
        return f"CREATE TABLE {table.name} ({', '.join([*columns, 'PRIMARY KEY (id)', *keys])}) CHARSET utf8mb4;"

    def _copy(self, table: Table) -> list[str]:
        fields = ", ".join(f"@{column.name}" if column.binary else column.name for column in table.columns)
        decoded = ", ".join(f"{c.name} = UNHEX(@{c.name})" for c in table.columns if c.binary)
        statement = (
            f"SET unique_checks = 0; LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE {table.name}"
            f" CHARACTER SET utf8mb4 ({fields}){f' SET {decoded}' if decoded else ''}"
        )
        return ["--local-infile=1", f"--execute={statement}"]

    def _finish(self, tables: Sequence[Table]) -> list[str]:
        return []

    def _tables(self, database: str) -> list[str]:
        return self.sql("SHOW TABLES", database).splitlines()

    def _contents(self, database: str, tables: Sequence[str]) -> str:
        return self.sql("".join(f"CHECKSUM TABLE {name};" for name in tables), database).replace(database, "")


class PostgreSql(Server):
    """The host's PostgreSQL."""

    name = "postgresql"
    binary_prefix = r"\\x"
    instance = {"dbms": "postgresql", "socket": "/run/postgresql"}  # noqa: RUF012 - never changed
    _client = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")

    def __init__(self) -> None:
        lines = subprocess.run(["pg_lsclusters", "-h"], capture_output=True, text=True, check=True).stdout.split()
        self.major, cluster = lines[0], lines[1]
        self._unit = f"postgresql@{self.major}-{cluster}"
        self._access = Path(f"/etc/postgresql/{self.major}/{cluster}/pg_hba.conf")

    @property
    def version(self) -> str:
        """The server's version as it says itself."""
        return f"PostgreSQL {self.sql('SHOW server_version').split()[0]}"

    def prepare(self) -> None:
        """Make root an administrator, and the account, which gives its password on the socket."""
        rule = f"local all {ACCOUNT} scram-sha-256\n"
        text = self._access.read_text("utf-8")
        if not text.startswith(rule):
            self._access.write_text(rule + text, "utf-8")
        statements = (
            "DO $$ BEGIN CREATE ROLE root SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
            f"DO $$ BEGIN CREATE ROLE {ACCOUNT}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
            f"ALTER ROLE {ACCOUNT} SUPERUSER LOGIN PASSWORD '{PASSWORD}'; SELECT pg_reload_conf();"
        )
        words = ["runuser", "-u", "postgres", "--", *self._client, "--dbname=postgres", f"--command={statements}"]
        subprocess.run(words, check=True, cwd="/", stdout=subprocess.DEVNULL)

    def settle(self, database: str) -> None:
        """Vacuum, so that no dump has to mark rows as committed, and write all of it out."""
        self.sql("VACUUM ANALYZE", database)
        self.sql("CHECKPOINT")

    def drop(self, database: str) -> None:
        """Remove a database if it is there."""
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def _choose(self, database: str) -> list[str]:
        return [f"--dbname={database or 'postgres'}"]

    def _definition(self, table: Table) -> str:
        columns = ", ".join(f"{column.name} {column.postgresql}" for column in table.columns)
        return f"CREATE TABLE {table.name} ({columns});"

    def _copy(self, table: Table) -> list[str]:
        return [f"--command=COPY {table.name} FROM STDIN"]

    def _finish(self, tables: Sequence[Table]) -> list[str]:
        keys = [f"ALTER TABLE {table.name} ADD PRIMARY KEY (id);" for table in tables]
        return [*keys, *(f"CREATE INDEX ON {t.name} ({column});" for t in tables for column in t.indexes)]

    def inventory_name(self, table: str) -> str:
        """Return a table's name as the engine has it, with its schema."""
        return f"public.{table}"

    def _tables(self, database: str) -> list[str]:
        own = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        return self.sql(own, database).splitlines()

    def _contents(self, database: str, tables: Sequence[str]) -> str:
        queries = (f"SELECT '{name}', count(*), sum(hashtext(t::text)::bigint) FROM {name} t;" for name in tables)
        return self.sql("".join(queries), database)


def all_servers() -> list[Server]:
    """Return the servers of this host."""
    return [MySql(), PostgreSql()]
