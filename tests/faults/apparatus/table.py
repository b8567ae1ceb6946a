# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of faults that the suite prints at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

GOOD, BAD = "ok", "DEFECT"
_WIDTH = 120


@dataclass
class Row:
    """One fault on one server.

    Attributes:
        fault: What was done.
        dbms: To which server.
        noticed: What the tool made of it.
        runs: How many times, or at how many points, it was done.
        problems: What should not have been; none is what the suite is about.
    """

    fault: str
    dbms: str
    noticed: str = ""
    runs: str = "1"
    problems: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return BAD if self.problems else GOOD


class Table:
    """Collects rows and writes them within 120 columns."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    @contextmanager
    def row(self, fault: str, dbms: str) -> Iterator[Row]:
        """Add a row, and fail at the end of the block if problems were found in it."""
        row = Row(fault, dbms)
        self.rows.append(row)
        try:
            yield row
        except BaseException as exc:
            row.problems.append(f"{type(exc).__name__}: {exc}")
            raise
        assert not row.problems, f"{len(row.problems)} problems:\n" + "\n".join(row.problems[:20])

    def lines(self) -> Iterator[str]:
        """Yield the table's lines."""
        fault = max(len("Fault"), *(len(row.fault) for row in self.rows))
        dbms = max(len("Server"), *(len(row.dbms) for row in self.rows))
        runs = max(len("Runs"), *(len(row.runs) for row in self.rows))
        noticed = _WIDTH - fault - dbms - runs - len("Verdict") - 8
        yield f"{'Fault':{fault}}  {'Server':{dbms}}  {'How it ended':{noticed}}  {'Runs':>{runs}}  Verdict"
        for row in self.rows:
            first, *others = textwrap.wrap(row.noticed, noticed, max_lines=3, placeholder=" …") or [""]
            yield f"{row.fault:{fault}}  {row.dbms:{dbms}}  {first:{noticed}}  {row.runs:>{runs}}  {row.verdict}"
            for line in others:
                yield " " * (fault + dbms + 4) + line
