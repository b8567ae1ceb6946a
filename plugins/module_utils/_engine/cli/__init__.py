# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's own command, ``vya-backupdb``: a thin front door to :class:`Engine`.

Nothing heavy is imported before a command needs it, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import gc
import importlib.util
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Optional

from ..errors import BackupDbError, ConfigError
from ..utils.clock import Clock, utc_now
from .exit_codes import INTERNAL_ERROR
from .session import DEFAULT_CONFIG_PATH, Session
from .text import plain, sentence

if TYPE_CHECKING:
    from .session import OpenEngine

# What libraries make while they are loaded stays, more than sixty thousand objects: looking through it for garbage
# after every few hundred, as Python does by itself, takes several percent of the processor time of a small backup.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main(
    arguments: Optional[Sequence[str]] = None, open_engine: Optional[OpenEngine] = None, clock: Clock = utc_now
) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: The arguments after the program's name; those of this process if None.
        open_engine: What opens the engine, given configuration and trigger; :meth:`Engine.open` if None.
        clock: What tells the time.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    session = Session(DEFAULT_CONFIG_PATH, open_engine, clock)
    with _stop_on_signals():
        code = _run(sys.argv[1:] if arguments is None else arguments, session)
    session.out.flush()
    if session.out.lost and code == 0:
        session.err.line(f"Error: the output could not be written: {session.out.lost}.")
        code = 1
    return code


def _run(arguments: Sequence[str], session: Session) -> int:
    try:
        if importlib.util.find_spec("typer") is None or importlib.util.find_spec("rich") is None:
            raise ConfigError(
                "The Python libraries typer and rich are not installed.", "Apply the role vya.backupdb.runtime."
            )
        from .app import run

        return run(arguments, session)
    except BackupDbError as exc:
        session.err.line(f"Error: {sentence(exc.message)}")
        if exc.hint:
            session.err.line(sentence(exc.hint))
        return exc.exit_code
    except _Stopped as exc:
        session.err.line(f"Error: Stopped by {exc.signal.name}.")
        return 128 + exc.signal
    except Exception as exc:  # a defect of ours: said in a sentence, never shown as a traceback unasked
        return _internal_error(exc, session)


def _internal_error(exc: Exception, session: Session) -> int:
    import traceback

    from ..security.redaction import Redactor

    redact = Redactor(()).text
    session.err.line(f"Error: internal error {type(exc).__name__}: {sentence(redact(str(exc)))}")
    if session.debug:
        for line in redact("".join(traceback.format_exception(exc))).splitlines():
            session.err.line(plain(line))
    else:
        session.err.line(
            "This is a defect of vya-backupdb: please report it with the output of the same call with --debug."
        )
    return INTERNAL_ERROR


class _Stopped(BaseException):
    """A signal asked for the end. No ``Exception``, so that nothing takes it for a failure of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Turn the signals that ask for the end into a clean one.

    While the engine is at work it has handlers of its own for SIGTERM and SIGINT, which end its children. A terminal
    that closes asks for the same. A signal that whoever started us chose to ignore (``nohup``) stays ignored.
    """

    def stop(number: int, _frame: Optional[FrameType]) -> None:
        raise _Stopped(number)

    def hang_up(_number: int, _frame: Optional[FrameType]) -> None:
        signal.raise_signal(signal.SIGTERM)

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: hang_up}
    former = {number: signal.getsignal(number) for number in handlers}
    taken = [number for number in handlers if former[number] is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, former[number])
