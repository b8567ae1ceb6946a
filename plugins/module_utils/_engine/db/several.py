# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""One thing after the other asked of a server, by several connections at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from ..errors import ServerError

Connected = TypeVar("Connected")  # what runs statements on one connection
Item = TypeVar("Item")
Answer = TypeVar("Answer")

_ALONE_SECONDS = 0.05  # what one connection has done by then is not worth the start of others


def by_several(
    own: Connected,
    opened: Callable[[], AbstractContextManager[Connected]],
    items: Sequence[Item],
    ask: Callable[[Connected, Item], Answer],
    connections: int,
) -> list[Answer]:
    """Ask something of each item, each connection one at a time, and return the answers in the items' order.

    Further connections are opened only if there is work for them after a moment. A server that refuses one more may
    have reached the number that it admits: those that are there do all then.

    Args:
        own: What runs statements on a connection that is open already; used by this thread.
        opened: Opens another one, in the thread that uses it.
        items: The first is begun with: those that take long belong there.
        ask: Asks; called by several threads, by each with its own connection.
        connections: How many there may be, the own one included.

    Raises:
        ServerError: What the first that failed says; nothing more is begun then.
    """
    answers: dict[int, Answer] = {}
    failures: list[BaseException] = []
    numbers = iter(range(len(items)))
    lock = threading.Lock()
    done = threading.Event()

    def work(query: Connected) -> None:
        try:
            while True:
                with lock:
                    number = None if failures else next(numbers, None)
                if number is None:
                    return
                answers[number] = ask(query, items[number])
        except BaseException as exc:  # goes on to the caller's thread
            with lock:
                failures.append(exc)
        finally:
            done.set()  # nobody finds anything left to be begun

    def work_too() -> None:
        if done.wait(_ALONE_SECONDS):
            return
        with contextlib.suppress(ServerError), opened() as query:  # of its opening: work() keeps what it meets itself
            work(query)

    threads = [
        threading.Thread(target=work_too, name=f"connection {number + 2}")
        for number in range(min(connections, len(items)) - 1)
    ]
    for thread in threads:
        thread.start()
    work(own)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [answers[number] for number in range(len(items))]
