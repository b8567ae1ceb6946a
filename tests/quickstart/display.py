# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the quickstart shows its steps: one line for each, with what came of it and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

# Elsewhere than on a terminal there is no width to ask for.
console = Console(highlight=False, width=None if Console().is_terminal else 100)
_RESULT_COLUMN = 35


class StepFailedError(Exception):
    """A step failed; the message says what, the log has the rest."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class Step:
    """A step under way; ``result`` is what its line says when it is done."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.result = ""

    def line(self, seconds: float) -> str:
        """The finished step in one line."""
        return f"[green]✔[/] {escape(self.title):<{_RESULT_COLUMN}} [dim]{seconds:5.1f} s[/]  {self.result}"


@contextmanager
def step(title: str, meanwhile: str = "") -> Iterator[Step]:
    """Show that a step is under way, and its line when it is done.

    Args:
        title: What is being done.
        meanwhile: What the reader may want to know while it takes its time.
    """
    current = Step(title)
    began = time.monotonic()
    hint = f" [dim]({escape(meanwhile)})[/]" if meanwhile else ""
    if not console.is_terminal:
        console.print(f"  {escape(title)} …{hint}")
    try:
        with console.status(f"{escape(title)} …{hint}", spinner="dots"):
            yield current
    except BaseException:
        console.print(f"[red]✘[/] {escape(title)}")
        raise
    console.print(current.line(time.monotonic() - began))


def show_failure(failure: StepFailedError, lines: int = 40) -> None:
    """Show what failed and the end of its log."""
    console.print(f"\n[red]{escape(str(failure))}[/]")
    if failure.log and failure.log.exists():
        text = failure.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        console.print(f"[dim]{escape(chr(10).join(text))}[/]\n\nAll of it: {failure.log}")
