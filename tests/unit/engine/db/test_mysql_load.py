# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How busy MySQL or MariaDB say they are, and whether they are at work on keys while the client has nothing to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from vya_backupdb.db.base import Load, Server
from vya_backupdb.db.mysql_load import COPIES, read_load, works_long
from vya_backupdb.errors import PrivilegeError, ServerError


@pytest.mark.parametrize(
    ("state", "works"),
    [
        ("Repair by sorting", True),
        ("Repair with keycache", True),
        ("copy to tmp table", True),
        ("altering table", True),
        ("Waiting for table metadata lock", False),
        ("Sending data", False),
        ("", False),
        (None, False),
    ],
)
def test_keys_are_made_in_some_states_of_a_session(state: str | None, works: bool) -> None:
    session = (7, "vya", "localhost", "shop", "Query", 900, state, "/*!40000 ALTER TABLE `item` ENABLE KEYS */", 0.0)
    assert works_long([(6, "vya", "localhost", None, "Query", 0, "starting", "SHOW"), session], "shop") is works
    assert not works_long([session], "shop_copy")


def test_our_copies_of_rows_are_work_unless_they_wait() -> None:
    def session(state: str, statement: str) -> tuple[object, ...]:
        return (7, "vya", "localhost", "shop", "Query", 900, state, statement, 0.0)

    copies = f"{COPIES}`shop`.`item` (`id`) SELECT `id` FROM `side`.`item`"
    assert works_long([session("Sending data", copies)], "shop")
    assert works_long([session("executing", copies)], "shop")
    assert not works_long([session("Waiting for table metadata lock", copies)], "shop")
    assert not works_long([session("Sending data", copies.replace("/* vya-backupdb */ ", ""))], "shop")


def answering(*sources: Mapping[str, Any] | ServerError) -> Any:
    def query(statement: str) -> Sequence[Mapping[str, Any]]:
        if "Threads_running" in statement:
            return [{"Variable_name": "Threads_running", "Value": "7"}]
        assert statement == "SHOW REPLICA STATUS"
        for source in sources:
            if isinstance(source, ServerError):
                raise source
        return [source for source in sources if not isinstance(source, ServerError)]

    return query


MYSQL = Server("mysql", "9.7.4", (9, 7, 4))


@pytest.mark.parametrize(
    ("sources", "lag"),
    [
        ([], 0.0),
        ([{"Seconds_Behind_Source": 3}, {"Seconds_Behind_Source": 70}], 70.0),
        ([{"Seconds_Behind_Source": 3}, {"Seconds_Behind_Source": None}], float("inf")),
    ],
)
def test_a_replica_is_as_far_behind_as_the_source_that_it_is_farthest_behind(
    sources: list[Mapping[str, Any]], lag: float
) -> None:
    assert read_load(answering(*sources), MYSQL, True) == Load(6, lag)
    assert read_load(answering(*sources), MYSQL, False) == Load(6)


def test_a_right_that_is_missing_is_told_from_a_server_that_is_gone() -> None:
    with pytest.raises(PrivilegeError, match="Grant the account REPLICATION CLIENT"):
        read_load(answering(PrivilegeError("The account lacks a privilege.")), MYSQL, True)
    with pytest.raises(ServerError, match="cannot be reached") as caught:
        read_load(answering(ServerError("The server cannot be reached.")), MYSQL, True)
    assert not isinstance(caught.value, PrivilegeError)
