# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The module backup_credentials: idempotent, and silent about what it stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SECRET = "Kq7-very'secret\"\\ü"
ENTRY = {"name": "prod-mysql-01", "username": "backup", "password": SECRET}


@pytest.fixture
def stored(shared: Callable[[str], Any], host: Any) -> Callable[[str], Any]:
    """Opens an entry as the engine does."""

    def get(name: str) -> Any:
        config = shared("_engine.config_file").load_config(host.config_path)
        return shared("_engine.security.credentials").open_store(config).get(name)

    return get


def test_an_entry_is_stored_once(run_module: Callable[..., Any], stored: Callable[[str], Any], host: Any) -> None:
    """The first run makes the host's key and the entry; the second finds both."""
    assert run_module("backup_credentials", **ENTRY)["changed"] is True
    assert (stored("prod-mysql-01").username, stored("prod-mysql-01").password) == ("backup", SECRET)
    before = host.snapshot()
    assert run_module("backup_credentials", **ENTRY)["changed"] is False
    assert host.snapshot() == before
    for path in host.secrets.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert SECRET.encode() not in path.read_bytes()


@pytest.mark.parametrize("other", [{"password": "another"}, {"username": "someone"}, {"password": ""}])
def test_a_changed_entry_is_replaced(
    run_module: Callable[..., Any], stored: Callable[[str], Any], other: dict[str, str]
) -> None:
    """User name and password both count; an account without a password is one too."""
    run_module("backup_credentials", **ENTRY)
    wanted = {**ENTRY, **other}
    assert run_module("backup_credentials", **wanted)["changed"] is True
    assert run_module("backup_credentials", **wanted)["changed"] is False
    assert (stored("prod-mysql-01").username, stored("prod-mysql-01").password) == (
        wanted["username"],
        wanted["password"],
    )


def test_an_entry_is_removed_once(run_module: Callable[..., Any], host: Any) -> None:
    """The others stay."""
    run_module("backup_credentials", **ENTRY)
    run_module("backup_credentials", **{**ENTRY, "name": "other"})
    assert run_module("backup_credentials", name="prod-mysql-01", state="absent")["changed"] is True
    assert run_module("backup_credentials", name="prod-mysql-01", state="absent")["changed"] is False
    document = json.loads((host.secrets / "credentials.json").read_text("utf-8"))
    assert [entry["id"] for entry in document["databases"]] == ["other"]


def test_changes_are_in_the_audit_log(run_module: Callable[..., Any], host: Any) -> None:
    """Who changed which entry and when, nothing of its content; what changed nothing is not there."""
    log = host.root / "state" / "audit.log"
    run_module("backup_credentials", check=True, **ENTRY)
    assert not log.exists()
    for arguments in (ENTRY, ENTRY, {"name": "prod-mysql-01", "state": "absent"}):
        run_module("backup_credentials", **arguments)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [(line["operation"], line["database_id"]) for line in lines] == [
        ("credentials set", "prod-mysql-01"),
        ("credentials removed", "prod-mysql-01"),
    ]
    assert SECRET not in log.read_text("utf-8")


def test_a_log_out_of_order_is_a_warning(run_module: Callable[..., Any], host: Any) -> None:
    """The credentials have been changed by then."""
    (host.root / "state").rmdir()
    result = run_module("backup_credentials", **ENTRY)
    assert result["changed"] is True
    assert "audit log" in result["warnings"][0]


def test_on_a_host_without_secrets_nothing_is_there_to_remove(run_module: Callable[..., Any], host: Any) -> None:
    """No key is made for it either."""
    before = host.snapshot()
    assert run_module("backup_credentials", name="x", state="absent")["changed"] is False
    assert host.snapshot() == before


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_tells_and_changes_nothing(
    run_module: Callable[..., Any], host: Any, prepared: bool, state: str
) -> None:
    """Not even the key or a lock; and what it foretells is what then happens."""
    if prepared:
        run_module("backup_credentials", **ENTRY)
    arguments = {**ENTRY, "password": "new", "state": state}
    before = host.snapshot()
    foretold = run_module("backup_credentials", check=True, diff=True, **arguments)
    assert host.snapshot() == before
    happened = run_module("backup_credentials", diff=True, **arguments)
    assert (foretold["changed"], foretold["diff"]) == (happened["changed"], happened["diff"])
    assert happened["changed"] is (prepared or state == "present")


def test_the_difference_tells_nothing_of_the_content(run_module: Callable[..., Any]) -> None:
    """Only whether the entry is there and as wanted."""
    run_module("backup_credentials", **ENTRY)
    result = run_module("backup_credentials", diff=True, **{**ENTRY, "password": "another"})
    assert result["diff"] == {
        "before": {"present": True, "as_wanted": False},
        "after": {"present": True, "as_wanted": True},
    }


@pytest.mark.parametrize("password", ["mysql", "1", "true", "e", "True", "backup", "config", "VALUE", "changed"])
def test_a_common_password_defaces_nothing(run_module: Callable[..., Any], host: Any, password: str) -> None:
    """Ansible would mask it in every name and path, and the holes would tell what it is."""
    result = run_module("backup_credentials", diff=True, **{**ENTRY, "password": password})
    assert result["changed"] is True
    arguments = result["invocation"]["module_args"]
    assert arguments == {
        "config_path": str(host.config_path),
        "name": "prod-mysql-01",
        "username": "backup",
        "password": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER",
        "state": "present",
    }
    assert result["diff"]["after"] == {"present": True, "as_wanted": True}


@pytest.mark.parametrize("failing", [False, True])
def test_the_secret_is_in_no_output(ansible: Callable[..., Any], host: Any, failing: bool) -> None:
    """At the highest verbosity, for success and failure, with a diff."""
    if failing:
        (host.secrets / "credentials.json").mkdir()
    answer = ansible("backup_credentials", "-vvvv", "--diff", **ENTRY)
    assert bool(answer.result.get("failed", "error_kind" in answer.result)) is failing
    assert "prod-mysql-01" in answer.output
    for spelling in (SECRET, json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1], SECRET[:8]):
        assert spelling not in answer.output


def test_a_failure_with_a_common_password_is_readable(run_module: Callable[..., Any], host: Any) -> None:
    """Also the messages of failures keep every word."""
    host.configure(schema_version=99)
    result = run_module("backup_credentials", **{**ENTRY, "password": "s"})
    assert result["error_kind"] == "ConfigError"
    assert "has schema version 99" in result["msg"]
    assert "exception" not in result


def test_an_unexpected_failure_hides_the_secret(
    run_module: Callable[..., Any], shared: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library puts into its exception."""

    def explode(config: Any) -> None:
        raise RuntimeError(f"cannot store {SECRET}")

    run_module("backup_credentials", **ENTRY)
    monkeypatch.setattr(shared("_engine.security.credentials"), "open_store", explode)
    result = run_module("backup_credentials", **ENTRY)
    assert result["error_kind"] == "Unexpected"
    assert "RuntimeError: cannot store ********" in result["msg"]
    assert SECRET not in json.dumps(result, ensure_ascii=False)
    assert SECRET not in str(result)


@pytest.mark.parametrize("left_out", ["username", "password"])
def test_an_entry_needs_both(run_module: Callable[..., Any], left_out: str) -> None:
    """Half an entry opens nothing."""
    result = run_module("backup_credentials", **{key: value for key, value in ENTRY.items() if key != left_out})
    assert f"state is present but all of the following are missing: {left_out}" in result["msg"]


def test_a_missing_directory_is_explained(run_module: Callable[..., Any], host: Any, tmp_path: Path) -> None:
    """A host that the roles have not prepared."""
    host.configure(key_file=str(tmp_path / "nowhere" / "host.key"))
    result = run_module("backup_credentials", **ENTRY)
    assert result["error_kind"] == "CredentialsError"
    assert "host.key cannot be written" in result["msg"]
