# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a statement of a dump by ``mariadb-dump`` or ``mysqldump`` defines."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Comments before a statement count as part of it; one of them bars commands of the client's own.
COMMENTS = rb"(?:\s|/\*M!999999[^*]*\*/|(?:--(?=\s)|#)[^\n]*\n)*"
_TOKEN = re.compile(
    rb"(?P<nothing>\s+|/\*M?!\d*|\*/|/\*.*?\*/|(?:--\s|\#)[^\n]*)"
    rb"|(?P<name>`[^`]*(?:``[^`]*)*`|\"[^\"]*(?:\"\"[^\"]*)*\")"
    rb"|(?P<text>'[^'\\]*(?:(?:\\.|'')[^'\\]*)*')|(?P<word>[\w$\x80-\xff]+)|(?P<sign>.)",
    re.DOTALL,
)
_TRIGGER_TIMES, _TRIGGER_EVENTS = (b"BEFORE", b"AFTER"), (b"INSERT", b"UPDATE", b"DELETE")
_KINDS = {
    b"TABLE": "table",
    b"VIEW": "view",
    b"SEQUENCE": "sequence",
    b"TRIGGER": "trigger",
    b"FUNCTION": "routine",
    b"PROCEDURE": "routine",
    b"PACKAGE": "routine",
    b"EVENT": "event",
    b"LIBRARY": "library",
}


@dataclass(frozen=True)
class Definition:
    """An object that a dump defines.

    Attributes:
        kind: As in the inventory: ``table``, ``view``, ``sequence``, ``trigger``, ``routine``, ``event``, ``library``.
        type: Which sort of routine, ``package body``; empty for all other kinds.
        name: Its name as it stands in the dump.
        charset: What the name may be encoded in, if not in UTF-8: bodies stay as the client wrote them that made them.
    """

    kind: str
    type: str
    name: bytes
    charset: str


def defined_object(statement: bytes) -> tuple[str, str, bytes] | None:
    """Return kind, type and name of what a statement defines; None if it defines nothing, or a mere stand-in."""
    words: list[bytes] = []
    tokens = (match for match in _TOKEN.finditer(statement) if match.lastgroup != "nothing")
    for token in tokens:
        if token.lastgroup != "word":
            if not words:
                return None
            continue
        word = token.group().upper()
        if not words and word != b"CREATE":
            return None
        words.append(word)
        if word in _KINDS:
            break
    else:
        return None
    # For views, the dump first has a table or view of the same columns; its statement has a comment's form from CREATE
    # to its end and says nothing of a definer.
    if statement.startswith(b"/*") and words in ([b"CREATE", b"TABLE"], [b"CREATE", b"VIEW"]):
        return None
    kind, name, dotted = words[-1], b"", True
    for token in tokens:
        word = token.group().upper()
        if token.lastgroup == "word" and not name and word in (b"IF", b"NOT", b"EXISTS"):
            continue
        if token.lastgroup == "word" and not name and kind == b"PACKAGE" and word == b"BODY":
            kind = b"PACKAGE BODY"
        elif token.lastgroup in ("name", "word") and dotted:
            name, dotted = _unquoted(token.group()), False
        elif word == b"." and name:
            dotted = True
        else:
            break
    sort = _KINDS[words[-1]]
    return (sort, kind.decode().lower() if sort == "routine" else "", name) if name else None


def trigger_table(statement: bytes) -> bytes:
    """Return the name of the table that a statement defines a trigger of; empty if it defines none."""
    words: list[bytes] = []
    for token in _TOKEN.finditer(statement):
        if token.lastgroup == "nothing":
            continue
        if len(words) > 2 and words[-1] == b"ON" and words[-2] in _TRIGGER_EVENTS and words[-3] in _TRIGGER_TIMES:
            return _unquoted(token.group())
        words.append(token.group().upper() if token.lastgroup == "word" else b"")
    return b""


def table_name(name: bytes) -> str:
    """Return a name that may be quoted as :attr:`~.mysql_dump.MySqlDumpReader.rows` has it."""
    return _unquoted(name).decode("utf-8", errors="surrogateescape")


def _unquoted(name: bytes) -> bytes:
    if name[:1] in (b"`", b'"'):
        return name[1:-1].replace(name[:1] * 2, name[:1])
    return name
