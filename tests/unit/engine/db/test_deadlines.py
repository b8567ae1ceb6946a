# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that accepts connections and then says nothing, at once or later: a clear failure after a set time."""

from __future__ import annotations

import functools
import gc
import socket
import threading
from collections.abc import Iterator

import pytest

from vya_backupdb.config import Instance
from vya_backupdb.db import connection, deadlines
from vya_backupdb.errors import ServerError
from vya_backupdb.security.credentials import Credential
from vya_backupdb.security.redaction import Redactor

ACCOUNT = Credential("silent", "backup", "secret")


class Mute:
    """A server that says what it is told to say, for each connection, and nothing more."""

    def __init__(self, words: tuple[bytes, ...] = ()) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._words = words
        self.peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _address = self._listener.accept()
            except OSError:
                return
            self.peers.append(peer)
            for word in self._words:
                if not peer.recv(65536):
                    break
                peer.sendall(word)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for peer in self.peers:
            peer.close()


@pytest.fixture
def mute() -> Iterator[Mute]:
    server = Mute()
    yield server
    server.close()


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


# AuthenticationOk, some parameters that drivers ask for, ReadyForQuery.
WELCOME = (
    message(b"R", (0).to_bytes(4, "big"))
    + message(b"S", b"client_encoding\0UTF8\0")
    + message(b"S", b"server_version\x0017.5\0")
    + message(b"S", b"standard_conforming_strings\0on\0")
    + message(b"Z", b"I")
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(connection, "STATEMENT_SECONDS", 1)
    monkeypatch.setattr(deadlines, "GRACE_SECONDS", 1)
    monkeypatch.setattr(connection, "GRACE_SECONDS", 1)


@pytest.mark.parametrize("dbms", ["postgresql", "mariadb"])
def test_a_server_that_never_says_a_word(mute: Mute, dbms: str) -> None:
    instance = Instance(database_id="silent", dbms=dbms, host="127.0.0.1", port=mute.port)
    opening = (
        functools.partial(connection.PostgreSqlConnector(instance, ACCOUNT).connect, "postgres")
        if dbms == "postgresql"
        else connection.mysql_engine(instance, ACCOUNT).connect
    )
    gc.disable()
    try:
        with (
            pytest.raises(ServerError, match=rf"silent.* cannot be reached at 127.0.0.1:{mute.port}") as failure,
            connection.connect(opening, instance, Redactor([])),
        ):
            pass
        assert failure.value  # still known, and yet the connection is closed: the server need not wait for its end
        (peer,) = mute.peers
        peer.settimeout(5)
        while peer.recv(65536):
            pass
    finally:
        gc.enable()


def test_a_server_that_falls_silent_after_the_greeting() -> None:
    mute = Mute((WELCOME,))
    try:
        instance = Instance(database_id="silent", dbms="postgresql", host="127.0.0.1", port=mute.port)
        opening = functools.partial(connection.PostgreSqlConnector(instance, ACCOUNT).connect, "postgres")
        with (
            pytest.raises(ServerError, match=r"cannot be reached .*: no answer within 2 s \(timeout\)"),
            connection.connect(opening, instance, Redactor([])) as opened,
        ):
            opened.exec_driver_sql("SELECT 1")
    finally:
        mute.close()


def test_pymysql_still_takes_the_limit_where_it_is_set() -> None:
    """It has no public way, so a later version of the library may need another."""
    import pymysql

    assert "_read_timeout" in vars(pymysql.connections.Connection(defer_connect=True, read_timeout=5))
