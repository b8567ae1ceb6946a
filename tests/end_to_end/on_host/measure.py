# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a command and print, for each program that it was or started, the most memory that one process of it held.

measure.py COMMAND...   prints {PROGRAM: KILOBYTES}; programs that were gone before they could be seen are not listed
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path


def facts(pid: str) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def program(pid: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def main() -> None:
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    family: set[str] = {str(process.pid)}
    seen: dict[str, tuple[str, int]] = {}
    while process.poll() is None:
        for path in Path("/proc").iterdir():
            if not path.name.isdigit():
                continue
            found = facts(path.name)
            if path.name not in family and found.get("PPid") not in family:
                continue
            family.add(path.name)
            if path.name != str(process.pid):
                # Before it becomes another program, a child is a copy of the engine, and then setpriv. What it is by
                # now is asked first: it may change between two looks.
                if program(path.name) == program(str(process.pid)):
                    continue
                found = facts(path.name)
            if "VmHWM" in found:
                if found["Name"] == "setpriv":
                    continue
                # The kernel's own high-water mark: nothing between two looks is missed.
                seen[path.name] = (found["Name"], int(found["VmHWM"].split()[0]))
        time.sleep(0.02)
    if process.returncode:
        sys.exit(f"{sys.argv[1:]} ended with {process.returncode}: {process.stdout.read()!r}")
    peaks: dict[str, int] = {}
    for name, kilobytes in seen.values():
        peaks[name] = max(peaks.get(name, 0), kilobytes)
    json.dump(peaks, sys.stdout)


main()
