# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The credentials file: idempotent, sealed, private, and never half written."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vya_backupdb.config import Config
from vya_backupdb.errors import CredentialsError
from vya_backupdb.security.credentials import Credential, CredentialStore, open_store
from vya_backupdb.security.keys import create_host_key

PASSWORD = "k0rrekt-Pferd'\"\\ ünï"


@pytest.fixture
def store(config: Config, machine_id: Path) -> CredentialStore:
    """The host's store, still without a file."""
    return open_store(config, machine_id)


def document_of(store: CredentialStore) -> Any:
    """What the file holds."""
    return json.loads(store.path.read_text())


def rewrite(store: CredentialStore, document: Any) -> None:
    """Exchange the file's content, as somebody else might."""
    store.path.write_text(document if isinstance(document, str) else json.dumps(document))
    store.path.chmod(0o600)


def test_what_is_set_is_there(store: CredentialStore) -> None:
    assert store.set("prod", "backup", PASSWORD)
    assert store.get("prod") == Credential("prod", "backup", PASSWORD)
    assert store.ids() == ["prod"]


def test_the_file_has_the_documented_format_and_no_clear_text(store: CredentialStore) -> None:
    store.set("prod", "backup-account", PASSWORD)
    document = document_of(store)
    assert document.keys() == {"schema_version", "databases"}
    assert document["schema_version"] == 1
    assert [entry.keys() for entry in document["databases"]] == [{"id", "username", "password"}]
    text = store.path.read_text()
    assert "backup-account" not in text
    assert PASSWORD not in text


def test_the_file_is_private_under_any_umask(store: CredentialStore) -> None:
    previous = os.umask(0)
    try:
        store.set("prod", "backup", PASSWORD)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in store.path.parent.iterdir()) == ["credentials.json", "host.key"]


def test_setting_the_same_again_changes_nothing(store: CredentialStore) -> None:
    store.set("prod", "backup", PASSWORD)
    before = (store.path.read_bytes(), store.path.stat().st_ino, store.path.stat().st_mtime_ns)
    assert not store.set("prod", "backup", PASSWORD)
    assert (store.path.read_bytes(), store.path.stat().st_ino, store.path.stat().st_mtime_ns) == before


@pytest.mark.parametrize(("username", "password"), [("other", PASSWORD), ("backup", "other"), ("backup", "")])
def test_setting_something_else_changes_that_entry_alone(store: CredentialStore, username: str, password: str) -> None:
    store.set("first", "backup", PASSWORD)
    store.set("second", "backup", PASSWORD)
    untouched = document_of(store)["databases"][1]
    assert store.set("first", username, password)
    assert store.get("first") == Credential("first", username, password)
    assert document_of(store)["databases"][1] == untouched


def test_removing(store: CredentialStore) -> None:
    store.set("first", "backup", PASSWORD)
    store.set("second", "backup", PASSWORD)
    assert store.remove("first")
    assert store.ids() == ["second"]
    assert not store.remove("first")


def test_removing_from_nothing_makes_no_file(store: CredentialStore) -> None:
    assert not store.remove("first")
    assert not store.path.exists()


class TestCheck:
    """With ``check`` the answer is the same and the file is not touched."""

    def test_set_without_a_file(self, store: CredentialStore) -> None:
        assert store.set("prod", "backup", PASSWORD, check=True)
        assert not store.path.exists()

    def test_set_without_the_directory(self, store: CredentialStore, tmp_path: Path) -> None:
        store.path = tmp_path / "later" / "credentials.json"
        assert store.set("prod", "backup", PASSWORD, check=True)
        assert not store.path.parent.exists()

    @pytest.mark.parametrize(("password", "changed"), [(PASSWORD, False), ("other", True)])
    def test_set(self, store: CredentialStore, password: str, changed: bool) -> None:
        store.set("prod", "backup", PASSWORD)
        before = store.path.read_bytes()
        assert store.set("prod", "backup", password, check=True) is changed
        assert store.path.read_bytes() == before

    @pytest.mark.parametrize(("name", "changed"), [("prod", True), ("other", False)])
    def test_remove(self, store: CredentialStore, name: str, changed: bool) -> None:
        store.set("prod", "backup", PASSWORD)
        before = store.path.read_bytes()
        assert store.remove(name, check=True) is changed
        assert store.path.read_bytes() == before


def test_an_unknown_name_lists_the_known_ones(store: CredentialStore) -> None:
    with pytest.raises(CredentialsError, match=r"no credentials 'prod'.*Known: none\."):
        store.get("prod")
    store.set("beta", "backup", PASSWORD)
    store.set("alpha", "backup", PASSWORD)
    with pytest.raises(CredentialsError, match=r"no credentials 'prod'.*Known: alpha, beta\."):
        store.get("prod")


def test_no_representation_shows_a_secret() -> None:
    credential = Credential("prod", "the-account", PASSWORD)
    store = CredentialStore(Path("/credentials.json"), Fernet(Fernet.generate_key()))
    for text in (repr(credential), str(credential), f"{credential}", repr([credential]), repr(store)):
        assert "the-account" not in text
        assert PASSWORD not in text
    assert "prod" in repr(credential)


class TestForeignFiles:
    """What another host, another key or another hand has written."""

    def test_another_key_does_not_open_it(self, store: CredentialStore, config: Config, machine_id: Path) -> None:
        store.set("prod", "backup", PASSWORD)
        config.key_file.unlink()
        create_host_key(config.key_file)
        with pytest.raises(CredentialsError, match=r"'prod'.*encrypted for another host or with another host key"):
            open_store(config, machine_id).get("prod")

    def test_setting_replaces_what_does_not_open(
        self, store: CredentialStore, config: Config, machine_id: Path
    ) -> None:
        store.set("prod", "backup", PASSWORD)
        config.key_file.unlink()
        create_host_key(config.key_file)
        renewed = open_store(config, machine_id)
        assert renewed.set("prod", "backup", PASSWORD)
        assert renewed.get("prod").password == PASSWORD

    def test_what_does_not_open_can_be_removed(self, store: CredentialStore, config: Config, machine_id: Path) -> None:
        store.set("prod", "backup", PASSWORD)
        config.key_file.unlink()
        create_host_key(config.key_file)
        assert open_store(config, machine_id).remove("prod")

    @pytest.mark.parametrize("token", ["", "x", "gAAAAA", "ü", "plain-password"])
    def test_a_token_that_is_none(self, store: CredentialStore, token: str) -> None:
        store.set("prod", "backup", PASSWORD)
        document = document_of(store)
        document["databases"][0]["password"] = token
        rewrite(store, document)
        with pytest.raises(CredentialsError, match="do not open") as caught:
            store.get("prod")
        assert not token or f" {token} " not in str(caught.value)

    def test_a_changed_bit_is_noticed(self, store: CredentialStore) -> None:
        store.set("prod", "backup", PASSWORD)
        document = document_of(store)
        token = document["databases"][0]["password"]
        document["databases"][0]["password"] = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
        rewrite(store, document)
        with pytest.raises(CredentialsError, match="do not open"):
            store.get("prod")

    def test_a_later_schema_is_refused_and_kept(self, store: CredentialStore) -> None:
        rewrite(store, {"schema_version": 2, "databases": [], "vaults": []})
        before = store.path.read_bytes()
        with pytest.raises(CredentialsError, match=r"schema version 2.*up to 1.*upgrade"):
            store.set("prod", "backup", PASSWORD)
        assert store.path.read_bytes() == before

    @pytest.mark.parametrize("version", [0, -1, "1", 1.5, True, None])
    def test_a_senseless_schema_version(self, store: CredentialStore, version: object) -> None:
        rewrite(store, {"schema_version": version, "databases": []})
        with pytest.raises(CredentialsError, match="schema_version is not a positive whole number"):
            store.ids()

    def test_a_file_without_version_is_the_first(self, store: CredentialStore) -> None:
        store.set("prod", "backup", PASSWORD)
        document = document_of(store)
        del document["schema_version"]
        rewrite(store, document)
        assert store.get("prod").password == PASSWORD
        store.set("other", "backup", PASSWORD)
        assert document_of(store)["schema_version"] == 1

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("", "not a JSON object"),
            ("{", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("\xff", "not a JSON object"),
            ({}, 'no list "databases"'),
            ({"databases": {}}, 'no list "databases"'),
            ({"databases": ["prod"]}, "entry 1 has not the texts"),
            ({"databases": [{"id": "prod", "username": "u"}]}, "entry 1 has not the texts"),
            ({"databases": [{"id": 1, "username": "u", "password": "p"}]}, "entry 1 has not the texts"),
            ({"databases": [{"id": "a", "username": "u", "password": "p"}] * 2}, "two entries 'a'"),
        ],
    )
    def test_damage_is_named_and_not_overwritten(self, store: CredentialStore, content: Any, why: str) -> None:
        rewrite(store, content)
        before = store.path.read_bytes()
        for attempt in (store.ids, lambda: store.get("prod"), lambda: store.set("prod", "u", "p")):
            with pytest.raises(CredentialsError, match=re.escape(why)):
                attempt()
        assert store.path.read_bytes() == before

    def test_further_keys_of_other_tools_survive(self, store: CredentialStore) -> None:
        store.set("prod", "backup", PASSWORD)
        document = document_of(store)
        document["databases"][0] |= {"type": "mysql", "host": "localhost"}
        document["comment"] = "kept"
        rewrite(store, document)
        store.set("prod", "backup", "other")
        after = document_of(store)
        assert after["databases"][0]["type"] == "mysql"
        assert after["comment"] == "kept"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
    def test_a_file_that_others_may_read_is_refused(self, store: CredentialStore, mode: int) -> None:
        store.set("prod", "backup", PASSWORD)
        store.path.chmod(mode)
        for attempt in (lambda: store.get("prod"), lambda: store.set("prod", "backup", PASSWORD), store.ids):
            with pytest.raises(CredentialsError, match=rf"mode {mode:04o}.*chmod 0600 "):
                attempt()


def test_a_failed_write_keeps_the_old_file(store: CredentialStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set("prod", "backup", PASSWORD)
    before = store.path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CredentialsError, match="cannot be written: No space left on device"):
        store.set("prod", "backup", "other")
    assert store.path.read_bytes() == before
    assert sorted(entry.name for entry in store.path.parent.iterdir()) == ["credentials.json", "host.key"]


def test_a_missing_directory_is_explained(store: CredentialStore, tmp_path: Path) -> None:
    store.path = tmp_path / "missing" / "credentials.json"
    with pytest.raises(CredentialsError, match=r"cannot be written: No such file.*vya\.backupdb\.credentials"):
        store.set("prod", "backup", PASSWORD)


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00b"])
def test_a_name_that_is_none(store: CredentialStore, name: str) -> None:
    with pytest.raises(CredentialsError, match="cannot name credentials"):
        store.set(name, "backup", PASSWORD)


def test_text_that_is_no_unicode_is_refused_without_showing_it(store: CredentialStore) -> None:
    with pytest.raises(CredentialsError, match="not valid Unicode") as caught:
        store.set("prod", "backup", "top\udcffsecret")
    assert "secret" not in str(caught.value)
    assert not store.path.exists()


def test_writers_at_once_lose_nothing(config: Config, machine_id: Path) -> None:
    names = [f"instance-{number}" for number in range(12)]
    barrier = threading.Barrier(len(names))

    def write(name: str) -> None:
        store = open_store(config, machine_id)
        barrier.wait()
        store.set(name, "backup", name)

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = open_store(config, machine_id)
    assert store.ids() == sorted(names)
    assert all(store.get(name).password == name for name in names)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(username=st.text(), password=st.text())
def test_any_text_survives(store: CredentialStore, username: str, password: str) -> None:
    store.set("prod", username, password)
    assert store.get("prod") == Credential("prod", username, password)
    assert not store.set("prod", username, password)


def test_what_systemd_passed_on_is_read(
    config: Config, machine_id: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(config, machine_id)
    store.set("prod", "backup", PASSWORD)
    directory = tmp_path / "credentials"
    directory.mkdir()
    for path in (config.key_file, store.path):
        path.rename(directory / path.name).chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    assert open_store(config, machine_id).get("prod").password == PASSWORD
