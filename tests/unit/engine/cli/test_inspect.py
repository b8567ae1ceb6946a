# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``vya-backupdb list``, ``status`` and ``check``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import PurePath
from types import ModuleType
from typing import Any

import pytest

ARTIFACT = "/var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_030000.sql.gz"


@pytest.fixture
def info() -> dict[str, Any]:
    return {
        "instances": [
            {
                "database_id": "prod-mysql-01",
                "dbms": "mariadb",
                "reachable": True,
                "server": "MariaDB 11.8.3",
                "error": None,
                "databases": ["shop", "new\x1b[2J", "[b]x[/b]"],
                "databases_without_backup": ["new\x1b[2J", "[b]x[/b]"],
            },
            {
                "database_id": "prod-pg-01",
                "dbms": "postgresql",
                "reachable": False,
                "server": None,
                "error": "The server prod-pg-01 does not answer.",
                "databases": [],
                "databases_without_backup": [],
            },
        ],
        "artifacts": [
            {
                "database_id": "prod-mysql-01",
                "database": "shop",
                "artifact": ARTIFACT,
                "manifest": ARTIFACT + ".manifest.json",
                "created_at": "2026-01-09T03:00:00Z",
                "stored_bytes": 12_900_000,
                "plain_bytes": 99_000_000,
                "duration": 4.2,
                "proof": "verified",
                "hold": None,
                "damage": None,
                "sha256": "ab",
                "tool": "mariadb-dump 11.8.3",
                "server": "MariaDB 11.8.3",
            }
        ],
    }


@pytest.fixture
def status() -> dict[str, Any]:
    return {
        "hostname": "db1",
        "version": "2.0.0",
        "policies": [
            {"name": "nightly", "next_run": "2026-01-10T02:00:00Z", "last_run": None, "last_outcome": None},
        ],
        "databases": [
            {
                "database_id": "prod-mysql-01",
                "database": "shop",
                "last_outcome": "failed",
                "last_success": "2026-01-07T03:00:00Z",
                "last_error": "The disk of /var/backups is full. Free space.",
                "artifact": ARTIFACT,
                "proof": "sealed",
                "stored_bytes": 2048,
            },
        ],
        "storage": {"root": "/var/backups/vya-backupdb", "used_bytes": 5 * 1024**3, "free_bytes": 0},
        "problems": [],
    }


def test_the_list(call: Callable[..., Any], fake: ModuleType, info: dict[str, Any]) -> None:
    engine = fake.FakeEngine({"info": info})
    ended = call(engine, "list", "prod-mysql-01", "shop")
    assert engine.calls == [("info", {"database_id": "prod-mysql-01", "database": "shop"})]
    assert ended.lines == [
        "Instance       Database  Backed up                           Size   Took  Proof     Artifact",
        "prod-mysql-01  shop      2026-01-09 04:00 CET (3 h ago)  12.3 MiB  4.2 s  verified  "
        + PurePath(ARTIFACT).name,
        "1 artifact.",
        r"prod-mysql-01 (MariaDB 11.8.3) has databases without a backup: new\x1b[2J, [b]x[/b]",
        "prod-pg-01 cannot be asked for its databases: The server prod-pg-01 does not answer.",
    ]
    assert ended.code == 0


def test_the_list_shows_damage_and_holds(call: Callable[..., Any], fake: ModuleType, info: dict[str, Any]) -> None:
    info["artifacts"][0].update(damage="Its SHA-256 is another.", hold="before the migration")
    lines = call(fake.FakeEngine({"info": info}), "list").lines
    assert "damaged" in lines[1]
    assert lines[2:4] == ["    Its SHA-256 is another.", "    Held: before the migration"]


def test_paths_alone(call: Callable[..., Any], fake: ModuleType, info: dict[str, Any]) -> None:
    assert call(fake.FakeEngine({"info": info}), "list", "--paths").out == ARTIFACT + "\n"


def test_paths_and_json_exclude_each_other(call: Callable[..., Any], fake: ModuleType) -> None:
    assert call(fake.FakeEngine({}), "list", "--paths", "--json").code == 2


def test_an_empty_list(call: Callable[..., Any], fake: ModuleType) -> None:
    ended = call(fake.FakeEngine({"info": {"instances": [], "artifacts": []}}), "list")
    assert ended.lines == ["0 artifacts."]


def test_the_proof_is_coloured_on_a_terminal(on_terminal: Callable[..., Any], info: dict[str, Any]) -> None:
    assert "\x1b[36mverified" in on_terminal({"reports": {"info": info}}, "list", columns=140).out


def test_status(call: Callable[..., Any], fake: ModuleType, status: dict[str, Any]) -> None:
    ended = call(fake.FakeEngine({"status": status}), "status")
    assert ended.lines == [
        "Host     db1",
        "Engine   2.0.0",
        "Storage  /var/backups/vya-backupdb: 5.0 GiB used, 0 B free",
        "",
        "Policy   Next run                        Last run  Outcome",
        "nightly  2026-01-10 03:00 CET (in 20 h)  –         –",
        "",
        "Instance       Database  Last run  Last success                       Size  Proof",
        "prod-mysql-01  shop      failed    2026-01-07 04:00 CET (2 d ago)  2.0 KiB  sealed",
        "    The disk of /var/backups is full. Free space.",
    ]
    assert ended.code == 0


def test_status_of_a_new_host(call: Callable[..., Any], fake: ModuleType, status: dict[str, Any]) -> None:
    status.update(policies=[], databases=[])
    assert call(fake.FakeEngine({"status": status}), "status").lines[-2:] == ["", "No backup has been made yet."]


def test_status_says_what_is_wrong_besides(call: Callable[..., Any], fake: ModuleType, status: dict[str, Any]) -> None:
    status["problems"] = ["The process of a restore of prod-mysql-01/shop died on the way."]
    assert status["problems"][0] in call(fake.FakeEngine({"status": status}), "status").lines


CHECKS = {
    "ok": False,
    "checks": [
        {"database_id": None, "check": "storage", "status": "ok", "detail": "12 GiB free", "hint": ""},
        {
            "database_id": "prod-mysql-01",
            "check": "client",
            "status": "failed",
            "detail": "mariadb-dump 10.5 is older than the server",
            "hint": "Install mariadb-client-11.8.",
        },
        {
            "database_id": "prod-mysql-01",
            "check": "privileges",
            "status": "warning",
            "detail": "no EVENT",
            "hint": None,
        },
    ],
}


def test_checks(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({"check": CHECKS})
    ended = call(engine, "check", "prod-mysql-01")
    assert engine.calls == [("check", {"database_id": "prod-mysql-01"})]
    assert ended.lines == [
        "–",
        "  Check    Status  Detail",
        "  storage  ok      12 GiB free",
        "",
        "prod-mysql-01",
        "  Check       Status   Detail",
        "  client      failed   mariadb-dump 10.5 is older than the server",
        "    Install mariadb-client-11.8.",
        "  privileges  warning  no EVENT",
        "",
        "1 check failed, 1 warning.",
    ]
    assert ended.code == 1


def test_checks_that_pass(call: Callable[..., Any], fake: ModuleType) -> None:
    ended = call(fake.FakeEngine({"check": {"ok": True, "checks": CHECKS["checks"][:1]}}), "check")
    assert ended.lines[-1] == "This host can back up."
    assert ended.code == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_checks_are_readable_on_terminals(on_terminal: Callable[..., Any], columns: int) -> None:
    detail = "The account lacks TRIGGER on all databases: triggers would be left out without a word."
    hint = "As an administrator: GRANT TRIGGER ON *.* TO 'vya_backup'@'localhost';"
    check = {"check": "authentication-plugin", "status": "failed", "detail": detail, "hint": hint}
    report = {"ok": False, "checks": [{"database_id": "prod-mysql-01", **check}]}
    ended = on_terminal({"reports": {"check": report}}, "check", columns=columns)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in ended.out.splitlines()]
    assert max(map(len, lines)) <= columns
    assert "  authentication-plugin  failed  The account lacks TRIGGER" in lines[2]
    assert " ".join(" ".join(lines[2:]).split()).startswith(f"authentication-plugin failed {detail} {hint}")
    assert ended.code == 1


@pytest.mark.parametrize("command", ["list", "status", "check"])
def test_json_is_alone_on_standard_output(
    call: Callable[..., Any], fake: ModuleType, info: dict[str, Any], status: dict[str, Any], command: str
) -> None:
    reports = {"info": info, "status": status, "check": CHECKS}
    ended = call(fake.FakeEngine(reports), command, "--json")
    assert json.loads(ended.out) == reports["info" if command == "list" else command]
    assert ended.err == ""


@pytest.fixture
def contents() -> dict[str, Any]:
    return {
        "artifact": ARTIFACT,
        "database_id": "prod-mysql-01",
        "database": "shop",
        "created_at": "2026-01-09T03:00:00Z",
        "server": "MariaDB 11.8.3",
        "stored_bytes": 12_900_000,
        "plain_bytes": 99_000_000,
        "proof": "verified",
        "objects": {"event_trigger": ["e"], "table": ["item", "x\x1b[2J"]},
        "rows": {"item": 1200},
        "approximate": False,
        "warnings": ["The view v has no definer."],
    }


def test_an_artifact_is_shown_with_its_objects_and_rows(
    fake: ModuleType, call: Callable[..., Any], contents: dict[str, Any]
) -> None:
    engine = fake.FakeEngine({"contents": contents})

    ended = call(engine, "show", "prod-mysql-01", "shop", "--before", "2026-01-09T05:00Z")

    assert ended.code == 0
    (name, arguments), *_more = engine.calls
    assert (name, arguments["artifact"], str(arguments["before"])) == ("contents", None, "2026-01-09 06:00:00+01:00")
    cells = [line.split() for line in ended.lines]
    assert ["event", "trigger", "e"] in cells
    assert ["table", "item", "1200"] in cells
    assert ["table", "x\\x1b[2J"] in cells
    assert ended.lines[-1] == "Warning: The view v has no definer."
    assert json.loads(call(engine, "show", "prod-mysql-01", "shop", "--json").out) == contents


def test_rows_that_are_not_exact_are_marked(
    fake: ModuleType, call: Callable[..., Any], contents: dict[str, Any]
) -> None:
    ended = call(fake.FakeEngine({"contents": {**contents, "approximate": True}}), "show", "prod-mysql-01", "shop")

    assert "about 1200" in ended.out
