#!/usr/bin/env python3
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs tests/integration inside real hosts, each with its own Python and database servers, and keeps what they covered.

The hosts see the checkout read-only and install offline what scripts/setup.sh has downloaded. Words after the options
go to pytest: ``make setup && .venv/bin/python scripts/integration.py --host sid tests/integration -k restore``.

With ``--faults`` it runs tests/faults instead: for both kinds of servers of a host side by side, since most of its time
is waiting, and without measuring what is covered, since most of it is killed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "fleet"))

from vya_fleet import Fleet, FleetError, Interrupted  # noqa: E402

SUITES = ("bookworm", "trixie", "sid")
# The oldest MariaDB and PostgreSQL, and MySQL with the newest PostgreSQL.
FAULT_SUITES = ("bookworm", "sid")
COVERAGE = REPOSITORY / ".build" / "coverage"
WHEELS = REPOSITORY / ".build" / "wheels-tests"
INTERRUPTED = 130
# The servers' data is kept in memory: databases are made and dropped hundreds of times, which took a third of all time
# on a disk. No test needs a real one: also those of full disks bring their own.
PREPARE = """
set -eu
systemctl stop mysql postgresql 'postgresql@*'
for directory in /var/lib/mysql /var/lib/postgresql; do
    mv "$directory" "$directory.disk"
    mkdir "$directory"
    mount -t tmpfs tmpfs "$directory"
    cp -a "$directory.disk/." "$directory"
    rm -r "$directory.disk"
done
systemctl start mysql postgresql
python3 -m venv /opt/tests
/opt/tests/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links /wheels \
    --require-hashes --requirement /checkout/tests/integration/requirements.txt
"""
# The checkout is read-only, so what Python, pytest and Hypothesis remember goes elsewhere.
ON_HOST = """
set -eu
cd /checkout
export COVERAGE_FILE="/coverage/.coverage.integration.$1" HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
export PYTHONPYCACHEPREFIX=/var/tmp/bytecode LC_ALL=C.UTF-8
shift
exec /opt/tests/bin/python -m pytest -p no:cacheprovider --color=no --durations=10 "$@"
"""
MEASURED = ("--cov", "--cov-report=", "--cov-fail-under=0")
KINDS = ("mysql", "postgresql")


def run_on(fleet: Fleet, host: str, parts: Sequence[Sequence[str]], seconds: float) -> tuple[str, bool]:
    """Run the tests on one host, parts side by side; returns what they wrote, and whether all of them passed."""
    with ThreadPoolExecutor(len(parts)) as pool:
        text, good = run_words(fleet, host, PREPARE, (), seconds)
        if not good:
            return text, False
        results = list(pool.map(lambda arguments: run_words(fleet, host, ON_HOST, [host, *arguments], seconds), parts))
    return "\n".join(text for text, _good in results), all(good for _text, good in results)


def run_words(fleet: Fleet, host: str, script: str, arguments: Sequence[str], seconds: float) -> tuple[str, bool]:
    """Run a script on a host; returns what it wrote, and whether it ended well."""
    began = time.monotonic()
    words = ["sh", "-c", f"{{ {script} }} 2>&1", "sh", *arguments]
    try:
        done = fleet.run(host, words, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as timeout:
        text = timeout.stdout.decode(errors="replace") if timeout.stdout else ""
        return f"{text}\n{host}: not done after {seconds:.0f} s", False
    text = f"{done.stdout}{done.stderr}{host}: {time.monotonic() - began:.0f} s, exit code {done.returncode}"
    return text, done.returncode == 0


def run(name: str, hosts: Sequence[str], parts: Sequence[Sequence[str]], seconds: float) -> bool:
    """Boot the hosts, run the tests on all of them side by side, and end the hosts; whether all tests passed.

    Args:
        name: The fleet's name, before this process's number.
        hosts: The suites to run on.
        parts: Arguments of pytest, for each part that is run by itself.
        seconds: After so long a host is given up.
    """
    COVERAGE.mkdir(parents=True, exist_ok=True)
    COVERAGE.chmod(0o1777)  # processes of other users are measured too
    binds = [(REPOSITORY, "/checkout", False), (WHEELS, "/wheels", False), (COVERAGE, "/coverage", True)]
    good = True
    with (
        Fleet(f"{name}-{os.getpid()}", dict(zip(hosts, hosts, strict=True)), binds=binds) as fleet,
        ThreadPoolExecutor(len(hosts)) as pool,
    ):
        running = {pool.submit(run_on, fleet, host, parts, seconds): host for host in hosts}
        for future in as_completed(running):
            text, passed = future.result()
            good = good and passed
            sys.stdout.write(f"\n--- {running[future]}\n{text}\n")
            sys.stdout.flush()
    return good


def main() -> int:
    """Run the command line; 0 if all tests passed on all hosts."""
    parser = argparse.ArgumentParser(description="Run tests/integration inside real hosts.")
    parser.add_argument("--host", action="append", choices=SUITES, help="default: all")
    parser.add_argument("--timeout", type=float, default=4500, help="seconds for each host (default: %(default)s)")
    parser.add_argument("--faults", action="store_true", help="run tests/faults instead (default: bookworm and sid)")
    args, others = parser.parse_known_args()
    if args.faults:
        name, hosts = "faults", args.host or FAULT_SUITES
        parts = [[f"--server={kind}", *(others or ["tests/faults"])] for kind in KINDS]
    else:
        name, hosts, parts = "integration", args.host or SUITES, [[*MEASURED, *(others or ["tests/integration"])]]
        for old in COVERAGE.glob(".coverage.integration.*"):
            old.unlink()
    try:
        return 0 if run(name, hosts, parts, args.timeout) else 1
    except FleetError as error:
        sys.stderr.write(f"integration: {error}\n")
        return 2
    except (Interrupted, KeyboardInterrupt):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
