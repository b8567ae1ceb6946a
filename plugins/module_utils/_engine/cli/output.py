# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard output and standard error: what is written, how wide, and what happens when nobody reads any more."""

from __future__ import annotations

import errno
import io
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, TextIO, Union, cast

from .text import plain, sentence

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    Output = Union[Console, "Stream"]

# Wider than any line: where a terminal says that it is none, nothing is folded or cut.
_UNBOUNDED = 100_000
_SMALLEST_COLUMN = 8
_GAP = 2
STYLES = {
    "success": "green",
    "planned": "cyan",
    "running": "cyan",
    "failed": "bold red",
    "vanished": "bold red",
    "damaged": "bold red",
    "ok": "green",
    "warning": "yellow",
    "sealed": "yellow",
    "checksum": "yellow",
    "verified": "cyan",
    "restored": "green",
}


class Stream(io.TextIOBase):
    """A text stream whose end does not end the work.

    A backup goes on when the terminal or the program that read its output is gone. What cannot be encoded is written
    as an escape.

    Attributes:
        failure: The error after which nothing was written any more.
    """

    def __init__(self, stream: Optional[TextIO]) -> None:
        self._stream = stream
        self.failure: Optional[OSError] = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base declares a plain attribute
        """The encoding of what is behind."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a person sees it."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of what is behind."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Whether it can be written."""
        return True

    def write(self, text: str, /) -> int:
        """Write, unless writing has failed before."""
        if self._stream is not None and self.failure is None:
            encoding = self.encoding
            try:
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except OSError as exc:
                self._give_up(exc)
        return len(text)

    def flush(self) -> None:
        """Flush, unless writing has failed before."""
        if self._stream is not None and self.failure is None:
            try:
                self._stream.flush()
            except OSError as exc:
                self._give_up(exc)

    def line(self, text: str = "") -> None:
        """Write one line at once."""
        self.write(text + "\n")
        self.flush()

    @property
    def lost(self) -> Optional[str]:
        """Why something that was wanted could not be written; a reader that left wanted nothing more."""
        if self.failure is None or self.failure.errno in (errno.EPIPE, errno.EIO):
            return None
        return self.failure.strerror or str(self.failure)

    def _give_up(self, exc: OSError) -> None:
        self.failure = exc
        try:
            descriptor = self.fileno()
            # What is still buffered would fail again, noisily, when Python ends.
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), descriptor)
        except (OSError, ValueError):
            return


def console_on(stream: Stream) -> Output:
    """Return what tables are written to: a Rich console on a terminal, else the stream itself.

    Rich is loaded only for terminals, or where the environment asks for what they are given.
    """
    asked = os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE") == "1"
    return rich_console(stream) if stream.isatty() or asked else stream


def rich_console(stream: Stream) -> Console:
    """Return a Rich console that takes all text literally."""
    from rich.console import Console

    console = Console(file=cast("TextIO", stream), markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        cells: One value for each column.
        notes: Sentences that are written under the row.
    """

    cells: Sequence[object]
    notes: Sequence[str] = ()


def show_table(
    console: Output, headers: Sequence[str], rows: Sequence[Row], *, numbers: Sequence[str] = (), spare: str = ""
) -> None:
    """Write a table whose rows can have sentences under them.

    Outcomes and proofs are coloured. On a terminal, columns that are too wide are folded; elsewhere each row is one
    line, whatever its length.

    Args:
        console: Where to.
        headers: The columns' names.
        rows: The rows.
        numbers: The columns that are aligned to the right.
        spare: The last column's name, if it is left out where the terminal has no room for it.
    """
    table = [[plain(cell) for cell in row.cells] for row in rows]
    if isinstance(console, Stream):
        widths = [max(map(_cell_len, column)) for column in zip(headers, *table, strict=True)]
        console.line(_plain_row(headers, widths, headers, numbers))
        for row, cells in zip(rows, table, strict=True):
            console.line(_plain_row(cells, widths, headers, numbers))
            for note in row.notes:
                console.line(f"    {sentence(note)}")
        return
    from rich.cells import cell_len
    from rich.padding import Padding
    from rich.text import Text

    widths = [max(map(cell_len, column)) for column in zip(headers, *table, strict=True)]
    if console.is_terminal:
        if spare == headers[-1] and _total(widths) > console.width:
            headers, widths, table = headers[:-1], widths[:-1], [cells[:-1] for cells in table]
        widths = fit(widths, console.width)
    _show_row(console, [Text(header, "bold") for header in headers], widths, headers, numbers)
    for row, cells in zip(rows, table, strict=True):
        _show_row(console, [Text(cell, STYLES.get(cell, "")) for cell in cells], widths, headers, numbers)
        for note in row.notes:
            console.print(Padding(Text(sentence(note)), (0, 0, 0, 4), expand=False))


def _plain_row(cells: Sequence[str], widths: Sequence[int], headers: Sequence[str], numbers: Sequence[str]) -> str:
    """Return a row as one line, with nothing after what its last column says."""
    filled = []
    for header, cell, width in zip(headers, cells, widths, strict=True):
        blanks = " " * (width - _cell_len(cell))
        filled.append(blanks + cell if header in numbers else cell + blanks)
    return (" " * _GAP).join(filled).rstrip()


def _cell_len(text: str) -> int:
    """Return how many columns a printable text takes up: wide characters two, marks on others none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me") for character in text)


def _show_row(
    console: Console, cells: Sequence[Text], widths: list[int], headers: Sequence[str], numbers: Sequence[str]
) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    for index, (header, width) in enumerate(zip(headers, widths, strict=True)):
        right, last = header in numbers, index == len(headers) - 1
        # The last column is not filled up with blanks, which would only be in the way of whoever copies a line.
        grid.add_column(
            width=None if last and not right else width,
            max_width=width,
            overflow="fold",
            justify="right" if right else "left",
        )
    grid.add_row(*cells)
    console.print(grid)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def fit(widths: Sequence[int], available: int) -> list[int]:
    """Narrow the widest columns until all fit, or none is wider than a few characters."""
    fitted = list(widths)
    while _total(fitted) > available and max(fitted) > _SMALLEST_COLUMN:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def show_facts(console: Output, facts: Sequence[tuple[str, object]]) -> None:
    """Write labels and values, one under another; outcomes and proofs are coloured."""
    if isinstance(console, Stream):
        width = max(_cell_len(label) for label, _value in facts)
        for label, value in facts:
            console.line(_plain_row((label, plain(value)), (width, 0), ("", "Value"), ()))
        return
    from rich.cells import cell_len
    from rich.text import Text

    width = max(cell_len(label) for label, _value in facts)
    for label, value in facts:
        text = plain(value)
        room = console.width - width - _GAP
        _show_row(console, [Text(label, "bold"), Text(text, STYLES.get(text, ""))], [width, room], ("", "Value"), ())


def say(console: Output, text: str, style: str = "") -> None:
    """Write one line."""
    if isinstance(console, Stream):
        console.line(sentence(text))
        return
    from rich.text import Text

    console.print(Text(sentence(text), style))
