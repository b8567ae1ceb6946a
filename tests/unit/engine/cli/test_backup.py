# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``vya-backupdb backup``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def test_options_reach_the_engine(call: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]) -> None:
    engine = fake.FakeEngine({"backup": backup_report})
    call(engine, "--config", "/tmp/other.yml", "backup", "--instance", "prod-mysql-01", "shop", "crm", "--dry-run")
    assert engine.opened == [(Path("/tmp/other.yml"), "command")]
    assert engine.calls == [
        (
            "backup",
            {"policy": None, "database_id": "prod-mysql-01", "databases": ["shop", "crm"], "dry_run": True},
        )
    ]
    assert engine.privileges_dropped_before == 0


def test_a_timer_names_itself(call: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]) -> None:
    engine = fake.FakeEngine({"backup": backup_report})
    call(engine, "backup", "--policy", "nightly", "--trigger", "timer")
    assert engine.opened == [(Path("/etc/vya-backupdb/config.yml"), "timer")]
    assert engine.calls[0][1] == {"policy": "nightly", "database_id": None, "databases": None, "dry_run": False}


def test_the_variable_names_the_configuration(
    call: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VYA_BACKUPDB_CONFIG", "/tmp/variable.yml")
    engine = fake.FakeEngine({"backup": backup_report})
    call(engine, "backup")
    call(engine, "--config", "/tmp/option.yml", "backup")
    assert [path for path, _ in engine.opened] == [Path("/tmp/variable.yml"), Path("/tmp/option.yml")]


def test_the_table_shows_what_was_made_and_why_something_was_not(
    call: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]
) -> None:
    ended = call(fake.FakeEngine({"backup": backup_report}), "backup")
    assert ended.lines == [
        "Instance       Database  Outcome      Size   Took  Proof   Artifact",
        "prod-mysql-01  shop      success  12.3 MiB  4.2 s  sealed  shop_20260109_030000.sql.gz",
        "    Warning: The view v has no definer.",
        "prod-mysql-01  crm       failed          –  0.3 s  –       –",
        "    mariadb-dump failed (exit code 2): crm cannot be locked.",
        "1 database backed up (12.3 MiB), 1 database failed, 2 old artifacts removed.",
    ]
    assert ended.code == 1
    assert ended.err == ""


def test_success_ends_with_0(call: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]) -> None:
    backup_report["results"].pop()
    assert call(fake.FakeEngine({"backup": backup_report}), "backup").code == 0


def test_the_journal_gets_a_line_for_each_beginning_and_end(
    call: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]
) -> None:
    events = (
        fake.event("dumping"),
        fake.event("dumping", "crm"),
        fake.event("dumping", done=5_000_000),
        fake.event("failed", "crm"),
        fake.event("verifying", done=99_000_000),
        fake.event("done"),
    )
    ended = call(fake.FakeEngine({"backup": backup_report}, events), "backup", "--trigger", "timer")
    assert ended.lines == [
        "prod-mysql-01/shop: dumping",
        "prod-mysql-01/crm: dumping",
        "prod-mysql-01/crm: dumping FAILED after 0.0 s",
        "prod-mysql-01/shop: verifying",
        "prod-mysql-01/shop: verifying done after 0.0 s, 94.4 MiB of SQL",
        "prod-mysql-01/shop: Warning: The view v has no definer.",
        "prod-mysql-01/crm: mariadb-dump failed (exit code 2): crm cannot be locked.",
        "1 database backed up (12.3 MiB), 1 database failed, 2 old artifacts removed.",
    ]


def test_json_is_alone_on_standard_output(
    call: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]
) -> None:
    backup_report["results"][0]["database"] = "B\u00fccher\x1b[2J\udc80"
    engine = fake.FakeEngine({"backup": backup_report}, (fake.event("dumping"), fake.event("done")))
    ended = call(engine, "backup", "--json")
    assert json.loads(ended.out) == backup_report
    assert ended.out.isascii()
    assert "\x1b" not in ended.out
    assert ended.err.splitlines() == ["prod-mysql-01/shop: dumping", "prod-mysql-01/shop: dumping done after 0.0 s"]
    assert ended.code == 1


@pytest.mark.parametrize(
    ("results", "removed", "sentence"),
    [
        ([], [], "There was nothing to back up."),
        (["planned", "planned"], ["/x"], "2 databases would be backed up, 1 old artifact would be removed."),
        (["failed"], [], "1 database failed."),
    ],
)
def test_the_sum(
    call: Callable[..., Any],
    fake: ModuleType,
    backup_report: dict[str, Any],
    results: list[str],
    removed: list[str],
    sentence: str,
) -> None:
    report = {
        **backup_report,
        "results": [{**backup_report["results"][1], "outcome": outcome} for outcome in results],
        "removed": removed,
    }
    assert call(fake.FakeEngine({"backup": report}), "backup").lines[-1] == sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--policy", "a", "--instance", "b"), "Error: --policy and --instance cannot be given together."),
        (("shop",), "Error: Databases can be named only together with --instance."),
        (("--policy", "a", "shop"), "Error: Databases can be named only together with --instance."),
        (("--trigger", "moon"), "Error: Invalid value for '--trigger'"),
        (("--polcy", "a"), "Error: No such option: --polcy"),
    ],
)
def test_arguments_that_make_no_sense_end_with_2(
    call: Callable[..., Any], fake: ModuleType, arguments: tuple[str, ...], sentence: str
) -> None:
    engine = fake.FakeEngine({})
    ended = call(engine, "backup", *arguments)
    assert ended.code == 2
    assert ended.err.startswith(sentence)
    assert "--help" in ended.err
    assert ended.out == ""
    assert engine.opened == []


def test_bars_on_a_terminal(on_terminal: Callable[..., Any], fake: ModuleType, backup_report: dict[str, Any]) -> None:
    events = [
        fake.event("dumping", "[red]odd\x1b[2J", 1024 * 1024, 4 * 1024 * 1024),
        fake.event("dumping", "shop"),
        fake.event("done", "[red]odd\x1b[2J", 4 * 1024 * 1024),
        fake.event("failed", "shop"),
    ]
    ended = on_terminal({"reports": {"backup": backup_report}, "progress": events}, "backup")
    assert ended.code == 1
    assert r"prod-mysql-01/[red]odd\x1b[2J: " in ended.out
    assert re.search(r"dumping done after \d\.\d s, 4\.0 MiB of SQL", ended.out)
    assert "dumping FAILED after " in ended.out
    assert "\x1b[2J" not in ended.out.replace(r"\x1b[2J", "")
    assert "\x1b[32msuccess" in ended.out
    assert "12.3 MiB" in ended.out
