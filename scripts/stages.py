#!/usr/bin/env python3
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the stages of the tests, several side by side, and ends with a table of them.

``make test`` and ``make STAGE`` call this after scripts/setup.sh. A single stage writes to the terminal. Of several,
each writes to .build/logs/STAGE.log, which is shown as a whole when the stage ends. A stage that fails does not stop
the others, but those that need it are skipped. The last lines name the tests that failed: often they are all that is
kept of a long output.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD = REPOSITORY / ".build"
LOGS = BUILD / "logs"
# The stages that measure add a suffix; "combine" finds them by it.
COVERAGE_FILE = BUILD / "coverage" / ".coverage"
FLEET = ("python", "tests/fleet/fleet.py")
PATIENCE = 90.0  # seconds that an interrupted stage gets to end its hosts
INTERRUPTED = 130
PR_SET_PDEATHSIG = 1
OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"
# What pytest's summary and scripts/integration.py say of what went wrong.
FAILURES = re.compile(r"^(?:FAILED|ERROR) .*|^.*: not done after .*|^.*, exit code [1-9].*", re.MULTILINE)
FAILURES_SHOWN, FAILURE_WIDTH = 5, 120


@dataclass
class Stage:
    """Commands that belong together: all of them run, and the stage is good if every one of them is."""

    name: str
    commands: Sequence[Sequence[str]]
    after: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    result: str = "not run"
    seconds: float = 0.0

    @property
    def log(self) -> Path:
        """Where its output goes if it is not alone."""
        return LOGS / f"{self.name}.log"


def all_stages() -> dict[str, Stage]:
    """The stages by name. Those that take longest come first, so that none of them ends long after the others."""
    scenarios = sorted(REPOSITORY.glob("roles/*/molecule/default/molecule.yml"))
    shell_scripts = [".ci/run", *(f"scripts/{path.name}" for path in sorted(REPOSITORY.glob("scripts/*.sh")))]
    stages = [
        Stage("bases", [(*FLEET, "base")]),
        Stage("end-to-end", [("pytest", "tests/end_to_end", "--durations=15")], after=["bases"]),
        Stage("integration", [("python", "scripts/integration.py")], after=["bases"]),
        Stage("faults", [("python", "scripts/integration.py", "--faults", "--quiet", "tests/faults")], after=["bases"]),
        Stage(
            "unit",
            [("pytest", "tests/unit", "--cov", "--cov-report=", "--cov-fail-under=0")],
            environment={"COVERAGE_FILE": f"{COVERAGE_FILE}.unit"},
        ),
        *(
            Stage(f"molecule-{path.parts[-4]}", [("scripts/molecule.sh", path.parts[-4])], ["bases"])
            for path in scenarios
        ),
        Stage("sanity", [("scripts/sanity.sh",)]),
        Stage(
            "lint",
            [
                ("ruff", "check", "."),
                ("black", "--check", "."),
                ("yamllint", "--strict", "."),
                ("bandit", "--quiet", "--recursive", "--configfile", "pyproject.toml", "plugins"),
                ("shellcheck", *shell_scripts),
                ("ansible-lint", "--offline"),
            ],
            environment={"ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections")},
        ),
        Stage("types", [("mypy",)]),
        Stage(
            "coverage",
            [("coverage", "combine", "--keep", "--quiet"), ("coverage", "report")],
            after=["unit", "integration"],
            environment={"COVERAGE_FILE": str(COVERAGE_FILE)},
        ),
    ]
    return {stage.name: stage for stage in stages}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


async def _run_command(words: Sequence[str], stage: Stage, output: IO[bytes]) -> int:
    """Run one command with the tools of .venv first in the path, and return its exit code."""
    output.write(f"$ {shlex.join(words)}\n".replace(f"{REPOSITORY}/", "").encode())
    output.flush()
    environment = {
        **os.environ,
        "PATH": f"{REPOSITORY}/.venv/bin:{os.environ['PATH']}",
        "VYA_WHEEL_DIRECTORY": str(BUILD / "wheels"),
        **({} if output is sys.stdout.buffer else {"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "COLUMNS": "120"}),
        **stage.environment,
    }
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=REPOSITORY,
        env=environment,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        await _stop(process)
        raise


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End a command and its children like Ctrl-C does, so that it ends what it has started; in the end by force."""
    for signum, patience in ((signal.SIGINT, PATIENCE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
            return


async def _run_stage(stage: Stage, output: IO[bytes]) -> None:
    began = time.monotonic()
    stage.result = "interrupted"
    try:
        failed = [words[0] for words in stage.commands if await _run_command(words, stage, output)]
        stage.result = f"{FAILED}: {', '.join(failed)}" if failed else OK
    finally:
        stage.seconds = time.monotonic() - began


async def run(stages: Mapping[str, Stage], at_once: int) -> None:
    """Run stages side by side: whenever there is room, the first one whose predecessors are done begins."""
    waiting = list(stages.values())
    running: set[asyncio.Task[None]] = set()
    done: set[str] = set()

    async def one(stage: Stage) -> None:
        _say(f"--- {stage.name}: begins")
        with stage.log.open("wb") as output:
            await _run_stage(stage, output)
        _show(stage)
        done.add(stage.name)

    try:
        while waiting or running:
            for stage in list(waiting):
                needed = [stages[name] for name in stage.after if name in stages]
                if any(other.result.startswith(FAILED) or other.result == SKIPPED for other in needed):
                    stage.result = SKIPPED
                    waiting.remove(stage)
                elif len(running) < at_once and all(other.name in done for other in needed):
                    running.add(asyncio.create_task(one(stage)))
                    waiting.remove(stage)
            if running:
                ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _show(stage: Stage) -> None:
    _say(f"\n=== {stage.name} " + "=" * max(0, 114 - len(stage.name)))
    sys.stdout.buffer.write(stage.log.read_bytes())
    _say(f"=== {stage.name}: {stage.result} after {stage.seconds:.0f} s\n")


def _table(stages: Mapping[str, Stage], seconds: float) -> None:
    width = max(map(len, stages))
    _say(f"\n{'Stage':{width}}  Seconds  Result")
    for stage in stages.values():
        _say(f"{stage.name:{width}}  {stage.seconds:7.0f}  {stage.result}")
    good = all(stage.result == OK for stage in stages.values())
    for stage in stages.values():
        if stage.result.startswith(FAILED):
            failures = FAILURES.findall(stage.log.read_text(errors="replace"))
            more = [f"and {len(failures) - FAILURES_SHOWN} more"] if len(failures) > FAILURES_SHOWN else []
            for line in [*failures[:FAILURES_SHOWN], *more]:
                _say(f"{stage.name}: {line[:FAILURE_WIDTH]}")
    _say(
        f"\n{'All is well' if good else 'NOT all is well'} after {seconds:.0f} s. Logs: {LOGS.relative_to(REPOSITORY)}/"
    )


async def _until_signalled(stages: Mapping[str, Stage], at_once: int) -> bool:
    """Run the stages; False if a signal has stopped them."""
    alone = next(iter(stages.values())) if len(stages) == 1 else None
    work = asyncio.create_task(_run_stage(alone, sys.stdout.buffer) if alone else run(stages, at_once))
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return False
    return True


def main() -> int:
    """Run the stages that the arguments name; 0 if all of them are good."""
    stages = all_stages()
    parser = argparse.ArgumentParser(description="Run the stages of the tests.")
    parser.add_argument("stage", nargs="*", help=f"default: all. {', '.join(stages)}; molecule means all of its kind")
    default = max(2, os.cpu_count() or 1)
    parser.add_argument("--at-once", type=int, default=default, help="stages side by side (default: %(default)s)")
    args = parser.parse_args()
    chosen = {*args.stage} or {*stages}
    wanted = {name: s for name, s in stages.items() if {name, name.partition("-")[0]} & chosen}
    if not wanted:
        parser.error(f"there is no stage {' or '.join(args.stage)}")
    for directory in (LOGS, COVERAGE_FILE.parent):
        directory.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    finished = asyncio.run(_until_signalled(wanted, args.at_once))
    if not finished or not args.stage:
        # What killed stages may have left; nothing that is in use.
        subprocess.run([sys.executable, *FLEET[1:], "clean", "--stale", "--keep-bases"], cwd=REPOSITORY, check=False)
    if len(wanted) > 1 or not finished:
        _table(wanted, time.monotonic() - began)
    if not finished:
        return INTERRUPTED
    return 0 if all(stage.result == OK for stage in wanted.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
