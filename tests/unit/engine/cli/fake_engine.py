# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine that does nothing but answer as it was told; also a program, for tests that need a process or a terminal.

As a program: ``fake_engine.py SCENARIO [ARGUMENT]...``, where SCENARIO is a JSON file with reports by method,
``progress`` events, and ``blocks``: a command that a method waits for as the engine waits for a dump.
"""

from __future__ import annotations

import fcntl
import inspect
import json
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, Optional

from vya_backupdb.engine import Engine
from vya_backupdb.errors import StoppedError


class Report:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def to_dict(self) -> dict[str, Any]:
        return self._document

    @property
    def ok(self) -> bool:
        return not any(result["outcome"] == "failed" for result in self._document["results"])


class FakeEngine:
    def __init__(
        self,
        reports: dict[str, Any],
        progress: tuple[dict[str, Any], ...] = (),
        error: Optional[BaseException] = None,
        blocks: Optional[list[str]] = None,
    ) -> None:
        self.reports = reports
        self.progress = progress
        self.error = error
        self.blocks = blocks
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.opened: list[tuple[Path, str]] = []
        self.privileges_dropped_before: Optional[int] = None

    def open(self, config_path: Path, trigger: str) -> FakeEngine:
        self.opened.append((config_path, trigger))
        return self

    def use_identity(self, path: Path) -> None:
        self.calls.append(("use_identity", {"path": path}))

    def drop_privileges(self) -> None:
        self.privileges_dropped_before = len(self.calls)

    def __getattr__(self, name: str) -> Any:
        if name not in (
            *("backup", "restore", "prune", "verify", "drill", "info", "check", "status"),
            *("hold", "release", "accept", "adopt_storage", "contents"),
        ):
            raise AttributeError(name)

        def method(**arguments: Any) -> Report:
            inspect.signature(getattr(Engine, name)).bind(None, **arguments)  # what the real one would not take
            progress = arguments.pop("progress", None)
            self.calls.append((name, arguments))
            for event in self.progress if progress else ():
                progress(SimpleNamespace(**event))
            if self.blocks:
                self._block()
            if self.error is not None:
                raise self.error
            report = self.reports[name]
            return Report(report[bool(arguments.get("dry_run"))] if isinstance(report, list) else report)

        return method

    def _block(self) -> None:
        """Wait as the engine does: a thread works with a child, which a signal ends."""
        child = subprocess.Popen(self.blocks or [], start_new_session=True)
        received: list[int] = []

        def stop(number: int, _frame: Optional[FrameType]) -> None:
            received.append(number)
            child.kill()

        former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        sys.stderr.write(f"child {child.pid}\n")
        sys.stderr.flush()
        worker = threading.Thread(target=child.wait)
        worker.start()
        worker.join()
        for number, handler in former.items():
            signal.signal(number, handler)
        if received:
            error = StoppedError(f"Stopped by {signal.Signals(received[0]).name}; all was cleaned up.")
            error.exit_code = 128 + received[0]
            raise error


def event(phase: str, database: str = "shop", done: int = 0, total: Optional[int] = None) -> dict[str, Any]:
    return {
        "database_id": "prod-mysql-01",
        "database": database,
        "phase": phase,
        "done_bytes": done,
        "total_bytes": total,
    }


if __name__ == "__main__":
    from vya_backupdb.cli import main

    if sys.stdin is not None and sys.stdin.isatty():
        # Its own terminal from now on, so that Ctrl-C typed there becomes a signal.
        fcntl.ioctl(sys.stdin, termios.TIOCSCTTY, 0)
        # A shell starts what it puts in the background with SIGINT ignored, and that is inherited.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    scenario = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    engine = FakeEngine(scenario["reports"], tuple(scenario.get("progress", ())), blocks=scenario.get("blocks"))
    raise SystemExit(main(sys.argv[2:], engine.open))
