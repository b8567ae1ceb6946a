# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Children never outlive the engine."""

from __future__ import annotations

import os
import select
import subprocess
import sys

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
