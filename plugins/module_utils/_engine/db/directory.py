# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to know of a vendor's dump in a directory of files, made and loaded by several processes."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..utils.processes import Command
from .dump_session import DumpSession

COUNTED_IN_FILES = "counted in the files of the dump after they were written"


@dataclass(frozen=True)
class DirectoryOptions:
    """How a directory is to be written.

    Attributes:
        jobs: How many processes dump at a time.
        algorithm: Of compression: ``gzip``, ``zstd`` or ``none``.
        level: Of compression, or ``auto``.
        contents: Whether tables are read to sum up their rows.
    """

    jobs: int
    algorithm: str
    level: int | str
    contents: bool = False


@dataclass(frozen=True)
class Part:
    """One file of a dump.

    Attributes:
        name: Its name in the directory.
        relation: The server's number of the table whose rows it holds; None for other files.
        ending: What a file of rows ends with when it is whole; each line before is a row.
    """

    name: str
    relation: int | None = None
    ending: bytes = b""


class DirectoryFormat(Protocol):
    """Understands a vendor's directories."""

    def parts(self, directory: Path) -> list[Part]:
        """Return the files that a directory's own table of contents asks for, having found them all and no other.

        Raises:
            DamageError: The table of contents cannot be read, or files are missing or too many.
            ClientError: The vendor's client cannot be run.
        """


class DirectoryContent(DirectoryFormat, Protocol):
    """Understands a vendor's directories, and writes what is in them as SQL."""

    def content(self, directory: Path, files: Collection[str]) -> Command:
        """Return the call that writes, as a dump in one stream, all definitions and the rows in some of the files.

        Raises:
            DamageError: The table of contents cannot be read.
        """

    def frame(self, directory: Path, settings: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Return the SQL before and after that stream: what belongs to the database itself.

        Args:
            directory: Where it is.
            settings: Those of the database.

        Raises:
            OSError: A file cannot be read.
        """


class DirectorySession(DumpSession, DirectoryFormat):
    """Watches over one dump into a directory. Its plan's command writes to ``{directory}``."""

    @abc.abstractmethod
    def additions(self, directory: Path) -> Mapping[str, bytes]:
        """Return the names and contents of the files of ours that a dump needs beside the vendor's to be loaded.

        Raises:
            DamageError: The table of contents cannot be read.
        """

    @abc.abstractmethod
    def definitions(self, directory: Path) -> Command:
        """Return the call that writes all but rows to standard output, for :meth:`feed`.

        Raises:
            DamageError: The table of contents cannot be read.
        """

    @abc.abstractmethod
    def count(self, part: Part, rows: int) -> None:
        """Take note of how many rows a file holds.

        Raises:
            DumpError: They are of no table that the server has.
        """

    @abc.abstractmethod
    def table_of(self, part: Part) -> str:
        """Return the name of the table whose rows a file holds, as the inventory has it."""
