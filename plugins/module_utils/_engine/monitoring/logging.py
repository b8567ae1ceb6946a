# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's log: structured, on standard error, without secrets."""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

from ..security.redaction import MASK, Redactor

LOGGER = "vya_backupdb"
_REDACTOR = Redactor()
_SECRET_NAME = re.compile(r"passw|passphrase|secret|token", re.IGNORECASE)


def configure_logging(verbose: bool = False, json: bool = False) -> None:
    """Set the log up; every record that the engine's loggers make goes through here. May be called again.

    Args:
        verbose: Whether to log details too, not only what somebody should look at.
        json: Whether to write JSON objects, for machines, instead of lines for people.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(json))
    logger = logging.getLogger(LOGGER)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False


class _Formatter(logging.Formatter):
    """Lets structlog write records, which is loaded with the first of them: most commands have none to write."""

    def __init__(self, json: bool) -> None:
        super().__init__()
        self._json = json

    @functools.cached_property
    def _writer(self) -> logging.Formatter:
        import structlog

        renderer: Any = (
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if self._json
            else structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            )
        )
        return structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                redact,
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        return self._writer.format(record)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor of structlog that masks secrets: values whose name says so, and what looks like one in any text."""
    for key, value in event.items():
        event[key] = _redacted(key, value)
    return event


def _redacted(key: object, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(name, item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(key, item) for item in value]
    if _SECRET_NAME.search(str(key)):
        return MASK
    return _REDACTOR.text(value) if isinstance(value, str) else value
