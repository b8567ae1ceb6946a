# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two machines of one name on one storage: the second is refused, and may take over when it is told to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.core.overview import summarize_host
from vya_backupdb.core.ownership import FILE_NAME, Ownership
from vya_backupdb.core.retention import prune_database
from vya_backupdb.core.verification import verify_and_record
from vya_backupdb.errors import StorageError


class Machines:
    """Machines that share a storage and a name."""

    def __init__(self, root: Path, clock: Any) -> None:
        self.root = root
        self.home = root / "backups" / "db1"
        self._clock = clock

    def __call__(self, name: str) -> Ownership:
        identity = self.root / f"machine-id-{name}"
        identity.write_text(f"{name * 32}\n")
        return Ownership(self.home, "db1", self._clock, identity)


@pytest.fixture
def machine(tmp_path: Path, host: Any) -> Machines:
    return Machines(tmp_path, host.clock)


def test_the_first_one_keeps_it(machine: Machines) -> None:
    machine("a").refuse_others()
    assert not machine.home.exists(), "looking makes nothing"
    machine("a").claim()
    (machine.home / f".{FILE_NAME}.1.partial").write_text("left by a process that died as it claimed the storage")
    machine("a").claim()
    for attempt in (machine("b").claim, machine("b").refuse_others):
        with pytest.raises(
            StorageError, match=r"belongs to another machine that also calls itself 'db1'.*adopt-storage"
        ):
            attempt()
    machine("a").refuse_others()
    assert [path.name for path in machine.home.iterdir()] == [FILE_NAME]
    assert "aaaa" not in (machine.home / FILE_NAME).read_text(), "the machine's id is not shown around"


def test_of_many_at_once_one_gets_it(machine: Machines) -> None:
    outcomes: list[bool] = []

    def claim(name: str) -> None:
        try:
            machine(name).claim()
            outcomes.append(True)
        except StorageError:
            outcomes.append(False)

    threads = [threading.Thread(target=claim, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]
    assert [path.name for path in machine.home.iterdir()] == [FILE_NAME]


def test_it_may_be_taken_over(machine: Machines) -> None:
    with pytest.raises(StorageError, match="There is no storage"):
        machine("a").adopt()
    machine("a").claim()
    assert machine("b").adopt(dry_run=True)
    machine("a").refuse_others()
    assert machine("b").adopt()
    assert not machine("b").adopt()
    machine("b").claim()
    with pytest.raises(StorageError, match="another machine"):
        machine("a").refuse_others()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_mark_refuses_until_it_is_adopted(machine: Machines, content: bytes) -> None:
    machine("a").claim()
    (machine.home / FILE_NAME).write_bytes(content)
    with pytest.raises(StorageError, match=r"is damaged.*adopt-storage"):
        machine("a").claim()
    assert machine("a").adopt()
    machine("a").refuse_others()


def test_a_machine_without_an_id_is_told_how_to_get_one(machine: Machines, tmp_path: Path, host: Any) -> None:
    machine("a").claim()
    with pytest.raises(StorageError, match="systemd-machine-id-setup"):
        Ownership(machine.home, "db1", host.clock, tmp_path / "none").refuse_others()


def test_nothing_is_removed_or_marked_in_the_storage_of_another(machine: Machines, host: Any) -> None:
    artifacts = host.nights(4)
    machine("a").claim()  # not the machine that this test runs on
    before = {path: path.read_bytes() for path in machine.home.rglob("*") if path.is_file()}
    with pytest.raises(StorageError, match="another machine"):
        prune_database(host.context, "prod", "shop", dry_run=False)
    with pytest.raises(StorageError, match="another machine"):
        verify_and_record(host.context, host.storage.artifacts()[0])
    assert {path: path.read_bytes() for path in machine.home.rglob("*") if path.is_file()} == before
    assert "another machine" in summarize_host(host.context).problems[0]
    assert [stored.path for stored in host.storage.artifacts()] == artifacts, "reading goes on"
