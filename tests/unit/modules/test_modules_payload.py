# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What Ansible sends to a host holds the whole engine, also what is imported late and inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path("ansible_collections/vya/backupdb/plugins/module_utils")
ENGINE_MODULES = ["backup_hold", "backup_info", "backup_retention", "db_backup", "db_restore"]


@pytest.fixture
def payload(ansible: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Runs a module, keeps what was sent, and returns the directory of its unpacked files."""
    monkeypatch.setenv("ANSIBLE_KEEP_REMOTE_FILES", "1")

    def unpack(module: str) -> Path:
        remote = tmp_path / "remote"
        answer = ansible(module, variables={"ansible_remote_tmp": str(remote)}, **ARGUMENTS[module])
        assert "Could not find imported module support code" not in answer.output
        (sent,) = remote.glob(f"*/AnsiballZ_{module}.py")
        subprocess.run([sys.executable, str(sent), "explode"], check=True, capture_output=True)
        return sent.parent / "debug_dir"

    return unpack


ARGUMENTS = {
    "backup_credentials": {"name": "maria", "state": "absent"},
    "backup_hold": {"artifact": "/nowhere.sql.gz"},
    "backup_info": {},
    "backup_retention": {},
    "backup_schedule": {"enabled": False, "state": "absent"},
    "db_backup": {"database_id": "maria"},
    "db_restore": {"database_id": "maria", "database": "shop"},
}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_the_payload_holds_all_that_the_module_can_need(
    name: str, payload: Callable[[str], Path], repository: Path
) -> None:
    """A late import of a misspelt name is skipped in silence when the payload is made, and fails on the host only."""
    root = payload(name) / PACKAGE
    sent = sorted(root.rglob("*.py"))
    assert root / "_engine" / "errors.py" in sent
    for path in sent:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert resolves(path, node), f"{path.relative_to(root)}: {ast.unparse(node)}"
    if name in ENGINE_MODULES:
        engine = repository / "plugins" / "module_utils"
        wanted = {path.relative_to(engine) for path in (engine / "_engine").rglob("*.py")}
        assert Path("_engine/db/mysql.py") in wanted
        missing = wanted - {path.relative_to(root) for path in sent}
        # What only the host's own command needs stays at home.
        assert {path for path in missing if path.parts[1] != "cli"} <= {Path("_engine/monitoring/logging.py")}


def resolves(path: Path, node: ast.ImportFrom) -> bool:
    """Whether the file that a relative import means exists; for a package, each name may be a file of its own."""
    base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    if base.with_suffix(".py").is_file():
        return True
    init = base / "__init__.py"
    if not init.is_file():
        return False
    known = {
        name.asname or name.name
        for inner in ast.walk(ast.parse(init.read_text("utf-8")))
        if isinstance(inner, ast.ImportFrom)
        for name in inner.names
    } | {
        target.id
        for inner in ast.walk(ast.parse(init.read_text("utf-8")))
        if isinstance(inner, ast.Assign)
        for target in inner.targets
        if isinstance(target, ast.Name)
    }
    return all(
        name.name in known or (base / f"{name.name}.py").is_file() or (base / name.name / "__init__.py").is_file()
        for name in node.names
    )
