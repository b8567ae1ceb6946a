# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine asks of a database server, whatever its make."""

from __future__ import annotations

import abc
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Instance
from ..errors import RestoreError, ServerError
from ..security.credentials import Credential
from ..security.redaction import Redactor
from ..utils.processes import Command, ProcessTable, describe_exit

if TYPE_CHECKING:
    from .accounts import Accounts, Statement
    from .directory import DirectoryOptions, DirectorySession
    from .dump_session import DumpSession
    from .figures import Figures
    from .loading import Loading
    from .row_copy import RowCopy

_USE_LOGICAL = "Set the policy's strategy to logical."


@dataclass(frozen=True)
class Server:
    """The server at the other end.

    Attributes:
        flavour: ``mariadb``, ``mysql`` or ``postgresql``.
        version: Its version as it says itself, ``11.8.3`` or ``17.5``.
        number: The version's leading numbers, for comparisons.
    """

    flavour: str
    version: str
    number: tuple[int, ...]

    @property
    def description(self) -> str:
        """Name and version for people, ``MariaDB 11.8.3``."""
        names = {"mariadb": "MariaDB", "mysql": "MySQL", "postgresql": "PostgreSQL"}
        return f"{names[self.flavour]} {self.version}"


@dataclass(frozen=True)
class Inspection:
    """What the server says of one database before it is dumped.

    Attributes:
        settings: The database's own settings, JSON types only.
        inventory: Names of its objects by kind.
        size_bytes: The server's own estimate of its size.
        warnings: What a dump cannot promise here, in sentences.
        text_only: Whether a dump can only hold its rows as text in one character set, not byte by byte.
        in_one_call: Whether they are few, and come through unchanged as such text too, so that one call of the client
            is quicker than several.
        columns: For each table what tells its columns from others, where the server shows no catalogue of the moment
            of the dump.
    """

    settings: dict[str, Any]
    inventory: dict[str, list[str]]
    size_bytes: int
    warnings: tuple[str, ...] = ()
    text_only: bool = False
    in_one_call: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DumpPlan:
    """How one database will be dumped.

    Attributes:
        commands: The client's calls, each writing SQL to its standard output, one after the other.
        client_version: The client's version.
        preamble: SQL to load before the dump (database settings).
        postamble: SQL to load after it (grants on the database and the like).
        restore_by_hand: A shell command that restores the artifact, which stands as ``{artifact}``, what decrypts and
            unpacks it as ``{unpacked}``.
    """

    commands: tuple[Command, ...]
    client_version: str
    preamble: str
    postamble: str
    restore_by_hand: str


@dataclass(frozen=True)
class Load:
    """How busy a server is.

    Attributes:
        running: Statements at work.
        lag: Seconds that its replication is behind; infinite where it should run and does not.
    """

    running: int
    lag: float = 0.0


@dataclass(frozen=True)
class Check:
    """One thing examined about an instance.

    Attributes:
        check: What was examined.
        status: ``ok``, ``warning``, or ``failed`` where no backup could be right.
        detail: What was found and what it means, a sentence.
        hint: What to do about it.
        database: The database that it is about; empty where it is about all of the instance.
    """

    check: str
    status: str
    detail: str
    hint: str = ""
    database: str = ""


@dataclass(frozen=True)
class Origin:
    """What a manifest says of where its artifact comes from.

    Attributes:
        dbms: The server: ``flavour``, ``version``, ``description``.
        tool: The client that dumped: ``name``, ``version``.
        settings: The database's own settings, and under ``needs`` what a server must have to take it.
        inventory: Names of its objects by kind.
        accounts: The accounts that could be made from it.
        made: Those of them that are made before it is loaded.
    """

    dbms: Mapping[str, str]
    tool: Mapping[str, Any]
    settings: Mapping[str, Any]
    inventory: Mapping[str, list[str]]
    accounts: Collection[str] = ()
    made: Collection[str] = ()


class Dbms(abc.ABC):
    """One instance, spoken to with one account. Methods raise ServerError or ClientError with what to do."""

    def __init__(self, instance: Instance, credential: Credential, processes: ProcessTable) -> None:
        self.instance = instance
        self.credential = credential
        self.processes = processes
        self.redactor = Redactor([credential.password])

    def kept_open(self) -> AbstractContextManager[None]:
        """Keep connections for the next use until the end of a ``with`` block, where that does no harm meanwhile."""
        return nullcontext()

    @abc.abstractmethod
    def server(self) -> Server:
        """Connect and say what server this is."""

    @abc.abstractmethod
    def databases(self) -> dict[str, int]:
        """Return the databases worth a backup (no system ones) with their estimated sizes in bytes."""

    @abc.abstractmethod
    def load(self, replication: bool) -> Load:
        """Return how busy the server is; its replication is looked at only where that is asked for."""

    @abc.abstractmethod
    def all_databases(self) -> set[str]:
        """Return the names of all databases, system ones and those without connections included."""

    @abc.abstractmethod
    def inspect(self, database: str) -> Inspection:
        """Return what there is to know of a database; it must exist."""

    @abc.abstractmethod
    def figures(self, database: str, contents: bool = True) -> Figures:
        """Return the figures of a database that nobody else uses.

        Args:
            database: The database.
            contents: Whether its tables are read to sum up their rows.
        """

    @abc.abstractmethod
    def accounts(self, database: str, settings: Mapping[str, Any], passwords: bool) -> Accounts:
        """Return the accounts that the objects of a database refer to.

        Args:
            database: The database.
            settings: What was found of it, see :class:`Inspection`.
            passwords: Whether their passwords are asked for, as the server stores them.
        """

    @abc.abstractmethod
    def with_accounts(self, kind: str, text: bytes, owners: Mapping[str, str], settings: Mapping[str, Any]) -> bytes:
        """Return a part of an artifact that names other accounts.

        Args:
            kind: Of the segment that it is from, see :class:`~..core.manifest.Segment`.
            text: One statement of definitions with what stands before it; all of a segment of another kind.
            owners: By what accounts are called in it, what they are to be called.
            settings: What the manifest says of the database itself, with these accounts.
        """

    @abc.abstractmethod
    def existing_accounts(self) -> set[str]:
        """Return the names of all accounts of the server."""

    @abc.abstractmethod
    def make_accounts(self, statements: Sequence[Statement]) -> None:
        """Run statements that make accounts; what is said of those that fail does not quote them."""

    @abc.abstractmethod
    def drop_accounts(self, names: Collection[str]) -> None:
        """Drop accounts, those that are there."""

    @abc.abstractmethod
    def make_needed(self, origin: Origin, accounts: Sequence[tuple[str, str]], directory: Path) -> None:
        """Make on a scratch server what an artifact names and does not bring along.

        Args:
            origin: Where the artifact comes from.
            accounts: Accounts that have grants, user and host.
            directory: An existing directory that the server may write to.
        """

    @abc.abstractmethod
    def plan_dump(self, database: str, inspection: Inspection) -> DumpPlan:
        """Find the fitting client and say how it is called; nothing is dumped yet."""

    @abc.abstractmethod
    def dump_session(self, database: str, contents: bool = False) -> AbstractContextManager[DumpSession]:
        """Look at a database and watch over a dump of it, which is to be made while the context lasts.

        Args:
            database: The database.
            contents: Whether its tables are read to sum up their rows.
        """

    def directory_session(self, database: str, options: DirectoryOptions) -> AbstractContextManager[DirectorySession]:
        """Look at a database and watch over a dump of it into a directory, to be made while the context lasts."""
        raise ServerError(f"{self.server().description} cannot be dumped in parallel.", _USE_LOGICAL)

    def directory_load(self, database: str, directory: Path, origin: Origin, jobs: int) -> Sequence[Command]:
        """Return the clients' calls that load a directory, one after the other, each stopping at the first error."""
        raise ServerError(f"{self.server().description} cannot load a directory.", "Restore to the server's own make.")

    def is_working(self, database: str) -> bool:
        """Whether the server says that it is at work in a database for somebody, and waits for no lock."""
        return False

    @abc.abstractmethod
    def parallel_checks(self, algorithm: str) -> list[Check]:
        """Examine whether databases can be dumped by several clients at once, compressed by this algorithm."""

    @abc.abstractmethod
    def load_command(self, database: str) -> Command:
        """Return the call of the client that loads SQL from standard input, stopping at the first error."""

    @property
    @abc.abstractmethod
    def loading(self) -> Loading:
        """How a dump of this kind of server is loaded by several clients."""

    def renamed(self, chunks: Iterator[bytes], old: str, new: str) -> Iterator[bytes]:
        """Return a dump's content such that it loads into a database of another name and touches no other."""
        return chunks

    @abc.abstractmethod
    def create_database(self, database: str, settings: Mapping[str, Any]) -> None:
        """Create an empty database with the settings that its manifest recorded."""

    @abc.abstractmethod
    def drop_database(self, database: str) -> None:
        """Drop a database and all in it, ending connections to it where the server asks for that."""

    def discard_database(self, database: str) -> None:
        """Drop a database that a restore has left incomplete, perhaps because the server's disk is full.

        Raises:
            ServerError: It is still there; the message says what is to be done.
        """
        self.drop_database(database)

    @abc.abstractmethod
    def rename_database(self, old: str, new: str) -> None:
        """Rename a database.

        Raises:
            NotImplementedError: This server cannot; see :attr:`can_rename`.
        """

    def let_in(self, database: str) -> None:
        """Let connections to a database in again, where :meth:`rename_database` may have kept them out."""
        return

    @abc.abstractmethod
    def count_rows(self, database: str, rows: Mapping[str, int], connections: int) -> dict[str, int]:
        """Return how many rows tables of a database have, by their names in inventories.

        Tables whose rows a dump does not carry as they are may be left out.

        Args:
            database: The database.
            rows: About how many rows each of the tables has: those with the most are begun with.
            connections: How many connections may count at a time.

        Raises:
            ServerError: A table cannot be read, or not in time.
        """

    @abc.abstractmethod
    def row_copy(self, target: str, tables: Collection[str], all_sequences: bool) -> RowCopy:
        """Return what adds rows to empty tables of a database.

        Args:
            target: The database.
            tables: Its tables, by their names in inventories.
            all_sequences: Whether sequences that no table owns go on where they stood, too, where they can.
        """

    @abc.abstractmethod
    def refresh_statistics(self, database: str, rows: Mapping[str, int], connections: int) -> list[str]:
        """Refresh what the server's planner knows of a database; return in sentences what could not be refreshed.

        Args:
            database: The database.
            rows: About how many rows tables have, as far as that is known: those with the most are begun with.
            connections: How many connections may look at a time.
        """

    @abc.abstractmethod
    def connections(self, database: str) -> dict[str, int]:
        """Return who is connected to a database, in words, and how many times; our own connections are left out."""

    @abc.abstractmethod
    def data_directory(self) -> Path | None:
        """Return where the server keeps its data; None where it does not say so."""

    @property
    @abc.abstractmethod
    def can_rename(self) -> bool:
        """Whether databases can be renamed, so that a restore can be made beside the old one and swapped in."""

    @abc.abstractmethod
    def checks(self, databases: Sequence[str] | None = None) -> list[Check]:
        """Examine clients, versions, privileges, and whether backups could be restored to this server.

        Args:
            databases: The databases that are to be backed up; all when left out.
        """

    @abc.abstractmethod
    def dump_checks(self, database: str) -> list[Check]:
        """Examine what foretells that a dump of this database cannot be right: those of :meth:`checks` that fail."""

    @abc.abstractmethod
    def restore_checks(self, origin: Origin, target: str) -> list[Check]:
        """Examine whether this server can take an artifact; only what is not ``ok`` is returned."""

    def login_error(self, command: Command) -> str:
        """Run a client's call that only logs in, and return what it complained of; empty if it could."""
        try:
            code, _output, errors = self.processes.run(command)
        except (OSError, subprocess.TimeoutExpired) as exc:
            return self.redactor.text(str(exc))
        return "" if code == 0 else self.explain(errors) or describe_exit(code)

    def refuse_unfit(self, database: str) -> None:
        """Refuse a dump that cannot be right.

        Raises:
            ServerError: A check fails; the message is what :meth:`checks` says.
        """
        refuse_failed(self.dump_checks(database))

    def refuse_incompatible(self, origin: Origin, target: str) -> None:
        """Refuse an artifact that this server cannot take, with all the reasons at once.

        Raises:
            RestoreError: There is at least one; nothing has been changed.
        """
        failed = [check for check in self.restore_checks(origin, target) if check.status == "failed"]
        if failed:
            reasons = " ".join(check.detail for check in failed)
            raise RestoreError(f"{reasons.rstrip('.')}; nothing was changed.", _hints(failed))

    @abc.abstractmethod
    def real_errors(self, stderr: str) -> list[str]:
        """Return the lines of a client's standard error that are errors or warnings, without mere chatter."""

    def explain(self, stderr: str) -> str:
        """Return what a client complained of: its first five complaints, without secrets, in one line."""
        return self.redactor.text(" / ".join(self.real_errors(stderr)[:5]))


@dataclass(frozen=True)
class Client:
    """An installed client program.

    Attributes:
        path: Where it is.
        flavour: Whose it is.
        version: Its version text.
        number: The version's leading numbers.
    """

    path: str
    flavour: str
    version: str
    number: tuple[int, ...] = field(default=())


def refuse_failed(checks: Sequence[Check]) -> None:
    """Refuse to go on where checks fail.

    Raises:
        ServerError: One does; the message is what they say.
    """
    failed = [check for check in checks if check.status == "failed"]
    if failed:
        raise ServerError(" ".join(check.detail for check in failed), _hints(failed))


def _hints(checks: Sequence[Check]) -> str:
    """What to do about several findings, each thing once."""
    return " ".join(dict.fromkeys(check.hint for check in checks if check.hint))


def version_number(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, ``(11, 8, 3)`` for ``11.8.3-MariaDB-log``."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()
