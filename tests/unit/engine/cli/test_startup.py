# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command answers at once: nothing heavy is loaded before it is needed, and it says what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb import __version__, config_file
from vya_backupdb.cli.session import DEFAULT_CONFIG_PATH

HEAVY = (
    "sqlalchemy",
    "pydantic",
    "cryptography",
    "rich",
    "structlog",
    "yaml",
    "prometheus_client",
    "psycopg",
    "pymysql",
)


def run_python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_nothing_heavy_is_loaded_for_a_question(engine_environment: dict[str, str], option: str) -> None:
    code = (
        "import sys\nfrom vya_backupdb.cli import main\n"
        f"code = main([{option!r}])\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY} if name in sys.modules))\nraise SystemExit(code)"
    )
    ended = run_python(code, engine_environment)
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert ended.stdout


# What a backup of a kind of server must have loaded, else the test would see nothing, and what it must not have.
OF_MYSQL = ("pymysql", "vya_backupdb.db.mysql", "vya_backupdb.db.mysql_dump")
OF_POSTGRESQL = ("psycopg", "vya_backupdb.db.postgresql", "vya_backupdb.db.postgresql_dump")
OF_OTHER_OPERATIONS = ("vya_backupdb.core.drill", "vya_backupdb.core.restore", "vya_backupdb.core.extraction")
NEVER = ("sqlalchemy.orm", "rich", "prometheus_client", *OF_OTHER_OPERATIONS)
BACKUP = """
import json, sys
from pathlib import Path
from vya_backupdb.cli import main
from vya_backupdb.config_file import load_config
from vya_backupdb.security.credentials import open_store
from vya_backupdb.security.keys import create_host_key
path, names = sys.argv[1], json.loads(sys.argv[2])
config = load_config(path)
create_host_key(config.key_file)
open_store(config).set("x", "somebody", "a password")
code = main(["--config", path, "backup", "--instance", "x", "shop"])
sys.stderr.write(json.dumps([name for name in names if name in sys.modules]))
raise SystemExit(code)
"""


@pytest.mark.parametrize(
    ("dbms", "own", "foreign"),
    [
        ("mariadb", OF_MYSQL, OF_POSTGRESQL),
        ("mysql", OF_MYSQL, OF_POSTGRESQL),
        ("postgresql", OF_POSTGRESQL, OF_MYSQL),
    ],
)
def test_a_backup_loads_nothing_of_the_other_servers(
    engine_environment: dict[str, str], tmp_path: Path, dbms: str, own: tuple[str, ...], foreign: tuple[str, ...]
) -> None:
    document = {
        "schema_version": 1,
        "hostname": "host1",
        "storage": {"root": str(tmp_path / "backups"), "reserve": "0B"},
        "state_directory": str(tmp_path),
        "credentials_file": str(tmp_path / "credentials.json"),
        "key_file": str(tmp_path / "host.key"),
        "instances": [{"database_id": "x", "dbms": dbms, "socket": str(tmp_path / "nobody-listens")}],
        "policies": [],
    }
    path = tmp_path / "config.yml"
    path.write_text(json.dumps(document))  # JSON is YAML
    names = json.dumps([*own, *foreign, *NEVER])
    words = [sys.executable, "-c", BACKUP, str(path), names]
    ended = subprocess.run(words, env=engine_environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "The server x" in ended.stdout  # it got as far as asking for a connection
    assert json.loads(ended.stderr) == list(own)


def test_the_version(call: Callable[..., Any]) -> None:
    assert call(None, "--version").out == f"vya-backupdb {__version__}\n"


def test_the_help_names_all_commands(call: Callable[..., Any]) -> None:
    ended = call(None, "--help")
    for command in ("backup", "restore", "list", "verify", "prune", "status", "check", "config"):
        assert f"\n  {command} " in ended.out
    assert ended.code == 0


@pytest.mark.parametrize("arguments", [(), ("config",)])
def test_without_a_command_it_points_to_the_help(call: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    ended = call(None, *arguments)
    assert ended.code == 2
    assert ended.err.startswith("Error: Missing command.\nSee vya-backupdb")


def test_the_default_configuration_is_the_engines() -> None:
    assert DEFAULT_CONFIG_PATH == config_file.DEFAULT_CONFIG_PATH


def test_without_its_libraries_it_says_what_to_install(engine_environment: dict[str, str], tmp_path: Path) -> None:
    # -S hides what is installed; the standard library and the engine remain.
    code = "from vya_backupdb.cli import main\nraise SystemExit(main(['status']))"
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], env=engine_environment, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: The Python libraries typer and rich are not installed.")
    assert "vya.backupdb.runtime" in ended.stderr


def test_every_file_can_be_imported_without_any_library(engine_environment: dict[str, str], repository: Path) -> None:
    directory = repository / "plugins" / "module_utils" / "_engine" / "cli"
    names = sorted(path.stem for path in directory.glob("*.py") if path.stem != "__init__")
    assert names
    code = "import importlib\n" + "".join(f"importlib.import_module('vya_backupdb.cli.{name}')\n" for name in names)
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], env=engine_environment, capture_output=True, text=True, timeout=30
    )
    assert ended.stderr == ""
    assert ended.returncode == 0
