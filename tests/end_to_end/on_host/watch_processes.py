# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at the arguments and environments of all processes until standard input ends, and print who showed what.

The first line of standard input is a JSON list of the words to look for. Prints {"sweeps": N, "seen": [[WORD, WHERE,
PROCESS], ...]}, where WHERE is ``cmdline`` or ``environ`` and PROCESS the program.
"""

from __future__ import annotations

import json
import os
import select
import sys


def content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def main() -> None:
    words = [word.encode() for word in json.loads(sys.stdin.readline())]
    own, sweeps, seen = {str(os.getpid())}, 0, set()
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        sweeps += 1
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or pid in own:
                continue
            for where in ("cmdline", "environ"):
                text = content(f"/proc/{pid}/{where}")
                for word in words:
                    if word in text:
                        process = content(f"/proc/{pid}/cmdline").replace(b"\0", b" ")[:200].decode("utf-8", "replace")
                        seen.add((word.decode(), where, process))
    json.dump({"sweeps": sweeps, "seen": sorted(seen)}, sys.stdout)


main()
