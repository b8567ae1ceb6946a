# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Selection: which databases a backup is about, and what the server is asked for that."""

from __future__ import annotations

from typing import Any, Optional, cast

import pytest

from vya_backupdb.config import Config
from vya_backupdb.config_file import parse_config
from vya_backupdb.core.backup import BackupJob
from vya_backupdb.core.selection import select_jobs
from vya_backupdb.db.base import Dbms, Server
from vya_backupdb.errors import ServerError

SIZES = {"crm": 5, "shop": 9}


class Driver:
    """Stands for a server, and keeps what it was asked for."""

    def __init__(self, error: Optional[ServerError] = None) -> None:
        self.asked: list[str] = []
        self._error = error

    def _answer(self, question: str, answer: Any) -> Any:
        self.asked.append(question)
        if self._error is not None:
            raise self._error
        return answer

    def server(self) -> Server:
        return cast(Server, self._answer("server", Server("mariadb", "11.8.9", (11, 8, 9))))

    def databases(self) -> dict[str, int]:
        return cast("dict[str, int]", self._answer("databases", SIZES))


@pytest.fixture
def config() -> Config:
    return parse_config({"hostname": "host1", "instances": [{"database_id": "x", "dbms": "mariadb"}]}, "here")


def selected(config: Config, driver: Driver, *names: str) -> list[BackupJob]:
    return select_jobs(config, lambda _instance: cast(Dbms, driver), None, "x", names or None)


def test_a_database_that_is_named_alone_needs_no_sizes_of_the_others(config: Config) -> None:
    driver = Driver()
    assert [job.database for job in selected(config, driver, "shop")] == ["shop"]
    assert driver.asked == ["server"]


@pytest.mark.parametrize("names", [("shop", "crm"), ()])
def test_several_databases_are_put_in_order_by_size(config: Config, names: tuple[str, ...]) -> None:
    driver = Driver()
    assert {job.database: job.size_bytes for job in selected(config, driver, *names)} == SIZES
    assert driver.asked == ["databases"]


@pytest.mark.parametrize(("names", "failed"), [(("shop",), ["shop"]), (("shop", "crm"), ["shop", "crm"]), ((), ["*"])])
def test_a_server_out_of_reach_fails_each_database_that_was_meant(
    config: Config, names: tuple[str, ...], failed: list[str]
) -> None:
    error = ServerError("The server x cannot be reached.")
    jobs = selected(config, Driver(error), *names)
    assert [(job.database, job.error) for job in jobs] == [(name, error) for name in failed]
