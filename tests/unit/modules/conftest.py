# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the modules: in this process (quick, measured), and as Ansible does it (bundled, in a process of their own)."""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.vya.backupdb.plugins.modules"
SHARED = "ansible_collections.vya.backupdb.plugins.module_utils"


@pytest.fixture(scope="session")
def collections(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A collections path that holds the checkout, also for imports in this process."""
    root = tmp_path_factory.mktemp("collections")
    (root / "ansible_collections" / "vya").mkdir(parents=True)
    (root / "ansible_collections" / "vya" / "backupdb").symlink_to(repository)
    sys.path.insert(0, str(root))
    yield root
    sys.path.remove(str(root))


@pytest.fixture
def shared(collections: Path) -> Callable[[str], Any]:
    """Imports a module of module_utils by its short name, for example ``_module.respawn``."""
    return lambda name: importlib.import_module(f"{SHARED}.{name}")


@dataclass(frozen=True)
class Host:
    """A host's files below a directory of the test."""

    root: Path

    @property
    def config_path(self) -> Path:
        """The configuration."""
        return self.root / "config.yml"

    @property
    def secrets(self) -> Path:
        """The directory of the key and the credentials."""
        return self.root / ".secrets"

    def configure(self, **sections: Any) -> None:
        """Write the configuration; what is not given stays as small as possible."""
        document = {
            "hostname": "db1",
            "storage": {"root": str(self.root / "backups")},
            "state_directory": str(self.root / "state"),
            "credentials_file": str(self.secrets / "credentials.json"),
            "key_file": str(self.secrets / "host.key"),
            "instances": [{"database_id": "maria", "dbms": "mariadb", "socket": str(self.root / "no.sock")}],
            **sections,
        }
        self.config_path.write_text(yaml.safe_dump(document), encoding="utf-8")

    def snapshot(self) -> dict[str, tuple[int, float, bytes]]:
        """Everything on disk: names, modes, times of change and contents."""
        return {
            str(path.relative_to(self.root)): (
                path.lstat().st_mode,
                path.lstat().st_mtime,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(self.root.rglob("*"))
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose roles have run: configuration, directories, no secrets yet."""
    host = Host(tmp_path / "host")
    for directory in (host.root, host.secrets, host.root / "state", host.root / "backups"):
        directory.mkdir()
    host.configure()
    return host


@pytest.fixture
def run_module(collections: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs a module in this process: ``run_module(module, check=…, diff=…, **arguments)`` returns its result."""

    def run(module_name: str, *, check: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
        module = importlib.import_module(f"{MODULES}.{module_name}")
        arguments = {
            "config_path": str(host.config_path),
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
            **arguments,
        }
        # Once another test has loaded the controller's part of Ansible, that takes the warnings of this process over.
        warned: list[str] = []
        collect = patch.object(AnsibleModule, "warn", lambda _self, warning, **_options: warned.append(warning))
        # PyMySQL leaves the socket of a failed connection to the garbage collector, which comes at any time and which a
        # real module does not live to see; here it would warn in the midst of this test or another.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            with patch_module_args(arguments), collect, pytest.raises(SystemExit) as end:
                module.main()
            code = end.value.code
            del end
            gc.collect()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert bool(result.get("failed")) == (code != 0)
        return {**result, "warnings": warned} if warned else result

    return run


@dataclass(frozen=True)
class Answer:
    """What the command ``ansible`` said."""

    output: str
    result: dict[str, Any]


@pytest.fixture
def ansible(collections: Path, host: Host, tmp_path: Path) -> Callable[..., Answer]:
    """Runs a module as a user does: ``ansible(module, *options, python=…, **arguments)``.

    The arguments reach it through a file, as from a vault, so that they are not on a command line.
    """
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    }

    def run(
        module: str,
        *options: str,
        python: str = sys.executable,
        prefix: tuple[str, ...] = (),
        variables: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Answer:
        given = tmp_path / "variables.json"
        facts = {f"argument_{key}": value for key, value in {"config_path": str(host.config_path), **arguments}.items()}
        given.write_text(
            json.dumps(
                {"ansible_connection": "local", "ansible_python_interpreter": python, **facts, **(variables or {})}
            ),
            encoding="utf-8",
        )
        words = json.dumps({key.removeprefix("argument_"): f"{{{{ {key} }}}}" for key in facts})
        command = [*prefix, sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", f"vya.backupdb.{module}"]
        done = subprocess.run(
            [*command, "-a", words, "-e", f"@{given}", *options],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=120,
        )
        output = done.stdout + done.stderr
        _, found, text = done.stdout.partition("localhost | ")
        start = text.find("{")
        assert found, output
        assert start >= 0, output
        result: dict[str, Any] = json.JSONDecoder().raw_decode(text[start:])[0]
        return Answer(output, result)

    return run


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python without any library, as a host has it."""
    directory = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    return str(directory / "bin" / "python")


@pytest.fixture(scope="session")
def old_python() -> str:
    """A Python 3.9, the oldest that a supported host has; skips where there is none."""
    candidates = [shutil.which("python3.9"), *map(str, Path.home().glob(".pyenv/versions/3.9.*/bin/python"))]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    pytest.skip("there is no Python 3.9 here")


@pytest.fixture
def no_engine_here() -> None:
    """Skips where this machine is itself a host with the engine."""
    if Path("/opt/vya-backupdb/venv").exists():
        pytest.skip("the engine is installed on this machine")
