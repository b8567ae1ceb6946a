# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The built artifact holds what is called by name, and works where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

# Only these may be in it; a new file of the repository does not get in unnoticed.
CONTENT = {
    "CHANGELOG.rst",
    "CONTRIBUTING.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "examples",
    "meta",
    "playbooks",
    "plugins",
    "requirements.yml",
    "roles",
    "tests",
}


@pytest.fixture(scope="module")
def artifact(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact, built from a copy of the checkout with all kinds of leavings in it."""
    work = tmp_path_factory.mktemp("artifact")
    copy = work / "copy"
    ignored = shutil.ignore_patterns(".git", ".venv", ".build", "__pycache__", ".*_cache", ".cache")
    shutil.copytree(repository, copy, ignore=ignored, symlinks=True)
    for leaving in (
        ".secrets/host.key",
        ".venv/bin/python",
        ".build/wheels/a.whl",
        ".mypy_cache/x.json",
        "plugins/modules/__pycache__/x.pyc",
        "dist/vya-backupdb-1.0.0.tar.gz",
        "vya-backupdb-1.0.0.tar.gz",
        ".coverage.host.1",
        "roles/runtime/molecule/default/molecule.yml",
        "tests/output/x.json",
        "tests/unit/test_x.py",
        "tests/conftest.py",
    ):
        (copy / leaving).parent.mkdir(parents=True, exist_ok=True)
        (copy / leaving).write_bytes(b"")
    command = [sys.executable, "-m", "ansible", "galaxy", "collection", "build", str(copy), "--output-path", str(work)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = work.glob("*.tar.gz")
    return path


def test_it_is_named_by_the_version(artifact: Path, repository: Path) -> None:
    """Galaxy insists on semantic versions."""
    version = yaml.safe_load((repository / "galaxy.yml").read_text("utf-8"))["version"]
    assert artifact.name == f"vya-backupdb-{version}.tar.gz"


def test_it_holds_what_is_called_by_name_only(artifact: Path) -> None:
    """No secrets, caches, tests, tools of developers or earlier artifacts."""
    with tarfile.open(artifact) as archive:
        files = [Path(member.name) for member in archive.getmembers() if member.isfile()]
    assert {path.parts[0] for path in files} <= CONTENT
    assert [path for path in files if path.parts[0] == "tests"] == [Path("tests/config.yml")]
    assert not [path for path in files if {"molecule", "__pycache__", "fragments"} & set(path.parts)]
    assert Path("plugins/module_utils/_engine/db/mysql.py") in files
    assert Path("roles/runtime/files/requirements.txt") in files


def test_installed_it_works(artifact: Path, tmp_path: Path) -> None:
    """All modules are found with their documentation, and the engine's wheel can be built."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "home")}

    def ansible(*words: str) -> str:
        command = [sys.executable, "-m", "ansible", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    ansible("galaxy", "collection", "install", "--offline", "-p", str(tmp_path), str(artifact))
    listed = ansible("doc", "--list", "--type", "module", "vya.backupdb")
    assert {line.split()[0].removeprefix("vya.backupdb.") for line in listed.splitlines()} == {
        "backup_credentials",
        "backup_hold",
        "backup_info",
        "backup_retention",
        "backup_schedule",
        "db_backup",
        "db_restore",
    }
    wheel = "msg={{ lookup('vya.backupdb.engine_wheel') }}"
    assert "py3-none-any.whl" in ansible("adhoc", "localhost", "-m", "ansible.builtin.debug", "-a", wheel)


def test_the_requirements_can_be_installed(repository: Path, tmp_path: Path) -> None:
    """AWX does so with the file at the root; there is nothing to get."""
    command = [sys.executable, "-m", "ansible", "galaxy", "collection", "install", "--offline", "-p", str(tmp_path)]
    done = subprocess.run([*command, "-r", str(repository / "requirements.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
