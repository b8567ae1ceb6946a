# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Wait until a service has been started, by whatever, and has ended.

await_service.py UNIT SECONDS
"""

from __future__ import annotations

import subprocess
import sys
import time


def main() -> None:
    unit, seconds = sys.argv[1], float(sys.argv[2])
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        words = ["systemctl", "show", unit, "--property=ActiveState,ExecMainExitTimestampMonotonic"]
        output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        facts = dict(line.split("=", 1) for line in output.splitlines())
        if facts["ActiveState"] in ("inactive", "failed") and int(facts["ExecMainExitTimestampMonotonic"] or 0):
            return
        time.sleep(0.5)
    sys.exit(f"{unit} has not run within {seconds:.0f} seconds")


main()
