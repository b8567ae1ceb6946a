#!/usr/bin/env python3
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a test host, measures backups and restores on it, ours and others', and shows the figures.

``make benchmark SIZE=1G RUNS=5 HOST=trixie`` calls this after scripts/setup.sh. It is no test: nothing passes or fails
by time. Results are in .build/benchmark: ``benchmark.json`` (raw values), ``benchmark.txt`` and ``benchmark.svg``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "fleet"), str(Path(__file__).resolve().parent)]

from bench.plot import plot  # noqa: E402
from bench.table import report  # noqa: E402
from bench.values import parse_size  # noqa: E402
from vya_fleet import Fleet, FleetError, Interrupted  # noqa: E402

RESULTS = REPOSITORY / ".build" / "benchmark"
RAW = RESULTS / "benchmark.json"
WHEELS = REPOSITORY / ".build" / "wheels"
SUITES = ("trixie", "bookworm", "sid")
PARTS = ("backup", "restore", "small", "overhead", "memory")
INTERRUPTED = 130


def build_engine(directory: Path) -> None:
    """Put the engine's wheel into a directory, made from this checkout as the role makes it."""
    for old in directory.glob("vya_backupdb-*.whl"):
        old.unlink()
    spec = importlib.util.spec_from_file_location("engine_wheel", REPOSITORY / "plugins" / "lookup" / "engine_wheel.py")
    if spec is None or spec.loader is None:
        raise FleetError("This checkout has no plugins/lookup/engine_wheel.py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build_wheel(REPOSITORY, directory)


def run(args: argparse.Namespace) -> int:
    """Boot the host, run everything on it, and end it; returns the exit code of what ran there."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    RAW.unlink(missing_ok=True)  # what is shown in the end is of this run
    build_engine(RESULTS)
    binds = [(REPOSITORY, "/checkout", False), (WHEELS, "/wheels", False), (RESULTS, "/results", True)]
    if args.packages:
        binds.append((args.packages.resolve(), "/packages", False))
    words = ["python3", "/checkout/tests/benchmark/on_host.py", "--output", f"/results/{RAW.name}"]
    words += ["--size", str(args.size), "--runs", str(args.runs), "--many", str(args.many)]
    words += [f"--dbms={args.dbms}", f"--only={args.only}", "--parts", *args.parts]
    with Fleet(f"benchmark-{os.getpid()}", {args.host: args.host}, binds=binds) as fleet:
        prepare = ["/checkout/tests/benchmark/prepare.sh", "with-ansible" if not args.only else "without-ansible"]
        on_host(fleet, args.host, prepare)
        return on_host(fleet, args.host, words)


def on_host(fleet: Fleet, host: str, words: list[str]) -> int:
    """Run a command on the host with its output shown as it comes."""
    tool = [sys.executable, str(REPOSITORY / "tests" / "fleet" / "fleet.py"), "exec", "--fleet", fleet.name, host, "--"]
    return subprocess.run([*tool, *words], check=False).returncode


def show(path: Path) -> None:
    """Print the table, and write it and the plot beside the raw values."""
    document = json.loads(path.read_text("utf-8"))
    text = report(document)
    path.with_suffix(".txt").write_text(text, "utf-8")
    path.with_suffix(".svg").write_text(plot(document), "utf-8")
    sys.stdout.write(f"\n{text}\nRaw values, table and plot: {path.with_suffix('')}.{{json,txt,svg}}\n")


def main() -> int:
    """Run the command line; 1 if a case was invalid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", choices=SUITES, default="trixie", help="default: %(default)s")
    parser.add_argument("--size", type=parse_size, default="300M", help="SQL in all, 300M or 1G (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of each case (default: %(default)s)")
    parser.add_argument("--many", type=int, default=300, help="small databases (default: %(default)s)")
    parser.add_argument("--dbms", choices=("", "mariadb", "mysql", "postgresql"), default="", help="default: both")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS, help=f"of {','.join(PARTS)}")
    parser.add_argument(
        "--only",
        default="",
        help="cases whose name holds one of these texts, parted by ;, and those they are compared with",
    )
    parser.add_argument("--packages", type=Path, help="a directory with further .deb files to install on the host")
    parser.add_argument("--show", type=Path, help="run nothing, show the results of this file again")
    args = parser.parse_args()
    if unknown := set(args.parts) - {*PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if args.show:
        show(args.show)
        return 0
    try:
        code = run(args)
        if RAW.exists():
            show(RAW)
        return code
    except FleetError as error:
        sys.stderr.write(f"benchmark: {error}\n")
        return 2
    except (Interrupted, KeyboardInterrupt):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
