# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading what ``pg_dump`` writes in its plain format."""

from __future__ import annotations

import re
from collections.abc import Callable

from .dump_reader import DumpReader

_HEAD_BYTES = 256  # what is kept of a statement
_COPY_BYTES = 1024 * 1024  # what is kept of one that rows follow: 1,600 columns with the longest names fit
_LINE_BYTES = 64 * 1024  # a hundred arguments with the longest names fit
_TAG_BYTES = 300
_WINDOW_BYTES = 64 * 1024  # matching needs memory for each step, so this much at a time

_SPACE = re.compile(rb"\s*")
_ENTRY = re.compile(rb"-- (Data for )?Name: (.*)\Z", re.DOTALL)
_END_REMARK = b"-- PostgreSQL database dump complete"
_LARGE_OBJECT = re.compile(rb"SELECT pg_catalog\.lo_(create|open)\('(\d+)'")
_NESTED = re.compile(rb"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|RULE)\s")

_LETTER = rb"[A-Za-z_\x80-\xff]"
_WORD = rb"[A-Za-z0-9_$\x80-\xff]"
_IS_WORD = re.compile(_WORD)
_WHOLE_WORD = re.compile(_LETTER + _WORD + rb"*")
_DOLLAR_TAG = re.compile(rb"\$(?:" + _LETTER + rb"[A-Za-z0-9_\x80-\xff]*)?\$?")
_COMMENT_MARK = re.compile(rb"/\*|\*/")
_PLAIN = re.compile(rb"(?:[^'\"$;\-/]+|(?<![eE])'[^']*'|\"[^\"]*\")*")
# In functions and rules, semicolons between brackets, or between BEGIN ATOMIC and END, do not end the statement.
_PLAIN_NESTED = re.compile(rb"(?:[^'\"$;\-/()A-Za-z_\x80-\xff]+|(?<![eE])'[^']*'|\"[^\"]*\")*")
_ESCAPED = re.compile(rb"[^'\\]*(?:(?:\\.|'')[^'\\]*)*", re.DOTALL)


class PostgreSqlDumpReader(DumpReader):
    """Follows a dump of PostgreSQL.

    The keys of :attr:`rows` and the ``entries`` are what ``pg_dump`` says in a comment before each object, such as
    ``film; Type: TABLE; Schema: public; Owner: me``. They are in the dump's encoding, read as Latin-1, which takes any.

    Attributes:
        entries: The objects that the dump defines, so far.
        large_objects: The large objects that it creates.
        large_objects_with_data: Those whose content it carries.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[str] = []
        self.large_objects: set[int] = set()
        self.large_objects_with_data: set[int] = set()
        self._state: Callable[[bytes, int], int] = self._between
        self._comment = b""  # the comment line before
        self._data_entry = ""
        self._head = b""
        self._open = b""  # what ends the literal or comment that we are in; E' for a string with escapes
        self._before = b""  # the two bytes before what is not yet judged
        self._comments = 0  # how deep in nested comments
        self._nested = False
        self._copies = False
        self._after_rows = False
        self._brackets = 0
        self._blocks = 0
        self._line_begins = True
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
        if self._state == self._lines:
            return f"in the data of {self._data_entry}"
        if not self.between_statements:
            return "in a statement"
        if self._went_on:
            return "only after an end marker in its middle"
        return "" if self._complete else "before the end marker"

    @property
    def between_statements(self) -> bool:
        """Whether all that was read are whole statements."""
        return self._state == self._between and not self._rest.strip()

    # ---- between statements

    def _between(self, data: bytes, position: int) -> int:
        space = _SPACE.match(data, position)
        start = space.end() if space else position
        if start == len(data):
            return start
        head = data[start : start + 64]
        if head[:1] == b"\\":
            return self._line(data, start, self._command)
        if head[:2] == b"--":
            return self._line(data, start, self._remark)
        if len(head) < 64 and b";" not in head:
            return position
        self._went_on = self._ended
        self._complete, self._comment = False, b""
        self._nested = _NESTED.match(head) is not None
        self._brackets = self._blocks = 0
        self._head = self._before = b""
        self._copies = head.startswith(b"COPY ")
        if self._copies:
            self.rows.setdefault(self._data_entry, 0)
            self._cut(start, self._data_entry)
        elif self._after_rows:
            self._cut(start, None)
        self._after_rows = False
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
        self._open, self._head, self._state = b"\n", b"--", self._statement  # no line that matters is that long
        return self._statement(data, start)

    def _command(self, line: bytes) -> None:
        self.tell(line + b"\n")
        self._complete = self._complete and line.startswith(b"\\unrestrict ")

    def _remark(self, line: bytes) -> None:
        if self._comment == b"--":
            entry = _ENTRY.match(line)
            if entry:
                self._enter(entry.group(2).decode("latin-1"), bool(entry.group(1)))
            self._complete = line == _END_REMARK
            self._ended = self._ended or self._complete
        elif line != b"--":
            self._complete = False
        self._comment = line

    def _enter(self, entry: str, has_data: bool) -> None:
        self._data_entry = entry if has_data else ""
        if not has_data:
            self.entries.append(entry)

    # ---- rows: a line each

    def _copy_begins(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        if end < 0:
            return len(data)
        self._state, self._line_begins = self._lines, True
        return end + 1

    def _lines(self, data: bytes, position: int) -> int:
        table = self._data_entry
        if self._line_begins and data.startswith(b"\\", position):
            if data.startswith(b"\\.\n", position):
                return self._lines_end(position + 3)
            if len(data) - position < 3:
                return position
        end = data.find(b"\n\\.\n", position)
        if end >= 0:
            self.rows[table] += data.count(b"\n", position, end + 1)
            return self._lines_end(end + 4)
        stop = len(data) - (2 if data.endswith(b"\n\\.") else 1 if data.endswith(b"\n\\") else 0)
        self.rows[table] += data.count(b"\n", position, stop)
        last = data.rfind(b"\n", position, stop)
        self._line_begins = last == stop - 1
        if last >= 0:
            self._cut(last + 1, table, within=True)
        return stop

    def _lines_end(self, position: int) -> int:
        self._state, self._after_rows = self._between, True
        return position

    def opening(self, table: str) -> str:
        """Return the COPY statement of the table whose rows are passing, read as Latin-1."""
        return self._head.decode("latin-1")

    # ---- all other statements, to their semicolon

    def _statement(self, data: bytes, start: int) -> int:
        plain = _PLAIN_NESTED if self._nested else _PLAIN
        begins_with_quote = data[:1] == b"'"  # the pattern cannot see what we had before: an E may belong to it
        position, ended = start, False
        while position < len(data) and not ended:
            if self._open:
                following = self._close(data, position)
            else:
                window = position + _WINDOW_BYTES
                match = plain.match(data, position, window)
                if match and not (begins_with_quote and position == 0):
                    position = match.end()
                if position in (window, len(data)):
                    continue
                following, ended = self._special(data, position, self._preceding(data, position))
            if following == position:
                break
            position = following
        if len(self._head) < (_COPY_BYTES if self._copies else _HEAD_BYTES):
            self._head += data[start : min(position, start + (_COPY_BYTES if self._copies else _HEAD_BYTES))]
        self._before = self._preceding(data, position)
        if ended:
            self._state = self._copy_begins if self._copies else self._between
            self.told = self._base + position
            self.tell(self._head)
            large_object = _LARGE_OBJECT.match(self._head)
            if large_object:
                kind = self.large_objects if large_object.group(1) == b"create" else self.large_objects_with_data
                kind.add(int(large_object.group(2)))
            if position == start:  # it had ended before this piece, all of which is still to be read
                return self._state(data, position)
        return position

    def _preceding(self, data: bytes, position: int) -> bytes:
        return (self._before + data[:position])[-2:] if position < 2 else data[position - 2 : position]

    def _close(self, data: bytes, position: int) -> int:
        """Go to the end of the literal or comment that we are in, or as far as there is something of it."""
        if self._open == b"E'":
            match = _ESCAPED.match(data, position, position + _WINDOW_BYTES)
            position = match.end() if match else position
            if not data.startswith(b"'", position) or position + 1 == len(data):
                return position
            if data.startswith(b"''", position):  # one of them in the string, at the end of the window
                return position + 2
            self._open = b""
            return position + 1
        if self._open == b"*/":
            return self._close_comment(data, position)
        end = data.find(self._open, position)
        if end < 0:
            return max(position, len(data) - len(self._open) + 1)
        end += len(self._open)
        self._open = b""
        return end

    def _close_comment(self, data: bytes, position: int) -> int:
        for mark in _COMMENT_MARK.finditer(data, position):
            self._comments += 1 if mark.group() == b"/*" else -1
            position = mark.end()
            if self._comments == 0:
                self._open = b""
                return position
        return max(position, len(data) - 1)

    def _special(self, data: bytes, position: int, before: bytes) -> tuple[int, bool]:
        """Judge what may begin a literal or a comment, or end the statement; the same position: more is needed."""
        sign = data[position : position + 1]
        if sign == b";":
            return position + 1, self._brackets <= 0 and self._blocks <= 0
        if sign == b"'":
            escapes = before[-1:] in (b"e", b"E") and not _IS_WORD.match(before[:-1])
            self._open = b"E'" if escapes else b"'"
        elif sign == b'"':
            self._open = b'"'
        elif sign == b"$":
            return self._dollar(data, position, before), False
        elif sign in (b"-", b"/"):
            return self._maybe_comment(data, position)
        elif sign in (b"(", b")"):
            self._brackets += 1 if sign == b"(" else -1
        else:
            return self._word(data, position), False
        return position + 1, False

    def _dollar(self, data: bytes, position: int, before: bytes) -> int:
        tag = _DOLLAR_TAG.match(data, position)
        if _IS_WORD.match(before[-1:]) or tag is None:
            return position + 1
        if tag.group().endswith(b"$", 1):
            self._open = tag.group()
            return tag.end()
        return position if tag.end() == len(data) and len(tag.group()) < _TAG_BYTES else position + 1

    def _maybe_comment(self, data: bytes, position: int) -> tuple[int, bool]:
        if len(data) - position < 2:
            return position, False
        if data.startswith(b"--", position):
            if self._nested:
                # Bodies are written without comments: this is the next object's, so the statement ended before.
                return position, True
            self._open = b"\n"
        elif data.startswith(b"/*", position):
            self._open, self._comments = b"*/", 1
            return position + 2, False
        return position + 1, False

    def _word(self, data: bytes, position: int) -> int:
        match = _WHOLE_WORD.match(data, position)
        if match is None:
            return position + 1
        if match.end() == len(data) and match.end() - position < _TAG_BYTES:
            return position
        word = match.group().lower()
        if self._brackets == 0:
            if word == b"begin" or (word == b"case" and self._blocks):
                self._blocks += 1
            elif word == b"end" and self._blocks:
                self._blocks -= 1
        return match.end()
