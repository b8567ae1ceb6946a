# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lookup engine_wheel: a valid wheel, the same for the same engine, another version for another engine."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from packaging.version import Version


@pytest.fixture(scope="module")
def lookup(repository: Path) -> Any:
    """The lookup's module."""
    path = repository / "plugins" / "lookup" / "engine_wheel.py"
    spec = importlib.util.spec_from_file_location("engine_wheel", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(lookup: Any, repository: Path, tmp_path: Path) -> Path:
    """The wheel of the checkout."""
    path: Path = lookup.build_wheel(repository, tmp_path)
    return path


@pytest.fixture
def collection(repository: Path, tmp_path: Path) -> Path:
    """A copy of what goes into the wheel, to be changed."""
    root = tmp_path / "collection"
    engine = Path("plugins/module_utils/_engine")
    shutil.copytree(repository / engine, root / engine, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "roles/runtime/files/requirements.in"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, root / name)
    return root


def test_the_name_tells_package_version_and_platform(wheel: Path, repository: Path) -> None:
    """The version is the engine's, which is the collection's, with a local part."""
    name, version, _build, tags = parse_wheel_filename(wheel.name)
    collection = yaml.safe_load((repository / "galaxy.yml").read_text("utf-8"))
    assert name == "vya-backupdb"
    assert Version(version.public) == Version(collection["version"])
    assert version.local is not None
    assert {str(tag) for tag in tags} == {"py3-none-any"}


def test_it_holds_the_whole_engine_and_nothing_else(wheel: Path, repository: Path) -> None:
    """Every source, as it is in the collection; no caches."""
    engine = repository / "plugins" / "module_utils" / "_engine"
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if name.startswith("vya_backupdb/")}
        modes = {info.external_attr >> 16 for info in archive.infolist()}
    assert packed == {
        f"vya_backupdb/{path.relative_to(engine).as_posix()}": path.read_bytes() for path in engine.rglob("*.py")
    }
    assert modes == {0o100644}
    assert {path.suffix for path in engine.rglob("*") if path.is_file()} <= {".py", ".pyc"}, "would not be packed"


def test_the_record_lists_every_file_with_its_hash(wheel: Path) -> None:
    """As the specification of binary distributions asks."""
    with zipfile.ZipFile(wheel) as archive:
        (own_name,) = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        rows = list(csv.reader(archive.read(own_name).decode().splitlines()))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())
        for name, digest, size in rows:
            if name == own_name:
                assert (digest, size) == ("", "")
                continue
            content = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(content)))


def test_the_metadata_names_licence_python_and_libraries(wheel: Path, repository: Path) -> None:
    """The libraries are those that the role installs."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = BytesParser().parsebytes(archive.read(name))
        assert f"{name.partition('/')[0]}/licenses/LICENSE" in archive.namelist()
    assert metadata["Name"] == "vya-backupdb"
    assert metadata["Version"] == str(parse_wheel_filename(wheel.name)[1])
    assert metadata["License-Expression"] == "GPL-2.0-or-later"
    assert metadata["Requires-Python"] == ">=3.11"
    lines = (repository / "roles" / "runtime" / "files" / "requirements.in").read_text("utf-8").splitlines()
    wanted = {Requirement(line).name for line in lines if line.strip() and not line.startswith("#")}
    assert "pydantic" in wanted
    assert {Requirement(line).name for line in metadata.get_all("Requires-Dist", [])} == wanted


def test_the_same_engine_gives_the_same_bytes(lookup: Any, collection: Path, tmp_path: Path) -> None:
    """Whenever and wherever it is built."""
    first = lookup.build_wheel(collection, tmp_path)
    content = first.read_bytes()
    first.unlink()
    for path in collection.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o700)
    second = lookup.build_wheel(collection, tmp_path)
    assert second == first
    assert second.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        "plugins/module_utils/_engine/errors.py",
        "plugins/module_utils/_engine/db/mysql.py",
        "roles/runtime/files/requirements.in",
    ],
)
def test_another_content_is_another_version(lookup: Any, collection: Path, tmp_path: Path, change: str) -> None:
    """Otherwise pip would leave the old one installed."""
    before = lookup.build_wheel(collection, tmp_path)
    with open(collection / change, "a", encoding="utf-8") as stream:
        stream.write("\nmore\n")
    after = lookup.build_wheel(collection, tmp_path)
    assert parse_wheel_filename(after.name)[1] != parse_wheel_filename(before.name)[1]


def test_a_wheel_that_is_there_is_kept(lookup: Any, collection: Path, tmp_path: Path) -> None:
    """Many hosts ask at the same time; nothing else is left beside it."""
    path = lookup.build_wheel(collection, tmp_path)
    status = path.stat()
    assert lookup.build_wheel(collection, tmp_path) == path
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == [path.name]


def test_nothing_half_made_is_left(
    lookup: Any, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full in the middle."""

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="No space left"):
        lookup.build_wheel(collection, tmp_path)
    assert [found for found in tmp_path.iterdir() if found.is_file()] == []


def test_pip_installs_and_replaces_it(lookup: Any, collection: Path, tmp_path: Path) -> None:
    """Offline; the command then runs, and a changed engine replaces it without being forced to."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", str(environment)], check=True)
    # A venv's system packages are those of the base Python; these tests' own libraries are in their venv.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "tests.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")), "utf-8")
    python = environment / "bin" / "python"

    def install() -> str:
        wheel = lookup.build_wheel(collection, tmp_path)
        command = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", wheel]
        subprocess.run(command, check=True, capture_output=True)
        shown = subprocess.run([python, "-m", "pip", "show", "--files", "vya-backupdb"], capture_output=True, text=True)
        assert "vya_backupdb/errors.py" in shown.stdout
        return str(parse_wheel_filename(wheel.name)[1])

    def installed() -> str:
        code = "import importlib.metadata; print(importlib.metadata.version('vya-backupdb'))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
        return done.stdout.strip()

    assert install() == installed()
    answer = subprocess.run([environment / "bin" / "vya-backupdb", "--version"], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "2.0.0" in answer.stdout
    with open(collection / "plugins" / "module_utils" / "_engine" / "errors.py", "a", encoding="utf-8") as stream:
        stream.write("CHANGED = True\n")
    assert install() == installed()
    code = "import vya_backupdb.errors as e; print(e.CHANGED)"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, cwd="/").stdout == "True\n"


def test_ansible_finds_it(repository: Path, tmp_path: Path) -> None:
    """The file is there while the play runs, and gone afterwards."""
    (tmp_path / "ansible_collections" / "vya").mkdir(parents=True)
    (tmp_path / "ansible_collections" / "vya" / "backupdb").symlink_to(repository)
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "temporary"),
    }
    template = "{{ (lookup('vya.backupdb.engine_wheel') is file) ~ ' ' ~ lookup('vya.backupdb.engine_wheel') }}"
    command = [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", "ansible.builtin.debug"]
    done = subprocess.run([*command, "-a", f"msg={template!r}"], env=environment, capture_output=True, text=True)
    assert f"True {tmp_path / 'temporary'}" in done.stdout, done.stdout + done.stderr
    assert list((tmp_path / "temporary").rglob("*.whl")) == []


@pytest.mark.parametrize("words", ["'term'", "colour='blue'"])
def test_it_takes_no_arguments(repository: Path, tmp_path: Path, words: str) -> None:
    """A misunderstanding is not passed over."""
    (tmp_path / "ansible_collections" / "vya").mkdir(parents=True)
    (tmp_path / "ansible_collections" / "vya" / "backupdb").symlink_to(repository)
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    template = f"{{{{ lookup('vya.backupdb.engine_wheel', {words}) }}}}"
    command = [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", "ansible.builtin.debug"]
    done = subprocess.run([*command, "-a", f'msg="{template}"'], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "takes no" in done.stdout + done.stderr


def test_an_incomplete_collection_is_named(lookup: Any, collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that says which file is missing."""
    (collection / "LICENSE").unlink()
    monkeypatch.setattr(lookup, "COLLECTION", collection)
    plugin = lookup.LookupModule()
    monkeypatch.setattr(plugin, "set_options", lambda **_: None)
    with pytest.raises(lookup.AnsibleLookupError, match="LICENSE: No such file or directory"):
        plugin.run([])
