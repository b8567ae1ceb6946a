# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What every module does around its own work: reach the engine, report the outcome, and fail in one sentence."""

from __future__ import annotations

import traceback
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule

from .respawn import ensure_engine


@dataclass(frozen=True)
class Outcome:
    """What a module has to say.

    Attributes:
        result: The keys of the result, in plain JSON types, with ``changed``.
        diff: What is shown in diff mode.
        failure: Why the module fails although there is a result; empty if it succeeded.
        error_kind: The kind of failure, as a name that stays the same between versions.
    """

    result: dict[str, t.Any]
    diff: t.Any = field(default_factory=dict)
    failure: str = ""
    error_kind: str = ""


def run(module: AnsibleModule, work: t.Callable[[AnsibleModule], Outcome], secrets: t.Sequence[str] = ()) -> t.NoReturn:
    """Do the module's work in the engine's Python and end the module with its outcome.

    Args:
        module: The module, its arguments checked.
        work: The work itself, called when the engine can be imported.
        secrets: What an unexpected error's text must not show.
    """
    ensure_engine(module)
    from .._engine.errors import BackupDbError

    try:
        outcome = work(module)
    except BackupDbError as exc:
        module.fail_json(msg=str(exc), error_kind=type(exc).__name__)
    except Exception as exc:
        from .._engine.security.redaction import Redactor

        # Nobody knows what such a text holds, so it is cleaned of everything that looks like a secret.
        clean = Redactor(secrets).text
        module.fail_json(
            msg=clean(f"An unexpected error, probably a defect of this collection: {type(exc).__name__}: {exc}"),
            error_kind="Unexpected",
            exception=clean(traceback.format_exc()),
        )
    result = dict(outcome.result)
    if module._diff and outcome.diff:
        result["diff"] = outcome.diff
    if outcome.failure:
        module.fail_json(msg=outcome.failure, error_kind=outcome.error_kind, **result)
    module.exit_json(**result)
