# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log: one line each, appended, durable, and never led astray by a link."""

from __future__ import annotations

import json
import multiprocessing
import os
import pwd
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.core.catalog import RunRecord
from vya_backupdb.core.events import Batch
from vya_backupdb.errors import StorageError
from vya_backupdb.security.audit import AuditLog
from vya_backupdb.security.identity import acting_user

NOON = datetime(2026, 1, 9, 12, 0, 0, tzinfo=timezone.utc)
RUN = RunRecord(
    run_id="4711",
    kind="backup",
    database_id="prod",
    database="shop",
    policy="nightly",
    trigger="command",
    user="alice",
    started_at=NOON - timedelta(minutes=1),
    ended_at=NOON,
    outcome="failed",
    error="password=hunter22",
)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    """A log whose clock stands still."""
    return AuditLog(tmp_path / "audit.log", clock=lambda: NOON)


def lines_of(log: AuditLog) -> list[Any]:
    """All lines, read."""
    return [json.loads(line) for line in log.path.read_text(encoding="utf-8").splitlines()]


def test_a_run_has_its_line(log: AuditLog) -> None:
    log.run_finished(RUN)
    assert lines_of(log) == [
        {
            "time": "2026-01-09T12:00:00Z",
            "user": "alice",
            "operation": "backup",
            "database_id": "prod",
            "database": "shop",
            "result": "failed",
            "run_id": "4711",
        }
    ]


def test_error_texts_stay_out(log: AuditLog) -> None:
    log.run_finished(RUN)
    assert "hunter22" not in log.path.read_text()


def test_lines_are_appended(log: AuditLog) -> None:
    log.run_finished(RUN)
    first = log.path.read_bytes()
    log.note(operation="credentials", database_id="prod", result="changed", user="bob")
    assert log.path.read_bytes().startswith(first)
    assert lines_of(log)[1] == {
        "time": "2026-01-09T12:00:00Z",
        "user": "bob",
        "operation": "credentials",
        "database_id": "prod",
        "database": None,
        "result": "changed",
        "run_id": None,
    }


def test_a_batch_has_no_line_of_its_own(log: AuditLog) -> None:
    log.batch_finished(Batch("backup", "nightly", "timer", (RUN,)))
    assert not log.path.exists()


@pytest.mark.parametrize("name", ["a\nb", 'quo"te', "ünï", "\x1b[31m", "lone\udcff"])
def test_no_name_breaks_a_line(log: AuditLog, name: str) -> None:
    log.note(operation="backup", database_id="prod", database=name, result="success", user="x")
    log.note(operation="backup", database_id="prod", database=name, result="success", user="x")
    assert len(log.path.read_bytes().splitlines()) == 2
    assert "\x1b" not in log.path.read_text()


def test_the_file_is_for_owner_and_group_alone(log: AuditLog) -> None:
    previous = os.umask(0)
    try:
        log.run_finished(RUN)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_directorys_owner(log: AuditLog) -> None:
    os.chown(log.path.parent, 12345, 12346)
    log.run_finished(RUN)
    status = log.path.stat()
    assert (status.st_uid, status.st_gid) == (12345, 12346)


def append_many(path: Path, user: str) -> None:
    """What each of several processes does."""
    log = AuditLog(path)
    for _ in range(50):
        log.note(operation="backup", database_id="prod", result="success", user=user * 200)


def test_processes_at_once_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=append_many, args=(path, user)) for user in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    users = [line["user"] for line in lines_of(AuditLog(path))]
    assert sorted(users) == sorted(user * 200 for user in "abcd" * 50)


class TestPlantedFiles:
    """The directory is an unprivileged user's, and root writes here too."""

    def test_a_symbolic_link_is_refused(self, log: AuditLog, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        log.path.symlink_to(victim)
        with pytest.raises(StorageError, match="cannot be written"):
            log.run_finished(RUN)
        assert victim.read_text() == "untouched"

    def test_a_hard_link_is_refused(self, log: AuditLog, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        log.path.hardlink_to(victim)
        with pytest.raises(StorageError, match="not a file of its own"):
            log.run_finished(RUN)
        assert victim.read_text() == "untouched"

    def test_a_pipe_is_refused_at_once(self, log: AuditLog) -> None:
        os.mkfifo(log.path)
        with pytest.raises(StorageError, match="cannot be written"):
            log.run_finished(RUN)


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot be written: No such file.*user vya-backupdb"):
        AuditLog(tmp_path / "missing" / "audit.log").run_finished(RUN)


class TestActingUser:
    """Who did it, also behind sudo."""

    @pytest.fixture
    def login_uid(self, tmp_path: Path) -> Path:
        path = tmp_path / "loginuid"
        path.write_text(str(2**32 - 1))
        return path

    def test_who_logged_in_is_more_than_what_sudo_says(self, login_uid: Path) -> None:
        account = pwd.getpwnam("daemon")
        login_uid.write_text(str(account.pw_uid))
        assert acting_user({"SUDO_USER": "mallory"}, login_uid) == "daemon"

    def test_without_login_it_is_the_user_behind_sudo(self, login_uid: Path) -> None:
        assert acting_user({"SUDO_USER": "alice"}, login_uid) == "alice"

    def test_without_either_it_is_the_process(self, login_uid: Path) -> None:
        assert acting_user({}, login_uid) == pwd.getpwuid(os.getuid()).pw_name

    @pytest.mark.parametrize("text", ["", "x"])
    def test_where_the_kernel_keeps_no_such_number(self, login_uid: Path, text: str) -> None:
        login_uid.write_text(text)
        assert acting_user({"SUDO_USER": "alice"}, login_uid) == "alice"
        login_uid.unlink()
        assert acting_user({"SUDO_USER": "alice"}, login_uid) == "alice"

    def test_a_user_without_a_name_is_a_number(self, login_uid: Path) -> None:
        login_uid.write_text("54321")
        assert acting_user({}, login_uid) == "54321"

    def test_the_log_asks_when_nobody_is_named(self, log: AuditLog) -> None:
        log.note(operation="backup", database_id="prod", result="success")
        assert lines_of(log)[0]["user"] == acting_user()
