# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The results as a table in plain text, 120 columns at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .values import Spread, by_round, median_ratio

NAME_WIDTH = 42
MEGABYTE = 1e6
NOTHING = "–"
LEGEND = """\
Medians of interleaved runs on the same data; page cache warm; the server is on the same machine, by its socket.
CPU s: processor time of all processes of the case; Server: that of the database server meanwhile. Peak MB: memory
of our own process without the clients, of others the largest process. × name: ratio of wall times within a round.
""".splitlines()


def lay_out(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with the first column to the left and all others to the right."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    lines = []
    for row in (headers, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def number(value: float | None, digits: int | None = None) -> str:
    """Write a value with three significant digits or so, or with a given number of decimals."""
    if value is None:
        return NOTHING
    if digits is None:
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def seconds(spread: Spread) -> str:
    """Write a median of seconds and its spread."""
    digits = 1 if spread.high >= 10 else 2 if spread.high >= 1 else 3
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f}–{spread.high:.{digits}f})"


def part_table(part: Mapping[str, Any]) -> list[str]:
    """Return the lines of one part's table: a row for each case, in the order of the cases.

    Args:
        part: ``references`` (column header by case name) and ``results`` as the host has written them.
    """
    results = part["results"]
    references = {
        header: by_round(result, "wall")
        for name, header in part["references"].items()
        for result in results
        if result["name"] == name
    }
    headers = ["", "Wall s (min–max)", "CPU s", "Server", "Peak MB", "Size MB", *(f"× {name}" for name in references)]
    return lay_out(headers, [_row(result, list(references.values())) for result in results])


def _row(result: Mapping[str, Any], references: Sequence[Mapping[int, float]]) -> list[str]:
    name = result["name"] if len(result["name"]) <= NAME_WIDTH else result["name"][: NAME_WIDTH - 1] + "…"
    if result["invalid"] or not result["runs"]:
        said = "invalid" if result["invalid"] else "not there"
        return [name, said, *[NOTHING] * (4 + len(references))]
    wall = by_round(result, "wall")
    cpu, server = by_round(result, "cpu"), by_round(result, "server")
    peak = by_round(result, "own_peak" if result["ours"] else "largest_peak")
    return [
        name,
        seconds(Spread.of([*wall.values()])),
        number(Spread.of([*cpu.values()]).median),
        number(Spread.of([*server.values()]).median if server else None),
        number(max(peak.values()) / MEGABYTE if peak else None, 0),
        number(result["size"] / MEGABYTE if result["size"] else None, 1),
        *(number(median_ratio(wall, reference), 2) for reference in references),
    ]


def remarks(part: Mapping[str, Any]) -> list[str]:
    """Return a line for each case that has no figures, with the reason."""
    lines = [f"  {each['name']}: INVALID: {each['invalid']}" for each in part["results"] if each["invalid"]]
    missing = [f"{each['name']} ({each['absent']})" for each in part["results"] if each["absent"]]
    return [*lines, *([f"  not there: {'; '.join(missing)}"] if missing else [])]


def report(document: Mapping[str, Any]) -> str:
    """Return the whole report as text."""
    facts = document["facts"]
    machine = f"{facts['processor']}, {facts['cores']} cores, {facts['memory'] / 1e9:.0f} GB"
    lines = [
        f"{machine}; {facts['system']}, Python {facts['python']}; engine {facts['engine']}",
        *LEGEND,
    ]
    for dbms in document["dbms"]:
        for part in dbms["parts"]:
            lines += ["", f"{dbms['description']}: {part['title']}", *part_table(part), *remarks(part)]
            lines += [f"  {line}" for line in part.get("notes", ())]
    return "\n".join(lines) + "\n"
