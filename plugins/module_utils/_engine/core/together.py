# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Several clients at work together: the first that fails ends all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

from ..utils.processes import Child

Started = Callable[[Child], None]
Work = Callable[[Started], None]


class _OtherClientError(Exception):
    """Another client has failed."""


class Together:
    """Runs several clients until all have ended, or one of them fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._failure: Optional[BaseException] = None

    def run(self, works: Sequence[Work], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Run each client's work in a thread of its own; what the first raises that fails goes on to the caller.

        Args:
            works: Each starts a client, tells of it, and ends when it has ended.
            meanwhile: Called once all have begun, in this thread; what it raises ends all clients likewise.
        """

        def work(one: Work) -> None:
            try:
                one(self._started)
            except BaseException as exc:  # goes on to the caller's thread
                self._fail(exc)

        threads = [
            threading.Thread(target=work, args=(one,), name=f"client {number + 1}") for number, one in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        try:
            meanwhile()
        except BaseException as exc:  # only once no client is left
            self._fail(exc)
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    @property
    def failed(self) -> bool:
        """Whether one has failed, so that none need go on."""
        return self._failure is not None

    def until_failure(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        """Yield what a client is given, for as long as none has failed."""
        for chunk in stream:
            if self.failed:
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
