# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which part of an artifact is restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..errors import ConfigError

ALL, SCHEMA, DATA = "all", "schema", "data"
CONTENTS = (ALL, SCHEMA, DATA)


@dataclass(frozen=True)
class Part:
    """A part of an artifact, or all of it.

    Attributes:
        tables: The tables by their names in the inventory; everything where there are none.
        content: :data:`ALL`, :data:`SCHEMA`: definitions without rows, or :data:`DATA`: rows without definitions.
    """

    tables: tuple[str, ...] = ()
    content: str = ALL

    @property
    def is_whole(self) -> bool:
        """Whether it is all of it."""
        return not self.tables and self.content == ALL

    @property
    def rows(self) -> bool:
        """Whether it has rows."""
        return self.content != SCHEMA

    @property
    def definitions(self) -> bool:
        """Whether it has definitions."""
        return self.content != DATA

    def with_definitions(self, tables: Sequence[str]) -> Part:
        """Return the same tables, all of those that are given where none were named, with all that they are made of."""
        return Part(self.tables or tuple(tables))

    def refuse_impossible(self, database: str, target: Optional[str], overwrite: bool) -> None:
        """Refuse to restore a part anywhere but into a database of its own, or rows alone over others.

        Args:
            database: The database that the artifact is of.
            target: The name to restore into, where one was given.
            overwrite: Whether an existing database may be replaced.

        Raises:
            ConfigError: It would go elsewhere, or there is no such part.
        """
        if self.content not in CONTENTS:
            raise ConfigError(f"There is no content {self.content!r} to restore.", f"Choose of {', '.join(CONTENTS)}.")
        if "" in self.tables:
            raise ConfigError("A table without a name was asked for.")
        if self.content == DATA and overwrite:
            raise ConfigError(
                "Rows without definitions are only added to empty tables, so there is nothing to overwrite.",
                "Leave overwriting out.",
            )
        if self.is_whole or self.content == DATA:
            return
        if overwrite or target is None or target == database:
            raise ConfigError(
                f"A part of {database!r} is only restored into a database of its own, never over another;"
                " nothing was changed.",
                "Name a new database as the target, look at what is there, and copy what you need.",
            )


WHOLE = Part()
