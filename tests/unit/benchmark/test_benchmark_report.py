# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark's figures, its table and its plot."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from bench.plot import nice_step, plot
from bench.table import part_table, report
from bench.values import Spread, median_ratio, parse_size

SVG = "{http://www.w3.org/2000/svg}"


def result(name: str, *walls: float, **changes: Any) -> dict[str, Any]:
    runs = [
        {"round": number, "wall": wall, "cpu": wall * 2, "server": 0.5, "own_peak": 50e6, "largest_peak": 90e6}
        for number, wall in enumerate(walls)
    ]
    return {"name": name, "ours": False, "absent": "", "invalid": "", "size": 40_000_000, "runs": runs} | changes


def document(*results: dict[str, Any]) -> dict[str, Any]:
    part = {"key": "backup", "title": "backup", "references": {"null": "null", "gzip": "gzip"}, "results": results}
    facts = {"processor": "P", "cores": 2, "memory": 8e9, "system": "Debian", "python": "3.13", "engine": "2.0.0"}
    return {"facts": facts, "dbms": [{"name": "x", "description": "Server 1", "parts": [part]}]}


@pytest.mark.parametrize(("text", "size"), [("1G", 10**9), ("300M", 300 * 10**6), ("5k", 5000), ("77", 77)])
def test_sizes_are_powers_of_thousand(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "1T", "-5M", "1.5G", "0"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_a_spread_is_the_median_with_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0)


def test_a_ratio_compares_within_rounds() -> None:
    # In round 1 the machine was three times as slow for both: a ratio of medians would say 4 or 1.33.
    assert median_ratio({0: 4.0, 1: 12.0, 2: 4.0}, {0: 2.0, 1: 6.0, 2: 2.0}) == 2.0


def test_a_ratio_takes_only_rounds_that_both_have() -> None:
    assert median_ratio({0: 4.0, 1: 100.0}, {0: 2.0}) == 2.0
    assert median_ratio({1: 4.0}, {0: 2.0}) is None


def test_the_table_has_a_row_for_each_case() -> None:
    shown = document(
        result("null", 2.0, 2.2, 2.1), result("gzip", 8.0, 8.8, 8.4), result("mine", 4.0, 4.4, 4.2, ours=True)
    )
    lines = part_table(shown["dbms"][0]["parts"][0])
    assert [line.split() for line in lines[2:]] == [
        ["null", "2.10", "(2.00–2.20)", "4.20", "0.50", "90", "40.0", "1.00", "0.25"],
        ["gzip", "8.40", "(8.00–8.80)", "16.8", "0.50", "90", "40.0", "4.00", "1.00"],
        ["mine", "4.20", "(4.00–4.40)", "8.40", "0.50", "50", "40.0", "2.00", "0.50"],
    ]


def test_lines_fit_into_120_columns() -> None:
    lines = report(document(result("x" * 90, 1234.5, 2345.6), result("null", 1000.0), result("gzip", 9.0))).splitlines()
    assert max(map(len, lines)) <= 120


def test_an_invalid_case_has_a_reason_and_no_figures() -> None:
    text = report(document(result("null", 1.0), result("bad", 0.1, invalid="exit code 3: cut off")))
    assert "bad: INVALID: exit code 3: cut off" in text
    assert "0.10" not in text


def test_an_absent_case_is_named_with_what_it_lacks() -> None:
    assert "not there: mydumper (no mydumper)" in report(document(result("mydumper", absent="no mydumper")))


@pytest.mark.parametrize(("largest", "step"), [(0.9, 0.1), (10, 1), (11, 2), (54, 10), (260, 50)])
def test_axes_have_round_steps(largest: float, step: float) -> None:
    assert nice_step(largest) == pytest.approx(step)


def test_the_plot_is_a_drawing_with_a_bar_for_each_case_that_has_figures() -> None:
    shown = document(result("a & b", 1.0, 3.0), result("bad", 1.0, invalid="x"), result("mine", 0.5, ours=True))
    root = ET.fromstring(plot(shown))
    bars = [each for each in root.iter(f"{SVG}rect") if each.get("x")]
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert len(bars) == 2
    assert {"a & b", "mine"} <= {*texts}
    assert "bad" not in texts
    assert float(bars[0].get("width", 0)) == pytest.approx(4 * float(bars[1].get("width", 0)), rel=0.01)
