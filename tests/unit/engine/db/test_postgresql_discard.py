# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A database is not dropped where that would stop the server for want of room, but its tables are."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import pytest

from vya_backupdb.db.postgresql_discard import make_room_to_drop
from vya_backupdb.errors import ServerError

MIB = 1024**2
TABLES = [("s", 'a"b', "TABLE"), ("public", "m", "MATERIALIZED VIEW")]
DROPPED = ['DROP TABLE IF EXISTS "s"."a""b" CASCADE', 'DROP MATERIALIZED VIEW IF EXISTS "public"."m" CASCADE']


def dropped(directory: Optional[Path]) -> list[str]:
    done: list[str] = []
    make_room_to_drop(lambda _statement: TABLES, done.append, "side", directory)
    return done


@pytest.mark.parametrize(("before", "after", "expected"), [(16 * MIB, 0, []), (MIB, 16 * MIB, DROPPED)])
def test_tables_are_dropped_where_there_is_no_room(
    before: int, after: int, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter((before, after))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=next(free)))
    assert dropped(tmp_path) == expected


def test_the_database_stays_where_there_is_no_room_even_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=15 * MIB))
    with pytest.raises(ServerError, match="is full") as caught:
        dropped(tmp_path)
    assert caught.value.hint == 'Make room, then drop it: DROP DATABASE "side";'


def test_of_a_disk_that_cannot_be_seen_only_the_tables_go_first(tmp_path: Path) -> None:
    assert dropped(None) == DROPPED
    assert dropped(tmp_path / "elsewhere") == DROPPED


@pytest.mark.parametrize("free", [0, 16 * MIB])
def test_a_server_that_lets_nobody_in_for_want_of_room(
    free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_statement: str) -> list[tuple[str, str, str]]:
        raise ServerError("could not write init file")

    found = iter((0, free))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=next(found)))
    expected = pytest.raises(ServerError, match=r"is full.*DROP DATABASE \"side\"") if not free else nullcontext()
    with expected:
        make_room_to_drop(refused, refused, "side", tmp_path)  # type: ignore[arg-type]
