# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules called ad hoc on many instances at a time, and what a refusal must look like."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .ansible import Ansible, Answer
from .servers import Target

Arguments = Callable[[Target], Mapping[str, Any]]


def answers(
    ansible: Ansible, module: str, targets: Sequence[Target], arguments: Arguments, *options: str
) -> dict[Target, Answer]:
    """Call a module for each instance by one ad hoc call of Ansible."""
    given = {str(target): dict(arguments(target)) for target in targets}
    names = sorted({name for values in given.values() for name in values})
    found = ansible.module(
        module,
        {name: f"{{{{ given[inventory_hostname].{name} | default(omit) }}}}" for name in names},
        *options,
        hosts=":".join(given),
        variables={"given": given},
    )
    return {target: found[str(target)] for target in targets}


def results(
    ansible: Ansible, module: str, targets: Sequence[Target], arguments: Arguments, *options: str
) -> dict[Target, dict[str, Any]]:
    """As :func:`answers`, but every call must succeed; return the results alone."""
    called = answers(ansible, module, targets, arguments, *options)
    failed = {str(target): answer.result for target, answer in called.items() if answer.status == "FAILED"}
    assert not failed, json.dumps(failed, indent=2, ensure_ascii=False)
    return {target: answer.result for target, answer in called.items()}


def refused_by_command(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Require a documented exit code and one sentence with what to do, holding these words, without a traceback."""
    everything = done.stdout + done.stderr
    assert done.returncode == code, f"exit code {done.returncode} instead of {code}:\n{everything}"
    assert "Traceback" not in everything, everything
    assert "Internal error" not in everything, everything
    assert "internal error" not in everything, everything
    lines = done.stderr.splitlines()
    if code != 1:  # 1: databases failed, each with its reason in the table; else nothing was begun
        assert lines, everything
        assert lines[0].startswith("Error: "), everything
        assert len(lines) <= 2, everything
    for word in words:
        assert re.search(word, everything, re.DOTALL), f"no {word!r} in:\n{everything}"


def refused_by_module(answer: Answer, kind: str, *words: str) -> None:
    """Require a failure of that kind with one message holding these words, and no traceback."""
    document = json.dumps(answer.result, ensure_ascii=False)
    assert answer.status == "FAILED", document
    assert answer.result["error_kind"] == kind, document
    assert "Traceback" not in document, document
    assert "Internal error" not in document, document
    assert "\n" not in answer.result["msg"], document
    for word in words:
        assert re.search(word, answer.result["msg"]), f"no {word!r} in: {answer.result['msg']}"
