# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the host's command share: reports as the engine gives them, and ways to call the command."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from vya_backupdb.cli import main

HERE = Path(__file__).resolve().parent
CTRL_C = b"\x03"
NOW = datetime(2026, 1, 9, 6, 0, 0, tzinfo=timezone.utc)
ARTIFACT = "/var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_030000.sql.gz"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{name} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module with the fake engine."""
    return _load("fake_engine")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("VYA_BACKUPDB_CONFIG", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all work take no time, so that lines do not depend on how busy the machine is."""
    monkeypatch.setattr("vya_backupdb.cli.progress.time", SimpleNamespace(monotonic=lambda: 0.0))


@dataclass(frozen=True)
class Ended:
    """How a call of the command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.out.splitlines()]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Call the command in this process, with an engine in place of the real one; no terminal anywhere."""

    def run(engine: Any, *arguments: str) -> Ended:
        code = main(arguments, engine.open if engine is not None else None, lambda: NOW)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def start(tmp_path: Path, engine_environment: dict[str, str]) -> Callable[..., list[Any]]:
    """Return the arguments and the environment of a process that runs the command with a scenario."""

    def prepare(scenario: dict[str, Any], *arguments: str) -> list[Any]:
        path = tmp_path / "scenario.json"
        path.write_text(json.dumps(scenario), encoding="utf-8")
        environment = {**engine_environment, "TZ": "Europe/Berlin"}
        return [[sys.executable, str(HERE / "fake_engine.py"), str(path), *arguments], environment]

    return prepare


@pytest.fixture
def on_terminal(start: Callable[..., list[Any]]) -> Callable[..., Ended]:
    """Call the command on a pseudo-terminal and answer its question; what it wrote is in ``out``."""

    def run(scenario: dict[str, Any], *arguments: str, answer: bytes = b"", columns: int = 100) -> Ended:
        command, environment = start(scenario, *arguments)
        environment.update(TERM="xterm-256color", COLUMNS=str(columns))
        environment.pop("NO_COLOR", None)
        master, slave = pty.openpty()
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        output, asked = b"", False
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if not select.select([master], [], [], 1)[0]:
                    if asked and answer == CTRL_C:
                        # Typed between the question and the read, it is seen only with the next key: as by a person.
                        os.write(master, answer)
                    continue
                try:
                    chunk = os.read(master, 65536)
                except OSError:  # the other end was closed
                    break
                if not chunk:
                    break
                output += chunk
                if answer and not asked and b"Restore? [y/N]: " in output:
                    asked = True
                    os.write(master, answer)
            return Ended(process.wait(10), output.decode("utf-8"), "")
        finally:
            process.kill()
            process.wait()
            os.close(master)

    return run


@pytest.fixture
def backup_report() -> dict[str, Any]:
    """One database that was backed up and one that was not."""
    return {
        "changed": True,
        "results": [
            {
                "database_id": "prod-mysql-01",
                "database": "shop",
                "outcome": "success",
                "artifact": ARTIFACT,
                "manifest": ARTIFACT + ".manifest.json",
                "stored_bytes": 12_900_000,
                "plain_bytes": 99_000_000,
                "duration": 4.2,
                "proof": "sealed",
                "error": None,
                "run_id": "r1",
                "warnings": ["The view v has no definer."],
            },
            {
                "database_id": "prod-mysql-01",
                "database": "crm",
                "outcome": "failed",
                "artifact": None,
                "manifest": None,
                "stored_bytes": None,
                "plain_bytes": None,
                "duration": 0.3,
                "proof": None,
                "error": "mariadb-dump failed (exit code 2): crm cannot be locked.",
                "run_id": "r2",
                "warnings": [],
            },
        ],
        "removed": ["/old/one.sql.gz", "/old/two.sql.gz"],
    }


@pytest.fixture
def restore_reports() -> list[dict[str, Any]]:
    """What a restore did, and the plan of it."""
    done = {
        "changed": True,
        "database_id": "prod-mysql-01",
        "database": "shop",
        "target": "shop",
        "artifact": ARTIFACT,
        "created_at": "2026-01-09T03:00:00Z",
        "outcome": "success",
        "duration": 125.0,
        "overwritten": True,
        "tables": [],
        "content": "all",
        "safety_backup": "/var/backups/vya-backupdb/db1/safety.sql.gz",
        "accounts": [],
        "owners": {},
        "differences": [],
        "warnings": ["The definer app@% does not exist."],
    }
    return [done, {**done, "changed": True, "outcome": "planned", "duration": 0.0, "safety_backup": None}]
