# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark measures what a script really takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bench.measure import measure, run_script, settle

MEGABYTE = 1 << 20
HOLD = f"{sys.executable} -c 'import time; held = bytearray({{0}} << 20); time.sleep(0.5)'"


def no_server() -> float:
    return 0.0


def test_the_memory_is_that_of_the_process_and_not_of_whoever_measures() -> None:
    ballast = bytearray(300 * MEGABYTE)
    cost = measure("exec " + HOLD.format(80), no_server)
    assert 80 * MEGABYTE < cost.own_peak == cost.largest_peak < 150 * MEGABYTE < len(ballast)


def test_children_count_apart_from_the_process_itself() -> None:
    cost = measure(HOLD.format(80) + " | cat", no_server)
    assert cost.own_peak < 40 * MEGABYTE < 80 * MEGABYTE < cost.largest_peak


def test_processor_time_of_all_parts_of_a_pipe_counts() -> None:
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.2: pass'"
    assert measure(f"{burn} | {burn}", no_server).cpu >= 0.4


def test_the_servers_share_is_what_it_took_meanwhile() -> None:
    readings = iter((5.0, 7.5))
    assert measure("true", lambda: next(readings)).server == 2.5


def test_a_pipe_fails_with_any_of_its_parts() -> None:
    cost = measure("{ echo half; echo broken >&2; exit 3; } | cat", no_server)
    assert (cost.code, cost.errors) == (3, "broken")


def test_what_hangs_is_killed() -> None:
    assert measure("sleep 60", no_server, timeout=0.2).code == -9


def test_a_script_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="exit code 4: no such thing"):
        run_script("echo no such thing >&2; exit 4")


def test_sizes_of_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name, size in (("a", 10), ("deep/b", 5)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert [settle(tmp_path), settle(tmp_path / "a"), settle(tmp_path / "none")] == [15, 10, 0]
