# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections to servers through SQLAlchemy, and their failures in words."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Optional

from ..config import Instance
from ..errors import BackupDbError, PrivilegeError, ServerError
from ..security.credentials import Credential
from ..security.redaction import Redactor
from .deadlines import GRACE_SECONDS, bound_mysql_answers, postgresql_connector

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 300
KEEPALIVE_SECONDS = 30


def mysql_engine(instance: Instance, credential: Credential) -> Engine:
    """Return an SQLAlchemy engine for MySQL or MariaDB (PyMySQL); nothing is connected yet.

    Connections that are not detached from it stay open for the next use, which finds out first whether they still are.
    """
    import sqlalchemy
    from sqlalchemy.pool import QueuePool

    arguments: dict[str, Any] = {
        "user": credential.username,
        "password": credential.password.encode("utf-8"),  # as text PyMySQL would take it for Latin-1
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": CONNECT_SECONDS,
        "write_timeout": STATEMENT_SECONDS,
        "charset": "utf8mb4",
        # The server's own mode may quote names or pad values in other ways. MySQL from 8.0 on would answer what it is
        # asked about tables from a copy that may be a day old, and write that copy; to others this is a comment.
        "init_command": "SET /*!80000 information_schema_stats_expiry = 0, */ sql_mode = ''",
        "autocommit": True,
    }
    if instance.host:
        arguments |= {"host": instance.host, "port": instance.port or 3306}
    else:
        arguments["unix_socket"] = str(mysql_socket(instance))
    if instance.tls_mode == "disabled":
        arguments["ssl_disabled"] = True
    else:
        context = ssl.create_default_context(cafile=str(instance.tls.ca_file) if instance.tls.ca_file else None)
        if instance.tls_mode == "encrypt":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        arguments["ssl"] = context
    engine = sqlalchemy.create_engine(
        "mysql+pymysql://",
        connect_args=arguments,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,  # else each use of a connection ends with a statement that does nothing
        poolclass=QueuePool,
        pool_size=0,  # no limit: as many as there are threads
        pool_pre_ping=True,
        pool_use_lifo=True,
        pool_reset_on_return=None,  # there are no transactions to roll back
    )
    limit = STATEMENT_SECONDS + GRACE_SECONDS

    @sqlalchemy.event.listens_for(engine, "connect", insert=True)
    def _opened(connection: Any, _record: Any) -> None:
        bound_mysql_answers(connection, limit)

    return engine


def mysql_socket(instance: Instance) -> str:
    """Return the socket to use: the configured one, else Debian's."""
    return str(instance.socket or "/run/mysqld/mysqld.sock")


class PostgreSqlConnector:
    """Connects to the databases of a PostgreSQL server (psycopg 3) by way of one SQLAlchemy engine.

    What SQLAlchemy asks of a server at its first connection it asks once for all databases. No connection stays open
    after its use: it would keep a database from being renamed or dropped.
    """

    def __init__(self, instance: Instance, credential: Credential) -> None:
        """Prepare; nothing is connected yet."""
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        arguments: dict[str, Any] = {
            "user": credential.username,
            "password": credential.password or None,
            "host": postgresql_host(instance),
            "port": instance.port or 5432,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "vya-backupdb",
            "client_encoding": "utf8",  # of an SQL_ASCII database the driver would return bytes
            "keepalives_idle": KEEPALIVE_SECONDS,  # so that a peer that is gone is noticed
            "keepalives_interval": KEEPALIVE_SECONDS,
            "keepalives_count": 3,
            "tcp_user_timeout": 4 * KEEPALIVE_SECONDS * 1000,
            "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c search_path=pg_catalog",
            **postgresql_tls(instance),
        }
        self._open = postgresql_connector(arguments, STATEMENT_SECONDS)
        self._wanted = threading.local()
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._open(self._wanted.database),
            isolation_level="AUTOCOMMIT",
            use_native_hstore=False,  # else the server is asked for a type that no statement here returns
            poolclass=NullPool,
        )

    def connect(self, database: str) -> Connection:
        """Return a new connection to a database, to be closed by the caller."""
        self._wanted.database = database  # SQLAlchemy opens it within the next call, in this thread
        return self._engine.connect()

    def copied_out(self, database: str, settings: str, statement: str) -> Iterator[bytes]:
        """Yield what ``COPY ... TO STDOUT`` writes, with settings of the session that hold for it.

        Raises:
            RuntimeError: The server refused it, or was lost.
        """
        import psycopg

        try:
            with self._open(database) as connection, connection.cursor() as cursor:
                cursor.execute(settings)
                with cursor.copy(statement) as copy:
                    yield from map(bytes, copy)
        except psycopg.Error as exc:
            raise RuntimeError(*exc.args) from None


def postgresql_host(instance: Instance) -> str:
    """Return the host or, for a socket, its directory, as libpq takes it."""
    if instance.host:
        return instance.host
    if instance.socket is None:
        return "/run/postgresql"
    return str(instance.socket.parent if instance.socket.name.startswith(".s.PGSQL.") else instance.socket)


def postgresql_tls(instance: Instance) -> dict[str, str]:
    """Return libpq's keywords for the transport security in force."""
    mode = {"disabled": "disable", "encrypt": "require", "verify": "verify-full"}[instance.tls_mode]
    if mode != "verify-full":
        return {"sslmode": mode}
    return {"sslmode": mode, "sslrootcert": str(instance.tls.ca_file) if instance.tls.ca_file else "system"}


@contextlib.contextmanager
def connect(
    opening: Callable[[], Connection], instance: Instance, redactor: Redactor, database: Optional[str] = None
) -> Iterator[Connection]:
    """Yield a connection; whatever the driver raises becomes a ServerError in words.

    Args:
        opening: Opens it.
        instance: The server, for messages.
        redactor: Takes secrets out of them.
        database: The database, for messages.

    Raises:
        ServerError: The server cannot be reached, refuses the account, or a statement failed.
    """
    with in_words(instance, redactor, database), opening() as connection:
        yield connection


def literally(statement: str) -> str:
    """Return a statement in which the drivers take nothing for a placeholder: a name may hold what looks like one."""
    return statement.replace("%", "%%")


@contextlib.contextmanager
def in_words(instance: Instance, redactor: Redactor, database: Optional[str] = None) -> Iterator[None]:
    """Turn whatever the driver raises within into words.

    Raises:
        ServerError: The server cannot be reached, refuses the account, or a statement failed.
    """
    import sqlalchemy.exc

    try:
        yield
    except BackupDbError:
        raise
    except sqlalchemy.exc.PendingRollbackError:  # what is said of any statement after that
        lost = ConnectionError("the connection was lost")
        raise _server_error(lost, instance, redactor, database) from None
    except (sqlalchemy.exc.SQLAlchemyError, OSError, RuntimeError) as exc:
        raise _server_error(exc, instance, redactor, database) from None


def _server_error(exc: Exception, instance: Instance, redactor: Redactor, database: Optional[str]) -> ServerError:
    original = getattr(exc, "orig", None) or exc
    arguments: tuple[Any, ...] = getattr(original, "args", ())
    text = str(arguments[1] if len(arguments) > 1 else original)
    text = redactor.text(" ".join(text.split())).rstrip(".")
    text += "" if text.endswith(("?", "!")) else "."  # drivers end with a full stop, a question or nothing
    code = str(getattr(original, "sqlstate", None) or (arguments[0] if arguments else ""))
    where = f"{instance.database_id}/{database}" if database else instance.database_id
    place = (
        f"{instance.host}:{instance.port or 'default port'}" if instance.host else str(instance.socket or "its socket")
    )
    lowered = text.lower()
    if code == "2059" or "package is required for ed25519" in lowered:
        return ServerError(
            f"The account of {where} logs in by an authentication plugin that this engine does not know: {text}",
            "Let it log in by another, such as caching_sha2_password (MySQL) or mysql_native_password (MariaDB).",
        )
    if code in {"1044", "1142", "1227", "1370", "42501"}:
        return PrivilegeError(f"The account lacks a privilege on {where}: {text}", "See: vya-backupdb check.")
    if (
        code in {"1045", "1698", "28P01", "28000"}
        or "authentication failed" in lowered
        or "access denied for user" in lowered
    ):
        return ServerError(
            f"The server {where} refuses the account: {text}",
            f"Set the right username and password for {instance.credentials_id!r} (module backup_credentials).",
        )
    if code in {"1049", "3D000"} or ("database" in lowered and "does not exist" in lowered):
        return ServerError(f"There is no such database on {where}: {text}", "List them: vya-backupdb check.")
    if code in {"2002", "2003", "2013", "2006"} or "connection" in lowered or "timeout" in lowered:
        return ServerError(
            f"The server {where} cannot be reached at {place}: {text}",
            "See that it runs, and that host, port or socket in the configuration are right.",
        )
    return ServerError(f"The server {where} refused a statement: {text}")
