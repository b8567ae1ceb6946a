# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt), for example v3.0
# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: E402 - ansible-test wants the documentation before the imports
"""The engine as a wheel, for the hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: engine_wheel
short_description: Build the backup engine as a Python wheel
version_added: 2.0.0
author:
  - Yves Marinho (!UNKNOWN)
description:
  - Builds the wheel C(vya_backupdb) from the engine in this collection, on the controller, and returns its path.
  - The same engine always gives the same file, byte for byte. A changed engine gives another version, whose local part
    is made from the content, so that pip replaces what is installed if and only if something has changed.
  - The file lies in Ansible's temporary directory and is removed at the end of the run.
  - The role P(vya.backupdb.runtime#role) installs it.
options: {}
"""

EXAMPLES = r"""
- name: Copy the engine
  ansible.builtin.copy:
    src: "{{ lookup('vya.backupdb.engine_wheel') }}"
    dest: /opt/vya-backupdb/
    mode: "0644"
"""

RETURN = r"""
_raw:
  description: The path of the wheel on the controller.
  type: list
  elements: path
"""

import ast
import base64
import hashlib
import os
import tempfile
import typing as t
import zipfile
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

COLLECTION = Path(__file__).resolve().parents[2]
PACKAGE = "vya_backupdb"
COMMAND = "vya_backupdb.cli:main"
OLDEST_PYTHON = "3.11"

# Any fixed moment does; this is the earliest that a zip archive can hold.
_MOMENT = (1980, 1, 1, 0, 0, 0)


class LookupModule(LookupBase):
    """Builds the wheel."""

    def run(self, terms: list[t.Any], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        """Return the path of the wheel as the only element.

        Raises:
            AnsibleLookupError: The collection is not whole, or the wheel cannot be written.
        """
        self.set_options(var_options=variables, direct=kwargs)
        if terms or kwargs:
            raise AnsibleLookupError("The lookup vya.backupdb.engine_wheel takes no arguments.")
        try:
            return [str(build_wheel(COLLECTION, Path(constants.DEFAULT_LOCAL_TMP)))]
        except OSError as exc:
            raise AnsibleLookupError(
                f"The engine's wheel cannot be built: {exc.filename}: {exc.strerror}. If that is a file of the"
                " collection, install the collection again."
            ) from exc


def build_wheel(collection: Path, directory: Path) -> Path:
    """Build the wheel of a collection's engine.

    Args:
        collection: The collection's root directory.
        directory: Where to write; a wheel that is there already is left as it is.

    Returns:
        The path of the wheel.

    Raises:
        OSError: A file cannot be read or written.
    """
    engine = collection / "plugins" / "module_utils" / "_engine"
    sources = {
        f"{PACKAGE}/{path.relative_to(engine).as_posix()}": path.read_bytes() for path in sorted(engine.rglob("*.py"))
    }
    requirements = _requirements((collection / "roles" / "runtime" / "files" / "requirements.in").read_text("utf-8"))
    described = {
        "licenses/LICENSE": (collection / "LICENSE").read_bytes(),
        "WHEEL": b"Wheel-Version: 1.0\nGenerator: vya.backupdb\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": f"[console_scripts]\nvya-backupdb = {COMMAND}\n".encode(),
        "METADATA": _metadata(requirements),
    }
    version = f"{_version(engine)}+{_fingerprint({**sources, **described})}"
    described["METADATA"] = _metadata(requirements, version)
    info = f"{PACKAGE}-{version}.dist-info"
    files = {**sources, **{f"{info}/{name}": content for name, content in described.items()}}
    path = directory / f"{PACKAGE}-{version}-py3-none-any.whl"
    if not path.exists():
        _write(path, {**files, f"{info}/RECORD": _record(files, f"{info}/RECORD")})
    return path


def _version(engine: Path) -> str:
    """The engine's own version, read without running it: the controller need not have its libraries."""
    tree = ast.parse((engine / "__init__.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__version__":
            return str(ast.literal_eval(node.value))
    raise FileNotFoundError(None, "it has no __version__", str(engine / "__init__.py"))


def _requirements(text: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return sorted(line for line in lines if line)


def _metadata(requirements: list[str], version: str = "") -> bytes:
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", PACKAGE.replace("_", "-")),
        ("Version", version),
        ("Summary", "Backup and restore of MySQL, MariaDB and PostgreSQL databases"),
        ("License-Expression", "GPL-2.0-or-later"),
        ("License-File", "LICENSE"),
        ("Requires-Python", f">={OLDEST_PYTHON}"),
        *(("Requires-Dist", requirement) for requirement in requirements),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields).encode()


def _fingerprint(files: dict[str, bytes]) -> str:
    """What tells two contents apart, as the local part of a version may spell it."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"g{digest.hexdigest()[:12]}"


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    """The wheel's list of contents: name, hash and size of each file, its own line without them."""
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{own_name},,\n"]).encode()


def _write(path: Path, files: dict[str, bytes]) -> None:
    """Write the archive as a whole: other processes of the same run may look for it at the same time.

    Nothing is compressed, since different releases of zlib would give different files.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{PACKAGE}-", dir=path.parent)
    try:
        with open(descriptor, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, content in files.items():
                member = zipfile.ZipInfo(name, _MOMENT)
                member.create_system = 3  # Unix, whatever this machine is
                member.external_attr = 0o100644 << 16
                archive.writestr(member, content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
