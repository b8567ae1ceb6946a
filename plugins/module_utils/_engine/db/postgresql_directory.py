# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The directory format of ``pg_dump``: one file for the rows of each table, and a table of contents."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, ClientError, DamageError, DumpError
from ..utils.processes import Command, ProcessTable
from .base import Check, Client, DumpPlan, Inspection
from .clients import postgresql_client
from .compatibility import FAILED, OK, Clients
from .directory import COUNTED_IN_FILES, DirectoryOptions, DirectorySession, Part
from .figures import Figures
from .postgresql_inventory import ROWS, Objects
from .postgresql_session import OWNER, PostgreSqlDumpSession, Snapshot
from .postgresql_settings import extension_owner, preamble_statements, settings_statements

CONTENTS = "toc.dat"
# Ours, beside the vendor's: what is loaded in which steps, and what belongs to the database itself.
PARALLEL_LIST, ATTACH_LIST, FOREIGN_KEYS_LIST, AFTER_LIST = (
    *("1_parallel.list", "2_attach.list", "3_foreign_keys.list", "4_after.list"),
)
LISTS = (PARALLEL_LIST, ATTACH_LIST, FOREIGN_KEYS_LIST, AFTER_LIST)
_BY_SEVERAL = (PARALLEL_LIST, FOREIGN_KEYS_LIST)
SETTINGS_FILE = "settings.sql"
_ROWS_END = b"\\.\n\n\n"
_SUFFIXES = ("", ".gz", ".zst")
_LIST_SECONDS = 600.0  # a table of contents may have a million entries
_AUTO_LEVEL = {"gzip": 1, "zstd": 3}  # the vendor's client cannot choose by the time that there is
_ZSTD_SINCE = (16,)
# "dumpId; catalogue relation TYPE schema name owner"; line ends in names are blanks there.
_ROWS_LINE = re.compile(r"(\d+); 0 (\d+) TABLE DATA ", re.ASCII)
_LARGE_OBJECTS_LINE = re.compile(r"\d+; 0 0 BLOBS ", re.ASCII)
# The index of a partitioned table becomes valid with the last of its partitions' indexes that is attached to it. Two
# processes that attach the last two at the same time do not see each other, and it never does.
_ATTACH_LINE = re.compile(r"\d+; \d+ \d+ INDEX ATTACH ", re.ASCII)
_FOREIGN_KEY_LINE = re.compile(r"\d+; \d+ \d+ FK CONSTRAINT ", re.ASCII)  # it may need such an index
# Several processes may disable the trigger of a partition before they have made that of the table. Event triggers must
# come after all others, and comments and labels after what they are about.
_AFTER_LINE = re.compile(r"\d+; \d+ \d+ (TRIGGER|EVENT TRIGGER|COMMENT|SECURITY LABEL) ", re.ASCII)
_LARGE_OBJECT = re.compile(r"(\d+) (blob_\d+\.dat)")


class PostgreSqlDirectory:
    """Understands directories that ``pg_dump`` has written, with the ``pg_restore`` beside it."""

    def __init__(self, client: Client, processes: ProcessTable) -> None:
        self._client = client
        self._processes = processes
        self._read: dict[Path, list[str]] = {}  # tables of contents, which do not change once they are written

    @classmethod
    def of_version(cls, number: tuple[int, ...], processes: ProcessTable) -> PostgreSqlDirectory:
        """Return what understands directories of ``pg_dump`` in that version.

        Raises:
            ClientError: No ``pg_restore`` of that version or a later one is installed.
        """
        return cls(postgresql_client("pg_restore", number[0] if number else 0, processes), processes)

    def parts(self, directory: Path) -> list[Part]:
        """Return the files, having found all of them and no other."""
        lines, names = self.contents(directory), set(os.listdir(directory))
        found = [Part(name) for name in (CONTENTS, *LISTS, SETTINGS_FILE)]
        found += [
            Part(_stored_name(f"{match[1]}.dat", names, directory), int(match[2]), _ROWS_END)
            for match in filter(None, map(_ROWS_LINE.match, lines))
        ]
        for listing, objects in self.large_objects(directory, lines).items():
            found.append(Part(listing))
            found += [Part(_stored_name(name, names, directory)) for name in objects.values()]
        missing = sorted({part.name for part in found} - names)
        if missing:
            raise DamageError(f"{directory} lacks files: {missing[:10]}.")
        unknown = sorted(names - {part.name for part in found})
        if unknown:
            raise DamageError(f"{directory} holds files that its table of contents does not name: {unknown[:10]}.")
        return found

    def contents(self, directory: Path) -> list[str]:
        """Return the lines of the table of contents.

        Raises:
            ArtifactError: What reads it was ended.
            ClientError: What reads it cannot be run.
            DamageError: It cannot be read.
        """
        if directory not in self._read:
            self._read[directory] = self._list(directory)
        return self._read[directory]

    def _list(self, directory: Path) -> list[str]:
        try:
            command = Command((self._client.path, "--list", str(directory)))
            code, output, errors = self._processes.run(command, _LIST_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise ClientError(f"{self._client.path} cannot be run: {exc}.") from None
        if self._processes.cancelled.is_set() or code < 0:  # which says nothing of the directory
            raise ArtifactError(f"{directory} was not read to its end: {self._client.path} was ended.")
        if code != 0 or errors:
            raise DamageError(f"The table of contents of {directory} cannot be read: {errors or 'no reason given'}")
        return [line for line in output.split("\n") if line and not line.startswith(";")]

    def large_objects(self, directory: Path, lines: Sequence[str]) -> dict[str, dict[int, str]]:
        """Return the files that list large objects, and of each the objects and the names of their files."""
        if not any(map(_LARGE_OBJECTS_LINE.match, lines)):
            return {}
        found = {}
        for path in sorted(directory.glob("blobs*.toc")):  # one of all before PostgreSQL 17
            listed = [_LARGE_OBJECT.fullmatch(line) for line in path.read_text("ascii", "replace").splitlines()]
            if not all(listed):
                raise DamageError(f"{path} is not a list of large objects.")
            found[path.name] = {int(match[1]): match[2] for match in listed if match}
        return found

    def definitions(self, directory: Path) -> Command:
        """Return the call that writes all but rows and the content of large objects as SQL."""
        return self.content(directory, ())

    def content(self, directory: Path, files: Collection[str]) -> Command:
        """Return the call that writes the same, and the rows in some of the files, as a dump in one stream."""
        wanted = {name.partition(".")[0] for name in files}
        chosen = []
        for line in self.contents(directory):
            rows = _ROWS_LINE.match(line)
            if rows.group(1) in wanted if rows else not _LARGE_OBJECTS_LINE.match(line):
                chosen.append(line)
        return Command((self._client.path, "--use-list={secret}", "--file=-", str(directory)), {}, _numbers(chosen))

    def frame(self, directory: Path, settings: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Return the SQL before and after that stream."""
        return preamble_statements(settings).encode("utf-8"), (directory / SETTINGS_FILE).read_bytes()

    def lists(self, directory: Path) -> dict[str, bytes]:
        """Return the lists of what is loaded in each step, by their names."""
        steps: dict[str, list[str]] = {name: [] for name in LISTS}
        for line in self.contents(directory):
            steps[_step_of(line)].append(line)
        return {name: _numbers(lines) for name, lines in steps.items()}


def _step_of(line: str) -> str:
    """Return the list that a line of the table of contents belongs to."""
    patterns = {ATTACH_LIST: _ATTACH_LINE, FOREIGN_KEYS_LIST: _FOREIGN_KEY_LINE, AFTER_LIST: _AFTER_LINE}
    return next((name for name, pattern in patterns.items() if pattern.match(line)), PARALLEL_LIST)


def _numbers(lines: Sequence[str]) -> bytes:
    """Return what ``pg_restore --use-list`` reads of lines of the table of contents."""
    return "".join(line.partition(";")[0] + ";\n" for line in lines).encode("ascii")


def _stored_name(name: str, names: set[str], directory: Path) -> str:
    for suffix in _SUFFIXES:
        if name + suffix in names:
            return name + suffix
    raise DamageError(f"{directory} lacks the file {name}, which its table of contents names.")


class PostgreSqlDirectorySession(PostgreSqlDumpSession, DirectorySession):
    """Watches over one dump into a directory."""

    counted = COUNTED_IN_FILES

    def __init__(
        self,
        inspection: Inspection,
        plan: DumpPlan,
        objects: Objects,
        snapshot: Snapshot,
        figures: Callable[[], Figures],
        tables: Mapping[int, str],
        directories: PostgreSqlDirectory,
    ) -> None:
        """Begin.

        Args:
            inspection: As for a dump in one stream.
            plan: Likewise.
            objects: Likewise.
            snapshot: Likewise.
            figures: Likewise.
            tables: By which words the dump names the rows of each table, by the table's number.
            directories: What understands the directory.
        """
        super().__init__(inspection, plan, objects, snapshot, figures)
        self._tables = tables
        self._directories = directories

    def parts(self, directory: Path) -> list[Part]:
        """Return the files, having found all of them and no other."""
        return self._directories.parts(directory)

    def additions(self, directory: Path) -> dict[str, bytes]:
        """Return the lists for ``pg_restore``, and the SQL of what belongs to the database itself."""
        return {**self._directories.lists(directory), SETTINGS_FILE: self.plan.postamble.encode("utf-8")}

    def definitions(self, directory: Path) -> Command:
        """Return the call that writes all but rows; the large objects of which there is content are noted."""
        listed = self._directories.large_objects(directory, self._directories.contents(directory))
        self.reader.large_objects_with_data.update(number for each in listed.values() for number in each)
        return self._directories.definitions(directory)

    def count(self, part: Part, rows: int) -> None:
        """Take note of how many rows a file holds."""
        entry = self._tables.get(part.relation or 0)
        if entry is None:
            raise DumpError(f"{part.name} holds the rows of a table ({part.relation}) that the server does not have.")
        self.reader.rows[entry + OWNER] = rows

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        return {each.entry: each.name for each in self._objects.expected if each.kind == ROWS}

    def table_of(self, part: Part) -> str:
        """Return the name of the table whose rows a file holds."""
        entry = self._tables[part.relation or 0]
        return self._names.get(entry, entry)


def dump_options(options: DirectoryOptions) -> list[str]:
    """Return the options with which ``pg_dump`` writes a directory; the files are synced by us, each once."""
    level = _AUTO_LEVEL.get(options.algorithm, 0) if options.level == "auto" else options.level
    if options.algorithm == "none":
        level = 0
    compress = f"{options.algorithm}:{level}" if options.algorithm == "zstd" else f"{level}"
    written = ["--format=directory", "--file={directory}", f"--jobs={options.jobs}", f"--compress={compress}"]
    return [*written, "--no-sync"]


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return what belongs to the database itself as SQL, to be loaded after the directory."""
    return preamble_statements(settings).partition("\n")[0] + "\n" + settings_statements(settings)


def load_options(directory: str | Path, jobs: int, role: str | None) -> list[list[str]]:
    """Return the options of each call of ``pg_restore`` that loads a directory.

    Args:
        directory: Where it is.
        jobs: How many processes may load at a time.
        role: Whom to become; nobody else when None.
    """
    common = ["--exit-on-error", *([f"--role={role}"] if role is not None else [])]
    return [
        [*common, *([f"--jobs={jobs}"] if name in _BY_SEVERAL else []), f"--use-list={directory}/{name}"]
        for name in LISTS
    ]


def by_hand(settings: Mapping[str, Any]) -> str:
    """Return a shell command that restores the directory ``{artifact}``."""
    owner = extension_owner(settings)
    role = owner.replace("{", "{{").replace("}", "}}") if owner is not None else None
    load = " && ".join(
        shlex.join(["pg_restore", *options, "--dbname=NEW_DATABASE", "{artifact}"])
        for options in load_options("{artifact}", 2, role)
    )
    return (
        f"createdb --template=template0 NEW_DATABASE && {load}"
        f" && psql --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=NEW_DATABASE --file={{artifact}}/{SETTINGS_FILE}"
    )


def check_directory_dump(clients: Clients, algorithm: str) -> Check:
    """Examine whether there are clients that can write a directory so compressed, and read it."""
    name, dumper = "parallel", clients.dumper
    for client in (clients.dumper, clients.loader):
        if isinstance(client, ClientError):
            return Check(name, FAILED, client.message, client.hint)
    if isinstance(dumper, Client) and algorithm == "zstd" and dumper.number < _ZSTD_SINCE:
        return Check(
            name,
            FAILED,
            f"{dumper.path} {dumper.version} cannot compress with zstd, which the policy asks for: PostgreSQL 16 and"
            " later can.",
            "Set the policy's compression.algorithm to gzip, or install a later postgresql-client.",
        )
    return Check(name, OK, "pg_dump and pg_restore can write and read directories.")
