# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which keys of tables of InnoDB can be made after the rows, by what ``SHOW CREATE TABLE`` says of the tables.

A key that is made of the rows that are there is sorted and written once; with the key in place, each row is a search
and a change somewhere in it. Only what is understood to the last byte is touched: plain keys, which neither check rows
nor decide what becomes of them, of tables whose other lines have no say in how keys are made.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from .loading import Later, LaterFinder
from .mysql_dump import MySqlDumpReader
from .mysql_statements import COMMENTS, defined_object, table_name

# As in mysql_dump, a text can match these patterns in one way only. None of them goes beyond a line: the server writes
# each column, key and constraint on one of its own, so that a name or text with a line's end in it is not recognised.
_NAME = rb"`[^`\n]*(?:``[^`\n]*)*`(?!`)"
# A backslash is never before a quote, so that it does not matter whether it has a meaning (NO_BACKSLASH_ESCAPES).
_TEXT = rb"'[^'\\\n]*(?:(?:''|\\[^'\n])[^'\\\n]*)*'(?!')"
_PLAIN = rb"[^`'\"\\\n/*#;-]*"
_SPECIAL = rb"(?:" + _NAME + rb"|" + _TEXT + rb"|/(?!\*)|/\*M?!\d{5,6} |\*(?!/)|\*/|-(?!-))"
_REST = _PLAIN + rb"(?:" + _SPECIAL + _PLAIN + rb")*"
_NAMES = rb"\((" + _NAME + rb"(?:, ?" + _NAME + rb")*)\)"
_KEY_PART = _NAME + rb"(?:\(\d+\))?(?: ASC| DESC)?"
_OPTION = rb"(?: USING BTREE| COMMENT " + _TEXT + rb"| /\*!80000 INVISIBLE \*/| IGNORED)"

_FIRST = re.compile(rb"CREATE TABLE (" + _NAME + rb") \(")
_COLUMN = re.compile(rb"  (" + _NAME + rb") " + _REST)
_UNIQUE = re.compile(rb"  (?:PRIMARY KEY|UNIQUE KEY " + _NAME + rb") \(" + _REST)
_KEY = re.compile(
    rb"  KEY (" + _NAME + rb") \((?=(" + _NAME + rb"))" + _KEY_PART + rb"(?:," + _KEY_PART + rb")*\)" + _OPTION + rb"*"
)
_FOREIGN_KEY = re.compile(
    rb"  CONSTRAINT "
    + _NAME
    + rb" FOREIGN KEY "
    + _NAMES
    + rb" REFERENCES (?:"
    + _NAME
    + rb"\.)?("
    + _NAME
    + rb") "
    + _NAMES
    + _REST
)
_CHECK = re.compile(rb"  CONSTRAINT " + _NAME + rb" CHECK \(" + _REST)
# Options that have no say in how a key is made, or whether: a table with a second engine refuses all changes.
_TABLE_OPTION = (
    rb"(?:AUTO_INCREMENT|(?:DEFAULT )?CHARSET|COLLATE|COMMENT|ROW_FORMAT|STATS_\w+|(?:AVG|MIN|MAX)_ROW\w+|PACK_KEYS"
    rb"|CHECKSUM|DELAY_KEY_WRITE|`PAGE_COMPRESS\w+`|`ENCRYPT\w+`)=(?:\w+|" + _TEXT + rb")"
)
_LAST = re.compile(rb"\) ENGINE=InnoDB(?: " + _TABLE_OPTION + rb")*;")
_COLUMNS, _UNIQUES, _KEYS, _CONSTRAINTS = range(4)  # sorts of lines, in their order
_QUOTED = re.compile(_NAME + rb"|" + _TEXT)
_ONE_NAME = re.compile(_NAME)
# Of generated columns, keys hold what is computed while they are made; unique keys by hash have a hidden column.
_COMPUTED = re.compile(rb"\b(?:AS|HASH)\b", re.IGNORECASE)
_AUTO_INCREMENT = re.compile(rb"\bAUTO_INCREMENT\b")

# In what is not recognised, all that might name a table or a key, wherever it stands.
_ANY_NAME = rb"(?:`[^`]*(?:``[^`]*)*`|[\w$\x80-\xff]+)"
_ANY = re.compile(_ANY_NAME)
_DEFINES = re.compile(rb"\bTABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(" + _ANY_NAME + rb")\s*\(", re.IGNORECASE)
_REFERENCES = re.compile(rb"\bREFERENCES\s+(?:" + _ANY_NAME + rb"\s*\.\s*)?(" + _ANY_NAME + rb")", re.IGNORECASE)
_HINT = re.compile(rb"\b(?:USE|FORCE|IGNORE)\s+(?:INDEX|KEY)\b", re.IGNORECASE)
_HINTED = re.compile(rb"[^(`]*\(\s*((?:" + _ANY_NAME + rb"\s*(?:,\s*" + _ANY_NAME + rb"\s*)*)?)\)")
_CHANGES = re.compile(
    COMMENTS + rb"(?:/\*M?!\d+ )?(?:(?:ALTER|RENAME)\s+TABLE\s|(?:CREATE|DROP)\s+(?:\w+\s+)?INDEX\s)"
    rb"(?!.* (?:DIS|EN)ABLE KEYS \*/;\Z)",
    re.IGNORECASE | re.DOTALL,
)
_CHARSETS = ("utf8mb4", "utf8mb3", "utf8")  # in which no byte of a longer letter looks like a sign
_PROGRAMS = ("routine", "trigger", "event", "library")  # which need nothing before they are called
_HEADER_BYTES = 1000  # the longest name fits


@dataclass(frozen=True)
class Key:
    """A plain key.

    Attributes:
        name: Its name, folded.
        column: Its first column, folded.
        text: Its line, as ``ADD`` takes it.
        start: Where it begins, in bytes from the statement's beginning: with the comma before it.
        end: Where it ends.
    """

    name: str
    column: str
    text: bytes
    start: int
    end: int


@dataclass
class Table:
    """What a definition of a table says; names are folded, as the server does not tell their cases apart.

    Attributes:
        name: Its name as it stands there.
        keys: Its plain keys, in their order.
        needed: The columns that keys of its own are needed for: those of foreign keys, and the one that counts up.
        references: The tables that its foreign keys point to, and the columns there.
    """

    name: bytes
    keys: list[Key] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)
    references: list[tuple[str, set[str]]] = field(default_factory=list)

    def take(self, line: bytes, start: int, end: int) -> Optional[int]:
        """Take note of a line, and return of which sort it is, in the order of sorts; None if it is not recognised.

        Args:
            line: The line without its comma.
            start: Where the line before it ended, without its comma.
            end: Where it ends.
        """
        if _COMPUTED.search(_QUOTED.sub(b"", line)):
            return None
        key = _KEY.fullmatch(line)
        if key:
            self.keys.append(Key(_folded(key.group(1)), _folded(key.group(2)), line[2:], start, end))
            return _KEYS
        column = _COLUMN.fullmatch(line)
        if column:
            if _AUTO_INCREMENT.search(_QUOTED.sub(b"", line)):
                self.needed.add(_folded(column.group(1)))
            return _COLUMNS
        if _UNIQUE.fullmatch(line):
            return _UNIQUES
        foreign = _FOREIGN_KEY.fullmatch(line)
        if foreign:
            self.needed |= _all_folded(foreign.group(1))
            self.references.append((_folded(foreign.group(2)), _all_folded(foreign.group(3))))
            return _CONSTRAINTS
        return _CONSTRAINTS if _CHECK.fullmatch(line) else None


def parse_table(statement: bytes) -> Optional[Table]:
    """Return what a statement says of a table; None if it is of another form, or its keys had better stay in it.

    Args:
        statement: All of it, without comments before it.
    """
    first, *lines = statement.split(b"\n")
    header = _FIRST.fullmatch(first)
    if header is None or not lines or not _LAST.fullmatch(lines.pop()):
        return None
    table, sort, position = Table(header.group(1)), _COLUMNS, len(first)
    before = position
    for number, line in enumerate(lines, 1):
        comma = number < len(lines)
        if line.endswith(b",") is not comma:
            return None
        text = line[:-1] if comma else line
        end = position + 1 + len(text)
        found = table.take(text, before, end)
        if found is None or found < sort or (number == 1 and found != _COLUMNS):
            return None
        sort, before, position = found, end, position + 1 + len(line)
    return table


class MySqlKeys(LaterFinder):
    """Finds the keys of a dump that can be made later.

    All keys must stand in the order in which they stood, and the server puts new ones at the end: those after the last
    one that must stay can be made later. A key must stay that a foreign key may need, also one of another table, or
    that a view names: views are made before the rows.
    """

    def __init__(self, reader: MySqlDumpReader) -> None:
        """Begin.

        Args:
            reader: What follows the dump.
        """
        self._reader = reader
        self._tables: list[Table] = []
        self._defined: Counter[str] = Counter()
        self._referenced: dict[str, set[str]] = {}
        self._untouched: set[str] = set()  # tables
        self._hinted: set[str] = set()  # keys
        self._sure = True  # whether all was understood that might need a key

    def heard(self, statement: bytes, text: bytes) -> bool:
        """Take note of a statement, and tell whether it defines a table whose keys may be made later."""
        self._defined.update(_folded(name) for name in _DEFINES.findall(statement[:_HEADER_BYTES]))
        whole = text.endswith(statement) and self._reader.charset in _CHARSETS
        table = parse_table(statement) if whole else None
        if table is None:
            defined = defined_object(statement)
            if defined is None or defined[0] not in _PROGRAMS:
                self._sure = self._sure and _CHANGES.match(statement) is None
                self._be_careful(text or statement)
            return False
        for name, columns in table.references:
            self._referenced.setdefault(name, set()).update(columns)
        self._tables.append(table)
        return True

    def _be_careful(self, text: bytes) -> None:
        """Let all keys stay that a statement might need which was not understood."""
        self._untouched.update(map(_folded, _REFERENCES.findall(text)))
        for hint in _HINT.finditer(text):
            hinted = _HINTED.match(text, hint.end())
            if hinted is None:
                self._sure = False
                return
            self._hinted.update(map(_folded, _ANY.findall(hinted.group(1))))

    def found(self) -> Sequence[Optional[Later]]:
        """Return what can be made later of each table, in their order."""
        return [self._later(table) if self._sure else None for table in self._tables]

    def _later(self, table: Table) -> Optional[Later]:
        name = _folded(table.name)
        if name in self._untouched or self._defined[name] > 1:
            return None
        needed = table.needed | self._referenced.get(name, set())
        keys: list[Key] = []
        for key in reversed(table.keys):
            if key.column in needed or key.name in self._hinted:
                break
            keys.insert(0, key)
        if not keys:
            return None
        added = b",\n".join(b"  ADD " + key.text for key in keys)
        statement = b"ALTER TABLE " + table.name + b"\n" + added + b";"
        return Later(table_name(table.name), keys[0].start, keys[-1].end, statement)


def _folded(name: bytes) -> str:
    return table_name(name).casefold()


def _all_folded(names: bytes) -> set[str]:
    return set(map(_folded, _ONE_NAME.findall(names)))
