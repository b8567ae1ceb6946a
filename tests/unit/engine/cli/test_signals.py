# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A signal ends the command cleanly: its children too, and with the exit code that the signal has."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def blocked(start: Callable[..., Any], backup_report: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """Start a backup whose dump takes a minute; returns the process and its child's number once that is at work."""
    started: list[subprocess.Popen[str]] = []

    def begin(*prefix: str) -> tuple[subprocess.Popen[str], int]:
        command, environment = start({"reports": {"backup": backup_report}, "blocks": ["sleep", "60"]}, "backup")
        process = subprocess.Popen(
            [*prefix, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        if process.stderr is None:
            raise RuntimeError("no pipe")
        line = process.stderr.readline()
        while line and not line.startswith("child"):
            line = process.stderr.readline()
        return process, int(line.split()[1])

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("number", "seen_as"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM)],
)
def test_a_signal_during_the_work_ends_it_and_its_children(
    blocked: Callable[..., Any], number: signal.Signals, seen_as: signal.Signals
) -> None:
    process, child = blocked("env", "--default-signal=HUP")  # it may be ignored where the tests run
    assert is_running(child)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 128 + seen_as
    assert not is_running(child)
    assert error == f"Error: Stopped by {seen_as.name}; all was cleaned up.\n"
    assert out == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_any_other_time_ends_it_in_a_sentence(
    call: Callable[..., Any], fake: ModuleType, number: signal.Signals
) -> None:
    class Signalled(fake.FakeEngine):  # type: ignore[name-defined,misc]
        def drop_privileges(self) -> None:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    engine = Signalled({})
    ended = call(engine, "status")
    assert ended.code == 128 + number
    assert ended.err == f"Error: Stopped by {number.name}.\n"
    assert engine.calls == []
    assert signal.getsignal(number) is before


def test_a_signal_that_was_ignored_stays_ignored(blocked: Callable[..., Any]) -> None:
    process, child = blocked("nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    os.kill(child, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1  # the report of the scenario has a failure
