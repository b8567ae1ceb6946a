# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The results as a plot: bars of medians with their spread, in plain SVG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from .values import Spread, by_round

WIDTH, LABELS, BAR, GAP, MARGIN = 900, 300, 16, 6, 16
OURS, OTHERS, SPREAD, TEXT, LINE = "#0b6e4f", "#9aa5b1", "#333333", "#222222", "#dddddd"


def nice_step(largest: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides an axis into four to ten parts."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if largest / (step * factor) <= 10:
                return step * factor
        step *= 10


def panel(title: str, part: Mapping[str, Any], top: int) -> tuple[list[str], int]:
    """Draw one part's cases; returns the elements and where the next panel begins."""
    drawn = [(each, Spread.of([*by_round(each, "wall").values()])) for each in part["results"] if _has_figures(each)]
    if not drawn:
        return [], top
    largest = max(spread.high for _each, spread in drawn)
    step = nice_step(largest)
    scale = (WIDTH - LABELS - 5 * MARGIN) / largest
    bottom = top + 34 + len(drawn) * (BAR + GAP)
    elements = [_text(MARGIN, top + 16, title, weight="bold", size=14)]
    for index in range(int(largest / step) + 1):
        x = LABELS + index * step * scale
        elements.append(f'<path d="M{x:.1f} {top + 26}V{bottom}" stroke="{LINE}"/>')
        elements.append(_text(x, bottom + 14, f"{index * step:g} s", anchor="middle", size=11))
    for index, (each, spread) in enumerate(drawn):
        y = top + 30 + index * (BAR + GAP)
        colour = OURS if each["ours"] else OTHERS
        x, low, high = (LABELS + value * scale for value in (spread.median, spread.low, spread.high))
        middle = y + BAR / 2
        whiskers = "".join(f"M{end:.1f} {y + 4}v{BAR - 8}" for end in (low, high))
        elements += [
            _text(LABELS - 8, y + BAR - 4, each["name"], anchor="end"),
            f'<rect x="{LABELS}" y="{y}" width="{max(1.0, x - LABELS):.1f}" height="{BAR}" fill="{colour}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}{whiskers}" stroke="{SPREAD}"/>',
            _text(high + 6, y + BAR - 4, f"{spread.median:.3g} s", size=11),
        ]
    return elements, bottom + 34


def plot(document: Mapping[str, Any]) -> str:
    """Return the drawing of all parts, one below the other."""
    elements: list[str] = []
    top = MARGIN
    for dbms in document["dbms"]:
        for part in dbms["parts"]:
            drawn, top = panel(f"{dbms['description']}: {part['title']}", part, top)
            elements += drawn
    size = f'width="{WIDTH}" height="{top}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {top}" font-family="sans-serif">',
            f'<rect {size} fill="#ffffff"/>',
            *elements,
            "</svg>\n",
        ]
    )


def _has_figures(result: Mapping[str, Any]) -> bool:
    return bool(result["runs"]) and not result["invalid"]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        f' fill="{TEXT}">{escape(text)}</text>'
    )
