# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host key: made once, private, and bound to its host."""

from __future__ import annotations

import base64
import hmac
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken

from vya_backupdb.config import Config
from vya_backupdb.errors import CredentialsError
from vya_backupdb.security.keys import NO_KEY, create_host_key, load_fernet, read_secret, secret_path


def test_a_new_key_is_random_private_and_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    assert create_host_key(first)
    assert create_host_key(second)
    assert len(first.read_bytes()) == 32
    assert first.read_bytes() != second.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert first.stat().st_nlink == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.key", "second.key"]


def test_a_new_key_is_private_under_any_umask(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        create_host_key(tmp_path / "host.key")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "host.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"damaged", b"x" * 32])
def test_an_existing_file_is_never_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "host.key"
    path.write_bytes(content)
    assert not create_host_key(path)
    assert path.read_bytes() == content


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    path.symlink_to(tmp_path / "elsewhere")
    assert not create_host_key(path)
    assert not (tmp_path / "elsewhere").exists()


def test_of_many_at_once_one_makes_the_key(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    barrier = threading.Barrier(8)
    made: list[tuple[bool, bytes]] = []

    def create() -> None:
        barrier.wait()
        created = create_host_key(path)
        made.append((created, path.read_bytes()))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created for created, _ in made) == [False] * 7 + [True]
    assert {content for _, content in made} == {path.read_bytes()}
    assert [entry.name for entry in tmp_path.iterdir()] == ["host.key"]


def test_a_lost_race_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "host.key"
    path.write_bytes(b"made by the other one")
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)
    assert not create_host_key(path)
    assert path.read_bytes() == b"made by the other one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["host.key"]


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"cannot be written: No such file.*vya\.backupdb\.credentials"):
        create_host_key(tmp_path / "missing" / "host.key")


def test_a_failing_link_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(CredentialsError, match="Operation not permitted"):
        create_host_key(tmp_path / "host.key")
    assert list(tmp_path.iterdir()) == []


def test_the_same_host_opens_what_it_sealed(config: Config, machine_id: Path) -> None:
    token = load_fernet(config, machine_id).encrypt(b"secret")
    assert load_fernet(config, machine_id).decrypt(token) == b"secret"


def test_the_derived_key_stays_the_same_between_versions(config: Config, machine_id: Path) -> None:
    """A change here would lock every host out of its credentials; so it is spelt out once more, as RFC 5869 has it."""
    config.key_file.write_bytes(bytes(range(32)))
    pseudorandom = hmac.digest(machine_id.read_bytes().strip(), bytes(range(32)), "sha256")
    key = hmac.digest(pseudorandom, b"vya-backupdb credentials v1\0db1\x01", "sha256")
    sealed = load_fernet(config, machine_id).encrypt(b"secret")
    assert Fernet(base64.urlsafe_b64encode(key)).decrypt(sealed) == b"secret"


def test_a_copy_opens_nothing_with_another_key(config: Config, machine_id: Path) -> None:
    token = load_fernet(config, machine_id).encrypt(b"secret")
    config.key_file.unlink()
    create_host_key(config.key_file)
    with pytest.raises(InvalidToken):
        load_fernet(config, machine_id).decrypt(token)


def test_a_copy_opens_nothing_on_another_machine(config: Config, machine_id: Path) -> None:
    token = load_fernet(config, machine_id).encrypt(b"secret")
    machine_id.write_text("f" * 32)
    with pytest.raises(InvalidToken):
        load_fernet(config, machine_id).decrypt(token)


def test_a_copy_opens_nothing_under_another_name(config: Config, machine_id: Path) -> None:
    token = load_fernet(config, machine_id).encrypt(b"secret")
    with pytest.raises(InvalidToken):
        load_fernet(config.model_copy(update={"hostname": "db2"}), machine_id).decrypt(token)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o640, 0o644, 0o700, 0o666])
def test_a_key_that_others_may_read_is_refused(config: Config, mode: int, machine_id: Path) -> None:
    config.key_file.chmod(mode)
    with pytest.raises(CredentialsError, match=rf"mode {mode:04o}.*chmod 0600"):
        load_fernet(config, machine_id)


def test_a_narrower_mode_is_accepted(config: Config, machine_id: Path) -> None:
    config.key_file.chmod(0o400)
    load_fernet(config, machine_id)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_another_user_is_refused(config: Config, machine_id: Path) -> None:
    os.chown(config.key_file, 12345, 12345)
    with pytest.raises(CredentialsError, match=r"belongs to the user with the number 12345.*chown root:root"):
        load_fernet(config, machine_id)


def test_a_missing_key_is_explained(config: Config, machine_id: Path) -> None:
    config.key_file.unlink()
    with pytest.raises(CredentialsError, match=r"There is no host key at .*Apply the role vya\.backupdb\.credentials"):
        load_fernet(config, machine_id)


def test_a_damaged_key_is_refused_without_showing_it(config: Config, machine_id: Path) -> None:
    config.key_file.write_bytes(b"short")
    with pytest.raises(CredentialsError, match="holds 5 bytes instead of 32") as caught:
        load_fernet(config, machine_id)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "uninitialized\n", "äöü"])
def test_a_machine_without_id_is_refused(config: Config, machine_id: Path, text: str | None) -> None:
    if text is None:
        machine_id.unlink()
    else:
        machine_id.write_text(text, encoding="utf-8")
    with pytest.raises(CredentialsError, match="systemd-machine-id-setup"):
        load_fernet(config, machine_id)


def test_a_pipe_in_the_keys_place_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "host.key", 0o600)
    with pytest.raises(CredentialsError, match="not a regular file"):
        read_secret(tmp_path / "host.key", "host key")


def test_a_directory_in_the_keys_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="not a regular file"):
        read_secret(tmp_path, "host key")


def test_an_unreadable_key_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CredentialsError, match=r"cannot be read: Permission denied.*Run this as root"):
        read_secret(tmp_path / "host.key", "host key")


class TestPassedOnBySystemd:
    """``LoadCredential=`` hands the files to the service, in a directory and with modes of systemd's making."""

    @pytest.fixture
    def directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        directory = tmp_path / "credentials"
        directory.mkdir()
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
        return directory

    def test_they_come_first(self, config: Config, directory: Path, machine_id: Path) -> None:
        create_host_key(directory / "host.key")
        token = load_fernet(config, machine_id).encrypt(b"secret")
        config.key_file.unlink()
        assert load_fernet(config, machine_id).decrypt(token) == b"secret"

    def test_their_mode_is_systemds_business(self, config: Config, directory: Path, machine_id: Path) -> None:
        create_host_key(directory / "host.key")
        (directory / "host.key").chmod(0o440)
        load_fernet(config, machine_id)

    def test_where_there_is_none_the_configured_file_is_used(
        self, config: Config, directory: Path, machine_id: Path
    ) -> None:
        assert secret_path(config.key_file, "host.key") == config.key_file
        load_fernet(config, machine_id)

    def test_other_files_keep_to_the_rule(self, config: Config, directory: Path, machine_id: Path) -> None:
        config.key_file.chmod(0o644)
        with pytest.raises(CredentialsError, match="chmod 0600"):
            load_fernet(config, machine_id)

    def test_what_stands_in_for_a_missing_key_is_no_key(
        self, config: Config, directory: Path, machine_id: Path
    ) -> None:
        (directory / "host.key").write_bytes(NO_KEY)
        with pytest.raises(CredentialsError, match=f"There is no host key at {config.key_file}"):
            load_fernet(config, machine_id)
