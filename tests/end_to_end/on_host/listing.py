# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Print everything below some paths as JSON: of each file its mode, owner, size, time of change and checksum.

listing.py PATH... [--except PATH...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import stat
import sys
from pathlib import Path


def describe(path: Path) -> list[object]:
    status = path.lstat()
    facts: list[object] = [oct(status.st_mode), status.st_uid, status.st_gid]
    if stat.S_ISLNK(status.st_mode):
        return [*facts, os.readlink(path)]
    if stat.S_ISREG(status.st_mode):
        return [*facts, status.st_size, status.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()]
    return facts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--except", nargs="*", default=[], type=Path, dest="excluded")
    options = parser.parse_args()
    found = {}
    for start in options.paths:
        for directory, names, files in os.walk(start):
            names[:] = [name for name in names if Path(directory, name) not in options.excluded]
            for path in (Path(directory, name) for name in [".", *names, *files]):
                if path not in options.excluded and os.path.lexists(path):
                    found[os.fsencode(path).decode("utf-8", "backslashreplace")] = describe(path)
    json.dump(found, sys.stdout)


main()
