# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump of PostgreSQL only a part, to be restored into a database of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from ..errors import ArtifactError, RestoreError
from . import postgresql_statements as sql
from .part_filter import PartFilter
from .postgresql_loading import PostgreSqlLoading
from .table_filter import DumpFilter

_ENTRY = re.compile(r"(.*); Type: TABLE DATA; Schema: (.*); Owner: .*\Z", re.DOTALL)
_OURS = (b"DO ", b"RESET ROLE")  # settings of the database; the dump itself has no such statements
_KINDS = (
    *("table", "foreign_table", "view", "materialized_view", "sequence", "index", "trigger", "policy"),
    *("event_trigger", "publication", "subscription", "foreign_server", "large_object"),
)
_SHOWN = 60


class _Definitions(DumpFilter):
    """Notes what tables there are, and what belongs to which; lets nothing pass."""

    def __init__(self, loading: PostgreSqlLoading, codec: str) -> None:
        super().__init__(loading)
        self._codec = codec
        self.tables: dict[bytes, str] = {}  # as they are written, and as in the inventory
        self.owners: dict[bytes, bytes] = {}  # of sequences
        self.partitions: dict[bytes, list[bytes]] = {}

    def is_key(self, key: str) -> bool:
        """No rows pass."""
        return False

    def _is_statement(self, statement: bytes) -> bool:
        return statement.startswith((b"CREATE TABLE ", b"CREATE UNLOGGED TABLE ", b"ALTER SEQUENCE ", b"ALTER TABLE "))

    def _edited(self, text: bytes) -> bytes:
        statement = sql.bare(text)
        owned, attached, table = sql.owned_sequence(statement), sql.attached(statement), sql.relation(statement)
        if owned:
            self.owners[owned[0]] = owned[1]
        elif attached:
            self.partitions.setdefault(attached[0], []).append(attached[1])
        elif table and statement.startswith(b"CREATE "):
            self.tables[table] = sql.unquoted(table, self._codec)
        return b""

    def all_partitions(self, table: bytes) -> set[bytes]:
        """Return the partitions of a table, and theirs, that are tables of this server."""
        found: set[bytes] = set()
        for each in self.partitions.get(table, ()):
            found |= {each, *self.all_partitions(each)} if each in self.tables else set()
        return found


class PostgreSqlPartFilter(PartFilter):
    """Lets pass tables with their rows, partitions, sequences, keys, indexes, triggers and grants, or everything.

    Schemas, extensions, types, functions and the like come along, as far as they need no table that does not: tables,
    triggers and policies are made of them. So do sequences that no table owns.
    """

    def __init__(
        self,
        loading: PostgreSqlLoading,
        inventory: Mapping[str, Collection[str]],
        tables: Sequence[str],
        rows: bool,
        encoding: str = "UTF8",
    ) -> None:
        """Begin; the arguments are those of :class:`.PartFilter`, and the encoding of the dump by the server's name."""
        super().__init__(loading, inventory, tables, rows)
        self._codec = sql.codec_of(encoding)
        self._definitions = _Definitions(loading, self._codec)
        self._keys: set[str] = set()
        self._chosen: set[bytes] = set()  # tables and sequences, as they are written
        self._indexes: dict[bytes, bytes] = {}  # and extended statistics: of which table
        self.objects = {kind: set() for kind in _KINDS} if tables else {}

    def learn(self, piece: bytes) -> None:
        """Take the next bytes of the dump's definitions."""
        for _nothing in self._definitions.feed(piece):
            pass

    def learned(self) -> None:
        """See how the wanted tables are written, and which partitions they have."""
        found = self._definitions
        missing = self.tables - set(found.tables.values())
        if missing:
            raise ArtifactError(f"The dump does not define {', '.join(sorted(missing))}.", "Use another artifact.")
        named = [written for written, name in found.tables.items() if name in self.tables]
        self._chosen.update(named, *map(found.all_partitions, named))
        self.tables = {found.tables[table] for table in self._chosen}
        self._keys = {sql.named_in_comments(name, self._codec) for name in self.tables}

    def is_key(self, key: str) -> bool:
        """Tell whether the rows pass that follow such a comment."""
        entry = _ENTRY.match(key)
        return self._rows and entry is not None and f"{entry.group(2)}.{entry.group(1)}" in self._keys

    def _is_statement(self, statement: bytes) -> bool:
        return True  # its beginning is not always enough

    def _edited(self, text: bytes) -> bytes:
        statement = sql.bare(text)
        if self.loading.sets(statement) or statement.startswith(b"\\"):
            return text
        if not self.tables:
            return text if sql.is_definition(statement) else b""
        if statement.startswith(_OURS):
            return text
        if sql.supports_tables(statement):
            return sql.tolerated(statement)
        return text if self._is_wanted(statement) else b""

    def _is_wanted(self, statement: bytes) -> bool:
        positioned = sql.positioned(statement)
        if positioned is not None:
            return self._rows and positioned in self._chosen
        attached = sql.attached(statement)
        if attached is not None:
            return self._is_attached(*attached, statement.startswith(b"ALTER TABLE "))
        table = sql.relation(statement) or self._indexes.get(sql.of_index(statement) or b"")
        if table is None:
            if sql.must_have_relation(statement):
                shown = statement[:_SHOWN].decode("utf-8", errors="replace")
                raise RestoreError(f"A statement of the dump has a form that is not known: {shown}…")
            return False
        owner = self._definitions.owners.get(table)
        if sql.makes_sequence(statement) and (owner is None or owner in self._chosen):
            self._chosen.add(table)
        if table not in self._chosen or (statement.startswith(b"COPY ") and not self._rows):
            return False
        return self._is_of_chosen(statement, table)

    def _is_attached(self, whole: bytes, part: bytes, are_tables: bool) -> bool:
        both = {whole, part} if are_tables else {self._indexes.get(whole), self._indexes.get(part)}
        if both <= self._chosen:
            return True
        if are_tables and both & self._chosen:
            self.left_out.append(f"{self._name(part)} was not made a partition of {self._name(whole)}.")
        return False

    def _is_of_chosen(self, statement: bytes, table: bytes) -> bool:
        key = sql.foreign_key(statement)
        if key is not None and key[1] not in self._chosen:
            self.left_out.append(
                f"The foreign key {self._name(key[0])} of {self._name(table)} to {self._name(key[1])} was not restored."
            )
            return False
        index, statistics = sql.made_index(statement), sql.made_statistics(statement)
        if index is not None:
            self._indexes[sql.schema_of(table) + b"." + index] = table
        if statistics is not None:
            self._indexes[statistics] = table
        self._chosen.update(filter(None, [sql.identity_sequence(statement)]))
        made = sql.made_object(statement, self._codec)
        if made is not None:
            self._note(*made)
            if made[0] == "trigger":
                self._note_of_partitions(table, made[1].removeprefix(self._name(table)))
        return True

    def _note_of_partitions(self, table: bytes, trigger: str) -> None:
        """Note that partitions have a trigger of their table: the server makes it there too."""
        for partition in self._definitions.all_partitions(table):
            name = self._definitions.tables.get(partition, "") + trigger
            if name in self._inventory.get("trigger", ()):
                self._note("trigger", name)

    def _name(self, written: bytes) -> str:
        return sql.unquoted(written, self._codec)
