#!/usr/bin/env python3
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the same faults to other tools and to ours, on a test host, and shows which noticed what.

``make comparison`` calls this after scripts/setup.sh. It is no test: nothing passes or fails by it. Results are in
.build/comparison: ``mysql.json`` and ``postgresql.json`` with what every tool said, and ``comparison.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "fleet"), str(Path(__file__).resolve().parent)]

from compared.table import as_markdown, into_readme  # noqa: E402
from vya_fleet import Fleet, FleetError, Interrupted  # noqa: E402

RESULTS = REPOSITORY / ".build" / "comparison"
BUILD = REPOSITORY / ".build"
KINDS = ("mysql", "postgresql")
INTERRUPTED = 130
# The engine, and what the comparison shares with the tests.
PATH = "/opt/ours:/checkout/tests/faults:/checkout/tests/integration:/checkout/tests/sample"


def run(args: argparse.Namespace) -> int:
    """Boot the host, compare on both kinds of servers side by side, and end the host."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    binds = [(REPOSITORY, "/checkout", False), (RESULTS, "/results", True), (BUILD / "wheels-tests", "/wheels", False)]
    binds.append((BUILD / "wheels-comparison", "/wheels-comparison", False))
    with Fleet(f"comparison-{os.getpid()}", {args.host: args.host}, binds=binds) as fleet:
        if code := on_host(fleet, args.host, ["/checkout/tests/comparison/prepare.sh"]):
            return code
        words = ["env", "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", f"PYTHONPATH={PATH}", "/opt/tests/bin/python"]
        words += ["/checkout/tests/comparison/on_host.py", f"--only={args.only}", *(f"--tool={n}" for n in args.tool)]

        def compare(kind: str) -> int:
            return on_host(fleet, args.host, [*words, f"--server={kind}", "--output", f"/results/{kind}.json"])

        with ThreadPoolExecutor(len(KINDS)) as pool:
            return max(pool.map(compare, args.server))


def on_host(fleet: Fleet, host: str, words: list[str]) -> int:
    """Run a command on the host with its output shown as it comes."""
    tool = [sys.executable, str(REPOSITORY / "tests" / "fleet" / "fleet.py"), "exec", "--fleet", fleet.name, host, "--"]
    return subprocess.run([*tool, *words], check=False).returncode


def show(readme: bool) -> None:
    """Print the tables, keep them, and put them into the README if wanted."""
    documents = [json.loads((RESULTS / f"{kind}.json").read_text("utf-8")) for kind in KINDS]
    text = as_markdown(documents)
    (RESULTS / "comparison.md").write_text(text, "utf-8")
    sys.stdout.write(f"\n{text}\nWhat every tool said: {RESULTS}/*.json\n")
    if readme:
        path = REPOSITORY / "README.md"
        path.write_text(into_readme(path.read_text("utf-8"), text), "utf-8")


def main() -> int:
    """Run the command line; 1 if a cell could not be judged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", choices=("trixie", "sid"), default="trixie", help="default: %(default)s")
    parser.add_argument("--server", action="append", choices=KINDS, help="default: both")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--tool", action="append", default=[], help="only this tool")
    parser.add_argument("--show", action="store_true", help="run nothing, show the last results again")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    args = parser.parse_args()
    args.server = args.server or list(KINDS)
    try:
        code = 0 if args.show else run(args)
        if code in (0, 1) and all((RESULTS / f"{kind}.json").exists() for kind in KINDS):
            show(args.readme)
        return code
    except FleetError as error:
        sys.stderr.write(f"comparison: {error}\n")
        return 2
    except (Interrupted, KeyboardInterrupt):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
