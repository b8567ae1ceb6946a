# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing files so that a crash at any moment leaves the old content or the new one, and no litter for ever."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vya_backupdb.utils import files
from vya_backupdb.utils.files import remove_unlocked, write_atomically, write_pieces_atomically


def test_what_dead_writers_of_the_same_file_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "all[1].prom"
    living = tmp_path / f".{path.name}.{os.getppid()}.partial"
    litter = [tmp_path / f".{path.name}.{number}.partial" for number in (1, os.getpid())]
    others = [living, tmp_path / ".other.prom.1.partial", tmp_path / f".{path.name}.words.partial"]
    for file in (*litter, *others):
        file.write_text("half")
    writer = os.open(living, os.O_WRONLY)
    fcntl.flock(writer, fcntl.LOCK_EX)

    write_atomically(path, b"whole", 0o640)

    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o640
    assert not remove_unlocked(living)
    os.close(writer)
    assert remove_unlocked(living)


def test_one_who_cleans_up_between_making_and_locking_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, taken = tmp_path / "f", []

    def lock(descriptor: int, kind: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        fcntl_lock(descriptor, kind)

    fcntl_lock = fcntl.flock
    monkeypatch.setattr(files.fcntl, "flock", lock)
    write_atomically(path, b"whole", 0o640)
    assert taken
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


def test_content_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("no more")

    path = tmp_path / "file"
    write_pieces_atomically(path, [b"the ", b"", b"old one"], 0o600)
    with pytest.raises(ValueError, match="no more"):
        write_pieces_atomically(path, pieces(), 0o600)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]
