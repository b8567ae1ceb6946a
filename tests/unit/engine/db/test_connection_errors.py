# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What drivers raise, in words."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import PendingRollbackError

from vya_backupdb.config import Instance
from vya_backupdb.db.connection import in_words
from vya_backupdb.errors import ServerError
from vya_backupdb.security.redaction import Redactor


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (
            OSError(2003, "connection failed: Is the server running on that host?"),
            "The server x cannot be reached at its socket: connection failed: Is the server running on that host?",
        ),
        (
            PendingRollbackError("Can't reconnect until invalid transaction is rolled back."),
            "The server x cannot be reached at its socket: the connection was lost.",
        ),
        (OSError(1064, "Wrong syntax."), "The server x refused a statement: Wrong syntax."),
        (OSError(1064, "Wrong syntax"), "The server x refused a statement: Wrong syntax."),
        (
            OSError(1370, "execute command denied for routine 'd.f'"),
            "The account lacks a privilege on x: execute command denied for routine 'd.f'.",
        ),
        (
            OSError(1045, "Access denied, hunter2\n said"),
            "The server x refuses the account: Access denied, ******** said.",
        ),
        (
            OSError(2059, "Authentication plugin 'b'parsec'' not configured"),
            (
                "The account of x logs in by an authentication plugin that this engine does not know:"
                " Authentication plugin 'b'parsec'' not configured."
            ),
        ),
        (
            RuntimeError("'pynacl' package is required for ed25519_password auth method"),
            (
                "The account of x logs in by an authentication plugin that this engine does not know:"
                " 'pynacl' package is required for ed25519_password auth method."
            ),
        ),
    ],
)
def test_drivers_errors_are_whole_sentences(raised: Exception, words: str) -> None:
    with (
        pytest.raises(ServerError) as told,
        in_words(Instance(database_id="x", dbms="mariadb"), Redactor(["hunter2"])),
    ):
        raise raised
    assert told.value.message == words
