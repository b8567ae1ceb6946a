# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of a directory comes by the vendor's client, whose failures are the restore's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vya_backupdb.core import part_load
from vya_backupdb.core.loads import LoadTask
from vya_backupdb.core.part import SCHEMA, Part
from vya_backupdb.errors import ArtifactError, RestoreError
from vya_backupdb.utils.processes import Command, ProcessTable


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], part_load.PartLoad]:
    """Return what loads a part of a directory, of which a script writes the SQL."""

    def make(script: str) -> part_load.PartLoad:
        class Format:
            def __init__(self, _version: tuple[int, ...], _processes: Any) -> None:
                pass

            def content(self, _directory: Path, _files: Collection[str]) -> Command:
                return Command(("/bin/sh", "-c", script))

            def frame(self, directory: Path, _settings: Any) -> tuple[bytes, bytes]:
                return b"-- before\n", (directory / "settings.sql").read_bytes()

        monkeypatch.setitem(part_load.DIRECTORY_FORMATS, "postgresql", Format)
        monkeypatch.setattr(part_load, "verify_directory", lambda *_arguments, **_options: None)
        dbms: Any = SimpleNamespace(
            loading=SimpleNamespace(session=b""),
            load_command=lambda _database: Command(("/bin/sh", "-c", f"cat > {tmp_path}/loaded")),
            explain=lambda errors: errors.strip(),
            is_working=lambda _database: False,
        )
        manifest = SimpleNamespace(
            dbms={"flavour": "postgresql"}, tool={}, strategy="parallel", inventory={}, settings={}, files=(), rows=None
        )
        manifest.needs, manifest.row_counts = (), {}
        stored: Any = SimpleNamespace(path=tmp_path, manifest=manifest)
        decryption: Any = None
        task = LoadTask(ProcessTable(), dbms, stored, 1, timedelta(seconds=1), decryption)
        return part_load.ParallelPartLoad(task, Part((), SCHEMA))

    return make


def test_what_the_client_writes_is_framed_and_loaded(load: Callable[[str], part_load.PartLoad], tmp_path: Path) -> None:
    (tmp_path / "settings.sql").write_text("-- after\n")
    part = load("echo 'CREATE TABLE public.a ();'; echo \"SELECT pg_catalog.setval('public.s', 1);\"")
    part.examine(lambda _done: None, thorough=False)
    assert part.load("x", lambda _done: None) == ""
    assert (tmp_path / "loaded").read_text() == "-- before\nCREATE TABLE public.a ();\n-- after\n"
    assert part.rows is None
    assert part.left_out == ()


@pytest.mark.parametrize(
    ("script", "words"), [("echo why >&2; exit 3", "why"), ("exit 3", "no reason"), ("sleep 60", "sent nothing")]
)
def test_a_client_that_fails_fails_the_restore(
    load: Callable[[str], part_load.PartLoad], script: str, words: str
) -> None:
    with pytest.raises(RestoreError, match=words):
        load(script).examine(lambda _done: None, thorough=False)


def test_a_file_that_cannot_be_read_is_told(load: Callable[[str], part_load.PartLoad]) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        load("true").load("x", lambda _done: None)
