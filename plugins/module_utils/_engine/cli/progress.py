# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress of backups, restores and verifications: bars on a terminal, one line per event elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import text
from .output import STYLES, Stream, rich_console

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from ..core.backup import Progress

ENDED = {"done": "done", "failed": "FAILED"}


class _Work:
    """What is known of the work on one database: its beginning, its phase, its bytes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.phase = ""
        self.bytes = 0

    def ended(self, phase: str) -> str:
        """Return how it ended, in words."""
        took = text.duration(time.monotonic() - self.started)
        amount = f", {text.size(self.bytes)} of SQL" if self.bytes and phase == "done" else ""
        return f"{self.phase} {ENDED[phase]} after {took}{amount}".lstrip()


class ProgressLines:
    """A line for each phase that the work on a database enters, and one for its end. Called from any thread."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._work: dict[tuple[str, str], _Work] = {}
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        """Take note of progress."""
        key = (progress.database_id, progress.database)
        with self._lock:
            work = self._work.setdefault(key, _Work())
            work.bytes = max(work.bytes, progress.done_bytes)
            if progress.phase in ENDED:
                self._stream.line(f"{name_of(progress)}: {self._work.pop(key).ended(progress.phase)}")
            elif progress.phase != work.phase:
                work.phase = progress.phase
                self._stream.line(f"{name_of(progress)}: {progress.phase}")


class ProgressBars:
    """A bar for each database at work, and a line that stays for each that has ended. Called from any thread."""

    def __init__(self, display: RichProgress) -> None:
        self._display = display
        self._tasks: dict[tuple[str, str], Any] = {}
        self._work: dict[tuple[str, str], _Work] = {}
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        """Take note of progress."""
        key = (progress.database_id, progress.database)
        with self._lock:
            work = self._work.setdefault(key, _Work())
            work.bytes = max(work.bytes, progress.done_bytes)
            if progress.phase in ENDED:
                self._end(progress, key)
                return
            work.phase = progress.phase
            if key not in self._tasks:
                self._tasks[key] = self._display.add_task(name_of(progress), total=None, phase="", bytes="")
            self._display.update(
                self._tasks[key],
                completed=progress.done_bytes,
                total=progress.total_bytes,
                phase=progress.phase,
                bytes=_bytes(progress),
            )

    def _end(self, progress: Progress, key: tuple[str, str]) -> None:
        from rich.text import Text

        if key in self._tasks:
            self._display.remove_task(self._tasks.pop(key))
        style = STYLES["success" if progress.phase == "done" else "failed"]
        outcome = Text(self._work.pop(key).ended(progress.phase), style)
        self._display.console.print(Text(f"{name_of(progress)}: ") + outcome)


@contextmanager
def show_progress(stream: Stream) -> Iterator[Callable[[Progress], None]]:
    """Yield what the engine tells its progress to.

    Args:
        stream: Where it is shown; bars if that is a terminal.
    """
    if not stream.isatty():
        yield ProgressLines(stream)
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[phase]}", style="dim", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[bytes]}", markup=False),
        TimeElapsedColumn(),
    )
    with RichProgress(*columns, console=rich_console(stream), refresh_per_second=4, transient=True) as display:
        yield ProgressBars(display)


def name_of(progress: Progress) -> str:
    """Return what a database is called in a line."""
    return f"{text.plain(progress.database_id)}/{text.plain(progress.database)}"


def _bytes(progress: Progress) -> str:
    if progress.total_bytes:
        return f"{text.size(progress.done_bytes)} of {text.size(progress.total_bytes)}"
    return text.size(progress.done_bytes)
