# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Encrypted artifacts: what a verification proves, what retention makes of that, how segments are read."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.core import packed as packed_module
from vya_backupdb.core import segment_load
from vya_backupdb.core.catalog import FAILED, SUCCESS
from vya_backupdb.core.encryption import Decryption, Encryptor
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.marks import damage_path
from vya_backupdb.core.packed import opened
from vya_backupdb.core.retention import prune_database
from vya_backupdb.core.storage import StoredArtifact, find_artifact
from vya_backupdb.core.verification import prove_new, verify_and_record
from vya_backupdb.errors import CredentialsError, DamageError
from vya_backupdb.security.age_identity import AgeIdentity, read_identity
from vya_backupdb.utils.processes import ProcessTable


@dataclasses.dataclass
class Key:
    """An identity and its public key."""

    identity: AgeIdentity
    recipient: str


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """An identity."""
    path = tmp_path_factory.mktemp("keys") / "identity"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    done = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True)
    return Key(read_identity(path), done.stdout.strip())


@pytest.fixture
def artifact(host: Any, key: Key) -> Callable[..., Path]:
    """Make an encrypted artifact."""

    def make(content: bytes = b"", **facts: Any) -> Path:
        plain: Path = host.artifact(**facts)
        path = plain.with_name(plain.name + ".age")
        output = bytearray()
        with Encryptor(ProcessTable(), [key.recipient], output.extend) as encryptor:
            encryptor.write(content or plain.read_bytes())
            encryptor.finish()
        path.write_bytes(output)
        manifest = find_artifact(plain).manifest
        dataclasses.replace(
            manifest,
            artifact=path.name,
            stored_bytes=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            encryption={"method": "age", "recipients": [key.recipient]},
        ).write(path.parent)
        for old in (plain, plain.with_name(plain.name + ".manifest.json")):
            old.unlink()
        return path

    return make


def test_a_verification_proves_what_it_can(host: Any, key: Key, artifact: Callable[..., Path]) -> None:
    path = artifact()
    result, record = verify_and_record(host.context, find_artifact(path))
    assert (result.outcome, result.proof, record.outcome) == (SUCCESS, "checksum", SUCCESS)
    assert "no identity" in str(result.note)
    assert prove_new(host.context, path, lambda _progress: None).proof == "checksum"
    context = dataclasses.replace(host.context, identity=key.identity)
    assert verify_and_record(context, find_artifact(path))[0].proof == "verified"
    again = verify_and_record(host.context, find_artifact(path))[0]
    assert (again.proof, find_artifact(path).manifest.proof) == ("verified", "verified")
    context = dataclasses.replace(host.context, identity=CredentialsError("It cannot be read."))
    failed = verify_and_record(context, find_artifact(path))[0]
    assert (failed.outcome, failed.error, failed.note) == (FAILED, "It cannot be read.", None)
    assert not damage_path(path).exists()


def test_without_an_identity_damage_is_found_too(host: Any, artifact: Callable[..., Path]) -> None:
    path = artifact()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert verify_and_record(host.context, find_artifact(path))[0].outcome == FAILED
    assert damage_path(path).exists()


def test_a_stopped_verification_is_no_finding(host: Any, artifact: Callable[..., Path]) -> None:
    path, context = artifact(), host.context
    context.processes.cancel()
    result = verify_and_record(context, find_artifact(path))[0]
    assert "the run was stopped" in str(result.error)
    assert not damage_path(path).exists()


def test_retention_is_content_with_a_checksum(host: Any, artifact: Callable[..., Path]) -> None:
    host.policy["verification"] = {"before_retention": True}
    nights = [artifact(moment=host.clock() - timedelta(days=days, hours=12)) for days in range(4)]
    report = prune_database(host.context, "prod", "shop", False)
    assert {Path(one["artifact"]) for one in report.removed} == set(nights[2:])
    assert [find_artifact(path).manifest.proof for path in nights[:2]] == ["checksum"] * 2
    assert len(host.catalog.runs("verification")) == 2
    prune_database(host.context, "prod", "shop", False)
    assert len(host.catalog.runs("verification")) == 2


def test_another_method_is_refused(host: Any, artifact: Callable[..., Path]) -> None:
    path = artifact()
    manifest = find_artifact(path).manifest
    dataclasses.replace(manifest, encryption={"method": "rot13"}).write(path.parent)
    result = verify_and_record(host.context, find_artifact(path))[0]
    assert "the method 'rot13', which this engine does not know" in str(result.error)


class TestSegments:
    """Reading single segments of what age decrypts."""

    texts = tuple(bytes([letter]) * 300_000 for letter in b"abcdef")

    @pytest.fixture
    def stored(self, artifact: Callable[..., Path]) -> StoredArtifact:
        """An artifact of six segments."""
        members = [gzip.compress(text, 0) for text in self.texts]
        offsets = [sum(map(len, members[:number])) for number in range(len(members))]
        segments = tuple(
            Segment("rows", offset, len(member), 300_000, 1, {"t": 1})
            for offset, member in zip(offsets, members, strict=True)
        )
        return find_artifact(artifact(b"".join(members), segments=segments))

    def test_they_are_read_in_their_order_and_again(self, key: Key, stored: StoredArtifact) -> None:
        segments, processes = stored.manifest.segments, ProcessTable()
        with opened(stored, Decryption(processes, key.identity)) as packed:
            for number in (1, 2, 4):
                assert gzip.decompress(b"".join(packed.stream(segments[number]))) == self.texts[number]
            packed.seek(segments[5])
            held = packed.fetch(segments[5])
            packed.seek(segments[0])
            other = packed.fetch(segments[0])
            assert gzip.decompress(b"".join(held)) == self.texts[5]
            assert gzip.decompress(b"".join(other)) == self.texts[0]
        assert not processes._children

    def test_a_small_one_is_kept_for_another_reading(
        self, key: Key, stored: StoredArtifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segments, begun = stored.manifest.segments, 0
        begin = packed_module._Encrypted._begin

        def noted(packed: packed_module._Encrypted) -> Any:
            nonlocal begun
            begun += 1
            return begin(packed)

        monkeypatch.setattr(packed_module._Encrypted, "_begin", noted)
        with opened(stored, Decryption(ProcessTable(), key.identity)) as packed:
            for _again in range(3):
                packed.seek(segments[2])
                assert gzip.decompress(b"".join(packed.stream(segments[2]))) == self.texts[2]
            assert begun == 1
            assert gzip.decompress(b"".join(packed.stream(segments[3]))) == self.texts[3]
            packed.seek(segments[2])
            assert begun == 2

    def test_who_cannot_decrypt_reads_nothing(self, stored: StoredArtifact) -> None:
        with pytest.raises(CredentialsError, match="no identity"), opened(stored, Decryption(ProcessTable())):
            pass

    def test_damage_is_no_end(self, key: Key, stored: StoredArtifact) -> None:
        content = bytearray(stored.path.read_bytes())
        content[len(content) // 2] ^= 1
        stored.path.write_bytes(content)
        decryption = Decryption(ProcessTable(), key.identity)
        with opened(stored, decryption) as packed, pytest.raises(DamageError, match="SHA-256"):
            list(packed.stream(stored.manifest.segments[5]))

    def test_what_is_too_large_to_be_held_is_loaded_by_one_client(
        self, stored: StoredArtifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert segment_load._can_be_shared(stored)
        monkeypatch.setattr(segment_load, "_HELD_BYTES", 300_000)
        assert not segment_load._can_be_shared(stored)
        plain = dataclasses.replace(stored, manifest=dataclasses.replace(stored.manifest, encryption=None))
        assert segment_load._can_be_shared(plain)
