# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs before the change to the engine's Python works on the oldest Python of a host."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

OLDEST = (3, 9)


def early_files(repository: Path) -> list[Path]:
    """The files that the host's own Python reads."""
    plugins = repository / "plugins"
    return sorted([*(plugins / "modules").glob("*.py"), *(plugins / "module_utils" / "_module").glob("*.py")])


def test_the_early_files_parse_on_the_oldest_python(repository: Path) -> None:
    """No syntax of a later Python, such as match statements, in what the host's own Python compiles."""
    files = early_files(repository)
    assert len(files) >= 10
    for path in files:
        ast.parse(path.read_text("utf-8"), str(path), feature_version=OLDEST)


def test_the_engine_is_imported_inside_functions_only(repository: Path) -> None:
    """At the top level, the engine may only be imported for type checkers."""
    for path in early_files(repository):
        tree = ast.parse(path.read_text("utf-8"))
        inside = {
            node
            for outer in ast.walk(tree)
            if isinstance(outer, (ast.FunctionDef, ast.If))
            for node in ast.walk(outer)
            if isinstance(outer, ast.FunctionDef) or ast.unparse(outer.test) == "t.TYPE_CHECKING"
        }
        early = [
            node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in inside
        ]
        assert not [text for text in map(ast.unparse, early) if re.search(r"\b_engine\b", text)], path


def test_on_an_old_python_the_modules_say_what_to_install(
    ansible: Callable[..., Any], old_python: str, no_engine_here: None
) -> None:
    """A host without the engine's environment gets one sentence that names the role, not a traceback."""
    answer = ansible("backup_info", python=old_python)
    assert answer.result["error_kind"] == "EngineMissing"
    assert "apply the role vya.backupdb.runtime" in answer.result["msg"]
    assert "Python 3.11 or later" in answer.result["msg"]
    assert "Traceback" not in answer.output


def test_every_module_is_in_the_action_group(repository: Path) -> None:
    """So that module_defaults of the group reach all of them."""
    runtime = yaml.safe_load((repository / "meta" / "runtime.yml").read_text("utf-8"))
    modules = sorted(path.stem for path in (repository / "plugins" / "modules").glob("*.py"))
    assert runtime["action_groups"]["backupdb"] == modules


def test_the_needed_libraries_are_those_of_the_engine(shared: Callable[[str], Any]) -> None:
    """Two lists have to exist, since the engine's cannot be read on an old Python; they must say the same."""
    assert set(shared("_module.respawn").LIBRARIES) == set(shared("_engine.utils.third_party").REQUIRED)


@pytest.mark.parametrize("module", ["backup_credentials"])
def test_secret_arguments_are_declared_as_such(repository: Path, module: str) -> None:
    """Ansible hides a value in the invocation only if the argument says so."""
    text = (repository / "plugins" / "modules" / f"{module}.py").read_text("utf-8")
    assert '"password": {"type": "str", "no_log": True}' in text
