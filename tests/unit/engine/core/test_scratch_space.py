# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where scratch servers live, and what is left there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vya_backupdb.core.scratch_space import ScratchSpace
from vya_backupdb.errors import LockedError


def test_a_directory_is_gone_afterwards_with_all_that_works_in_it(tmp_path: Path) -> None:
    space = ScratchSpace(tmp_path / "scratch")
    with space.turn(), space.directory() as directory:
        (directory / "data").mkdir()
        (directory / "data" / "file").touch()
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=directory / "data")

    assert child.wait(30) < 0
    assert not directory.exists()


def test_what_a_dead_drill_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "scratch" / "drill-dead"
    left.mkdir(parents=True)
    other = tmp_path / "scratch" / "somebody's"
    other.mkdir()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=left)

    ScratchSpace(tmp_path / "scratch").remove_dead()

    assert child.wait(30) < 0
    assert not left.exists()
    assert other.exists()


def test_only_one_drill_is_at_work_and_nobody_takes_its_server_away(tmp_path: Path) -> None:
    space = ScratchSpace(tmp_path / "scratch")
    with space.turn(), space.directory() as directory:
        ScratchSpace(tmp_path / "scratch").remove_dead()
        assert directory.exists()
        with pytest.raises(LockedError, match="Another drill"), ScratchSpace(tmp_path / "scratch").turn():
            pass


def test_where_no_drill_ever_was_nothing_is_made(tmp_path: Path) -> None:
    ScratchSpace(tmp_path / "scratch").remove_dead()

    assert os.listdir(tmp_path) == []
