# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``vya-backupdb verify`` and ``prune``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

VERIFIED = {
    "artifact": "/b/shop_20260109_030000.sql.gz",
    "database_id": "prod-mysql-01",
    "database": "shop",
    "outcome": "success",
    "proof": "verified",
    "error": None,
}
DAMAGED = {
    **VERIFIED,
    "artifact": "/b/crm_20260109_030000.sql.gz",
    "database": "crm",
    "outcome": "failed",
    "proof": None,
    "error": "The artifact is damaged: its end is missing.",
}
OLD = {
    "artifact": "/b/shop_20240109_030000.sql.gz",
    "database_id": "prod-mysql-01",
    "database": "shop",
    "created_at": "2024-01-09T03:00:00Z",
    "reasons": [],
}
NEW = {
    **OLD,
    "artifact": VERIFIED["artifact"],
    "created_at": "2026-01-09T03:00:00Z",
    "reasons": ["daily 2026-01-09", "newest"],
}
PRUNED = {
    "changed": True,
    "kept": [NEW],
    "removed": [OLD],
    "held": [{"database_id": "prod-mysql-01", "database": "crm", "reason": "its last backup failed"}],
}


def test_a_damaged_artifact_ends_with_6(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"verify": {"changed": True, "results": [VERIFIED, DAMAGED]}})
    ended = call(engine, "verify", "prod-mysql-01", "--newest")
    assert engine.calls == [
        ("verify", {"database_id": "prod-mysql-01", "database": None, "artifact": None, "newest_only": True})
    ]
    assert ended.lines == [
        "Instance       Database  Outcome  Proof     Artifact",
        "prod-mysql-01  shop      success  verified  shop_20260109_030000.sql.gz",
        "prod-mysql-01  crm       failed   –         crm_20260109_030000.sql.gz",
        "    The artifact is damaged: its end is missing.",
        "1 artifact verified, 1 failed.",
    ]
    assert ended.code == 6


def test_whole_artifacts_end_with_0(call: Callable[..., Any], fake: ModuleType, tmp_path: Path) -> None:
    engine = fake.FakeEngine({"verify": {"changed": True, "results": [VERIFIED]}}, (fake.event("verifying"),))
    ended = call(engine, "verify", "--artifact", str(tmp_path / "x.sql.gz"))
    assert engine.calls[0][1]["artifact"] == tmp_path / "x.sql.gz"
    assert ended.lines[0] == "prod-mysql-01/shop: verifying"
    assert ended.lines[-1] == "1 artifact verified."
    assert ended.code == 0


@pytest.mark.parametrize("arguments", [("prod-mysql-01",), ("--newest",)])
def test_one_artifact_is_one_artifact(call: Callable[..., Any], fake: ModuleType, arguments: tuple[str, ...]) -> None:
    assert call(fake.FakeEngine({}), "verify", "--artifact", "x", *arguments).code == 2


def test_verify_json(call: Callable[..., Any], fake: ModuleType) -> None:
    report = {"changed": True, "results": [DAMAGED]}
    ended = call(fake.FakeEngine({"verify": report}, (fake.event("verifying"),)), "verify", "--json")
    assert json.loads(ended.out) == report
    assert ended.code == 6


def test_prune_tells_what_it_removed_and_what_it_left_alone(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"prune": PRUNED})
    ended = call(engine, "prune", "prod-mysql-01")
    assert engine.calls == [("prune", {"database_id": "prod-mysql-01", "database": None, "dry_run": False})]
    assert ended.lines == [
        "Instance       Database  Backed up                       Fate     Reasons  Artifact",
        "prod-mysql-01  shop      2024-01-09 04:00 CET (2 y ago)  removed  –        shop_20240109_030000.sql.gz",
        "prod-mysql-01/crm was left alone: its last backup failed",
        "1 artifact removed, 1 kept.",
    ]
    assert ended.code == 0


def test_a_dry_run_shows_also_what_is_kept_and_why(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"prune": PRUNED})
    ended = call(engine, "prune", "--dry-run")
    assert engine.calls[0][1]["dry_run"] is True
    assert "would be removed" in ended.lines[1]
    assert "kept              daily 2026-01-09, newest" in ended.lines[2]
    assert ended.lines[-1] == "1 artifact would be removed, 1 kept."


def test_prune_json(call: Callable[..., Any], fake: ModuleType) -> None:
    assert json.loads(call(fake.FakeEngine({"prune": PRUNED}), "prune", "--json").out) == PRUNED
