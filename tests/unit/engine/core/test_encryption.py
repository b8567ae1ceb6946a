# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Encryption by age: what comes back, what is refused, and that no child is left."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vya_backupdb.core.encryption import (
    Decryption,
    Decryptor,
    Encryptor,
    HashedFile,
    refuse_unopenable,
    try_recipients,
)
from vya_backupdb.errors import (
    ArtifactError,
    BackupDbError,
    ClientError,
    CredentialsError,
    DamageError,
    DumpError,
    StorageError,
)
from vya_backupdb.security.age_identity import AgeIdentity, configured_identity, read_identity
from vya_backupdb.utils.processes import ProcessTable

SOON = timedelta(seconds=1)


@dataclasses.dataclass
class Key:
    """An identity and its public key."""

    identity: AgeIdentity
    recipient: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Key]:
    """Two identities."""
    return [_key(tmp_path_factory.mktemp("keys") / "identity") for _ in range(2)]


def _key(path: Path) -> Key:
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    done = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True)
    return Key(read_identity(path), done.stdout.strip())


@pytest.fixture
def processes() -> Iterator[ProcessTable]:
    """A table of children that is empty in the end."""
    table = ProcessTable()
    yield table
    assert not table._children


def encrypted(content: bytes, *recipients: str) -> bytes:
    output = bytearray()
    processes = ProcessTable()
    with Encryptor(processes, recipients, output.extend) as encryptor:
        for start in range(0, len(content), 70_000):
            encryptor.write(content[start : start + 70_000])
        assert encryptor.finish() == ""
    assert not processes._children
    return bytes(output)


def decrypted(
    stored: bytes, identity: AgeIdentity | BackupDbError | None, sha256: str = "", processes: ProcessTable | None = None
) -> bytes:
    descriptor = os.memfd_create("stored")
    try:
        os.write(descriptor, stored)
        os.lseek(descriptor, 0, os.SEEK_SET)
        decryption = Decryption(processes or ProcessTable(), identity)
        file = HashedFile(descriptor)
        with Decryptor(decryption, file, sha256 or hashlib.sha256(stored).hexdigest(), "It") as decryptor:
            return b"".join(iter(lambda: decryptor.read(100_000), b""))
    finally:
        os.close(descriptor)


def write_until_it_fails(encryptor: Encryptor) -> None:
    while True:
        encryptor.write(bytes(1_000_000))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), times=st.sampled_from([0, 1, 700, 9000]))
def test_what_was_encrypted_comes_back(keys: list[Key], content: bytes, times: int) -> None:
    stored = encrypted(content * times, keys[0].recipient, keys[1].recipient)
    assert all(decrypted(stored, key.identity) == content * times for key in keys)
    assert not content * times or len(content) < 8 or content not in stored


def test_an_ssh_key_is_a_recipient_too(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    stored = encrypted(b"content", (tmp_path / "key.pub").read_text().strip())
    assert decrypted(stored, read_identity(tmp_path / "key")) == b"content"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7), cut=st.booleans())
def test_any_change_and_any_cut_is_damage(keys: list[Key], place: int, bit: int, cut: bool) -> None:
    stored = bytearray(encrypted(os.urandom(3000), keys[0].recipient))
    sha256 = hashlib.sha256(stored).hexdigest()
    if cut:
        del stored[place % len(stored) :]
    else:
        stored[place % len(stored)] ^= 1 << bit
    with pytest.raises(DamageError, match="SHA-256"):
        decrypted(bytes(stored), keys[0].identity, sha256)


def test_what_was_sealed_broken_is_damage(keys: list[Key]) -> None:
    stored = encrypted(os.urandom(3000), keys[0].recipient)[:-1]
    with pytest.raises(DamageError, match="cannot be decrypted: failed to decrypt and authenticate payload chunk"):
        decrypted(stored, keys[0].identity)


def test_who_has_no_right_identity_is_told_so(keys: list[Key], tmp_path: Path) -> None:
    stored = encrypted(b"content", keys[0].recipient)
    with pytest.raises(CredentialsError, match="no identity to decrypt it with"):
        decrypted(stored, None)
    with pytest.raises(CredentialsError, match="as it was read"):
        decrypted(stored, CredentialsError("as it was read"))
    with pytest.raises(CredentialsError, match="was not encrypted for the identity"):
        decrypted(stored, keys[1].identity)
    with pytest.raises(CredentialsError, match="age cannot use the identity /k") as refused:
        decrypted(stored, AgeIdentity(Path("/k"), b"AGE-SECRET-KEY-1NOTHING\n"))
    assert "NOTHING" not in str(refused.value)


def test_a_passphrase_is_not_waited_for(keys: list[Key], tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "key"], check=True)
    stored = encrypted(b"content", (tmp_path / "key.pub").read_text().strip())
    with pytest.raises(CredentialsError, match="without a passphrase"):
        decrypted(stored, read_identity(tmp_path / "key"))


def test_age_that_refuses_or_is_killed_is_an_error(keys: list[Key], processes: ProcessTable) -> None:
    refused = pytest.raises(DumpError, match=r"age failed \(exit code 1\): malformed recipient")
    with Encryptor(processes, ["age1none"], bytearray().extend) as encryptor, refused:
        write_until_it_fails(encryptor)
    with Encryptor(processes, [keys[0].recipient], bytearray().extend) as encryptor:
        encryptor.write(b"begin")
        encryptor._child.kill()
        with pytest.raises(DumpError, match=r"age failed \(killed by SIGKILL\)"):
            encryptor.finish()


def test_what_cannot_be_stored_is_the_error(keys: list[Key], processes: ProcessTable) -> None:
    def full(_data: bytes) -> None:
        raise StorageError("The disk is full.")

    refused = pytest.raises(StorageError, match="The disk is full")
    with Encryptor(processes, [keys[0].recipient], full) as encryptor, refused:
        write_until_it_fails(encryptor)


def test_age_that_takes_nothing_is_given_up(keys: list[Key], processes: ProcessTable) -> None:
    with Encryptor(processes, [keys[0].recipient], bytearray().extend, SOON) as encryptor:
        os.killpg(encryptor._child.process.pid, signal.SIGSTOP)
        with pytest.raises(DumpError, match="took nothing for 0:00:01"):
            write_until_it_fails(encryptor)
    with Encryptor(processes, [keys[0].recipient], bytearray().extend, SOON) as encryptor:
        os.killpg(encryptor._child.process.pid, signal.SIGSTOP)
        with pytest.raises(DumpError, match="has not ended"):
            encryptor.finish()


def test_a_stop_ends_encryption_and_decryption(keys: list[Key], processes: ProcessTable) -> None:
    stored = encrypted(bytes(9_000_000), keys[0].recipient)
    with Encryptor(processes, [keys[0].recipient], bytearray().extend) as encryptor:
        encryptor.write(b"begin")
        processes.cancel()
        with pytest.raises(DumpError, match="The run was stopped"):
            encryptor.finish()
    with pytest.raises(ArtifactError, match="not read to its end"):
        decrypted(stored, keys[0].identity, processes=processes)


def test_a_reader_that_leaves_early_leaves_nothing(keys: list[Key], processes: ProcessTable, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_bytes(encrypted(bytes(9_000_000), keys[0].recipient))
    decryption = Decryption(processes, keys[0].identity)
    with (
        path.open("rb", buffering=0) as stream,
        Decryptor(decryption, HashedFile(stream.fileno()), "0" * 64, "It") as decryptor,
    ):
        assert decryptor.read(10) == bytes(10)
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("of age")]


def test_a_disk_that_does_not_read_is_the_error(
    keys: list[Key], processes: ProcessTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: HashedFile, _size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(HashedFile, "read", fail)
    with pytest.raises(OSError, match="Input/output"):
        decrypted(b"x", keys[0].identity, processes=processes)


def test_what_is_replaced_must_be_openable(keys: list[Key], processes: ProcessTable) -> None:
    recipients = [keys[0].recipient]
    assert refuse_unopenable(recipients, Decryption(processes, keys[0].identity), "It") is None
    with pytest.raises(CredentialsError, match="was not encrypted for"):
        refuse_unopenable(recipients, Decryption(processes, keys[1].identity), "It")
    with pytest.raises(CredentialsError, match="no identity"):
        refuse_unopenable(recipients, Decryption(processes), "It")
    with pytest.raises(ClientError, match="malformed recipient"):
        try_recipients(processes, ["age1none"])


def test_an_identity_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "identity"
    with pytest.raises(CredentialsError, match="There is no age identity"):
        read_identity(path)
    path.write_bytes(b"AGE-SECRET-KEY-1X")
    path.chmod(0o604)
    with pytest.raises(CredentialsError, match=r"mode 0604.*chmod 0600"):
        read_identity(path)
    path.chmod(0o400)
    assert read_identity(path) == AgeIdentity(path, b"AGE-SECRET-KEY-1X")
    assert "SECRET" not in repr(read_identity(path))
    for other in (tmp_path, tmp_path / "pipe"):
        if other.name == "pipe":
            os.mkfifo(other, 0o600)
        with pytest.raises(CredentialsError, match=r"not a regular file|cannot be read"):
            read_identity(other)
    # systemd hands a service what is root's, or a word in its place.
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "passed"))
    (tmp_path / "passed").mkdir()
    passed = tmp_path / "passed" / "age-identity"
    passed.write_bytes(b"AGE-SECRET-KEY-1Y")
    passed.chmod(0o440)
    assert configured_identity(Path("/root/identity")) == AgeIdentity(Path("/root/identity"), b"AGE-SECRET-KEY-1Y")
    passed.write_bytes(b"absent")
    with pytest.raises(CredentialsError, match="There is no age identity /root/identity"):
        configured_identity(Path("/root/identity"))
