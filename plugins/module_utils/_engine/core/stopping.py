# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Being told to stop: every child ends, what was under way is cleaned up and put on record, then the command ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Optional

from ..errors import BackupDbError, DatabaseLostError, StoppedError
from ..utils.processes import ProcessTable


@contextlib.contextmanager
def stopped_by_signals(processes: ProcessTable) -> Iterator[None]:
    """End every child when told to stop; the runs then fail, clean up and are put on record as usual.

    Args:
        processes: The children.

    Raises:
        StoppedError: At the end, when a signal had come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, _frame: Optional[FrameType]) -> None:
        received.append(number)
        if len(received) == 1:  # a second signal must not kill what cleans up after the first
            processes.cancel()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except DatabaseLostError:
        raise
    except BackupDbError as exc:
        if received:
            raise StoppedError(str(exc), signal_number=received[0]) from None
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        name = signal.Signals(received[0]).name
        raise StoppedError(
            f"Stopped by {name}. What was not done by then has been cleaned up; what was done is on record.",
            "See: vya-backupdb status.",
            signal_number=received[0],
        )
