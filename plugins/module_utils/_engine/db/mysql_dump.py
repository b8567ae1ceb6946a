# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading what ``mariadb-dump`` and ``mysqldump`` write."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from .dump_reader import DumpReader
from .mysql_statements import Definition, defined_object, table_name

_HEAD_BYTES = 64 * 1024  # what is kept of a statement, to see what it defines
_HEADER_BYTES = 2 * 1024 * 1024  # 4,096 columns with the longest names fit
_LINE_BYTES = 64 * 1024
_TAG_BYTES = 300
_BYTES_FOR_AN_ESCAPE = 50  # with more of them, they are found faster one way than the other
_WINDOW_BYTES = 64 * 1024  # matching needs memory for each step, so this much at a time

_SPACE = re.compile(rb"\s*")
_DELIMITER = re.compile(rb"DELIMITER +(\S+)\s*\Z", re.IGNORECASE)
# A text can match these patterns in one way only, so that what is cut off fails at once. (Possessive quantifiers would
# do the same, but Python 3.11.2 matches them wrongly.)
_NAME = rb"`[^`]*(?:``[^`]*)*`(?!`)"
_INSERT = re.compile(rb"INSERT INTO (" + _NAME + rb") (?:\((?:" + _NAME + rb"|[\w$\x80-\xff, ])*\) )?VALUES\s")
_OTHER_LINE_END = re.compile(rb"\n(?:(?<!\),\n)|(?!\())")
_KEYS = re.compile(rb"/\*!40000 ALTER TABLE (" + _NAME + rb") DISABLE KEYS \*/;\Z")
_SET_MODE = re.compile(rb"/\*!\d+ SET (?:@\w+=@@SQL_MODE, )?sql_mode\s*=\s*'?([^'*]*)", re.IGNORECASE)
_SET_CHARSET = re.compile(rb"(?:/\*!\d+ )?SET character_set_client\s*=\s*(@?\w+)", re.IGNORECASE)
_EPILOGUE = re.compile(rb"/\*M?!\d+ SET \w+=\s*@OLD_\w+ \*/;\Z")
_END = re.compile(rb"-- Dump completed(?: on [0-9: -]+)?\Z")
_QUOTES = (b"'", b'"', b"`")
_DOLLAR_TAG = re.compile(rb"\$[\w\x80-\xff]*\$?")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"'();")
_WORD_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$") | frozenset(
    range(128, 256)
)

# In bodies written by clients of these character sets, the second byte of a letter may look like a quote or backslash.
_LEADING_BYTES = {
    b"sjis": rb"\x81-\x9f\xe0-\xfc",
    b"cp932": rb"\x81-\x9f\xe0-\xfc",
    b"big5": rb"\x81-\xfe",
    b"gbk": rb"\x81-\xfe",
    b"gb18030": rb"\x81-\xfe",
}


@functools.lru_cache(maxsize=32)
def _code(delimiter: bytes, escapes: bytes, leading: bytes, dollars: bool) -> re.Pattern[bytes]:
    """Return the pattern of whatever needs no further thought: plain code and complete literals."""
    special = rb"'\"`#/\-" + re.escape(delimiter[:1]) + leading + (rb"$" if dollars else b"")
    choices = [rb"[^" + special + rb"]+", *([rb"[" + leading + rb"]."] if leading else [])]
    choices += [quote + _within(quote, escapes, leading) + quote for quote in (b"'", b'"', b"`")]
    return re.compile(rb"(?:" + rb"|".join(choices) + rb")*", re.DOTALL)


@functools.lru_cache(maxsize=32)
def _literal(quote: bytes, escapes: bytes, leading: bytes) -> re.Pattern[bytes]:
    return re.compile(_within(quote, escapes, leading), re.DOTALL)


def _within(quote: bytes, escapes: bytes, leading: bytes) -> bytes:
    """Return the pattern of what may stand between two quotes."""
    plain = rb"[^" + quote + leading + (rb"\\" if quote in escapes else b"") + rb"]*"
    pairs = ([rb"\\."] if quote in escapes else []) + ([rb"[" + leading + rb"]."] if leading else [])
    return plain + (rb"(?:(?:" + rb"|".join(pairs) + rb")" + plain + rb")*" if pairs else b"")


class MySqlDumpReader(DumpReader):
    """Follows a dump of MySQL or MariaDB.

    Attributes:
        definitions: What it defines, so far.
        remarks: Its comments that say a position in the binary log.
    """

    def __init__(self, *, dollar_quotes: bool) -> None:
        """Begin.

        Args:
            dollar_quotes: The server knows texts between ``$$`` (MySQL 9); for others that may be part of a name.
        """
        super().__init__()
        self.definitions: list[Definition] = []
        self.remarks: list[str] = []
        self._dollar_quotes = dollar_quotes
        self._state: Callable[[bytes, int], int] = self._between
        self._delimiter = b";"
        self._escapes = b"'\""  # the quotes in which a backslash has a meaning
        self._charset = b"utf8mb4"
        self._head = bytearray()
        self._open = b""  # what ends the literal or comment that we are in
        self._previous = 0  # the byte before what is not yet judged
        self._table = ""
        self._in_table = False
        self._quoted = False
        self._depth = 0
        self._epilogue = False
        self._complete = False
        self._ended = False  # an end marker has been seen
        self._went_on = False  # a statement came after it: this is more than one dump

    def begin(self) -> None:
        """Expect a dump, after the one before has ended."""
        self._ended = self._went_on = self._complete = False

    def _step(self, data: bytes, position: int) -> int:
        return self._state(data, position)

    def unfinished(self) -> str:
        """Return where the stream stopped short, for the end of a sentence; empty if it ended as a whole dump does."""
        if self._state in (self._values, self._lines):
            return f"in the data of table {self._table}"
        if not self.between_statements:
            return "in a statement"
        if self._went_on:
            return "only after an end marker in its middle"
        return "" if self._complete else "before the end marker"

    @property
    def charset(self) -> str:
        """The character set that the client declares for the statements that follow, by the server's name for it."""
        return self._charset.decode("ascii")

    @property
    def between_statements(self) -> bool:
        """Whether all that was read are whole statements."""
        return self._state == self._between and not self._rest.strip() and self._delimiter == b";"

    # ---- between statements

    def _between(self, data: bytes, position: int) -> int:
        start = _between_start(data, position)
        if start == len(data):
            return start
        comment = _comment_start(data, start)
        if comment is None:
            return position
        if comment:
            return self._line(data, start, self._remark)
        head = data[start : start + 12]
        if len(head) < 12 and b";" not in head:
            return position
        self._went_on, self._complete = self._ended, False
        if head[:10].upper() == b"DELIMITER ":
            return self._line(data, start, self._change_delimiter)
        if head == b"INSERT INTO ":
            return self._insert(data, start)
        if self._in_table:
            self._cut(start, None)
            self._in_table = False
        self._head.clear()
        self._state = self._statement
        return self._statement(data, start)

    def _line(self, data: bytes, start: int, use: Callable[[bytes], None]) -> int:
        end = data.find(b"\n", start)
        if end >= 0:
            self.told = self._base + end + 1
            use(data[start:end])
            return end + 1
        if len(data) - start < _LINE_BYTES:
            return start
        self._open, self._state = b"\n", self._statement  # no line that matters is that long
        return self._statement(data, start)

    def _remark(self, line: bytes) -> None:
        self._complete = self._epilogue and _END.match(line) is not None
        self._ended = self._ended or self._complete
        if b"MASTER_LOG_FILE=" in line or b"gtid_slave_pos=" in line:
            self.remarks.append(line.decode("utf-8", errors="replace"))

    def _change_delimiter(self, line: bytes) -> None:
        self.tell(line + b"\n")
        match = _DELIMITER.match(line)
        if match:
            self._delimiter = match.group(1)

    def _insert(self, data: bytes, start: int) -> int:
        header = _INSERT.match(data, start)
        if header is None:
            if len(data) - start < _HEADER_BYTES:
                return start
            self.doubt = "a statement that inserts rows has a form that is not known"
            self._state = self._statement
            return self._statement(data, start)
        table = table_name(header.group(1))
        self.rows.setdefault(table, 0)
        self._table, self._in_table = table, True
        self._cut(start, table)
        self._quoted, self._depth = False, 0
        self._state = self._lines if header.group().endswith(b"\n") else self._values
        return header.end()

    # ---- rows that are lines, as MariaDB's newer clients write them

    def _lines(self, data: bytes, position: int) -> int:
        """Count rows by their line ends, of which there are none in texts: the client escapes them.

        mysql_real_escape_string() does so unless the session has NO_BACKSLASH_ESCAPES, and the client sets its own
        sql_mode. A line end that is neither between two rows nor after the last shows another client at work: from the
        last row before it on, quotes are followed.
        """
        if position == len(data):
            return position
        other = _OTHER_LINE_END.search(data, position)
        if other and other.end() == len(data) and data.endswith(b"),\n"):
            other = None  # what follows it is not there yet
        if data[position] != ord("(") or (other and not data.endswith(b");\n", position, other.end())):
            self._state = self._values
            return self._values(data, position)
        if other:
            self.rows[self._table] += data.count(b"),\n(", position, other.end()) + 1
            self._state, self._epilogue = self._between, False
            return other.end()
        following = data.rfind(b"\n(", position) + 1 or position
        self.rows[self._table] += data.count(b"),\n(", position, following + 1)
        if len(data) - following > _LINE_BYTES:
            self._state = self._values
        return following

    # ---- rows: outside of texts there are only numbers, NULL, hexadecimal digits and the brackets of each row

    def _values(self, data: bytes, position: int) -> int:
        while True:
            end = _semicolon_line_end(data, position)
            if not end:
                stop = len(data) - _undecided(data)
                self._count(data[position:stop])
                return max(stop, position)
            self._count(data[position : end - 2])
            position = end
            if not self._quoted and self._depth == 0:
                self._state, self._epilogue = self._between, False
                return position

    def _count(self, piece: bytes) -> None:
        if b"\\'" in piece:
            piece = _without_escapes(piece)
        # Removing two neighbouring quotes leaves all else as much inside or outside as it was.
        skeleton = piece.translate(None, _NOT_STRUCTURE).replace(b"''", b"")
        if self._quoted or b"'" in skeleton:
            parts = skeleton.split(b"'")
            skeleton = b"".join(parts[1 if self._quoted else 0 :: 2])
            if len(parts) % 2 == 0:
                self._quoted = not self._quoted
        opened, closed = skeleton.count(b"("), skeleton.count(b")")
        nested = self._depth > 1 or b"((" in skeleton or (self._depth == 1 and skeleton.startswith(b"("))
        if nested or opened + closed != len(skeleton):
            self._count_slowly(skeleton)
            return
        self.rows[self._table] += opened
        self._depth += opened - closed

    def _count_slowly(self, skeleton: bytes) -> None:
        for sign in skeleton:
            if sign == ord("("):
                self.rows[self._table] += self._depth == 0
                self._depth += 1
            elif sign == ord(")"):
                self._depth -= 1
            else:
                self.doubt = "a statement that inserts rows does not end with its line"

    # ---- all other statements, to their delimiter

    def _statement(self, data: bytes, start: int) -> int:
        leading = _LEADING_BYTES.get(self._charset, b"")
        code = _code(self._delimiter, self._escapes, leading, self._dollar_quotes)
        position, ended = start, False
        while position < len(data) and not ended:
            if self._open:
                following = self._close(data, position, leading)
            else:
                window = position + _WINDOW_BYTES
                plain = code.match(data, position, window)
                position = plain.end() if plain else position
                if position in (window, len(data)):
                    continue
                following, ended = self._special(data, position)
            if following == position:
                break
            position = following
        if position > start:
            self._previous = data[position - 1]
            if len(self._head) < _HEAD_BYTES:
                self._head += data[start : min(position, start + _HEAD_BYTES)]
        if ended:
            self._state, self.told = self._between, self._base + position
            self._understand(bytes(self._head))
        return position

    def _close(self, data: bytes, position: int, leading: bytes) -> int:
        """Go to the end of the literal or comment that we are in, or as far as there is something of it."""
        ending = self._open
        if ending in _QUOTES:
            match = _literal(ending, self._escapes, leading).match(data, position, position + _WINDOW_BYTES)
            position = match.end() if match else position
            if data.startswith(ending, position):
                self._open = b""
                position += 1
            return position
        end = data.find(ending, position)
        if end >= 0:
            self._open = b""
            return end + len(ending)
        return max(position, len(data) - len(ending) + 1)

    def _special(self, data: bytes, position: int) -> tuple[int, bool]:
        """Judge what may begin a literal or a comment, or end the statement; the same position: more is needed."""
        ahead, sign = data[position : position + 4], data[position : position + 1]
        if data.startswith(self._delimiter, position):
            return position + len(self._delimiter), True
        if sign in _QUOTES:
            self._open = sign
            return position + 1, False
        if sign == b"$":
            return self._dollar(data, position), False
        half_comment = len(ahead) < 4 and ahead[:2] in (b"-", b"--", b"/", b"/*")
        if half_comment or sign >= b"\x80" or self._delimiter.startswith(ahead):  # or half a letter, half a delimiter
            return position, False
        if _comment_start(data, position):
            self._open = b"\n"
        elif data.startswith(b"/*", position) and not data.startswith((b"/*!", b"/*M!"), position):
            self._open = b"*/"
            return position + 2, False
        return position + 1, False

    def _dollar(self, data: bytes, position: int) -> int:
        tag = _DOLLAR_TAG.match(data, position)
        if (data[position - 1] if position else self._previous) in _WORD_BYTES or tag is None:
            return position + 1
        if tag.group().endswith(b"$", 1):
            self._open = tag.group()
            return tag.end()
        return position if tag.end() == len(data) and len(tag.group()) < _TAG_BYTES else position + 1

    def _understand(self, statement: bytes) -> None:
        """Take from a statement what it defines and what it changes for those that follow."""
        self.tell(statement)
        self._epilogue = _EPILOGUE.match(statement) is not None
        keys = _KEYS.match(statement)
        if keys:
            self.rows.setdefault(table_name(keys.group(1)), 0)
            return
        mode = _SET_MODE.match(statement)
        if mode:
            modes = mode.group(1).upper()
            plain = b"NO_BACKSLASH_ESCAPES" in modes
            self._escapes = b"" if plain else b"'" if b"ANSI_QUOTES" in modes else b"'\""
            return
        charset = _SET_CHARSET.match(statement)
        if charset:
            self._charset = b"utf8mb4" if charset.group(1).startswith(b"@") else charset.group(1).lower()
            return
        defined = defined_object(statement)
        if defined:
            self.definitions.append(Definition(*defined, self._charset.decode("ascii")))


def _between_start(data: bytes, position: int) -> int:
    match = _SPACE.match(data, position)
    return match.end() if match else position


def _comment_start(data: bytes, position: int) -> bool | None:
    """Tell whether a comment to the end of the line begins here; None: more is needed to tell."""
    if data.startswith(b"#", position):
        return True
    if not data.startswith(b"-", position):
        return False
    if len(data) - position < 3:
        return None if b"--".startswith(data[position:]) else False
    return data.startswith(b"--", position) and data[position + 2] <= 32


def _without_escapes(piece: bytes) -> bytes:
    """Return what is left without backslashes and what each of them escapes; the last one is not the end.

    Splitting at one byte is several times faster than replacing two, as long as there are few of them.
    """
    parts = piece.split(b"\\", len(piece) // _BYTES_FOR_AN_ESCAPE)
    if b"\\" in parts[-1]:
        return piece.replace(b"\\\\", b"").replace(b"\\'", b"")
    kept = parts[:1]
    whole = False  # whether the part comes after an escaped backslash
    for part in parts[1:]:
        if whole or part:
            kept.append(part if whole else part[1:])
            whole = False
        else:
            whole = True
    return b"".join(kept)


def _semicolon_line_end(data: bytes, position: int) -> int:
    """Return the end of the first line from a position on that ends with a semicolon; 0: there is none.

    A single byte that is rare is found several times faster than two bytes, of which one is not.
    """
    end = data.find(b"\n", position) + 1
    while end and data[end - 2 : end] != b";\n":
        end = data.find(b"\n", end) + 1
    return end


def _undecided(data: bytes) -> int:
    """Return how many bytes at the end of rows can only be judged with what follows: half an escape, half an end."""
    if data.endswith(b";"):
        return 1
    return (len(data) - len(data.rstrip(b"\\"))) % 2 if data.endswith(b"\\") else 0
