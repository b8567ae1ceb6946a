# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The way to the engine's Python: only to the one that root alone can change."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BUILD = """
set -eu
mount -t tmpfs -o mode=0755 tmpfs /opt
mkdir /opt/vya-backupdb
{python} -m venv --without-pip /opt/vya-backupdb/venv-1
ln -s venv-1 /opt/vya-backupdb/venv
site=$(/opt/vya-backupdb/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo {libraries} > "$site/engine.pth"
{spoil}
exec "$@"
"""


@pytest.fixture
def engine_python() -> Callable[..., tuple[str, ...]]:
    """Gives words that put an engine's Python into its place for the command after them, seen by that command alone."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    if sys.prefix.startswith("/opt/"):
        pytest.skip("these tests' own Python is below /opt")

    def prefix(spoil: str = ":", libraries: str = sysconfig.get_path("purelib")) -> tuple[str, ...]:
        script = BUILD.format(python=sys.executable, libraries=libraries, spoil=spoil)
        return ("unshare", "--mount", "sh", "-c", script, "sh")

    return prefix


def test_the_module_goes_on_in_the_engines_python(
    ansible: Callable[..., Any], engine_python: Callable[..., tuple[str, ...]], bare_python: str
) -> None:
    """From a Python without libraries to an answer of the engine."""
    answer = ansible("backup_info", python=bare_python, prefix=engine_python())
    assert answer.result["instances"][0]["database_id"] == "maria"


def test_from_the_oldest_python_too(
    ansible: Callable[..., Any], engine_python: Callable[..., tuple[str, ...]], old_python: str
) -> None:
    """The code before the change runs on Python 3.9."""
    answer = ansible("backup_info", python=old_python, prefix=engine_python())
    assert answer.result["instances"][0]["database_id"] == "maria"


@pytest.mark.parametrize(
    "spoil",
    [
        "chmod o+w /opt/vya-backupdb/venv-1/bin",
        "chmod g+w /opt/vya-backupdb/venv-1",
        "chown 65534 /opt/vya-backupdb",
        "chown -h 65534 /opt/vya-backupdb/venv",
        "cd /opt/vya-backupdb/venv-1/bin; cp --remove-destination /bin/true python; chmod 0777 python",
    ],
)
def test_a_python_that_others_can_change_is_not_run(
    ansible: Callable[..., Any], engine_python: Callable[..., tuple[str, ...]], bare_python: str, spoil: str
) -> None:
    """Whoever can write to it, or to a directory on the way, would become root."""
    result = ansible("backup_info", python=bare_python, prefix=engine_python(spoil)).result
    assert result["error_kind"] == "EngineMissing"
    assert "does not belong to root, or others can write to it" in result["msg"]


def test_an_engines_python_without_the_libraries_is_not_tried_twice(
    ansible: Callable[..., Any], engine_python: Callable[..., tuple[str, ...]], bare_python: str
) -> None:
    """An environment of an older release: the message says that the role has to be applied again."""
    result = ansible("backup_info", python=bare_python, prefix=engine_python(libraries="/nowhere")).result
    assert result["error_kind"] == "EngineMissing"
    assert "not as this version of the collection needs it" in result["msg"]
    assert "vya.backupdb.runtime" in result["msg"]


def test_without_any_engine_the_role_is_named(
    ansible: Callable[..., Any], bare_python: str, no_engine_here: None
) -> None:
    """A host that no role has prepared."""
    answer = ansible("db_backup", python=bare_python, database_id="maria")
    assert answer.result["error_kind"] == "EngineMissing"
    assert "apply the role vya.backupdb.runtime" in answer.result["msg"]
    assert "Traceback" not in answer.output


def test_the_systems_own_python_is_trusted(shared: Callable[[str], Any]) -> None:
    """The rule does not refuse everything."""
    path = Path("/usr/bin/env")
    assert path.stat().st_uid == 0
    assert shared("_module.respawn").untrusted(str(path)) == ""


def test_an_old_library_counts_as_missing(shared: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Distributions carry pydantic 1 and SQLAlchemy 1, with which the engine would fail in the middle."""
    respawn = shared("_module.respawn")
    assert respawn.missing_libraries() == []
    versions = {"sqlalchemy": "1.4.46", "pydantic": "2.14.3"}
    monkeypatch.setattr(respawn.importlib.metadata, "version", lambda name: versions.get(name, "99"))
    assert respawn.missing_libraries() == ["sqlalchemy"]


def test_arguments_that_would_hang_are_refused(shared: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds would never arrive in the engine's Python."""
    respawn = shared("_module.respawn")
    monkeypatch.setattr(respawn, "missing_libraries", lambda: ["pydantic"])
    monkeypatch.setattr(respawn, "untrusted", lambda _: "")
    monkeypatch.setattr(respawn, "respawn_module", lambda _: pytest.fail("it would hang"))

    class EndedError(Exception):
        pass

    def fail_json(**result: Any) -> None:
        raise EndedError(result["msg"])

    module = SimpleNamespace(params={"databases": ["a" * 60] * 1200}, fail_json=fail_json)
    with pytest.raises(EndedError, match="too long"):
        respawn.ensure_engine(module)
