# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Values in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vya_backupdb.cli import text

NOW = datetime(2026, 1, 9, 6, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (12_900_000, "12.3 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**6, "3072.0 PiB"),
    ],
)
def test_size(count: int | None, words: str) -> None:
    assert text.size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (-0.2, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7805, "2 h 10 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration(seconds: float | None, words: str) -> None:
    assert text.duration(seconds) == words


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (timedelta(seconds=-59), "just now"),
        (timedelta(0), "just now"),
        (timedelta(seconds=30), "in a moment"),
        (timedelta(minutes=-59), "59 min ago"),
        (timedelta(hours=-3, minutes=-59), "3 h ago"),
        (timedelta(hours=25), "in 1 d"),
        (timedelta(days=-400), "1 y ago"),
    ],
)
def test_relative(difference: timedelta, words: str) -> None:
    assert text.relative(NOW + difference, NOW) == words


def test_moments_are_local_and_name_their_zone() -> None:
    assert text.when("2026-01-09T03:00:00Z", NOW) == "2026-01-09 04:00 CET (3 h ago)"
    assert text.when("2025-07-09T03:00:00+00:00", NOW) == "2025-07-09 05:00 CEST (184 d ago)"
    assert text.when(None, NOW) == "–"


def test_names_that_a_terminal_would_obey_are_written_as_escapes() -> None:
    assert text.plain("a\x1b[2Jb\r\n\u202ec\x9b\u2028\udc80") == r"a\x1b[2Jb\r\n\u202ec\x9b\u2028\udc80"
    assert text.plain("Bücher 図書館 [red]x[/red] 😀") == "Bücher 図書館 [red]x[/red] 😀"


@given(st.text())
def test_any_name_becomes_printable_and_encodable(name: str) -> None:
    assert text.plain(name).isprintable()
    assert text.plain(name).encode("utf-8").decode("utf-8") == text.plain(name)


@given(st.text())
def test_any_message_becomes_one_line(message: str) -> None:
    assert len(text.sentence(message).splitlines()) <= 1


def test_counts() -> None:
    assert text.count(1, "policy", "policies") == "1 policy"
    assert text.count(0, "policy", "policies") == "0 policies"
    assert text.count(2, "artifact") == "2 artifacts"
