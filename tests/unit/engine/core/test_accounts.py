# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Accounts in manifests: what stands there, what is read back, and that what a failed restore made goes again."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vya_backupdb.config import Encryption
from vya_backupdb.core.accounts import MISSING, NONE, NewAccounts, lacking, read_accounts, statements_of
from vya_backupdb.core.encryption import Decryption
from vya_backupdb.db.accounts import Accounts, Statement, related, unquoted_errors
from vya_backupdb.errors import (
    ArtifactError,
    ConfigError,
    CredentialsError,
    DamageError,
    DumpError,
    RestoreError,
    ServerError,
)
from vya_backupdb.security.age_identity import read_identity
from vya_backupdb.utils.processes import ProcessTable

ROWS = (
    Statement(("app",), "CREATE ROLE app PASSWORD 'é;\n'"),
    Statement(("staff",), "CREATE ROLE staff"),
    Statement(("staff", "app"), "GRANT staff TO app"),
)
FOUND = Accounts(("app", "staff"), ROWS, passwords=True)
WITHOUT = Decryption(ProcessTable())


class Server:
    """A server, as far as it is asked for accounts."""

    def __init__(self, *there: str, found: Accounts = FOUND, error: str = "") -> None:
        self.there = set(there)
        self.found = found
        self.error = error
        self.asked: list[bool] = []
        self.ran: list[str] = []

    def accounts(self, _database: str, _settings: Mapping[str, Any], passwords: bool) -> Accounts:
        self.asked.append(passwords)
        if self.error:
            raise ServerError(self.error)
        return self.found

    def existing_accounts(self) -> set[str]:
        if self.error:
            raise ServerError(self.error)
        return self.there

    def make_accounts(self, statements: Sequence[Statement]) -> None:
        self.ran += [each.sql for each in statements]
        if self.error:
            raise ServerError(self.error)

    def drop_accounts(self, names: Collection[str]) -> None:
        self.ran += [f"DROP {name}" for name in names]
        if self.error == "lost":
            raise ServerError("The server is gone.")


def manifest_of(document: dict[str, Any] | None) -> Any:
    return SimpleNamespace(artifact="shop.sql.gz", accounts=document)


def document_of(server: Server, encryption: Encryption | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    return read_accounts(server, "shop", {}, encryption, ProcessTable())  # type: ignore[arg-type]


def test_what_is_written_is_read_back() -> None:
    server = Server()
    document, warnings = document_of(server)
    assert server.asked == [False]
    assert warnings == ()
    assert document["sql"] == "".join(f"{each.sql};\n" for each in ROWS)
    assert document["encrypted"] is None
    assert statements_of(manifest_of(document), WITHOUT) == list(ROWS)


def test_what_is_encrypted_is_read_back_with_the_identity_alone(tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "identity"], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", tmp_path / "identity"], check=True, capture_output=True, text=True)
    (tmp_path / "identity").chmod(0o600)
    server = Server(found=Accounts(FOUND.names, ROWS * 3000, passwords=True))  # more than a pipe takes
    document, _warnings = document_of(server, Encryption(recipients=(public.stdout.strip(),)))
    assert server.asked == [True]
    assert document["sql"] is None
    with_identity = Decryption(ProcessTable(), read_identity(tmp_path / "identity"))
    assert statements_of(manifest_of(document), with_identity) == list(ROWS * 3000)
    with pytest.raises(CredentialsError, match="no identity"):
        statements_of(manifest_of(document), WITHOUT)
    document["encrypted"] = document["encrypted"][:-40] + "x"
    with pytest.raises(DamageError):
        statements_of(manifest_of(document), with_identity)


def test_a_manifest_without_accounts_has_none() -> None:
    assert statements_of(manifest_of(None), WITHOUT) == []
    assert lacking(Server(), manifest_of(None), NONE) == ((), ())  # type: ignore[arg-type]


def test_another_length_is_damage() -> None:
    document, _warnings = document_of(Server())
    document["sql"] += "x"
    with pytest.raises(DamageError, match="not as long as"):
        statements_of(manifest_of(document), WITHOUT)


def test_accounts_that_cannot_be_read_are_a_warning() -> None:
    document, warnings = document_of(Server(error="It may not."))
    assert warnings == (document["reason"],)
    assert "It may not." in warnings[0]
    assert document["names"] == []
    with pytest.raises(ArtifactError, match=r"has no accounts: The accounts are missing.*It may not\."):
        lacking(Server(), manifest_of(document), MISSING)  # type: ignore[arg-type]


def test_a_reason_warns_only_where_passwords_were_wanted() -> None:
    server = Server(found=Accounts(reason="Passwords are not kept."))
    assert document_of(server)[1] == ()
    assert document_of(server, Encryption(recipients=("age1" + "q" * 58,)))[1] == ("Passwords are not kept.",)


def test_which_accounts_are_made() -> None:
    manifest = manifest_of(document_of(Server())[0])
    server: Any = Server("staff")
    assert lacking(server, manifest, MISSING) == (("app",), ())
    made, (warning,) = lacking(server, manifest, NONE)
    assert made == ()
    assert "lacks accounts that belong to the artifact: app. They are not made" in warning
    assert lacking(Server("staff", "app"), manifest, NONE) == ((), ())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'all'"):
        lacking(server, manifest, "all")


def test_a_server_that_does_not_say_who_is_there_is_told_only_where_that_matters() -> None:
    manifest = manifest_of(document_of(Server())[0])
    server: Any = Server(error="It may not.")
    assert lacking(server, manifest, NONE) == ((), ())
    with pytest.raises(ServerError, match="It may not"):
        lacking(server, manifest, MISSING)


def test_many_that_are_missing_are_not_all_spelt_out() -> None:
    names = tuple(f"a{number}" for number in range(7))
    manifest = manifest_of({"names": names})
    assert "a4 and 2 more" in lacking(Server(), manifest, NONE)[1][0]  # type: ignore[arg-type]


def new(server: Server, *names: str) -> NewAccounts:
    return NewAccounts(server, manifest_of(document_of(Server())[0]), names, WITHOUT)  # type: ignore[arg-type]


def test_only_what_is_about_the_missing_is_run() -> None:
    server, noted = Server(), list[Mapping[str, str]]()
    with new(server, "app").there(noted.append):
        assert server.ran == [ROWS[0].sql, ROWS[2].sql]
    assert server.ran == [ROWS[0].sql, ROWS[2].sql]
    assert noted == [{"accounts": "app"}]


def test_nothing_is_done_where_none_is_missing() -> None:
    server = Server()
    with new(server).there(pytest.fail):
        pass
    assert server.ran == []


def test_what_was_made_goes_again() -> None:
    server = Server()
    with (
        pytest.raises(DumpError, match=r"It failed\. The accounts .* were dropped again: app, staff\."),
        new(server, "app", "staff").there(lambda _traces: None),
    ):
        raise DumpError("It failed.")
    assert server.ran[3:] == ["DROP app", "DROP staff"]


def test_what_cannot_be_made_or_dropped_is_said() -> None:
    with (
        pytest.raises(RestoreError, match=r"^lost Nothing was changed\. Accounts.*\(app\): The server is"),
        new(Server(error="lost"), "app").there(lambda _traces: None),
    ):
        pytest.fail("nothing is done without them")


def test_members_and_roles_belong_to_those_that_are_named() -> None:
    edges = [("all", "staff"), ("staff", "app"), ("app", "app"), ("other", "app"), ("none", "nobody")]
    assert related({"staff"}, edges, lambda _role, _member: True) == {"staff", "all", "app"}
    assert related({"staff"}, edges, lambda _role, member: member != "app") == {"staff", "all"}


@pytest.mark.parametrize(
    "message",
    [
        "You have an error in your SQL syntax near 'AS 0x244124' at line 1.",
        "syntax error LINE 1: CREATE ROLE app PASSWORD 'SCRAM-SHA-256$4096",
    ],
)
def test_what_a_server_quotes_is_not_repeated(message: str) -> None:
    with pytest.raises(ServerError) as caught, unquoted_errors(ROWS[0]):
        raise ServerError(message, "Do something.")
    assert str(caught.value).startswith("The account app could not be made: ")
    assert "0x" not in str(caught.value)
    assert "SCRAM" not in str(caught.value)
