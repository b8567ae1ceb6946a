# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison's verdicts: a success is one only if it is, and no tool is called bad that is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from compared.contestant import Ended
from compared.judge import Before, judge_backup, judge_check, judge_restore
from compared.table import BEGIN, END, as_markdown, into_readme

FIRST, NOW, HALF = {"rows": "1"}, {"rows": "2"}, {"rows": "half"}
DONE, FAILED, HUNG = Ended(0, ""), Ended(2, "failed"), Ended(None, "")
BEFORE = Before(FIRST, "monday")


@dataclass
class World:
    """A tool and a database at once: what a restore says, what it brings, which backups there are."""

    after: dict[str, str]
    restored: Ended = DONE
    stored: list[str] = field(default_factory=lambda: ["monday"])
    held: dict[str, str] = field(default_factory=dict)

    def backups(self) -> list[str]:
        return self.stored

    def restore(self) -> Ended:
        self.held = self.after
        return self.restored

    def empty(self) -> None:
        self.held = {}

    def state(self) -> dict[str, str]:
        return self.held


@pytest.mark.parametrize(
    ("ran", "world", "words", "good"),
    [
        (DONE, World(NOW, stored=["tuesday"]), "whole backup", True),
        (DONE, World(FIRST), "MISSED", False),
        (DONE, World(HALF), "MISSED", False),
        (DONE, World(HALF, stored=["tuesday"]), "MISSED, good one lost", False),
        (FAILED, World(FIRST), "noticed", True),
        (FAILED, World(HALF, FAILED), "noticed, but half a backup is left as the newest", False),
        (FAILED, World(HALF), "noticed, but half a backup is left and restored as if whole", False),
        (FAILED, World(HALF, FAILED, stored=[]), "noticed, good one lost", False),
        (HUNG, World(FIRST), "hangs", False),
    ],
)
def test_backups(ran: Ended, world: World, words: str, good: bool) -> None:
    verdict = judge_backup(ran, cast("Any", world), cast("Any", world), BEFORE, NOW)

    assert (verdict.words, verdict.good) == (words, good)


@pytest.mark.parametrize(
    ("ran", "after", "world", "words", "good"),
    [
        (DONE, FIRST, World(FIRST), "restored whole", True),
        (DONE, NOW, World(FIRST), "MISSED", False),
        (FAILED, NOW, World(FIRST), "noticed, nothing touched", True),
        (FAILED, HALF, World(FIRST), "noticed, database overwritten", False),
        (
            FAILED,
            HALF,
            World(NOW, stored=["monday", "just before"]),
            "noticed, database overwritten, but backed up before",
            False,
        ),
        (FAILED, HALF, World(HALF, stored=["monday", "worthless"]), "noticed, database overwritten", False),
        (HUNG, NOW, World(FIRST), "hangs, nothing touched", False),
    ],
)
def test_restores(ran: Ended, after: dict[str, str], world: World, words: str, good: bool) -> None:
    world.held = after

    verdict = judge_restore(ran, cast("Any", world), cast("Any", world), BEFORE, NOW)

    assert (verdict.words, verdict.good) == (words, good)


def test_checks() -> None:
    assert [judge_check(ran).words for ran in (DONE, FAILED, None)] == ["MISSED", "noticed", "has none"]


def test_the_readme_gets_the_tables() -> None:
    cells = {"script": {"words": "**MISSED**"}, "ours": {"words": "noticed"}}
    document = {
        "versions": {"MariaDB": "11.8.3", "borgmatic": "2.1"},
        "tools": ["script", "ours"],
        "groups": {"At a restore": {"cut in half": cells, "killed": {"ours": cells["ours"]}}},
    }

    text = into_readme(f"before\n{BEGIN}\nold\n{END}\nafter\n", as_markdown([document]))

    assert text == (
        f"before\n{BEGIN}\n**MariaDB 11.8.3** (borgmatic 2.1)\n\n| | script | ours |\n|-|-|-|\n"
        "| *At a restore* | | |\n| cut in half | **MISSED** | noticed |\n| killed |  | noticed |\n"
        f"{END}\nafter\n"
    )


def test_a_readme_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks"):
        into_readme("no marks", "text")
