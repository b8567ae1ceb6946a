# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading an artifact whose keys are made after its rows: clients are given all of it, and errors say what to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from segmented_dumps import mysql_in_calls, segmented
from shell_clients import ShellClients

from vya_backupdb.core import key_plan, load_plan, segmentation
from vya_backupdb.core.encryption import Decryption
from vya_backupdb.core.segment_load import Loader, survey_artifact
from vya_backupdb.core.storage import StoredArtifact
from vya_backupdb.db.mysql_loading import MySqlLoading
from vya_backupdb.errors import RestoreError
from vya_backupdb.utils.processes import ProcessTable

LOADING = MySqlLoading(dollar_quotes=False)
NAMES = ("a", "b", "c")
COLUMN = "CREATE TABLE `{}` (\n  `c` text NOT NULL"
KEY = ",\n  KEY `k` (`c`(9))"
END = "\n) ENGINE=InnoDB;\n"


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 100)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 50)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(key_plan, "KEYS_ROWS", 0)


@pytest.fixture
def stored(host: Any) -> StoredArtifact:
    """An artifact of MariaDB with three tables, each with a key."""
    dump = mysql_in_calls({name: [f"row {number}" for number in range(30)] for name in NAMES})
    for name in NAMES:
        old = f"CREATE TABLE `{name}` (c text);\n".encode()
        assert old in dump
        dump = dump.replace(old, (COLUMN.format(name) + KEY + END).encode())
    artifact: StoredArtifact = host.artifact_in_segments(segmented(LOADING.reader(), dump, 700).segments)
    return artifact


def load(stored: StoredArtifact, script: str, told: list[int] | None = None, jobs: int = 2, **more: Any) -> None:
    """Survey the artifact and load it."""
    survey = survey_artifact(stored, LOADING, jobs, Decryption(ProcessTable()), **more)
    dbms: Any = ShellClients(LOADING, script)
    progress = told.append if told is not None else lambda _done: None
    stall = timedelta(seconds=20)
    Loader(ProcessTable(), dbms, survey, "copy", jobs=jobs, stall_timeout=stall, progress=progress).load()


def texts(directory: Path) -> list[str]:
    """What each client was given."""
    return [path.read_text() for path in directory.iterdir() if path.is_file() and path.name.isdigit()]


def test_keys_arrive_once_after_the_rows(stored: StoredArtifact, tmp_path: Path) -> None:
    told: list[int] = []
    # A client that adds keys fails where rows have not all arrived.
    count = f"cat {tmp_path}/* | grep -c INSERT >> {tmp_path}/rows"
    script = f"cat > {tmp_path}/$$; if grep -q ADD {tmp_path}/$$; then {count}; fi"

    load(stored, script, told)

    given = texts(tmp_path)
    (definitions,) = (text for text in given if "CREATE TABLE" in text)
    for name in NAMES:
        assert COLUMN.format(name) + END in definitions
    assert KEY.strip(",\n ") not in definitions
    makers = [text for text in given if "ADD KEY" in text]
    assert len(makers) == 2
    for name in NAMES:
        (maker,) = (text for text in makers if f"ALTER TABLE `{name}`\n  ADD KEY `k` (`c`(9));\n" in text)
        assert "SET NAMES utf8mb4" in maker
        assert "INSERT" not in maker
    assert set((tmp_path / "rows").read_text().split()) == {"90"}
    assert told[-1] == stored.manifest.plain_bytes
    assert told == sorted(told)


@pytest.mark.parametrize("how", [{"jobs": 1}, {"jobs": 2, "keys_later": False}])
def test_keys_stay_with_their_tables(stored: StoredArtifact, tmp_path: Path, how: dict[str, Any]) -> None:
    load(stored, f"cat > {tmp_path}/$$", **how)
    assert sum(COLUMN.format(name) + KEY + END in text for text in texts(tmp_path) for name in NAMES) == len(NAMES)
    assert not any("ADD KEY" in text for text in texts(tmp_path))


def test_a_key_that_cannot_be_made_is_told_with_its_table_and_what_helps(stored: StoredArtifact) -> None:
    script = "if grep -q 'ALTER TABLE `c`'; then echo 'ERROR 1114: The table is full' >&2; exit 1; fi"
    with pytest.raises(RestoreError, match=r"table is full; it was making keys or indexes of (\w, )?c\.") as caught:
        load(stored, script)
    assert "tmpdir" in caught.value.hint
    assert "one job" in caught.value.hint
