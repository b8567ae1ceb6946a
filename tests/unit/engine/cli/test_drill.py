# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``vya-backupdb drill``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

PROVEN = {
    "artifact": "/b/shop_20260109_030000.sql.gz",
    "database_id": "prod-mysql-01",
    "database": "shop",
    "outcome": "success",
    "proof": "restored",
    "seconds": 72.4,
    "compared": {"objects": 12, "positions": 1, "rows": 7, "contents": 0, "remarks": ["Values were not compared."]},
    "differences": [],
    "error": None,
}
WRONG = {**PROVEN, "database": "crm", "outcome": "failed", "differences": ["x"], "error": "What was loaded is not it."}
NO_SERVER = {**PROVEN, "outcome": "not possible", "seconds": None, "compared": None, "error": "No server program."}


def test_what_was_proven_is_shown_with_its_time_and_what_was_compared(
    call: Callable[..., Any], fake: ModuleType
) -> None:
    engine = fake.FakeEngine({"drill": {"changed": True, "results": [PROVEN]}})
    ended = call(engine, "drill", "prod-mysql-01", "shop")
    assert engine.calls == [
        ("drill", {"database_id": "prod-mysql-01", "database": "shop", "artifact": None, "due": False})
    ]
    assert ended.code == 0
    text = "\n".join(ended.lines)
    assert "1 min 12 s" in text
    assert "12 definitions and grants, 1 sequence, the rows of 7 tables, the values of 0 tables." in text
    assert "Values were not compared." in text
    assert ended.lines[-1] == "1 artifact proven."


def test_a_drill_that_proves_nothing_ends_with_1(call: Callable[..., Any], fake: ModuleType) -> None:
    for result in (WRONG, NO_SERVER):
        ended = call(fake.FakeEngine({"drill": {"changed": True, "results": [PROVEN, result]}}), "drill")
        assert ended.code == 1
        assert result["error"] in "\n".join(ended.lines)
        assert ended.lines[-1] == "1 artifact proven, 1 not."


def test_nothing_may_be_due(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"drill": {"changed": False, "results": []}})
    ended = call(engine, "drill", "--due", "--trigger", "timer")
    assert (ended.code, ended.lines[-1]) == (0, "No drill is due.")
    assert engine.calls[0][1]["due"] is True
    assert engine.opened[0][1] == "timer"


def test_an_artifact_is_drilled_by_its_path_alone(call: Callable[..., Any], fake: ModuleType, tmp_path: Path) -> None:
    engine = fake.FakeEngine({"drill": {"changed": True, "results": [PROVEN]}})
    ended = call(engine, "drill", "--artifact", str(tmp_path / "x.sql.gz"), "--json")
    assert json.loads("\n".join(ended.lines))["results"] == [PROVEN]
    assert engine.calls[0][1]["artifact"] == tmp_path / "x.sql.gz"
    assert call(engine, "drill", "prod-mysql-01", "--artifact", "x").code == 2
    assert call(engine, "drill", "--due", "--artifact", "x").code == 2
