# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Giving up root. Where only root can show it, the real thing is done in a child process."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb import errors
from vya_backupdb.errors import BackupDbError, RestoreError, StorageError
from vya_backupdb.security import privileges
from vya_backupdb.security.privileges import call_as_owner, drop_to_owner

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
UNNAMED = 54321


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory that belongs to the user nobody, and that this user can reach."""
    state = tmp_path / "state"
    state.mkdir()
    account = pwd.getpwnam("nobody")
    os.chown(state, account.pw_uid, account.pw_gid)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o111)
    return state


def identity() -> dict[str, Any]:
    """Who this process is, all of its numbers."""
    return {
        "uids": list(os.getresuid()),
        "gids": list(os.getresgid()),
        "groups": sorted(os.getgroups()),
        "home": os.environ["HOME"],
        "pid": os.getpid(),
    }


@needs_root
def test_the_child_is_the_owner_for_good_and_the_parent_stays_root(state: Path) -> None:
    account = pwd.getpwnam("nobody")
    found = call_as_owner(state, identity)
    assert found["uids"] == [account.pw_uid] * 3
    assert found["gids"] == [account.pw_gid] * 3
    assert found["groups"] == sorted(os.getgrouplist("nobody", account.pw_gid))
    assert found["home"] == account.pw_dir
    assert found["pid"] != os.getpid()
    assert os.getresuid() == (0, 0, 0)


@needs_root
def test_root_cannot_be_had_back(state: Path) -> None:
    def become_root() -> str:
        try:
            os.setuid(0)
        except PermissionError:
            return "refused"
        return "root again"

    assert call_as_owner(state, become_root) == "refused"


@needs_root
def test_an_owner_without_a_name_is_taken_on_too(state: Path) -> None:
    os.chown(state, UNNAMED, UNNAMED)
    found = call_as_owner(state, identity)
    assert (found["uids"], found["gids"], found["groups"]) == ([UNNAMED] * 3, [UNNAMED] * 3, [UNNAMED])
    assert found["home"] == "/"


@needs_root
def test_files_of_the_child_belong_to_the_owner(state: Path) -> None:
    call_as_owner(state, lambda: (state / "made").write_text("x"))
    assert (state / "made").stat().st_uid == state.stat().st_uid


@needs_root
def test_a_working_directory_out_of_reach_is_left(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    monkeypatch.chdir(private)
    assert call_as_owner(state, os.getcwd) == "/"
    monkeypatch.chdir(state)
    assert call_as_owner(state, os.getcwd) == str(state)


@needs_root
def test_dropping_works_without_a_fork(state: Path, engine_environment: dict[str, str]) -> None:
    """As the command does it: in its own process."""
    code = (
        "import os, pathlib, sys; from vya_backupdb.security.privileges import drop_to_owner; "
        "drop_to_owner(pathlib.Path(sys.argv[1])); print(os.getresuid(), os.environ['HOME'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(state)], env=engine_environment, capture_output=True, text=True, check=True
    )
    account = pwd.getpwnam("nobody")
    assert done.stdout.strip() == f"{(account.pw_uid,) * 3} {account.pw_dir}"


def test_who_is_not_root_stays_who_he_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "setresuid", forbidden)
    drop_to_owner(tmp_path)
    assert call_as_owner(tmp_path, os.getpid) == os.getpid()


def test_root_stays_root_where_root_is_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setresuid", forbidden)
    monkeypatch.setattr(Path, "stat", lambda _self: os.stat("/"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    drop_to_owner(tmp_path)
    assert call_as_owner(tmp_path, os.getpid) == os.getpid()


def test_a_missing_directory_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for attempt in (drop_to_owner, lambda path: call_as_owner(path, forbidden)):
        with pytest.raises(StorageError, match=r"cannot be examined: No such file.*vya\.backupdb\.runtime"):
            attempt(tmp_path / "missing")


def test_a_result_is_plain_json_even_without_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert call_as_owner(tmp_path, lambda: {"pair": (1, 2)}) == {"pair": [1, 2]}


class TestWithoutChangingTheUser:
    """The fork and the report, with the change of user left out so that coverage and any user can follow."""

    @pytest.fixture(autouse=True)
    def _pretend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(privileges, "_owner", lambda _path: (os.getuid(), os.getgid(), "", "/"))
        for name in ("setgroups", "setresgid", "setresuid"):
            monkeypatch.setattr(os, name, lambda *_numbers: None)

    def test_large_results_come_through(self, tmp_path: Path) -> None:
        text = "ü" * 3_000_000
        assert call_as_owner(tmp_path, lambda: {"text": text}) == {"text": text}

    @pytest.mark.parametrize(
        "error",
        [
            getattr(errors, name)
            for name in dir(errors)
            if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), BackupDbError)
        ],
    )
    def test_errors_keep_class_message_and_hint(self, tmp_path: Path, error: type[BackupDbError]) -> None:
        def fail() -> None:
            raise error("It failed.", "Do that.")

        with pytest.raises(BackupDbError) as caught:
            call_as_owner(tmp_path, fail)
        assert type(caught.value) is error
        assert (caught.value.message, caught.value.hint) == ("It failed.", "Do that.")

    def test_subclasses_from_elsewhere_arrive_as_the_base(self, tmp_path: Path) -> None:
        class SpecialError(RestoreError):
            pass

        with pytest.raises(BackupDbError, match="It failed"):
            call_as_owner(tmp_path, raising(SpecialError("It failed.")))

    @pytest.mark.parametrize("error", [KeyError("hunter22"), SystemExit("hunter22"), KeyboardInterrupt("hunter22")])
    def test_unforeseen_errors_are_named_but_not_quoted(self, tmp_path: Path, error: BaseException) -> None:
        with pytest.raises(BackupDbError) as caught:
            call_as_owner(tmp_path, raising(error))
        text = str(caught.value)
        assert f"{type(error).__name__} in fail, test_privileges.py line " in text
        assert "report it" in text
        assert "hunter22" not in text

    def test_a_result_that_is_no_json_is_such_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(BackupDbError, match="TypeError"):
            call_as_owner(tmp_path, object)

    def test_a_killed_child_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(BackupDbError, match=r"was ended by signal 9 before it could report"):
            call_as_owner(tmp_path, lambda: os.kill(os.getpid(), signal.SIGKILL))

    def test_a_child_that_left_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(BackupDbError, match=r"ended with status 3 before it could report"):
            call_as_owner(tmp_path, lambda: os._exit(3))

    def test_a_childs_descendants_do_not_hold_the_parent_up(self, tmp_path: Path) -> None:
        started = time.monotonic()
        pid = call_as_owner(tmp_path, lambda: subprocess.Popen(["sleep", "30"]).pid)
        assert time.monotonic() - started < 10
        os.kill(pid, signal.SIGKILL)

    def test_a_refused_change_of_user_is_explained(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_numbers: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "setresuid", refuse)
        for attempt in (drop_to_owner, lambda path: call_as_owner(path, identity)):
            with pytest.raises(StorageError, match=r"cannot be taken on: Operation not permitted.*capabilities"):
                attempt(tmp_path)

    def test_dropping_sets_everything_and_the_user_last(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[tuple[Any, ...]] = []
        monkeypatch.setattr(privileges, "_owner", lambda _path: (1, 2, "daemon", "/somewhere"))
        for name in ("initgroups", "setresgid", "setresuid"):
            monkeypatch.setattr(os, name, lambda *numbers, name=name: calls.append((name, *numbers)))
        monkeypatch.setattr(os, "access", lambda *_arguments: False)
        monkeypatch.setattr(os, "chdir", lambda path: calls.append(("chdir", path)))
        monkeypatch.setenv("HOME", "/root")
        drop_to_owner(tmp_path)
        assert calls == [
            ("initgroups", "daemon", 2),
            ("setresgid", 2, 2, 2),
            ("setresuid", 1, 1, 1),
            ("chdir", "/"),
        ]
        assert os.environ["HOME"] == "/somewhere"


@needs_root
def test_the_child_ends_with_its_parent(state: Path, engine_environment: dict[str, str]) -> None:
    code = (
        "import os, pathlib, sys, time; from vya_backupdb.security.privileges import call_as_owner; "
        "call_as_owner(pathlib.Path(sys.argv[1]), lambda: (print(os.getpid(), flush=True), time.sleep(60)))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(state)], env=engine_environment, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process is alive; one that nobody has fetched yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def raising(error: BaseException) -> Callable[[], None]:
    """A function that raises."""

    def fail() -> None:
        raise error

    return fail


def forbidden(*_arguments: object) -> None:
    """Stands in for what must not be called."""
    pytest.fail("this must not be called")
