# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the command writes: streams that break, tables of any width, names of any kind."""

from __future__ import annotations

import errno
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vya_backupdb.cli.output import Row, Stream, console_on, fit, rich_console, say, show_facts, show_table

# Letters that take up one column or two. (Of some others Rich has an opinion of its own, such as of flags.)
_CELLS = st.text(st.sampled_from("abz09 _-–é図書館")).map(str.strip)


class Broken(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.attempts = 0

    def write(self, text: str) -> int:
        self.attempts += 1
        raise OSError(self.number, os.strerror(self.number))


def render(rows: list[Row], width: int | None = None, spare: str = "") -> list[str]:
    """Return a table's lines as a terminal of that width shows them, or as a file gets them."""
    target = io.StringIO()
    console = console_on(Stream(target))
    if width is not None:
        console = Console(
            file=target, force_terminal=True, width=width, markup=False, highlight=False, color_system=None
        )
    show_table(console, ("Name", "Size", "Last"), rows, numbers=("Size",), spare=spare)
    return target.getvalue().splitlines()


def test_a_reader_that_left_is_no_failure() -> None:
    broken = Broken(errno.EPIPE)
    stream = Stream(broken)
    stream.line("one")
    stream.line("two")
    assert broken.attempts == 1
    assert stream.failure is not None
    assert stream.lost is None


def test_a_full_disk_is_a_failure() -> None:
    stream = Stream(Broken(errno.ENOSPC))
    stream.line("one")
    assert stream.lost == "No space left on device"


def test_a_closed_stream_is_survived() -> None:
    stream = Stream(None)
    stream.line("one")
    assert not stream.isatty()
    assert stream.lost is None


def test_what_cannot_be_encoded_is_escaped() -> None:
    raw = io.BytesIO()
    wrapper = io.TextIOWrapper(raw, encoding="ascii")
    Stream(wrapper).line("B\xfccher \udc80")
    assert raw.getvalue() == b"B\\xfccher \\udc80\n"


def test_columns_are_aligned_and_sentences_stand_under_their_row() -> None:
    rows = [Row(("shop", "1.0 KiB", "x"), ("It failed\nbadly.",)), Row(("図書", "12.0 KiB", "y"))]
    assert render(rows) == [
        "Name      Size  Last",
        "shop   1.0 KiB  x",
        "    It failed badly.",
        "図書  12.0 KiB  y",
    ]


def test_nothing_is_folded_or_cut_where_no_terminal_is() -> None:
    name = "n" * 500
    lines = render([Row((name, "1 B", "z" * 500), ("s " * 300,))])
    assert lines[1] == f"{name}   1 B  {'z' * 500}"
    assert len(lines) == 3


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_table_fits_its_terminal_and_loses_nothing(width: int) -> None:
    name = "abcdefghij" * 6
    lines = render([Row((name, "1 B", "k" * 30))], width)
    assert all(len(line) <= width for line in lines)
    body = "".join(lines[1:])
    assert body.count("k") == 30
    assert sum(body.count(letter) for letter in "abcdefghij") == 60


def test_a_spare_column_is_left_out_only_where_it_has_no_room() -> None:
    rows = [Row(("shop", "1 B", "k" * 30))]
    assert "k" * 30 in "".join(render(rows, 50, spare="Last"))
    narrow = render(rows, 30, spare="Last")
    assert [line.rstrip() for line in narrow] == ["Name  Size", "shop   1 B"]
    assert "k" * 30 in "".join(render(rows, None, spare="Last"))


def test_markup_emoji_and_control_sequences_are_shown_not_obeyed() -> None:
    lines = render([Row(("[bold red]x[/] :smile:", "\x1b[31m", "\x07"), ("[link=http://x]y[/link] \x1b[2J",))])
    assert lines[1] == r"[bold red]x[/] :smile:  \x1b[31m  \x07"
    assert lines[2] == r"    [link=http://x]y[/link] \x1b[2J"


def test_fit_narrows_the_widest_first_and_stops_at_a_few_characters() -> None:
    assert fit([10, 50, 20], 64) == [10, 30, 20]
    assert fit([10, 50, 20], 200) == [10, 50, 20]
    assert fit([100, 100], 3) == [8, 8]


@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS), min_size=1, max_size=4))
def test_lines_are_what_rich_would_write(cells: list[tuple[str, str, str]]) -> None:
    rows = [Row(each, ("A note.",)) for each in cells]
    plain, drawn = io.StringIO(), io.StringIO()

    show_table(Stream(plain), ("Name", "Size", "Last"), rows, numbers=("Size",))
    show_table(rich_console(Stream(drawn)), ("Name", "Size", "Last"), rows, numbers=("Size",))

    assert plain.getvalue().splitlines() == [line.rstrip() for line in drawn.getvalue().splitlines()]


def test_facts_and_sentences_are_what_rich_would_write() -> None:
    plain, drawn = io.StringIO(), io.StringIO()
    for console in (Stream(plain), rich_console(Stream(drawn))):
        show_facts(console, [("Host", "db1"), ("図書", "x\ty"), ("Outcome", "success")])
        say(console, "It  went\nwell.", "green")

    assert plain.getvalue() == drawn.getvalue()
    assert plain.getvalue().splitlines()[-1] == "It went well."


def test_only_a_terminal_or_who_asks_for_one_gets_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    stream = Stream(io.StringIO())
    assert console_on(stream) is stream
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(console_on(stream), Console)
