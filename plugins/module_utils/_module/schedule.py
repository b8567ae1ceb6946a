# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The module ``backup_schedule``: the systemd units that run the policies."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from .runner import Outcome


def apply(module: AnsibleModule) -> Outcome:
    """Bring the units of all policies into the wanted state. Stays root, to whom the units belong."""
    params = module.params
    directory = Path(params["unit_directory"])
    systemd = Systemd(module) if params["enabled"] else None
    current = _existing(directory)
    wanted = _wanted(params) if params["state"] == "present" else {}
    timers = sorted(name for name in wanted if name.endswith(".timer"))
    written = sorted(name for name, text in wanted.items() if current.get(name) != text)
    removed = sorted(set(current) - set(wanted))
    started = [name for name in timers if systemd and not systemd.runs(name)]
    if not module.check_mode:
        if systemd:
            systemd.stop([name for name in removed if name.endswith(".timer")])
        _change_files(directory, {name: wanted[name] for name in written}, removed)
        if systemd:
            changed_timers = [name for name in written if name in timers and name not in started]
            systemd.take_over(bool(written or removed), changed_timers, started)
    result = {
        "changed": bool(written or removed or started),
        "timers": timers,
        "written": written,
        "removed": removed,
        "started": started,
    }
    diff = [
        {
            "before_header": str(directory / name),
            "after_header": str(directory / name),
            "before": current.get(name, ""),
            "after": wanted.get(name, ""),
        }
        for name in sorted(written + removed)
    ]
    return Outcome(result, diff)


class Systemd:
    """The host's systemd, as far as the timers need it."""

    def __init__(self, module: AnsibleModule) -> None:
        from .._engine.errors import BackupDbError

        self._module = module
        self._systemctl = module.get_bin_path("systemctl")
        if self._systemctl is None or not os.path.isdir("/run/systemd/system"):
            raise BackupDbError(
                "This host is not run by systemd, so no timer can be started on it.",
                "Set enabled to false to write the units only.",
            )

    def runs(self, timer: str) -> bool:
        """Whether the timer waits for its next moment now and will do so after the next start of the host."""
        return self._succeeds("is-enabled", timer) and self._succeeds("is-active", timer)

    def stop(self, timers: list[str]) -> None:
        """Stop the timers for good, while their files are still there."""
        if timers:
            self._do("disable", "--now", *timers)

    def take_over(self, files_changed: bool, changed: list[str], stopped: list[str]) -> None:
        """Make changed files known, and put the changed and the stopped timers to work with them."""
        if files_changed:
            self._do("daemon-reload")
        if changed:
            self._do("restart", *changed)
        if stopped:
            self._do("enable", "--now", *stopped)

    def _succeeds(self, *arguments: str) -> bool:
        return bool(self._module.run_command([self._systemctl, "--quiet", *arguments])[0] == 0)

    def _do(self, *arguments: str) -> None:
        from .._engine.errors import BackupDbError

        status, _output, errors = self._module.run_command([self._systemctl, "--quiet", *arguments])
        if status != 0:
            reason = " ".join(errors.split()) or f"exit status {status}"
            raise BackupDbError(f"systemctl {' '.join(arguments)} failed: {reason}", "See journalctl -u of the unit.")


def _wanted(params: dict[str, t.Any]) -> dict[str, str]:
    from .._engine.config_file import load_config
    from .._engine.core.scheduler import render_units

    path = Path(params["config_path"])
    return render_units(load_config(path), config_path=path, user=params["user"])


def _existing(directory: Path) -> dict[str, str]:
    """The texts of the units that are there, by file name; drop-ins of an administrator are left alone."""
    from .._engine.core.scheduler import UNIT_PREFIXES
    from .._engine.errors import BackupDbError

    try:
        names = [name for name in os.listdir(directory) if name.startswith(UNIT_PREFIXES)]
        units = [directory / name for name in names if name.endswith((".service", ".timer"))]
        return {unit.name: unit.read_text(encoding="utf-8", errors="replace") for unit in units}
    except OSError as exc:
        raise BackupDbError(
            f"{exc.filename} cannot be read: {exc.strerror}.",
            "Name the directory of the host's units in unit_directory.",
        ) from None


def _change_files(directory: Path, texts: dict[str, str], removed: list[str]) -> None:
    from .._engine.errors import BackupDbError
    from .._engine.utils.files import write_atomically

    try:
        for name, text in texts.items():
            write_atomically(directory / name, text.encode(), 0o644)
        for name in removed:
            (directory / name).unlink(missing_ok=True)
    except OSError as exc:
        raise BackupDbError(
            f"A unit in {directory} cannot be changed: {exc.strerror}.", "Units belong to root: use become."
        ) from None
