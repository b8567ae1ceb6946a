# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A pytest plugin for the molecule scenarios: a failed test shows what the host's journal says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

LINES = 60


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the end of the journal, and what systemd holds against its units, to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # what pluggy sends is not in the type of a hook
    host = getattr(item, "funcargs", {}).get("host")
    if not report.failed or host is None:
        return
    for title, command in (
        ("failed units", "systemctl --failed --no-pager --no-legend"),
        ("timers", "systemctl list-timers --all --no-pager 'vya-backupdb-*'"),
        ("journal", f"journalctl --no-pager --lines {LINES} --unit 'vya-backupdb-*' --unit '*node-exporter*'"),
        ("warnings", f"journalctl --no-pager --lines {LINES} --priority warning"),
    ):
        report.sections.append((f"{title} of {host.backend.hostname}", host.run(command).stdout))
