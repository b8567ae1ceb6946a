# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The log: levels, both forms, and no secret in either."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from vya_backupdb.core.events import Batch, Observers
from vya_backupdb.errors import StorageError
from vya_backupdb.monitoring.logging import LOGGER, configure_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    logger = logging.getLogger(LOGGER)
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def objects(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """The log's JSON objects; standard output must stay empty."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


@pytest.mark.parametrize(("verbose", "seen"), [(False, ["warning"]), (True, ["debug", "info", "warning"])])
def test_levels(capsys: pytest.CaptureFixture[str], verbose: bool, seen: list[str]) -> None:
    configure_logging(verbose, json=True)
    logger = logging.getLogger(LOGGER)
    logger.debug("a")
    logger.info("b")
    logger.warning("c")
    assert [line["level"] for line in objects(capsys)] == seen


def test_what_a_record_says(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    logging.getLogger(LOGGER).warning("%s is full", "/srv")
    [line] = objects(capsys)
    assert line.keys() == {"event", "level", "timestamp"}
    assert line["event"] == "/srv is full"


def test_setting_up_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    configure_logging(json=True)
    logging.getLogger(LOGGER).warning("once")
    assert len(objects(capsys)) == 1


def test_for_people_it_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger(LOGGER).warning("slow", extra={"database": "shop"})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert "warning" in captured.err
    assert "slow database=shop" in captured.err
    assert "\x1b" not in captured.err


@pytest.mark.parametrize("as_json", [False, True])
def test_no_secret_gets_into_it(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure_logging(json=as_json)
    logger = logging.getLogger(LOGGER)
    logger.warning("ALTER USER x IDENTIFIED BY 'hunter22'")
    nested = {"db": [{"Passwd": "hunter22"}]}
    logger.warning("event", extra={"password": "hunter22", "nested": nested, "url": "pg://x:hunter22@y"})
    logger.warning("event", extra={"token": ["hunter22"], "pairs": ("password=hunter22", 1)})
    logger.warning("%s", "password=hunter22")
    try:
        raise ValueError("password=hunter22")
    except ValueError:
        logger.exception("failed")
    text = capsys.readouterr().err
    assert "hunter22" not in text
    assert "ValueError" in text
    assert "IDENTIFIED BY ********" in text


def test_values_that_are_no_text_stay(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    extra = {"count": 3, "ratio": 0.5, "nothing": None, "items": [1, "a"]}
    logging.getLogger(LOGGER).warning("event", extra=extra)
    [line] = objects(capsys)
    assert (line["count"], line["ratio"], line["nothing"], line["items"]) == (3, 0.5, None, [1, "a"])


def test_a_failing_observer_ends_up_here(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing:
        def run_finished(self, record: Any) -> None:
            raise StorageError("The disk is full.")

        def batch_finished(self, batch: Batch) -> None:
            raise StorageError("The disk is full.")

    configure_logging(json=True)
    Observers([Failing()]).batch_finished(Batch("backup", None, "timer", ()))
    [line] = objects(capsys)
    assert line["event"] == "Failing could not take note of a batch: The disk is full."
