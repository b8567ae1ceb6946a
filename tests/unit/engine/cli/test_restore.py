# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``vya-backupdb restore``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vya_backupdb.cli.options import parse_moment
from vya_backupdb.errors import ConfigError, RestoreError

TARGET = ("restore", "prod-mysql-01", "shop")


def test_options_reach_the_engine(call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any]) -> None:
    engine = fake.FakeEngine({"restore": restore_reports})
    options = ("--before", "2026-01-09T02:00", "--target", "shop2", "--overwrite", "--jobs", "3")
    ended = call(engine, *TARGET, *options, "--accounts", "missing", "--owner", "a@%=b=c", "--owner", "d=e", "--yes")
    assert ended.code == 0
    assert engine.calls == [
        (
            "restore",
            {
                "database_id": "prod-mysql-01",
                "database": "shop",
                "artifact": None,
                "before": datetime(2026, 1, 9, 1, 0, tzinfo=timezone.utc),
                "target": "shop2",
                "overwrite": True,
                "jobs": 3,
                "tables": [],
                "content": "all",
                "accounts": "missing",
                "owners": {"a@%": "b=c", "d": "e"},
            },
        )
    ]


def test_parts_reach_the_engine_and_are_told(
    call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any]
) -> None:
    restore_reports[0] |= {"target": "side", "tables": ["a", "b c"], "content": "schema", "overwritten": False}
    engine = fake.FakeEngine({"restore": restore_reports})
    options = ("--table", "a", "--table", "b c", "--schema-only", "--target", "side", "--yes")
    ended = call(engine, *TARGET, *options)
    assert engine.calls[0][1]["tables"] == ["a", "b c"]
    assert engine.calls[0][1]["content"] == "schema"
    assert "Tables        a, b c" in ended.lines
    assert "Content       definitions without rows" in ended.lines


def test_rows_alone_reach_the_engine_and_are_told(
    call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any]
) -> None:
    restore_reports[0] |= {"target": "side", "content": "data", "overwritten": False}
    engine = fake.FakeEngine({"restore": restore_reports})
    ended = call(engine, *TARGET, "--data-only", "--target", "side", "--yes")
    assert engine.calls[0][1]["content"] == "data"
    assert "Content       rows, added to tables that are there and empty" in ended.lines


def test_definitions_alone_and_rows_alone_exclude_each_other(call: Callable[..., Any], fake: ModuleType) -> None:
    engine = fake.FakeEngine({})
    ended = call(engine, *TARGET, "--schema-only", "--data-only", "--yes")
    assert ended.code == 2
    assert engine.calls == []


def test_an_artifact_is_found_from_where_the_command_was_called(
    call: Callable[..., Any],
    fake: ModuleType,
    restore_reports: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = fake.FakeEngine({"restore": restore_reports})
    call(engine, *TARGET, "--artifact", "x.sql.gz", "--yes")
    assert engine.calls[0][1]["artifact"] == tmp_path / "x.sql.gz"


def test_what_was_done_is_told(call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any]) -> None:
    restore_reports[0]["differences"] = ["view v is missing", "table t has 3 rows, not 4"]
    ended = call(fake.FakeEngine({"restore": restore_reports}), *TARGET, "--yes")
    assert ended.lines == [
        "Database      prod-mysql-01/shop",
        "Artifact      /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-09/shop_20260109_030000.sql.gz",
        "Backed up     2026-01-09 04:00 CET (3 h ago)",
        "Into          prod-mysql-01/shop (replaced what was there)",
        "Former state  /var/backups/vya-backupdb/db1/safety.sql.gz",
        "Outcome       success",
        "Took          2 min 05 s",
        "Difference: view v is missing",
        "Difference: table t has 3 rows, not 4",
        "Warning: The definer app@% does not exist.",
    ]


@pytest.mark.parametrize(("option", "said"), [("--yes", "made"), ("--dry-run", "would be made")])
def test_accounts_are_told(
    call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any], option: str, said: str
) -> None:
    for report in restore_reports:
        report["accounts"] = ["app@%", "readers@"]
    ended = call(fake.FakeEngine({"restore": restore_reports}), *TARGET, option)
    assert f"app@%, readers@ ({said})" in ended.out


def test_owners_are_told(call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any]) -> None:
    restore_reports[0]["owners"] = {"app": "app_test", "old": "new"}
    ended = call(fake.FakeEngine({"restore": restore_reports}), *TARGET, "--yes")
    assert "app_test for app, new for old" in ended.out


@pytest.mark.parametrize("words", [("app",), ("=app",), ("app=",), ("app=a", "app=b")])
def test_owners_of_another_form_are_refused(
    call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any], words: tuple[str, ...]
) -> None:
    engine = fake.FakeEngine({"restore": restore_reports})
    ended = call(engine, *TARGET, *(part for word in words for part in ("--owner", word)), "--yes")
    assert ended.code != 0
    assert "Write OLD=NEW, each once." in ended.err
    assert engine.calls == []


def test_a_dry_run_shows_the_plan_and_asks_nothing(
    call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any]
) -> None:
    engine = fake.FakeEngine({"restore": restore_reports})
    ended = call(engine, *TARGET, "--dry-run")
    assert ended.code == 0
    assert [arguments["dry_run"] for _, arguments in engine.calls] == [True]
    assert "Into       prod-mysql-01/shop (exists, and would be replaced)" in ended.lines
    assert "Outcome    planned" in ended.lines
    assert "Warning: The definer app@% does not exist." in ended.lines


@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
def test_json_is_alone_on_standard_output(
    call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any], option: str
) -> None:
    engine = fake.FakeEngine({"restore": restore_reports}, (fake.event("loading"), fake.event("done")))
    ended = call(engine, *TARGET, "--json", option)
    assert json.loads(ended.out) == restore_reports[option == "--dry-run"]


def test_without_a_terminal_it_needs_a_yes(
    call: Callable[..., Any], fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    engine = fake.FakeEngine({})
    ended = call(engine, *TARGET)
    assert ended.code == 2
    assert "give --yes" in ended.err
    assert engine.opened == []


def test_a_terminal_is_asked_after_the_plan(on_terminal: Callable[..., Any], restore_reports: list[Any]) -> None:
    ended = on_terminal({"reports": {"restore": restore_reports}}, *TARGET, answer=b"y\n")
    assert ended.code == 0
    plan, _, done = ended.out.partition("Restore? [y/N]: ")
    assert "exists, and would be replaced" in plan
    assert "success" not in plan
    assert "success" in done


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04"])
def test_any_other_answer_changes_nothing(
    on_terminal: Callable[..., Any], restore_reports: list[Any], answer: bytes
) -> None:
    ended = on_terminal({"reports": {"restore": restore_reports}}, *TARGET, answer=answer)
    assert ended.code == 7
    assert "Error: Not restored: nothing was changed." in ended.out
    assert "success" not in ended.out


def test_ctrl_c_at_the_question(on_terminal: Callable[..., Any], restore_reports: list[Any]) -> None:
    ended = on_terminal({"reports": {"restore": restore_reports}}, *TARGET, answer=b"\x03")
    assert ended.code == 130
    assert "Error: Stopped by SIGINT." in ended.out
    assert "success" not in ended.out


def test_what_was_agreed_to_is_what_is_restored(
    call: Callable[..., Any], fake: ModuleType, restore_reports: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vya_backupdb.cli.session.Session.interactive", True)
    monkeypatch.setattr("typer.confirm", lambda *_arguments, **_options: True)
    engine = fake.FakeEngine({"restore": restore_reports})
    call(engine, *TARGET, "--before", "2026-01-09")
    (_, plan), (_, work) = engine.calls
    assert (plan["dry_run"], plan["artifact"]) == (True, None)
    assert work["artifact"] == Path(restore_reports[1]["artifact"])
    assert work["before"] is None


def test_a_failed_restore_says_what_state_the_database_is_in(call: Callable[..., Any], fake: ModuleType) -> None:
    error = RestoreError("The restore of shop failed; the database is as it was.", "Look at the server's log.")
    ended = call(fake.FakeEngine({}, error=error), *TARGET, "--yes")
    assert ended.code == 7
    assert ended.err.splitlines() == [
        "Error: The restore of shop failed; the database is as it was.",
        "Look at the server's log.",
    ]


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("2026-01-09", datetime(2026, 1, 8, 23, 0, tzinfo=timezone.utc)),
        ("2026-07-09 02:00", datetime(2026, 7, 9, 0, 0, tzinfo=timezone.utc)),
        ("2026-01-09T02:00:30Z", datetime(2026, 1, 9, 2, 0, 30, tzinfo=timezone.utc)),
        (" 2026-01-09T02:00-05:00 ", datetime(2026, 1, 9, 7, 0, tzinfo=timezone.utc)),
    ],
)
def test_moments(words: str, moment: datetime) -> None:
    assert parse_moment(words) == moment


@pytest.mark.parametrize("words", ["", "yesterday", "2026-02-30", "9.1.2026", "0001-01-01T00:00+14:00\x1b[2J"])
def test_moments_that_are_none(words: str) -> None:
    with pytest.raises(ConfigError, match="is not a time") as caught:
        parse_moment(words)
    assert "\x1b" not in str(caught.value)


def test_artifact_and_time_exclude_each_other(call: Callable[..., Any], fake: ModuleType) -> None:
    ended = call(fake.FakeEngine({}), *TARGET, "--artifact", "x", "--before", "2026-01-09", "--yes")
    assert ended.code == 2
    assert "cannot be given together" in ended.err
