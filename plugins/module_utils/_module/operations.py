# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules that work on databases and artifacts: each turns arguments into one call of the engine."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import pkgutil
import typing as t
from datetime import datetime
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from .runner import Outcome

if t.TYPE_CHECKING:
    from .._engine.engine import Engine


def backup(module: AnsibleModule) -> Outcome:
    """Back up databases; see the module ``db_backup``."""
    params = module.params
    result = _call(
        module,
        lambda engine: engine.backup(
            policy=params["policy"],
            database_id=params["database_id"],
            databases=params["databases"],
            prune=params["prune"],
            dry_run=module.check_mode,
        ),
    )
    made = [entry for entry in result["results"] if entry["outcome"] in ("success", "planned")]
    diff = {
        "before": {"artifacts": result["removed"]},
        "after": {"artifacts": [entry["artifact"] or _name(entry) for entry in made]},
    }
    failed = [entry for entry in result["results"] if entry["outcome"] == "failed"]
    what = f"of {len(result['results'])} databases could not be backed up."
    return Outcome(result, diff, _failures(failed, f"{{}} {what}"), "BackupFailed")


def restore(module: AnsibleModule) -> Outcome:
    """Restore a database; see the module ``db_restore``."""
    params = module.params
    artifact = Path(params["artifact"]) if params["artifact"] else None
    before = parse_time(params["before"]) if params["before"] else None
    result = _call(
        module,
        lambda engine: engine.restore(
            database_id=params["database_id"],
            database=params["database"],
            artifact=artifact,
            before=before,
            target=params["target"],
            overwrite=params["overwrite"],
            jobs=params["jobs"],
            tables=params["tables"],
            content=params["content"],
            accounts=params["accounts"],
            owners={str(old): str(new) for old, new in (params["owners"] or {}).items()},
            dry_run=module.check_mode,
        ),
    )
    for warning in result.pop("warnings"):
        module.warn(warning)
    target = {"database_id": result["database_id"], "database": result["target"]}
    made = {"accounts": result["accounts"]} if result["accounts"] else {}
    diff = {
        "before": {**target, "exists": result["overwritten"] or result["content"] == "data"},
        "after": {**target, "exists": True, "artifact": result["artifact"], **made},
    }
    return Outcome(result, diff)


def retention(module: AnsibleModule) -> Outcome:
    """Remove what the retention no longer keeps; see the module ``backup_retention``."""
    params = module.params
    names = {"database_id": params["database_id"], "database": params["database"]}

    def work(engine: Engine) -> t.Any:
        accepted = params["accept"] and engine.accept(**names, dry_run=module.check_mode).changed
        report = engine.prune(**names, dry_run=module.check_mode)
        return dataclasses.replace(report, changed=report.changed or accepted)

    result = _call(module, work)
    kept = [entry["artifact"] for entry in result["kept"]]
    removed = [entry["artifact"] for entry in result["removed"]]
    diff = {"before": {"artifacts": sorted(kept + removed)}, "after": {"artifacts": sorted(kept)}}
    return Outcome(
        result, diff, _failures(result["failed"], "Retention could not work on {} of the databases."), "RetentionFailed"
    )


def hold(module: AnsibleModule) -> Outcome:
    """Put a hold on an artifact or take it off; see the module ``backup_hold``."""
    params, dry_run = module.params, module.check_mode
    artifact = Path(params["artifact"])
    if params["state"] == "present":
        result = _call(
            module, lambda engine: engine.hold(artifact=artifact, reason=params["reason"] or "", dry_run=dry_run)
        )
    else:
        result = _call(module, lambda engine: engine.release(artifact=artifact, dry_run=dry_run))
    before = result.pop("before")
    names = {"artifact": result["artifact"]}
    return Outcome(result, {"before": {**names, "hold": before}, "after": {**names, "hold": result["hold"]}})


def info(module: AnsibleModule) -> Outcome:
    """Tell what exists; see the module ``backup_info``."""
    params = module.params
    result = _call(module, lambda engine: engine.info(database_id=params["database_id"], database=params["database"]))
    return Outcome({"changed": False, **result})


def parse_time(text: str) -> datetime:
    """Read a moment in ISO 8601; without an offset it is in the host's time zone, as for the host's own command.

    Raises:
        ConfigError: The text is no such moment.
    """
    from .._engine.errors import ConfigError
    from .._engine.utils.clock import local_moment

    try:
        return local_moment(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a time.",
            "Write for example 2026-01-09T02:30:00Z, or 2026-01-09 02:30 in the host's time.",
        ) from None


def _call(module: AnsibleModule, work: t.Callable[[Engine], t.Any]) -> dict[str, t.Any]:
    """Open the engine as root, then do the work in a child that has become the owner of the state directory."""
    from .._engine.engine import Engine
    from .._engine.security.privileges import call_as_owner

    _load_engine()
    engine = Engine.open(Path(module.params["config_path"]), trigger="ansible")
    if module.params.get("identity_file"):
        engine.use_identity(Path(module.params["identity_file"]))
    answer = call_as_owner(engine.config.state_directory, lambda: _report_and_log(lambda: work(engine)))
    for message in answer["log"]:
        module.warn(message)
    result: dict[str, t.Any] = answer["report"]
    return result


def _load_engine() -> None:
    """Import all of the engine but its command line, also what it imports only when it needs it.

    Ansible sends it in a file that root alone can read, so that the child could not import anything of it any more.
    """
    from .. import _engine

    for found in pkgutil.walk_packages(_engine.__path__, f"{_engine.__name__}."):
        if not found.name.startswith(f"{_engine.__name__}.cli"):
            importlib.import_module(found.name)


def _report_and_log(work: t.Callable[[], t.Any]) -> dict[str, t.Any]:
    """Do the work; with its report return what the engine logged meanwhile, for example that no mail could be sent."""
    from .._engine.core.events import logger
    from .._engine.security.redaction import Redactor

    heard = _Listener(level=logging.WARNING)
    logger.addHandler(heard)
    try:
        report = work().to_dict()
    finally:
        logger.removeHandler(heard)
    return {"report": report, "log": [Redactor().text(message) for message in heard.messages]}


class _Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _name(entry: dict[str, t.Any]) -> str:
    return f"{entry['database_id']}/{entry['database']}"


def _failures(failed: list[dict[str, t.Any]], sentence: str) -> str:
    """What happened to so many databases, as a sentence with a place for their number, and why; empty if to none."""
    if not failed:
        return ""
    reasons = " ".join(f"{_name(entry)}: {entry['error']}" for entry in failed)
    return f"{sentence.format(len(failed))} {reasons}"
