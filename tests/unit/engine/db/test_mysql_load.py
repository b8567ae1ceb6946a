# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether MySQL or MariaDB are at work on keys while the client that loads has nothing to do."""

from __future__ import annotations

import pytest

from vya_backupdb.db.mysql_load import COPIES, works_long


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
