# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compression: what is written comes back, damage is noticed, levels follow the time that there is."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Sequence

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.core.compression import Level, compressor, plain_pieces
from vya_backupdb.errors import ArtifactError

LEVELS = [*(("gzip", level) for level in range(1, 10)), *(("zstd", level) for level in (1, 3, 9, 19)), ("none", 1)]
TEXT = b"".join(b"(%d,'some text that repeats itself',NULL),\n" % number for number in range(20_000))


def stored(algorithm: str, level: int, *pieces: bytes) -> bytes:
    """Each piece as a segment of its own."""
    made = b""
    for piece in pieces:
        segment = compressor(algorithm, level)
        made += segment.compress(piece) + segment.flush()
    return made


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize(("algorithm", "level"), LEVELS)
def test_what_is_written_comes_back(algorithm: str, level: int) -> None:
    data = stored(algorithm, level, TEXT, b"x", TEXT)
    assert b"".join(plain_pieces(iter(cut(data, 1000)), algorithm, "It")) == TEXT + b"x" + TEXT


@pytest.mark.parametrize("level", range(1, 10))
def test_any_gunzip_reads_it(level: int) -> None:
    assert gzip.decompress(stored("gzip", level, TEXT, TEXT)) == TEXT + TEXT


@pytest.fixture(scope="module")
def text() -> bytes:
    """Six megabytes of words, some more frequent than others; whole lines come up again after megabytes."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(1, 4)).hex().encode() for _ in range(3000)]
    lines = [b" ".join(words[int(3000 * chance.random() ** 3)] for _ in range(20)) for _ in range(40_000)]
    return b"\n".join(chance.choice(lines) for _ in range(60_000))


@pytest.mark.parametrize(("algorithm", "levels"), [("gzip", (1, 3, 6)), ("zstd", (1, 2, 3))])
def test_higher_levels_are_smaller(algorithm: str, levels: Sequence[int], text: bytes) -> None:
    sizes = [len(stored(algorithm, level, text)) for level in levels]
    assert sizes == sorted(sizes, reverse=True)


def test_zstd_is_smaller_than_by_its_own_levels_and_any_decoder_takes_it(text: bytes) -> None:
    for level in (2, 3, 4, 6):
        data = stored("zstd", level, text)
        assert len(data) < len(zstandard.ZstdCompressor(level=level).compress(text))
        assert zstandard.get_frame_parameters(data).window_size <= 8 * 1024**2


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_pieces_of_any_size(data: bytes, size: int) -> None:
    for algorithm in ("gzip", "zstd"):
        assert b"".join(plain_pieces(iter(cut(stored(algorithm, 1, data), size)), algorithm, "It")) == data


def test_memory_is_bounded_whatever_the_ratio() -> None:
    for algorithm in ("gzip", "zstd"):
        data = stored(algorithm, 1, bytes(40_000_000))
        sizes = [len(piece) for piece in plain_pieces(iter([data]), algorithm, "It")]
        assert max(sizes) <= 4 * 1024 * 1024
        assert sum(sizes) == 40_000_000


@pytest.mark.parametrize("algorithm", ["gzip", "zstd"])
def test_damage_is_noticed(algorithm: str) -> None:
    data = stored(algorithm, 1, os.urandom(5000))
    broken = data[:2000] + bytes([data[2000] ^ 255]) + data[2001:]
    with pytest.raises(ArtifactError, match="It is damaged"):
        list(plain_pieces(iter([broken]), algorithm, "It"))


def test_a_missing_end_is_noticed() -> None:
    with pytest.raises(ArtifactError, match="its end is missing"):
        list(plain_pieces(iter([stored("gzip", 1, TEXT)[:-3]]), "gzip", "It"))


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.mark.usefixtures("two_cores")
class TestLevel:
    """The level of each segment."""

    def test_that_of_the_policy_stays(self) -> None:
        level = Level("gzip", 9, 1 << 30)
        level.learn(waited=100.0, compressed=0.1)
        assert level.current == 9

    def test_waiting_is_used_and_given_back(self) -> None:
        for algorithm, highest in (("gzip", 8), ("zstd", 12)):
            level = Level(algorithm, "auto", 1 << 30)
            assert level.current == 1
            level.learn(waited=100.0, compressed=0.1)
            assert level.current == highest
            for _segment in range(20):
                level.learn(waited=0.0, compressed=3.0)
            assert level.current == 1

    def test_only_as_much_as_there_is_time_for(self) -> None:
        level = Level("gzip", "auto", 1 << 30)
        level.learn(waited=0.05, compressed=0.05)  # 1.8 times the time: ISA-L's third level takes 1.6
        assert level.current == 3

    def test_earlier_runs_and_size_say_where_to_begin(self) -> None:
        assert Level("gzip", "auto", 1 << 30, earlier=6).current == 6
        assert Level("gzip", "auto", 1 << 20, earlier=1).current == 6, "a small one costs nothing"

    def test_a_database_that_turns_out_to_be_large_is_not_kept_waiting(self) -> None:
        level = Level("gzip", "auto", 1 << 20)
        for _segment in range(20):
            level.learn(waited=0.0, compressed=3.0)
        assert level.current == 1

    def test_a_single_core_is_left_to_the_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
        level = Level("zstd", "auto", 1 << 30, earlier=9)
        level.learn(waited=100.0, compressed=0.1)
        assert level.current == 1
