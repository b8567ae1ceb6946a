# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What follows a run: observers of its end, so that the work itself knows neither metrics, audit nor mail."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional, Protocol

from .catalog import RunRecord

logger = logging.getLogger("vya_backupdb")


@dataclass(frozen=True)
class Batch:
    """All the runs of one command: a policy's databases, or a single restore."""

    kind: str
    policy: Optional[str]
    trigger: str
    records: tuple[RunRecord, ...]


class Observer(Protocol):
    """Something that is told of runs after they have ended and are on record."""

    def run_finished(self, record: RunRecord) -> None:
        """Take note of one ended run."""

    def batch_finished(self, batch: Batch) -> None:
        """Take note of the end of a whole command."""


class Observers:
    """Tells all observers; the failure of one is logged and stops neither the others nor the work."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def run_finished(self, record: RunRecord) -> None:
        """Tell all of one ended run."""
        for observer in self._observers:
            try:
                observer.run_finished(record)
            except Exception as exc:  # whatever it is, the run itself has ended as it has
                logger.warning("%s could not take note of a run: %s", type(observer).__name__, exc)

    def batch_finished(self, batch: Batch) -> None:
        """Tell all of the end of a whole command."""
        for observer in self._observers:
            try:
                observer.batch_finished(batch)
            except Exception as exc:  # whatever it is, the runs themselves have ended as they have
                logger.warning("%s could not take note of a batch: %s", type(observer).__name__, exc)
