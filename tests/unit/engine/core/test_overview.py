# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the host stands, told from the catalog and the storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vya_backupdb.core.catalog import FAILED, SUCCESS
from vya_backupdb.core.overview import summarize_host
from vya_backupdb.core.storage import Storage


def test_each_database_has_its_own_newest_artifact_and_the_storage_all_of_them(host: Any) -> None:
    host.run("backup", SUCCESS)
    host.run("backup", FAILED, error="No space left.")
    host.run("backup", SUCCESS, database="new")
    newest, *older = host.nights(3)
    other = host.artifact(database="forgotten", rows=50)
    report = summarize_host(host.context)
    assert [(each["database"], each["last_outcome"], each["artifact"]) for each in report.databases] == [
        ("new", SUCCESS, None),
        ("shop", FAILED, str(newest)),
    ]
    assert report.databases[1]["stored_bytes"] == newest.stat().st_size
    assert report.storage["used_bytes"] == sum(path.stat().st_size for path in (newest, *older, other))
    assert report.problems == ()


def test_an_artifact_whose_manifest_cannot_be_read_gives_way_to_the_one_before_it(
    host: Any, manifest_of: Callable[[Path], Path]
) -> None:
    host.run("backup", SUCCESS)
    newest, before, _oldest = host.nights(3)
    manifest_of(newest).write_text("{}")
    assert summarize_host(host.context).databases[0]["artifact"] == str(before)


def test_the_storage_is_looked_through_once(host: Any, monkeypatch: Any) -> None:
    host.run("backup", SUCCESS)
    host.nights(2)[1].unlink()
    walks = []
    walk = Storage.walk
    monkeypatch.setattr(Storage, "walk", lambda *asked: walks.append(asked) or walk(*asked))
    assert len(summarize_host(host.context).problems) == 1
    assert len(walks) == 1
