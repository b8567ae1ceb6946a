# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching over clients whose work goes elsewhere."""

from __future__ import annotations

import itertools
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from vya_backupdb.core.watching import StalledError, watch
from vya_backupdb.utils.processes import Command, ProcessTable

LONG, NO_TIME = timedelta(hours=1), timedelta(0)
SLEEP = Command(("sleep", "1000"))


def test_the_end_of_a_client_is_its_exit_code() -> None:
    with ProcessTable().start(Command(("sh", "-c", "exit 3"))) as child:
        assert watch(child, lambda: 0, stall_timeout=LONG) == 3


def test_a_client_that_gets_on_may_take_all_the_time_there_is() -> None:
    figures = itertools.count(1)
    with ProcessTable().start(SLEEP) as child, pytest.raises(StalledError, match="still at work after 0:00:00"):
        watch(child, lambda: next(figures), stall_timeout=LONG, timeout=NO_TIME)


def test_a_client_that_does_not_is_not_waited_for() -> None:
    with ProcessTable().start(SLEEP) as child, pytest.raises(StalledError, match="did nothing for"):
        watch(child, lambda: 0, stall_timeout=NO_TIME)


def test_one_that_waits_for_somebody_at_work_is_waited_for() -> None:
    answers = iter([True, True, False])
    with ProcessTable().start(SLEEP) as child, pytest.raises(StalledError, match="did nothing for"):
        watch(child, lambda: 0, stall_timeout=NO_TIME, excused=lambda: next(answers))
    assert list(answers) == []


def test_what_a_child_of_a_client_reads_is_counted(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * 3_000_000)
    reads = "import sys, time; open(sys.argv[1], 'rb').read(); print('done', flush=True); time.sleep(1000)"
    script = '"$0" -c "$1" "$2" & wait'
    command = Command(("sh", "-c", script, sys.executable, reads, str(tmp_path / "data")))
    with ProcessTable().start(command) as child:
        assert child.process.stdout is not None
        assert child.process.stdout.readline() == b"done\n"
        assert child.bytes_read() >= 3_000_000
    assert child.bytes_read() == 0, "it has ended"
