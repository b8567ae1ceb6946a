# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The moment of a dump by several clients: others may commit again whatever happens to the clients."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from vya_backupdb.db import mysql_moment
from vya_backupdb.db.mysql_moment import LockedMoment, locked
from vya_backupdb.errors import DumpError, ServerError


class Asked:
    """Keeps the statements that were run."""

    def __init__(self, refused: str = "") -> None:
        self.statements: list[str] = []
        self.refused = refused

    def __call__(self, statement: str, _parameters: Any = None) -> list[tuple[Any, ...]]:
        self.statements.append(statement)
        if statement == self.refused:
            raise ServerError("The connection was lost.")
        return []


def moment(asked: Asked, passed: Any = lambda: None, begun: bool = True) -> LockedMoment:
    share: Any = SimpleNamespace(begun=threading.Event())
    if begun:
        share.begun.set()
    command: Any = None
    return LockedMoment([(command, share)], asked, "mysql", passed, lambda _shares: None)


def test_the_lock_ends_once_all_have_begun() -> None:
    asked, seen = Asked(), []
    moment(asked, lambda: seen.append(list(asked.statements))).pass_on(lambda: False)
    assert (seen, asked.statements) == ([[]], ["UNLOCK TABLES"])


def test_it_ends_before_late_clients_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_moment, "BEGIN_SECONDS", 0)
    asked = Asked()
    with pytest.raises(DumpError, match="1 of 1 dump clients had not begun after 0 s"):
        moment(asked, begun=False).pass_on(lambda: False)
    assert asked.statements == ["UNLOCK TABLES"]


def test_it_ends_when_a_client_has_failed() -> None:
    asked = Asked()
    moment(asked, begun=False).pass_on(lambda: True)
    assert asked.statements == ["UNLOCK TABLES"]


def test_it_ends_when_the_server_cannot_be_asked_for_its_position() -> None:
    def passed() -> None:
        raise ServerError("The server is gone.")

    asked = Asked(refused="UNLOCK TABLES")
    with pytest.raises(ServerError, match="The server is gone"):
        moment(asked, passed).pass_on(lambda: False)
    assert asked.statements == ["UNLOCK TABLES"]


def test_a_lock_that_was_lost_before_is_no_moment() -> None:
    with pytest.raises(DumpError, match=r"may have seen different moments\. The connection was lost"):
        moment(Asked(refused="UNLOCK TABLES")).pass_on(lambda: False)


def test_the_server_lets_go_of_a_host_that_is_silent() -> None:
    asked = Asked()
    with locked(asked, "mysql"):
        assert asked.statements[0].endswith("wait_timeout = 20")
