# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine costs beside the dump itself: its start, its imports, an almost empty database, memory by size."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .case import COPY, DATABASE, Case, Part
from .elsewhere import small_cases
from .measure import measure
from .ours import DEFAULT, ENGINE, INSTANCE, VARIANTS, Installation
from .servers import Server

TINY = "bench_tiny"
_HEAVIEST = 12
_ENGINE = "import vya_backupdb.engine"
# Runs in the engine's Python: how much more memory the process has after each import, the engine's own last.
_MEMORY = """
import importlib
def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000
print(f"Python {resident():.1f}")
for name in ("ssl", "pydantic", "cryptography.fernet", "sqlalchemy", "pymysql", "psycopg", "vya_backupdb.engine"):
    before = resident()
    importlib.import_module(name)
    print(f"{name} {resident() - before:.1f}")
"""


def overhead(work: Path, dump: str, ours: Installation) -> Part:
    """Return the cases of an almost empty database and of the engine's start."""
    output = work / "tiny.sql.gz"
    return Part(
        "overhead",
        "an almost empty database, and the engine's start",
        (
            Case("dump | gzip", f"{dump} {TINY} | gzip > {output}", output=output),
            Case("ours, backup", ours.call("backup", "--instance", INSTANCE, TINY), output=ours.backups, ours=True),
            Case("ours, --version", ours.call("--version"), ours=True),
            Case("ours, status", ours.call("status"), ours=True),
            Case("Python alone", f"exec {ENGINE}/python -c pass"),
            Case("Python and the engine's module", f"exec {ENGINE}/python -c '{_ENGINE}'", ours=True),
        ),
        {"dump | gzip": "gzip"},
    )


def many_small(work: Path, dump: str, ours: Installation, names: Sequence[str]) -> Part:
    """Return the cases of many small databases on one instance."""
    listed = work / "names"
    listed.write_text("".join(f"{name}\n" for name in names), "ascii")
    check = f'test "$(find {ours.backups} -name "*.sql.gz" | wc -l)" = {len(names)}'
    engine = Case(
        "ours, one run",
        ours.call("backup", "--policy", "small"),
        output=ours.backups,
        ours=True,
        invalid_unless=check,
    )
    cases = (*small_cases(work, dump, listed), engine)
    return Part("small", f"{len(names)} small databases", cases, {cases[0].name: "loop", cases[1].name: "-P2"})


def import_profile() -> list[str]:
    """Return lines that say which modules take longest to import, with what they import themselves."""
    words = [str(ENGINE / "python"), "-X", "importtime", "-c", f"{_ENGINE}, sqlalchemy, psycopg, pymysql"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stderr.splitlines()
    rows = []
    for line in shown[1:]:
        own, cumulative, name = line.removeprefix("import time:").split("|")
        rows.append((int(cumulative), int(own), name.strip()))
    top = sorted((row for row in rows if "." not in row[2]), reverse=True)[:_HEAVIEST]
    return [
        "Imports, ms with all that they import (a second look: bytecode is there):",
        ", ".join(f"{name} {cumulative / 1000:.0f}" for cumulative, _own, name in top),
    ]


def import_memory() -> list[str]:
    """Return lines that say how much memory the imports take, one after the other."""
    words = [str(ENGINE / "python"), "-c", _MEMORY]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return ["Memory, MB more after each import:", ", ".join(found)]


def memory(work: Path, server: Server, sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the engine's own peak for databases of several sizes.

    Args:
        work: Where backups go.
        server: Where the databases are.
        sizes: The sizes in bytes; a database of the first is there already, the others are built in its place.
    """
    results = []
    for size in sizes:
        if size != sizes[0]:
            server.build(DATABASE, size)
        for name, policy in VARIANTS.items():
            ours = Installation(work / f"memory-{name.replace(' ', '-')}-{size}", server, policy)
            calls = {
                "backup": ours.call("backup", "--policy", "one"),
                "restore": ours.call("restore", INSTANCE, DATABASE, "--target", COPY, "--yes"),
            }
            server.drop(COPY)
            for what, script in calls.items() if name == DEFAULT else [("backup", calls["backup"])]:
                cost = measure(script, server.cpu)
                results.append(
                    {
                        "name": f"ours, {name}: {what} of {size / 1e6:.0f} MB",
                        "ours": True,
                        "script": script,
                        "absent": "",
                        "invalid": f"exit code {cost.code}: {cost.errors}" if cost.code else "",
                        "size": None,
                        "runs": [{"round": 0, **vars(cost)}],
                    }
                )
            server.drop(COPY)
    return {"key": "memory", "title": "memory by size", "references": {}, "results": results}
