# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules that drive the engine: arguments in, results and differences out."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

MOMENT = datetime(2026, 1, 9, 2, 30, tzinfo=timezone.utc)


@pytest.fixture
def engine(shared: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Puts an answer into the place of one of the engine's operations: ``engine(name, report)``.

    Returns the arguments that the operation will have been called with.
    """

    def replace(name: str, answer: Any) -> dict[str, Any]:
        called: dict[str, Any] = {}
        signature = inspect.signature(getattr(shared("_engine.engine").Engine, name))

        def operation(self: Any, **arguments: Any) -> Any:
            signature.bind(self, **arguments)  # what the real one would not take
            called.update(arguments)
            return answer() if callable(answer) else answer

        monkeypatch.setattr(shared("_engine.engine").Engine, name, operation)
        return called

    return replace


@pytest.fixture
def artifact(shared: Callable[[str], Any], host: Any) -> Callable[..., Path]:
    """Makes an artifact with its manifest: ``artifact(age in days, database)``."""

    def make(days: int = 0, database: str = "shop") -> Path:
        moment = MOMENT - timedelta(days=days)
        storage = shared("_engine.core.storage").Storage(host.root / "backups", "db1")
        path: Path = storage.artifact_path("maria", database, moment)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"content")
        shared("_engine.core.manifest").Manifest(
            artifact=path.name,
            hostname="db1",
            database_id="maria",
            database=database,
            created_at=moment,
            finished_at=moment + timedelta(seconds=3),
            stored_bytes=7,
            plain_bytes=70,
            sha256="0" * 64,
            dbms={"flavour": "mariadb", "version": "11.8.3", "description": "MariaDB 11.8.3"},
            tool={"name": "mariadb-dump", "version": "11.8.3", "calls": []},
            compression={"algorithm": "gzip", "level": 1},
            settings={},
            inventory={},
            segments=(),
            policy="default",
            run_id="1",
            engine_version="2.0.0",
            restore_by_hand="",
        ).write(path.parent)
        return path

    return make


def test_backup_reports_each_database(
    run_module: Callable[..., Any], engine: Callable[..., Any], shared: Callable[[str], Any]
) -> None:
    """All arguments reach the engine; the difference names what came and what went."""
    result_of = shared("_engine.core.backup").BackupResult
    report = shared("_engine.reports").BackupReport(
        True, (result_of("maria", "shop", "success", artifact="/b/shop_2.sql.gz"),), ("/b/shop_1.sql.gz",)
    )
    called = engine("backup", report)
    result = run_module("db_backup", diff=True, database_id="maria", databases=["shop"], prune=True)
    assert called == {
        "policy": None,
        "database_id": "maria",
        "databases": ["shop"],
        "prune": True,
        "dry_run": False,
    }
    assert result["changed"] is True
    assert result["results"][0]["outcome"] == "success"
    assert result["diff"] == {
        "before": {"artifacts": ["/b/shop_1.sql.gz"]},
        "after": {"artifacts": ["/b/shop_2.sql.gz"]},
    }


def test_backup_in_check_mode_is_the_engines_dry_run(
    run_module: Callable[..., Any], engine: Callable[..., Any], shared: Callable[[str], Any]
) -> None:
    """The planned artifacts have no path yet, so the difference names the databases."""
    result_of = shared("_engine.core.backup").BackupResult
    called = engine("backup", shared("_engine.reports").BackupReport(True, (result_of("maria", "shop", "planned"),)))
    result = run_module("db_backup", check=True, diff=True, policy="nightly")
    assert called["dry_run"] is True
    assert called["policy"] == "nightly"
    assert result["changed"] is True
    assert result["diff"]["after"] == {"artifacts": ["maria/shop"]}


def test_backup_fails_at_the_end_and_tells_what_succeeded(
    run_module: Callable[..., Any], engine: Callable[..., Any], shared: Callable[[str], Any]
) -> None:
    """One failed database makes the module fail, with the results of all."""
    result_of = shared("_engine.core.backup").BackupResult
    results = (
        result_of("maria", "shop", "success", artifact="/b/shop.sql.gz"),
        result_of("maria", "wiki", "failed", error="The dump was killed."),
    )
    engine("backup", shared("_engine.reports").BackupReport(True, results))
    result = run_module("db_backup", database_id="maria")
    assert result["failed"] is True
    assert result["changed"] is True
    assert result["error_kind"] == "BackupFailed"
    assert result["msg"] == "1 of 2 databases could not be backed up. maria/wiki: The dump was killed."
    assert [entry["outcome"] for entry in result["results"]] == ["success", "failed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one of the following is required: policy, database_id"),
        ({"policy": "p", "database_id": "maria"}, "mutually exclusive: policy|database_id"),
        ({"databases": ["shop"], "policy": "p"}, "mutually exclusive: policy|databases"),
        ({"policy": "nowhere"}, "No policy 'nowhere' is configured on this host."),
        ({"database_id": "nowhere"}, "No instance 'nowhere' is configured on this host. Configured: maria."),
    ],
)
def test_backup_refuses_what_it_cannot_do(
    run_module: Callable[..., Any], host: Any, arguments: dict[str, Any], message: str
) -> None:
    """One sentence each, and nothing on disk."""
    before = host.snapshot()
    assert message in run_module("db_backup", **arguments)["msg"]
    assert host.snapshot() == before


def test_a_backup_of_a_server_that_is_down(run_module: Callable[..., Any], host: Any) -> None:
    """With the real engine; in check mode nothing is left on disk."""
    run_module("backup_credentials", name="maria", username="backup", password="x")
    before = host.snapshot()
    result = run_module("db_backup", check=True, database_id="maria", databases=["shop"])
    assert "maria/shop" in result["msg"]
    assert "cannot be reached" in result["msg"]
    assert host.snapshot() == before
    assert run_module("db_backup", database_id="maria", databases=["shop"])["failed"] is True
    assert list((host.root / "backups").rglob("*.gz*")) == []


def test_restore_passes_everything_on(
    run_module: Callable[..., Any], engine: Callable[..., Any], shared: Callable[[str], Any]
) -> None:
    """Warnings become Ansible's own; the difference tells what is replaced."""
    report = shared("_engine.reports").RestoreReport(
        changed=True,
        database_id="maria",
        database="shop",
        target="shop_old",
        artifact="/b/shop.sql.gz",
        created_at="2026-01-09T02:30:00Z",
        outcome="success",
        overwritten=True,
        accounts=("app@%",),
        warnings=("The role 'app' is missing.",),
    )
    called = engine("restore", report)
    result = run_module(
        "db_restore",
        diff=True,
        database_id="maria",
        database="shop",
        before="2026-01-09T03:00:00+01:00",
        target="shop_old",
        overwrite=True,
        jobs=3,
        tables=["item", "it's"],
        content="schema",
        accounts="missing",
        owners={"a": "b"},
    )
    assert called == {
        "database_id": "maria",
        "database": "shop",
        "artifact": None,
        "before": datetime(2026, 1, 9, 2, 0, tzinfo=timezone.utc),
        "target": "shop_old",
        "overwrite": True,
        "jobs": 3,
        "tables": ["item", "it's"],
        "content": "schema",
        "accounts": "missing",
        "owners": {"a": "b"},
        "dry_run": False,
    }
    assert "The role 'app' is missing." in json.dumps(result["warnings"])
    assert result["diff"] == {
        "before": {"database_id": "maria", "database": "shop_old", "exists": True},
        "after": {
            "database_id": "maria",
            "database": "shop_old",
            "exists": True,
            "artifact": "/b/shop.sql.gz",
            "accounts": ["app@%"],
        },
    }


def test_a_restore_of_rows_alone_says_that_the_database_was_there(
    run_module: Callable[..., Any], engine: Callable[..., Any], shared: Callable[[str], Any]
) -> None:
    report = shared("_engine.reports").RestoreReport(
        changed=True,
        database_id="maria",
        database="shop",
        target="shop_new",
        artifact="/b/shop.sql.gz",
        created_at="2026-01-09T02:30:00Z",
        outcome="success",
        overwritten=False,
        content="data",
    )
    called = engine("restore", report)
    result = run_module("db_restore", diff=True, database_id="maria", database="shop", content="data")
    assert called["content"] == "data"
    assert result["diff"]["before"]["exists"] is True


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, "ArtifactError", "There is no artifact of maria/shop"),
        ({"identity_file": "/nowhere"}, "CredentialsError", "There is no age identity /nowhere."),
        ({"artifact": "/nowhere.sql.gz"}, "ArtifactError", "There is no artifact /nowhere.sql.gz."),
        ({"before": "last week"}, "ConfigError", "'last week' is not a time."),
        ({"before": "0001-01-01"}, "ConfigError", "'0001-01-01' is not a time."),
        ({"database_id": "nowhere"}, "ConfigError", "No instance 'nowhere' is configured"),
        ({"tables": ["item"]}, "ConfigError", "only restored into a database of its own"),
        ({"content": "schema", "target": "shop"}, "ConfigError", "only restored into a database of its own"),
        ({"tables": ["item"], "target": "x", "overwrite": True}, "ConfigError", "nothing was changed"),
        ({"content": "data", "overwrite": True}, "ConfigError", "nothing to overwrite"),
    ],
)
def test_restore_refuses_what_it_cannot_do(
    run_module: Callable[..., Any], host: Any, arguments: dict[str, Any], kind: str, message: str
) -> None:
    """With the real engine: one sentence, the error's kind, nothing on disk."""
    before = host.snapshot()
    result = run_module("db_restore", **{"database_id": "maria", "database": "shop", **arguments})
    assert result["error_kind"] == kind
    assert message in result["msg"]
    assert "exception" not in result
    assert host.snapshot() == before


def test_a_time_without_offset_is_the_hosts(shared: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the host's own command."""
    import time

    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        parsed = shared("_module.operations").parse_time("2026-01-09 02:00")
        assert parsed == datetime(2026, 1, 9, 5, 0, tzinfo=timezone.utc)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_retention_removes_what_check_mode_foretold(
    run_module: Callable[..., Any], artifact: Callable[..., Path], host: Any
) -> None:
    """With the real engine and real files."""
    retention = {"daily": 2, "weekly": 0, "monthly": 0}
    policy = {"name": "short", "retention": retention, "verification": {"before_retention": False}}
    host.configure(policies=[policy])
    old, *kept = artifact(2), artifact(1), artifact(0)
    before = host.snapshot()
    foretold = run_module("backup_retention", check=True, diff=True)
    assert host.snapshot() == before
    result = run_module("backup_retention", diff=True, database_id="maria", database="shop")
    assert (foretold["changed"], foretold["diff"]) == (result["changed"], result["diff"])
    assert result["changed"] is True
    assert [entry["artifact"] for entry in result["removed"]] == [str(old)]
    assert result["diff"]["after"]["artifacts"] == sorted(map(str, kept))
    assert not old.exists()
    assert run_module("backup_retention")["changed"] is False


def test_retention_of_a_database_needs_its_instance(run_module: Callable[..., Any]) -> None:
    """Databases of two instances may have the same name."""
    assert "missing parameter(s) required by 'database': database_id" in (
        run_module("backup_retention", database="shop")["msg"]
    )


def test_a_shrink_is_accepted_by_whoever_has_looked(
    run_module: Callable[..., Any], artifact: Callable[..., Path], host: Any, shared: Callable[[str], Any]
) -> None:
    """With the real engine; saying so twice changes nothing more."""
    retention = {"daily": 1, "weekly": 0, "monthly": 0}
    policy = {"name": "short", "retention": retention, "verification": {"before_retention": False}}
    host.configure(policies=[policy])
    old, small = artifact(1), artifact(0)
    manifest = Path(f"{small}.manifest.json")
    changed = {**json.loads(manifest.read_text("utf-8")), "plain_bytes": 0}
    manifest.write_bytes(shared("_engine.core.manifest").seal_document(changed))
    result = run_module("backup_retention")
    assert "less than 50% of what is normal" in result["held"][0]["reason"]
    assert result["changed"] is False
    assert "missing" in run_module("backup_retention", accept=True)["msg"]
    names = {"database_id": "maria", "database": "shop"}
    before = host.snapshot()
    assert run_module("backup_retention", check=True, accept=True, **names)["changed"] is True
    assert host.snapshot() == before
    assert old.exists()
    assert run_module("backup_retention", accept=True, **names)["changed"] is True
    assert not old.exists()
    assert run_module("backup_retention", accept=True, **names)["changed"] is False


def test_a_hold_is_put_on_and_taken_off(
    run_module: Callable[..., Any], artifact: Callable[..., Path], host: Any
) -> None:
    """With the real engine: idempotent, told before it is done, shown by backup_info."""
    path = str(artifact())
    before = host.snapshot()
    foretold = run_module("backup_hold", check=True, diff=True, artifact=path, reason="why")
    assert host.snapshot() == before
    result = run_module("backup_hold", diff=True, artifact=path, reason="why")
    assert (foretold["changed"], foretold["diff"]) == (result["changed"], result["diff"])
    assert result["diff"] == {
        "before": {"artifact": path, "hold": None},
        "after": {"artifact": path, "hold": "why"},
    }
    assert run_module("backup_hold", artifact=path)["changed"] is False
    assert run_module("backup_hold", artifact=path)["hold"] == "why"
    assert run_module("backup_info")["artifacts"][0]["hold"] == "why"
    assert run_module("backup_hold", check=True, artifact=path, state="absent")["changed"] is True
    assert run_module("backup_hold", artifact=path, state="absent")["changed"] is True
    assert run_module("backup_hold", artifact=path, state="absent")["changed"] is False
    assert run_module("backup_hold", artifact="/nowhere.sql.gz")["error_kind"] == "ArtifactError"


@pytest.mark.parametrize("check", [False, True])
def test_info_tells_what_exists_and_changes_nothing(
    run_module: Callable[..., Any], artifact: Callable[..., Path], host: Any, check: bool
) -> None:
    """With the real engine; the server is down, which is an answer, not a failure."""
    path = artifact()
    before = host.snapshot()
    result = run_module("backup_info", check=check)
    assert result["changed"] is False
    assert result["instances"][0]["reachable"] is False
    (found,) = result["artifacts"]
    assert (found["artifact"], found["proof"]) == (str(path), "sealed")
    assert found["created_at"] == "2026-01-09T02:30:00Z"
    assert host.snapshot() == before


def test_the_returned_keys_are_documented(
    run_module: Callable[..., Any], artifact: Callable[..., Path], shared: Callable[[str], Any], repository: Path
) -> None:
    """RETURN names every key of the engine's reports, and none that they do not have."""
    import yaml

    def documented(module: str) -> dict[str, Any]:
        text = (repository / "plugins" / "modules" / f"{module}.py").read_text("utf-8")
        found: dict[str, Any] = yaml.safe_load(text.partition('RETURN = r"""')[2].partition('"""')[0])
        found.pop("error_kind")
        return found

    def fields(report: str) -> set[str]:
        return set(shared("_engine.reports").__dict__[report].__dataclass_fields__) - {"changed"}

    assert set(documented("db_backup")) == fields("BackupReport")
    assert set(documented("db_backup")["results"]["contains"]) == set(
        shared("_engine.core.backup").BackupResult.__dataclass_fields__
    )
    assert set(documented("db_restore")) == fields("RestoreReport") - {"warnings"}
    assert set(documented("backup_retention")) == fields("RetentionReport")
    assert set(documented("backup_hold")) == fields("HoldReport") - {"before"}
    assert set(documented("backup_info")) == fields("InfoReport")
    artifact()
    result = run_module("backup_info")
    assert set(documented("backup_info")["artifacts"]["contains"]) == set(result["artifacts"][0])
    assert set(documented("backup_info")["instances"]["contains"]) == set(result["instances"][0])
    kept = run_module("backup_retention")["kept"][0]
    assert set(documented("backup_retention")["kept"]["contains"]) == set(kept)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_work_is_done_as_the_owner_of_the_state_directory(
    run_module: Callable[..., Any], engine: Callable[..., Any], shared: Callable[[str], Any], host: Any
) -> None:
    """So that no artifact belongs to root."""
    os.chown(host.root / "state", 65534, 65534)
    engine("info", lambda: shared("_engine.reports").InfoReport(({"uid": os.geteuid()},), ()))
    assert run_module("backup_info")["instances"] == [{"uid": 65534}]
    assert os.geteuid() == 0


SHARED = "ansible_collections.vya.backupdb.plugins.module_utils"
# Runs a module's operation up to where root is given up, and prints what has been loaded by then.
LOADED = """
import sys, types
from pathlib import Path
from {shared}._engine.security import privileges
from {shared}._module import operations
def give_up_root(_path, _function):
    print(*sys.modules, sep="\\n")
    sys.exit()
privileges.call_as_owner = give_up_root
operations.info(types.SimpleNamespace(params={{"config_path": sys.argv[1], "database_id": None, "database": None}}))
"""


def test_all_of_the_engine_is_loaded_before_root_is_given_up(collections: Path, repository: Path, host: Any) -> None:
    """What Ansible sends lies in a directory of root's: whoever backs up could load nothing more from there."""
    command = [sys.executable, "-c", LOADED.format(shared=SHARED), str(host.config_path)]
    environment = {**os.environ, "PYTHONPATH": str(collections)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    engine = repository / "plugins" / "module_utils" / "_engine"
    files = [path.relative_to(engine).with_suffix("").parts for path in engine.rglob("*.py")]
    wanted = {".".join((SHARED, "_engine", *parts)).removesuffix(".__init__") for parts in files if parts[0] != "cli"}
    assert wanted
    assert wanted - set(done.stdout.splitlines()) == set()


def test_what_the_engine_logs_becomes_a_warning(
    run_module: Callable[..., Any], engine: Callable[..., Any], shared: Callable[[str], Any]
) -> None:
    """For example that a mail could not be sent; without what looks like a secret."""

    def answer() -> Any:
        shared("_engine.core.events").logger.warning("Mail failed: %s", "password=hunter2hunter2")
        return shared("_engine.reports").InfoReport((), ())

    engine("info", answer)
    warnings = json.dumps(run_module("backup_info")["warnings"])
    assert "Mail failed" in warnings
    assert "hunter2" not in warnings


def test_an_unforeseen_error_is_one_sentence(shared: Callable[[str], Any]) -> None:
    """The traceback is there for who asks Ansible for it; both are without what looks like a secret."""

    class EndedError(Exception):
        pass

    def fail_json(**result: Any) -> None:
        raise EndedError(result)

    def explode(_module: Any) -> Any:
        raise ZeroDivisionError("division by zero, password='hunter2hunter2'")

    with pytest.raises(EndedError) as end:
        shared("_module.runner").run(SimpleNamespace(fail_json=fail_json), explode)
    result = end.value.args[0]
    assert result["error_kind"] == "Unexpected"
    assert result["msg"] == (
        "An unexpected error, probably a defect of this collection: ZeroDivisionError: division by zero, "
        "password=********"
    )
    assert "in explode" in result["exception"]
    assert "hunter2" not in result["exception"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "There is no configuration at"),
        (lambda path: path.write_text("a: [", encoding="utf-8"), "is not valid YAML"),
        (lambda path: path.write_text("instances: 3", encoding="utf-8"), "cannot be used: instances"),
        (lambda path: path.write_text("schema_version: 9", encoding="utf-8"), "has schema version 9"),
    ],
)
@pytest.mark.parametrize("module", ["backup_info", "backup_schedule", "backup_credentials"])
def test_a_configuration_that_cannot_be_used(
    run_module: Callable[..., Any], host: Any, module: str, spoil: Callable[[Path], Any], message: str
) -> None:
    """Each module says what is wrong with it, and where."""
    spoil(host.config_path)
    arguments = {
        "backup_info": {},
        "backup_schedule": {"enabled": False, "unit_directory": str(host.root)},
        "backup_credentials": {"name": "x", "username": "y", "password": "z"},
    }[module]
    result = run_module(module, **arguments)
    assert result["error_kind"] == "ConfigError"
    assert message in result["msg"]
