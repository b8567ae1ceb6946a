# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd's own reading of calendar expressions and units, to compare with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from datetime import datetime, timezone

import pytest

NextElapses = Callable[[Iterable[str], datetime, int], list[datetime]]
_MOMENT = re.compile(r"(?:Next elapse|Iter(?:ation|\.) #\d+): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    """The program; where it is missing, what needs it is skipped."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return program


@pytest.fixture(scope="session")
def next_elapses(systemd_analyze: str) -> NextElapses:
    """A function that asks systemd when calendar expressions next come true, merged and in UTC."""

    def ask(expressions: Iterable[str], base: datetime, count: int) -> list[datetime]:
        found: set[datetime] = set()
        for expression in expressions:
            done = subprocess.run(
                [
                    systemd_analyze,
                    "calendar",
                    f"--iterations={count}",
                    f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC",
                    expression,
                ],
                env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"systemd refuses {expression!r}: {done.stderr}"
            found |= {
                datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
                for text in _MOMENT.findall(done.stdout)
            }
        return sorted(found)[:count]

    return ask
