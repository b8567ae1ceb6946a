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

from vya_backupdb.errors import ConfigError

VERIFIED = {
    "artifact": "/b/shop_20260109_030000.sql.gz",
    "database_id": "prod-mysql-01",
    "database": "shop",
    "outcome": "success",
    "proof": "verified",
    "error": None,
    "note": None,
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
    "missing": [],
    "failed": [],
}


def test_a_damaged_artifact_ends_with_6(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"verify": {"changed": True, "results": [VERIFIED, DAMAGED]}})
    ended = call(engine, "verify", "prod-mysql-01", "--newest")
    assert engine.calls == [
        (
            "verify",
            {
                "database_id": "prod-mysql-01",
                "database": None,
                "artifact": None,
                "policy": None,
                "newest_only": True,
            },
        )
    ]
    assert ended.lines == [
        "Instance       Database  Outcome  Proof     Artifact",
        "prod-mysql-01  shop      success  verified  shop_20260109_030000.sql.gz",
        "prod-mysql-01  crm       failed   –         crm_20260109_030000.sql.gz",
        "    The artifact is damaged: its end is missing.",
        "1 artifact verified, 1 failed.",
    ]
    assert ended.code == 6


def test_a_checksum_alone_is_no_verification(call: Callable[..., Any], fake: ModuleType) -> None:
    note = "Checksum only: there is no identity to decrypt it with."
    partly = {**VERIFIED, "proof": "checksum", "note": note}
    ended = call(fake.FakeEngine({"verify": {"changed": True, "results": [partly, VERIFIED, DAMAGED]}}), "verify")
    assert ended.lines[1:3] == [
        "prod-mysql-01  shop      success  checksum  shop_20260109_030000.sql.gz",
        f"    {note}",
    ]
    assert ended.lines[-1] == "1 artifact verified, 1 by checksum only, 1 failed."


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("drill",),
        ("restore", "prod-mysql-01", "shop", "--dry-run"),
        ("extract", "prod-mysql-01", "shop", "--table", "item"),
    ],
)
def test_an_identity_is_read_before_privileges_are_dropped(
    call: Callable[..., Any], fake: ModuleType, arguments: tuple[str, ...]
) -> None:
    engine = fake.FakeEngine({}, error=ConfigError("Enough."))
    call(engine, *arguments, "--identity", "key.txt")
    assert engine.calls[0] == ("use_identity", {"path": Path("key.txt")})
    assert engine.privileges_dropped_before == 1


def test_whole_artifacts_end_with_0(call: Callable[..., Any], fake: ModuleType, tmp_path: Path) -> None:
    engine = fake.FakeEngine({"verify": {"changed": True, "results": [VERIFIED]}}, (fake.event("verifying"),))
    ended = call(engine, "verify", "--artifact", str(tmp_path / "x.sql.gz"))
    assert engine.calls[0][1]["artifact"] == tmp_path / "x.sql.gz"
    assert ended.lines[0] == "prod-mysql-01/shop: verifying"
    assert ended.lines[-1] == "1 artifact verified."
    assert ended.code == 0


def test_a_timer_verifies_what_follows_its_policy(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"verify": {"changed": True, "results": [VERIFIED]}})
    assert call(engine, "verify", "--policy", "nightly", "--trigger", "timer").code == 0
    assert engine.opened[0][1] == "timer"
    assert engine.calls[0][1]["policy"] == "nightly"
    assert call(engine, "verify", "prod-mysql-01", "--policy", "nightly").code == 2


@pytest.mark.parametrize("arguments", [("prod-mysql-01",), ("--newest",), ("--policy", "nightly")])
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


def test_prune_ends_with_1_where_it_could_not_work(call: Callable[..., Any], fake: ModuleType) -> None:
    failed = {"database_id": "prod-mysql-01", "database": "crm", "error": "crm is in use by a backup."}
    report = {**PRUNED, "held": [], "missing": ["/b/gone.sql.gz"], "failed": [failed]}
    ended = call(fake.FakeEngine({"prune": report}), "prune")
    assert ended.code == 1
    assert ended.lines[-3:] == [
        "/b/gone.sql.gz is missing: only its manifest is there, and it was not removed here.",
        "prod-mysql-01/crm failed: crm is in use by a backup.",
        "1 artifact removed, 1 kept.",
    ]


HELD = {"changed": True, "artifact": "/b/shop.sql.gz", "before": None, "hold": "before the migration"}


def test_pin_and_unpin(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"hold": HELD, "release": {**HELD, "hold": None}})
    ended = call(engine, "pin", "/b/shop.sql.gz", "--reason", "before the migration")
    assert ended.err == ""
    assert engine.calls == [
        ("hold", {"artifact": Path("/b/shop.sql.gz"), "reason": "before the migration", "dry_run": False})
    ]
    assert (ended.lines, ended.code) == (["/b/shop.sql.gz is held: before the migration"], 0)
    assert call(engine, "unpin", "/b/shop.sql.gz", "--dry-run").lines == ["/b/shop.sql.gz would be under no hold."]
    assert json.loads(call(engine, "pin", "/b/shop.sql.gz", "--json").out) == HELD


def test_a_relative_path_is_taken_from_here(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"release": {**HELD, "hold": None}})
    call(engine, "unpin", "x.sql.gz")
    assert engine.calls[0][1]["artifact"] == Path.cwd() / "x.sql.gz"


@pytest.mark.parametrize(
    ("changed", "options", "said"),
    [
        (True, (), "Accepted: retention goes on from here."),
        (True, ("--dry-run",), "Would be accepted: retention goes on from here."),
        (False, (), "Nothing holds retention back that could be accepted."),
    ],
)
def test_accept(call: Callable[..., Any], fake: ModuleType, changed: bool, options: tuple[str, ...], said: str) -> None:
    report = {"changed": changed, "database_id": "prod-mysql-01", "database": "shop"}
    engine = fake.FakeEngine({"accept": report})
    ended = call(engine, "accept", "prod-mysql-01", "shop", *options)
    assert (ended.lines, ended.code) == ([said], 0)
    assert json.loads(call(engine, "accept", "prod-mysql-01", "shop", "--json").out) == report


@pytest.mark.parametrize(
    ("changed", "options", "said"),
    [
        (True, (), "/b/db1 now belongs to this machine."),
        (True, ("--dry-run",), "/b/db1 would now belong to this machine."),
        (False, (), "/b/db1 belongs to this machine."),
    ],
)
def test_adopt_storage(
    call: Callable[..., Any], fake: ModuleType, changed: bool, options: tuple[str, ...], said: str
) -> None:
    report = {"changed": changed, "directory": "/b/db1"}
    engine = fake.FakeEngine({"adopt_storage": report})
    assert call(engine, "adopt-storage", *options).lines == [said]
    assert json.loads(call(engine, "adopt-storage", "--json").out) == report
