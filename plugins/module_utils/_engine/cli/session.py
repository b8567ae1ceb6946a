# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands share: where they write, and the engine, opened when a command needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ..utils.clock import Clock, utc_now
from .output import Stream, console_on

if TYPE_CHECKING:
    from ..engine import Engine
    from .output import Output

    OpenEngine = Callable[[Path, str], Engine]

# That of config_file.py, whose libraries --help does not need.
DEFAULT_CONFIG_PATH = Path("/etc/vya-backupdb/config.yml")


class Session:
    """One call of the command.

    Attributes:
        out: Standard output.
        err: Standard error.
        config_path: The configuration that was asked for.
        verbose: Whether the engine's log is wanted in detail.
        debug: Whether a traceback is wanted.
    """

    def __init__(self, config_path: Path, opener: Optional[OpenEngine] = None, clock: Clock = utc_now) -> None:
        """Begin.

        Args:
            config_path: The configuration, unless an option names another.
            opener: What opens the engine, given configuration and trigger; :meth:`Engine.open` if None.
            clock: What tells the time.
        """
        self.out = Stream(sys.stdout)
        self.err = Stream(sys.stderr)
        self.config_path = config_path
        self.verbose = False
        self.debug = False
        self._opener = opener
        self._clock = clock

    @cached_property
    def console(self) -> Output:
        """Standard output for tables and the like."""
        return console_on(self.out)

    @property
    def now(self) -> datetime:
        """The present, for relative times."""
        return self._clock()

    @property
    def interactive(self) -> bool:
        """Whether there is a person who can be asked: the question goes to standard error."""
        return sys.stdin is not None and sys.stdin.isatty() and self.err.isatty()

    def engine(self, trigger: str = "command", identity: Optional[Path] = None) -> Engine:
        """Open the engine, and give root's privileges up before anything is done.

        Args:
            trigger: What the records name as the cause.
            identity: The age identity to decrypt with, unless it is the host's own.

        Raises:
            BackupDbError: The configuration, the credentials or the key cannot be used.
        """
        engine = (self._opener or self._open)(self.config_path, trigger)
        if identity is not None:
            engine.use_identity(identity)
        engine.drop_privileges()
        return engine

    def _open(self, config_path: Path, trigger: str) -> Engine:
        """Open the real engine; its libraries are loaded only now."""
        from ..engine import Engine
        from ..monitoring.logging import configure_logging

        configure_logging(self.verbose, False)
        return Engine.open(config_path, trigger=trigger)

    def write_json(self, report: Mapping[str, Any]) -> None:
        """Write a report as the only content of standard output; ASCII, so that any terminal and program takes it."""
        self.out.line(json.dumps(report, indent=2))
