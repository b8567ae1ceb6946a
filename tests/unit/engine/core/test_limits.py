# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What bounds a run: bytes a second, dumps at a time, and servers that are busy."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

import pytest

from vya_backupdb.config import Config, HoldBack, Limits
from vya_backupdb.config_file import parse_config
from vya_backupdb.core.pace import Pace
from vya_backupdb.core.turns import WAITING_FOR_DUMPS, WAITING_FOR_SERVER, Turns, busyness
from vya_backupdb.db.base import Dbms, Load
from vya_backupdb.errors import DumpError, PrivilegeError, ServerError


class Clock:
    """A clock that goes on while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


def test_bytes_take_their_time() -> None:
    clock = Clock()
    pace = Pace(1000, clock.wait, lambda: clock.now)
    for _piece in range(10):
        pace.take(500)
    assert clock.now == pytest.approx(5.0)


def test_what_was_slow_anyway_is_not_held_up() -> None:
    clock = Clock()
    pace = Pace(1000, clock.wait, lambda: clock.now)
    for _piece in range(10):
        clock.now += 1.0
        pace.take(500)
    assert clock.now == pytest.approx(10.0)


def test_a_long_pause_does_not_allow_a_flood() -> None:
    clock = Clock()
    pace = Pace(1000, clock.wait, lambda: clock.now)
    clock.now = 3600.0
    pace.take(2000)
    assert clock.now == pytest.approx(3601.5)


class Server:
    """A server that is as busy as it is told to be, one answer after the other."""

    def __init__(self, config: Config, *loads: Load | ServerError) -> None:
        self.instance = config.instances[0]
        self.loads = list(loads)
        self.asked: list[bool] = []

    def load(self, replication: bool) -> Load:
        self.asked.append(replication)
        answer = self.loads.pop(0) if len(self.loads) > 1 else self.loads[0]
        if isinstance(answer, ServerError):
            raise answer
        return answer


def configured(**changes: Any) -> Config:
    instance = {"database_id": "db1", "dbms": "mariadb", **changes.pop("instance", {})}
    return parse_config({"schema_version": 1, "instances": [instance], **changes}, "config.yml")


def turns(config: Config, directory: Path, waits: list[float], stopped: bool = False) -> Turns:
    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return stopped

    return Turns(config, directory, wait)


@pytest.mark.parametrize("changes", [{"max_dumps": 1}, {"instance": {"max_dumps": 1}}])
def test_no_more_dumps_at_a_time_than_there_are_places(tmp_path: Path, changes: dict[str, Any]) -> None:
    config, waits = configured(**changes), list[float]()
    first, second = turns(config, tmp_path, waits), turns(config, tmp_path, waits)
    server = cast(Dbms, Server(config))
    with first.taken(server, Limits()), pytest.raises(DumpError, match="1 other dumps held all places of"):
        second.taken(server, Limits(timeout="0s")).__enter__()
    with second.taken(server, Limits(timeout="0s")):
        pass


def test_places_without_a_limit_need_no_files(tmp_path: Path) -> None:
    config = configured()
    with turns(config, tmp_path / "locks", []).taken(cast(Dbms, Server(config)), Limits()):
        assert not (tmp_path / "locks").exists()


def test_whoever_waits_for_a_place_can_be_stopped(tmp_path: Path) -> None:
    config = configured(max_dumps=1)
    server = cast(Dbms, Server(config))
    waiting = turns(config, tmp_path, [], stopped=True)
    stopped = pytest.raises(DumpError, match="stopped before this database was begun")
    with turns(config, tmp_path, []).taken(server, Limits()), stopped:
        waiting.taken(server, Limits()).__enter__()


def test_a_dump_waits_until_the_server_has_less_to_do(tmp_path: Path) -> None:
    config, waits = configured(), list[float]()
    server = Server(config, Load(9), Load(3, 120.0), Load(3, 10.0))
    limits = Limits(hold_back={"running": 5, "replication_lag": "60s"})
    with turns(config, tmp_path, waits).taken(cast(Dbms, server), limits) as busy:
        assert busy is None
    assert (len(waits), server.asked) == (2, [True] * 3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of those who wait for their turn."""
    clock = Clock()
    monkeypatch.setattr("vya_backupdb.core.turns.time.monotonic", lambda: clock.now)
    return clock


def test_a_server_that_stays_busy_is_waited_for_once_whatever_databases_it_has(tmp_path: Path, clock: Clock) -> None:
    config = configured()
    server = cast(Dbms, Server(config, Load(9)))
    limits = Limits(hold_back={"running": 5, "wait": "30m"})
    waiting = Turns(config, tmp_path, clock.wait)
    for _database in range(4):
        with pytest.raises(DumpError, match=r"db1 was busy for 0:30:00: 9 statements"):
            waiting.taken(server, limits).__enter__()
    assert clock.now == 30 * 60


def test_a_server_that_was_less_busy_meanwhile_is_waited_for_anew(tmp_path: Path, clock: Clock) -> None:
    config = configured()
    server = Server(config, *[Load(9)] * 200, Load(0), *[Load(9)] * 200, Load(0))
    limits = Limits(hold_back={"running": 5, "wait": "30m"})
    waiting = Turns(config, tmp_path, clock.wait)
    for _database in range(2):
        with waiting.taken(cast(Dbms, server), limits) as busy:
            assert busy is None
    assert clock.now == 2 * 200 * 5


def test_several_databases_may_wait_for_a_server_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of them finds out about it takes nothing away from another, at whatever moment."""
    config = configured()
    limits = Limits(hold_back={"running": 5, "wait": "30m"})
    waiting = Turns(config, tmp_path, lambda _seconds: False)
    idle = cast(Dbms, Server(config, Load(0)))
    calls: list[int] = []

    def monotonic() -> float:
        calls.append(len(calls))
        if len(calls) == 3:  # the first database was told that the server is busy, and another one is told no more
            with waiting.taken(idle, limits) as busy:
                assert busy is None
        return 0.0

    monkeypatch.setattr("vya_backupdb.core.turns.time.monotonic", monotonic)
    with waiting.taken(cast(Dbms, Server(config, Load(9), Load(0))), limits) as busy:
        assert busy is None
    assert len(calls) > 3


def test_no_longer_than_the_policy_says(tmp_path: Path, clock: Clock) -> None:
    config = configured()
    server = cast(Dbms, Server(config, Load(9)))
    with pytest.raises(DumpError, match="busy for 0:00:04"):
        Turns(config, tmp_path, clock.wait).taken(server, Limits(hold_back={"running": 5, "wait": "4s"})).__enter__()
    assert clock.now == 4


def test_whoever_waits_for_a_busy_server_keeps_no_place_from_others(tmp_path: Path) -> None:
    config = configured(max_dumps=1)
    idle = cast(Dbms, Server(config, Load(0)))
    limits = Limits(hold_back={"running": 5}, timeout="0s")
    made = []

    def wait(_seconds: float) -> bool:
        with turns(config, tmp_path, []).taken(idle, limits):
            made.append("another dump")
        return False

    busy = Server(config, Load(9), Load(9), Load(0))
    with Turns(config, tmp_path, wait).taken(cast(Dbms, busy), limits):
        assert made == ["another dump"] * 2


def test_a_server_that_became_busy_while_a_place_was_waited_for_is_held_back_from(tmp_path: Path) -> None:
    config = configured(max_dumps=1)
    server = Server(config, Load(0), Load(9), Load(9), Load(0))
    phases = list[str]()
    with turns(config, tmp_path, []).taken(cast(Dbms, server), Limits(hold_back={"running": 5}), phases.append):
        assert len(server.asked) == 5, "and once more at last"
    assert phases == [WAITING_FOR_SERVER]


def test_places_go_to_whoever_waits_and_not_to_the_one_who_has_just_had_one(tmp_path: Path) -> None:
    config = configured(max_dumps=1)
    server = cast(Dbms, Server(config))
    order = list[str]()
    greedy = turns(config, tmp_path, [])
    with contextlib.ExitStack() as first:
        first.enter_context(greedy.taken(server, Limits()))

        def wait(_seconds: float) -> bool:
            first.close()  # the holder ends while another waits, and wants a place again at once
            with pytest.raises(DumpError, match="held all places of host"):
                greedy.taken(server, Limits(timeout="0s")).__enter__()
            return False

        with Turns(config, tmp_path, wait).taken(server, Limits(), order.append):
            assert order == [WAITING_FOR_DUMPS]


def test_a_server_that_cannot_be_asked_is_as_busy_as_can_be(tmp_path: Path, clock: Clock) -> None:
    config = configured()
    full = ServerError("The server db1 cannot be reached at its socket: Too many connections.")
    limits = Limits(hold_back={"running": 5, "wait": "30m"})
    with Turns(config, tmp_path, clock.wait).taken(cast(Dbms, Server(config, full, Load(0))), limits) as busy:
        assert (busy, clock.now) == (None, 5)
    with pytest.raises(
        DumpError, match=r"it cannot be asked \(The server .*: Too many connections\); the dump was not"
    ):
        Turns(config, tmp_path, clock.wait).taken(cast(Dbms, Server(config, full)), limits).__enter__()


def test_an_account_that_may_not_ask_is_told_at_once(tmp_path: Path, clock: Clock) -> None:
    config = configured()
    server = cast(Dbms, Server(config, PrivilegeError("It may not be known.", "Grant it.")))
    with pytest.raises(PrivilegeError, match="Grant it"):
        Turns(config, tmp_path, clock.wait).taken(server, Limits(hold_back={"running": 5})).__enter__()
    proceed = Limits(hold_back={"running": 5, "then": "proceed"})
    with Turns(config, tmp_path, clock.wait).taken(server, proceed) as busy:
        assert busy == "It may not be known. It was dumped all the same. Grant it."
    assert clock.now == 0


def test_a_server_that_stays_busy_is_left_alone_and_the_reason_said(tmp_path: Path) -> None:
    config = configured()
    server = Server(config, Load(9))
    limits = Limits(hold_back={"running": 5, "wait": "0s"})
    with pytest.raises(DumpError, match="db1 was busy for 0:00:00: 9 statements are at work, more than 5; the dump"):
        turns(config, tmp_path, []).taken(cast(Dbms, server), limits).__enter__()
    assert server.asked == [False]


def test_or_dumped_all_the_same(tmp_path: Path) -> None:
    config = configured()
    server = Server(config, Load(0, float("inf")))
    limits = Limits(hold_back={"replication_lag": "1m", "wait": "0s", "then": "proceed"})
    with turns(config, tmp_path, []).taken(cast(Dbms, server), limits) as busy:
        assert busy is not None
        assert "its replication does not run" in busy
        assert busy.endswith("it was dumped all the same.")


@pytest.mark.parametrize(("load", "busy"), [(Load(5, 60.0), False), (Load(6, 0.0), True), (Load(0, 60.1), True)])
def test_limits_are_the_last_good_values(load: Load, busy: bool) -> None:
    assert bool(busyness(load, HoldBack(running=5, replication_lag="60s"))) is busy


@pytest.mark.parametrize("value", ["10KiB", "5%", "fast"])
def test_a_rate_at_which_no_dump_could_be_made(value: str) -> None:
    with pytest.raises(ValueError, match=value):
        Limits(bandwidth=value)


def test_a_rate_in_words() -> None:
    assert Limits(bandwidth="50MiB").bytes_per_second == 50 * 1024**2
    assert Limits().bytes_per_second is None
