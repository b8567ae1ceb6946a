# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Several clients at work together: the first that fails ends all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

from ..errors import RestoreError
from ..utils.processes import Child

Feed = Callable[[Iterator[bytes], Callable[[Child], None]], None]


class _OtherClientError(Exception):
    """Another client has failed."""


class Together:
    """Feeds several clients until all have ended, or one of them fails."""

    def __init__(self, feed: Feed) -> None:
        """Begin.

        Args:
            feed: Has a client load SQL to its end, and tells of the client.
        """
        self._feed = feed
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._failure: Optional[BaseException] = None

    def run(
        self,
        streams: Sequence[Iterator[bytes]],
        explain: Callable[[int, RestoreError], RestoreError] = lambda _number, exc: exc,
    ) -> None:
        """Feed each client its stream; what the first client raises that fails goes on to the caller.

        Args:
            streams: What each client is given.
            explain: Adds to a client's error what is known of its work; the client comes by its number.
        """

        def work(number: int, stream: Iterator[bytes]) -> None:
            try:
                self._feed(self._until_failure(stream), self._started)
            except RestoreError as exc:
                self._fail(explain(number, exc))
            except BaseException as exc:  # goes on to the caller's thread
                self._fail(exc)

        threads = [
            threading.Thread(target=work, args=(number, stream), name=f"client {number + 1}")
            for number, stream in enumerate(streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _until_failure(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in stream:
            if self._failure is not None:
                raise _OtherClientError
            yield chunk

    def _started(self, child: Child) -> None:
        with self._lock:
            self._children.add(child)
            if self._failure is not None:
                child.kill()

    def _fail(self, failure: BaseException) -> None:
        """Keep the first failure, and end all clients."""
        with self._lock:
            if self._failure is None:
                self._failure = failure
            children = list(self._children)
        for child in children:
            if child.process.poll() is None:
                child.kill()
