# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made of the raw values: medians with their spread, and ratios within the same round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def parse_size(text: str) -> int:
    """Turn ``300M`` into bytes; K, M and G are powers of 1000.

    Raises:
        ValueError: It is no such size.
    """
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if unit not in FACTORS or not number.isdigit() or int(number) == 0:
        raise ValueError(f"{text!r} is not a size; write for example 300M or 1G")
    return int(number) * FACTORS[unit]


@dataclass(frozen=True)
class Spread:
    """The median of several values, with the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize values; there must be one at least."""
        return cls(statistics.median(values), min(values), max(values))


def median_ratio(case: Mapping[int, float], reference: Mapping[int, float]) -> float | None:
    """Return the median of the ratios to a reference, each within one round; None without a common round.

    Within a round both ran under the same load of the machine, which a ratio of two medians would not say.

    Args:
        case: Values by round.
        reference: The reference's values by round.
    """
    ratios = [value / reference[number] for number, value in case.items() if reference.get(number)]
    return statistics.median(ratios) if ratios else None


def by_round(result: Mapping[str, Any], key: str) -> dict[int, float]:
    """Return one measured value of a case by its round."""
    return {int(run["round"]): float(run[key]) for run in result["runs"] if run.get(key) is not None}
