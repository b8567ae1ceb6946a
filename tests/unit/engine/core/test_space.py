# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Room on the disk: what an artifact is expected to take, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vya_backupdb.config import Storage as StorageConfig
from vya_backupdb.core.catalog import FAILED
from vya_backupdb.core.space import Estimate, Room, estimate, in_words, room_for_restore, shortage
from vya_backupdb.core.storage import Storage
from vya_backupdb.errors import RestoreError, StorageError

GIB = 1024**3


class Disk(Storage):
    """A storage on a disk of ten GiB."""

    free = 2 * GIB

    def space(self) -> tuple[int, int]:
        return self.free, 10 * GIB


def room(reserve: str = "1GiB") -> Room:
    return Room(Disk(Path("/b"), "db1"), StorageConfig(reserve=reserve))


def test_a_first_backup_is_taken_for_a_quarter(host: Any) -> None:
    expected = estimate(host.catalog, "prod", "shop", 8 * GIB)
    assert expected == Estimate(2 * GIB - 2 * 1024**2, "a quarter of the 8.0 GiB in the server")
    assert estimate(host.catalog, "prod", "shop", 7_500_000).stored_bytes == 0, "PostgreSQL says that of an empty one"


def test_the_last_one_says_how_much_becomes_of_it(host: Any) -> None:
    host.run("backup", stored_bytes=GIB, server_bytes=10 * GIB)
    host.run("backup", FAILED, server_bytes=1)
    expected = estimate(host.catalog, "prod", "shop", 20 * GIB)
    assert expected.stored_bytes == round(2.2 * GIB)
    assert expected.basis == "the last one took 1.0 GiB of 10.0 GiB in the server, which are 20.0 GiB now"


def test_a_figure_that_cannot_have_been_right_does_not_stop_all_later_backups(host: Any) -> None:
    host.run("backup", stored_bytes=20 * GIB, server_bytes=16 * 1024)
    assert estimate(host.catalog, "prod", "shop", 200 * GIB).stored_bytes == round(220 * GIB)
    assert estimate(host.catalog, "prod", "shop", 16 * 1024).stored_bytes == round(22 * GIB)


def test_without_the_servers_figure_the_last_size_has_to_do(host: Any) -> None:
    host.run("backup", stored_bytes=GIB)
    assert estimate(host.catalog, "prod", "shop", 0) == Estimate(round(1.1 * GIB), "the last one took 1.0 GiB")


def test_what_would_fill_the_disk_is_refused_with_the_figures() -> None:
    with (
        pytest.raises(
            StorageError,
            match=r"has 2\.0 GiB free, of which 1\.0 GiB are to stay free; the backup of 'shop' is expected to take"
            r" 1\.5 GiB \(as before\)\. It was not begun",
        ),
        room().promised("shop", Estimate(3 * GIB // 2, "as before")),
    ):
        pass


def test_dumps_side_by_side_do_not_fill_it_together() -> None:
    shared, half = room(), Estimate(6 * GIB // 10, "as before")
    with (
        shared.promised("a", half),
        pytest.raises(StorageError, match=r"614\.4 MiB are for dumps under way"),
        shared.promised("b", half),
    ):
        pass
    with shared.promised("b", half):
        pass


@pytest.mark.parametrize(("reserve", "bytes_"), [("64MiB", 64 * 1024**2), ("2GB", 2 * 10**9), ("5%", GIB // 2), (7, 7)])
def test_the_reserve_may_be_written_in_several_ways(reserve: object, bytes_: int) -> None:
    assert StorageConfig.model_validate({"reserve": reserve}).reserved_bytes(10 * GIB) == bytes_


@pytest.mark.parametrize("reserve", ["", "much", "-1MiB", "100%", "5 pounds", True])
def test_what_is_no_size_is_refused(reserve: object) -> None:
    with pytest.raises(ValueError, match="is no size"):
        StorageConfig.model_validate({"reserve": reserve})


def test_sizes_in_words() -> None:
    assert [in_words(n) for n in (0, 1023, 1024, 5 * GIB, 3000 * 1024**4)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 GiB",
        "3000.0 TiB",
    ]


def test_a_restore_is_refused_where_there_is_no_room_and_warned_where_that_is_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=GIB))

    assert room_for_restore(tmp_path, GIB, GIB, 0) is None
    assert room_for_restore(tmp_path, GIB, 2 * GIB, GIB) is None
    warned = f"The disk of {tmp_path} has 1.0 GiB free; the database took 2.0 GiB where it was backed up."
    assert room_for_restore(tmp_path, GIB, 2 * GIB, 0) == warned
    with pytest.raises(RestoreError, match=r"free, and 1\.0 GiB more once .* takes 3\.0 GiB at the very least"):
        room_for_restore(tmp_path, 3 * GIB, 4 * GIB, GIB)


def test_a_directory_that_cannot_be_seen_says_nothing(tmp_path: Path) -> None:
    assert room_for_restore(tmp_path / "elsewhere", 1, 2, 0) is None


def test_a_disk_that_is_as_good_as_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shortage(None) == ""
    assert shortage(tmp_path / "elsewhere") == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=GIB))
    assert shortage(tmp_path) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=5000))
    assert shortage(tmp_path) == f"The disk of {tmp_path} is full: 4.9 KiB are free."
