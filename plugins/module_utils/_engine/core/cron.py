# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cron expressions, translated into systemd's calendar expressions without loss.

The rules are those of Vixie cron as crontab(5) describes them: five fields, lists, ranges, steps after a range or an
asterisk, English names, Sunday as 0 or 7, and the odd one: when day of month *and* day of week are restricted (neither
begins with an asterisk), a day that fits either of them counts. What other crons add is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
WEEKDAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


@dataclass(frozen=True)
class _Field:
    """What may stand in one field."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.low
        if not (text.isascii() and text.isdigit()) or not self.low <= int(text) <= self.high:
            raise ValueError(f"{text!r} is no {self.name}; it goes from {self.low} to {self.high}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        """Return all numbers that the field's text stands for."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> range:
        span, slash, step_text = text.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = self.low, self.high
        elif dash:
            low, high = self.number(first), self.number(last)
            if low > high:
                raise ValueError(
                    f"the range {span!r} for the {self.name} runs backwards; write it as two, with a comma"
                )
        elif slash:
            raise ValueError(f"{text!r} is read differently by different crons; write {span}-{self.high}/{step_text}")
        else:
            low = high = self.number(span)
        if not slash:
            return range(low, high + 1)
        if not (step_text.isascii() and step_text.isdigit()) or not 1 <= int(step_text) <= self.high - self.low + 1:
            raise ValueError(f"{step_text!r} is no step for the {self.name}")
        return range(low, high + 1, int(step_text))


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of the month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTH_NAMES)
_WEEKDAY = _Field("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))


def translate_cron(expression: str) -> list[str]:
    """Translate a cron expression into calendar expressions, without a time zone; together they mean the same.

    Args:
        expression: Five fields, or a shorthand such as ``@daily``.

    Raises:
        ValueError: It is no such expression, or it never comes true.
    """
    text = SHORTHANDS.get(expression.strip().lower(), expression)
    if text.strip().startswith("@"):
        raise ValueError(f"{expression!r} is not one of {', '.join(sorted(SHORTHANDS))}")
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"a cron expression has five fields (minute hour day month weekday), not {len(fields)}")
    minutes, hours = _MINUTE.values(fields[0]), _HOUR.values(fields[1])
    days, months = _DAY.values(fields[2]), _MONTH.values(fields[3])
    weekdays = frozenset((number - 1) % 7 for number in _WEEKDAY.values(fields[4]))
    time = f"{number_list(hours, 0, 23)}:{number_list(minutes, 0, 59)}:00"
    month = number_list(months, 1, 12)
    possible = min(days) <= max(_LONGEST.get(number, 31) for number in months)
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    lines = []
    if either:
        lines.append(f"{weekday_list(weekdays)}*-{month}-* {time}")
    if possible:
        prefix = "" if either else weekday_list(weekdays)
        lines.append(f"{prefix}*-{month}-{number_list(days, 1, 31)} {time}")
    if not lines:
        raise ValueError(f"{expression!r} never comes true: no month of it has such a day")
    return lines


def number_list(values: frozenset[int], low: int, high: int) -> str:
    """Write numbers as systemd does: ``*`` for all of them, else a list in which neighbours are a range."""
    if len(values) == high - low + 1:
        return "*"
    return ",".join(
        f"{first:02d}..{last:02d}" if last - first > 1 else ",".join(f"{n:02d}" for n in range(first, last + 1))
        for first, last in _runs(sorted(values))
    )


def weekday_list(weekdays: frozenset[int]) -> str:
    """Write days of the week (0 is Monday) with a space behind; nothing if it is all of them."""
    if len(weekdays) == len(WEEKDAY_NAMES):
        return ""
    return ",".join(WEEKDAY_NAMES[number] for number in sorted(weekdays)) + " "


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """Group ascending numbers into runs of neighbours, as first and last."""
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs
