# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Children never outlive the engine, and what they write waits in large pipes."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from vya_backupdb.utils import processes
from vya_backupdb.utils.processes import Command, ProcessTable

STARTS_A_CHILD = """
import time
from vya_backupdb.utils.processes import Command, ProcessTable
with ProcessTable().start(Command(("sleep", "1000"))) as child:
    while open(f"/proc/{child.process.pid}/comm").read() != "sleep\\n":
        time.sleep(0.01)
    print(child.process.pid, flush=True)
    child.wait()
"""


def test_a_child_ends_when_the_engine_is_killed(engine_environment: dict[str, str]) -> None:
    engine = subprocess.Popen([sys.executable, "-c", STARTS_A_CHILD], env=engine_environment, stdout=subprocess.PIPE)
    assert engine.stdout is not None
    child = os.pidfd_open(int(engine.stdout.readline()))
    try:
        engine.kill()
        engine.wait()
        ended, _, _ = select.select([child], [], [], 10)
    finally:
        os.close(child)
        engine.stdout.close()
    assert ended


def test_where_the_kernel_may_not_be_asked_clients_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setpriv").write_text("#!/bin/sh\necho 'activate capabilities: Operation not permitted' >&2; exit 1\n")
    (tmp_path / "setpriv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    processes._ending_with_us.cache_clear()
    try:
        assert ProcessTable().run(Command(("/bin/echo", "here"))) == (0, "here\n", "")
    finally:
        processes._ending_with_us.cache_clear()


def test_pipes_hold_what_a_client_sends_in_some_milliseconds() -> None:
    command = Command(("/bin/sh", "-c", "cat"))
    with ProcessTable().start(command, stdin=subprocess.PIPE) as child:
        for stream in (child.process.stdin, child.process.stdout):
            assert stream is not None
            assert fcntl.fcntl(stream.fileno(), 1032) >= 1024 * 1024  # F_GETPIPE_SZ, fcntl(2)
