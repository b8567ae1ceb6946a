# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that can go wrong ends in a sentence and an exit code, never in a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vya_backupdb import errors
from vya_backupdb.cli.exit_codes import EXIT_CODES


def error_classes() -> list[type[errors.BackupDbError]]:
    return [errors.BackupDbError, *errors.BackupDbError.__subclasses__()]


@pytest.mark.parametrize("kind", error_classes())
def test_an_expected_failure(call: Callable[..., Any], fake: ModuleType, kind: type[errors.BackupDbError]) -> None:
    ended = call(fake.FakeEngine({}, error=kind("It\nfailed \x1b[2J.", "Do this.")), "status")
    assert ended.code == kind.exit_code
    assert ended.err == "Error: It failed \\x1b[2J.\nDo this.\n"
    assert ended.out == ""


def test_no_hint_no_second_line(call: Callable[..., Any], fake: ModuleType) -> None:
    assert call(fake.FakeEngine({}, error=errors.DumpError("It failed.")), "status").err == "Error: It failed.\n"


def test_every_exit_code_is_documented(call: Callable[..., Any], repository: Path) -> None:
    documented = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    help_text = call(None, "--help").out
    for code in {kind.exit_code for kind in error_classes()} | set(EXIT_CODES):
        meaning = EXIT_CODES[code]
        assert re.search(rf"^ +{code}  {re.escape(meaning)}$", help_text, re.MULTILINE)
        assert f"| {code} | {meaning} |" in documented.replace("`", "")


def test_an_internal_error_is_one_sentence_without_secrets(call: Callable[..., Any], fake: ModuleType) -> None:
    error = KeyError("postgresql://backup:hunter2secret@db/x password=hunter2secret")
    ended = call(fake.FakeEngine({}, error=error), "status")
    assert ended.code == 70
    assert ended.err.startswith("Error: internal error KeyError: ")
    assert "hunter2secret" not in ended.err
    assert "Traceback" not in ended.err
    assert "--debug" in ended.err


def test_the_traceback_is_shown_on_demand_without_secrets(call: Callable[..., Any], fake: ModuleType) -> None:
    error = RuntimeError("postgresql://backup:hunter2secret@db/x\x1b[2J")
    ended = call(fake.FakeEngine({}, error=error), "--debug", "status")
    assert ended.code == 70
    assert "Traceback (most recent call last):" in ended.err
    assert "fake_engine.py" in ended.err
    assert "hunter2secret" not in ended.err
    assert "\x1b" not in ended.err


def test_an_engine_that_cannot_be_opened(call: Callable[..., Any], tmp_path: Path) -> None:
    ended = call(None, "--config", str(tmp_path / "none.yml"), "status")
    assert ended.code == 2
    assert ended.err.startswith(f"Error: There is no configuration at {tmp_path}/none.yml.")


def test_a_backup_goes_on_when_nobody_reads_any_more(
    start: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]
) -> None:
    events = [fake.event("dumping", f"database-{number}") for number in range(5000)]
    backup_report["results"].pop()
    command, environment = start({"reports": {"backup": backup_report}, "progress": events}, "backup")
    reading, writing = os.pipe()
    process = subprocess.Popen(command, env=environment, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(reading)
    _, error = process.communicate(timeout=30)
    assert error == b""
    assert process.returncode == 0


def test_output_that_cannot_be_written_is_no_success(start: Callable[..., Any], backup_report: dict[str, Any]) -> None:
    backup_report["results"].pop()
    command, environment = start({"reports": {"backup": backup_report}}, "backup", "--json")
    with open("/dev/full", "wb") as full:
        process = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert process.returncode == 1
    assert process.stderr == b"Error: the output could not be written: No space left on device.\n"


def test_closed_standard_streams(start: Callable[..., Any], backup_report: dict[str, Any]) -> None:
    backup_report["results"].pop()
    command, environment = start({"reports": {"backup": backup_report}}, "backup")
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(closing, env=environment, timeout=30).returncode == 0


def test_a_locale_that_lacks_the_letters(start: Callable[..., Any], backup_report: dict[str, Any]) -> None:
    backup_report["results"][0]["database"] = "図書"
    command, environment = start({"reports": {"backup": backup_report}}, "backup")
    environment["PYTHONIOENCODING"] = "latin-1"
    process = subprocess.run(command, env=environment, capture_output=True, timeout=30)
    assert rb"\u56f3\u66f8" in process.stdout
    assert process.stderr == b""
    assert process.returncode == 1


def test_json_of_a_real_process_is_json(start: Callable[..., Any], backup_report: dict[str, Any]) -> None:
    command, environment = start({"reports": {"backup": backup_report}}, "backup", "--json")
    process = subprocess.run(command, env=environment, capture_output=True, timeout=30)
    assert json.loads(process.stdout) == backup_report
