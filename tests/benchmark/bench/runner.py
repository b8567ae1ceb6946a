# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs cases interleaved and keeps what they cost; what does not hold what it should is marked, not timed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .case import COPY, DATABASE, Case, Part
from .elsewhere import LOAD
from .measure import Measurement, measure, run_script, settle
from .servers import Server

# What differs between two dumps of the same data: the moment of the end, and psql's random key.
_PLAIN = "grep -a -v -E '^(-- Dump completed|.(un)?restrict )' | sha256sum"


class Runner:
    """Runs the parts on one server."""

    def __init__(self, server: Server, runs: int, say: Callable[[str], None]) -> None:
        """Take the server.

        Args:
            server: Whose processor time is counted.
            runs: How often each case is run.
            say: Gets a line for each run.
        """
        self._server = server
        self._runs = runs
        self._say = say
        self._originals: dict[str, str] = {}  # of each table, of all under the empty name

    def part(self, part: Part, proof: bool = True) -> dict[str, Any]:
        """Run a part's cases, one round after the other, each round beginning with another case.

        Args:
            part: What to run.
            proof: Whether each case's output is loaded or compared once.
        """
        results = [self._begin(case) for case in part.cases]
        for number in range(self._runs):
            turn = number % max(1, len(results))
            pairs = list(zip(part.cases, results, strict=True))
            for case, result in pairs[turn:] + pairs[:turn]:
                if not result["absent"] and not result["invalid"]:
                    self._once(case, result, number, proof and number == 0)
        return {"key": part.key, "title": part.title, "references": part.references, "results": results}

    def restores(self, cases: tuple[Case, ...], backups: dict[str, Any], more: tuple[Case, ...]) -> dict[str, Any]:
        """Time the loading of what the backup cases have left, and more cases, in an interleaved part of its own."""
        good = {each["name"] for each in backups["results"] if each["runs"] and not each["invalid"]}
        timed = tuple(
            Case(
                case.loaded_as,
                case.load,
                ours=case.ours,
                creates=case.creates,
                restores=True,
            )
            for case in cases
            if case.loaded_as and case.name in good
        )
        return self.part(Part("restore", "restore", timed + more, {LOAD: "gunzip"}), proof=False)

    def _begin(self, case: Case) -> dict[str, Any]:
        return {
            "name": case.name,
            "ours": case.ours,
            "script": case.script,
            "absent": missing(case),
            "invalid": "",
            "size": None,
            "runs": [],
        }

    def _once(self, case: Case, result: dict[str, Any], number: int, proof: bool) -> None:
        try:
            self._undo(case)
            if case.restores:
                self._empty_copy(case)
            elif case.before:
                run_script(case.before)
            load = os.getloadavg()[0]
            cost = measure(case.script, self._server.cpu)
            result["invalid"] = self._fault(case, cost, proof, case.restores and number == 0)
        except (RuntimeError, OSError, subprocess.SubprocessError) as exc:
            result["invalid"] = str(exc)
            self._say(f"{case.name}: INVALID: {exc}")
            return
        if case.output is not None:
            result["size"] = settle(case.output)
        result["runs"].append({"round": number, "load": load, **dataclasses.asdict(cost)})
        state = f"INVALID: {result['invalid']}" if result["invalid"] else f"{cost.wall:.2f} s"
        self._say(f"{case.name}: {state}")

    def _undo(self, case: Case) -> None:
        if case.output is None:
            return
        if case.output.is_dir():
            shutil.rmtree(case.output)
        case.output.unlink(missing_ok=True)

    def _empty_copy(self, case: Case) -> None:
        if case.creates:
            self._server.drop(COPY)
        else:
            self._server.create(COPY)

    def _fault(self, case: Case, cost: Measurement, proof: bool, compare: bool) -> str:
        """Say why a run counts for nothing; empty if it is good."""
        if cost.code:
            return f"exit code {cost.code}: {cost.errors}"
        if case.invalid_unless:
            run_script(case.invalid_unless)
        if proof and case.plain:
            if _plain_hash(case.plain) != _plain_hash(self._reference_stream):
                return "its content is not that of the vendor's dump"
        elif proof and case.load:
            self._empty_copy(case)
            run_script(case.load)
            compare = True
        if compare and not self._same(case.table):
            return "what it restores is not what was there"
        return ""

    @property
    def _reference_stream(self) -> str:
        return f"{getattr(self._server, 'dump', 'pg_dump')} {DATABASE}"

    def _same(self, table: str) -> bool:
        """Whether the copy holds what the original does, or its only table what the one there does; it is dropped."""
        if table not in self._originals:
            self._originals[table] = self._server.fingerprint(DATABASE, table)
        copied = self._server.fingerprint(COPY)
        self._server.drop(COPY)
        return copied == self._originals[table]


def missing(case: Case) -> str:
    """Say what a case lacks on this host; empty if nothing."""
    absent = [Path(program).name for program in case.needs if shutil.which(program) is None]
    if absent:
        return f"no {', '.join(absent)}"
    program, option = case.needs_option
    if program:
        shown = subprocess.run([program, "--help"], capture_output=True, text=True, errors="replace", check=False)
        if option not in shown.stdout + shown.stderr:
            return f"{program} has no {option.rstrip('=')}"
    return ""


def _plain_hash(script: str) -> str:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{{ {script}; }} | {_PLAIN}"], capture_output=True, check=True
    )
    return hashlib.sha256(done.stdout).hexdigest()
