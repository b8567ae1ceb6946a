# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Encrypted artifacts: only who holds the identity reads them, and who does not is told so before anything changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fingerprint import compare
from servers import Host, Server

from vya_backupdb.core import load_plan, segment_load, segmentation
from vya_backupdb.core.backup import Progress
from vya_backupdb.core.marks import damage_path
from vya_backupdb.core.segmentation import ROWS
from vya_backupdb.core.storage import find_artifact
from vya_backupdb.db import clients
from vya_backupdb.engine import Engine
from vya_backupdb.errors import CredentialsError, DamageError, RestoreError

COUNT = "SELECT count(*) FROM item;"
MARKER = "a row that nobody may find 4f1b"


@dataclass
class Key:
    """An age identity and its public key."""

    path: Path
    recipient: str


def make_key(path: Path) -> Key:
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    done = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True)
    return Key(path, done.stdout.strip())


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return make_key(tmp_path / "identity")


@pytest.fixture
def encrypted(host: Host, key: Key) -> Host:
    """A host that encrypts for the key, which it does not have."""
    host.write(policies=[policy(key)])
    return host


def policy(key: Key, **more: Any) -> dict[str, Any]:
    return {"name": "safe", "encryption": {"recipients": [key.recipient]}, **more}


def with_key(host: Host, key: Key) -> Engine:
    engine = host.engine()
    engine.use_identity(key.path)
    return engine


def backup(host: Host, server: Server, database: str) -> Path:
    report = host.engine().backup(database_id=server.database_id, databases=[database])
    assert report.ok, report.to_dict()
    return Path(str(report.results[0].artifact))


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_sample_comes_back_whole(
    server: Server, encrypted: Host, key: Key, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 2000)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 200)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    shared: list[int] = []
    run = segment_load._SharedStep.run

    def noted(step: segment_load._SharedStep, clients: int) -> None:
        shared.extend(step._step.segments)
        run(step, clients)

    monkeypatch.setattr(segment_load._SharedStep, "run", noted)
    server.load_sample("vya_sample")
    try:
        before = server.fingerprint("vya_sample")
        artifact = backup(encrypted, server, "vya_sample")
        server.drop("vya_sample")

        with_key(encrypted, key).restore(database_id=server.database_id, database="vya_sample", jobs=jobs)

        assert compare(before, server.fingerprint("vya_sample")) == []
    finally:
        server.drop("vya_sample")
    rows = [number for number, part in enumerate(find_artifact(artifact).manifest.segments) if part.kind == ROWS]
    assert set(shared) <= set(rows)
    assert (len(shared) > 4) == (jobs > 1)


def test_many_segments_are_loaded_by_several_clients(
    server: Server,
    encrypted: Host,
    key: Key,
    make_database: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 200_000)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    name = make_database("vya_wide", "CREATE TABLE wide (id integer PRIMARY KEY, content text);")
    rows = ",".join(f"({n},'{hashlib.sha512(str(n).encode()).hexdigest() * 20}')" for n in range(2000))
    server.sql(f"INSERT INTO wide VALUES {rows};", name)
    artifact = backup(encrypted, server, name)
    assert sum(part.kind == ROWS for part in find_artifact(artifact).manifest.segments) > 4
    target = make_database("vya_wide_copy")

    engine = with_key(encrypted, key)
    engine.restore(database_id=server.database_id, database=name, target=target, overwrite=True, jobs=4)

    content = "SELECT * FROM wide ORDER BY id;"
    assert server.sql(content, target) == server.sql(content, name)


def test_the_artifact_says_how_to_decrypt_it_and_does(server: Server, encrypted: Host, key: Key, shop: str) -> None:
    artifact = backup(encrypted, server, shop)
    manifest = find_artifact(artifact).manifest
    assert artifact.name.endswith(".sql.gz.age")
    assert manifest.format == "sql.gz.age"
    assert manifest.encryption == {"method": "age", "recipients": [key.recipient]}
    assert manifest.stored_bytes == artifact.stat().st_size
    assert manifest.sha256 == hashlib.sha256(artifact.read_bytes()).hexdigest()
    by_hand = manifest.restore_by_hand.replace(artifact.name, str(artifact)).replace("IDENTITY", str(key.path))
    try:
        if server.kind == "mysql":
            server.sql("CREATE DATABASE vya_by_hand;")
            user = []
        else:
            user = ["runuser", "-u", "postgres", "--"]
            key.path.chmod(0o644)
            subprocess.run(["chmod", "-R", "a+rX", encrypted.root, *encrypted.root.parents[:3]], check=True)
        script = "set -euo pipefail; " + by_hand.replace("NEW_DATABASE", "vya_by_hand")
        done = subprocess.run([*user, "bash", "-c", script], capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
        assert server.sql(COUNT, "vya_by_hand") == "3"
    finally:
        server.drop("vya_by_hand")
    # Its segments are those of the compressed stream.
    decrypted = subprocess.run(["age", "-d", "-i", key.path, artifact], capture_output=True, check=True).stdout
    ends = [segment.offset + segment.length for segment in manifest.segments]
    assert ends[-1] == len(decrypted)
    assert all(decrypted[end : end + 2] in (b"\x1f\x8b", b"") for end in ends)


def test_listing_retention_and_holds_know_its_name(server: Server, encrypted: Host, key: Key, shop: str) -> None:
    encrypted.write(policies=[policy(key, retention={"daily": 1, "weekly": 0, "monthly": 0})])
    held, spent, newest = (backup(encrypted, server, shop) for _ in range(3))
    engine = encrypted.engine()
    engine.hold(artifact=held)
    listed = engine.info(database_id=server.database_id, database=shop).artifacts
    assert [(Path(one["artifact"]), one["encrypted"]) for one in listed] == [
        (newest, True),
        (spent, True),
        (held, True),
    ]

    report = engine.prune(database_id=server.database_id, database=shop)

    assert [Path(one["artifact"]) for one in report.removed] == [spent]
    # What stays was read back first, as far as that can be done without an identity.
    assert {find_artifact(path).manifest.proof for path in (held, newest)} <= {"checksum", "sealed"}
    assert find_artifact(newest).manifest.proof == "checksum"


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "in the header": lambda path: flip(path, 60),
    "in the payload": lambda path: flip(path, path.stat().st_size - 40),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 100),
    "empty": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_before_anything_changes(
    server: Server, encrypted: Host, key: Key, shop: str, damage: str
) -> None:
    artifact = backup(encrypted, server, shop)
    DAMAGES[damage](artifact)
    before = server.fingerprint(shop)

    with pytest.raises(DamageError, match="is damaged"):
        with_key(encrypted, key).restore(database_id=server.database_id, database=shop, overwrite=True)

    assert server.fingerprint(shop) == before
    # Without an identity too a verification finds it.
    (result,) = encrypted.engine().verify().results
    assert (result.outcome, result.note) == ("failed", None)
    assert damage_path(artifact).exists()


def test_without_the_right_identity_nothing_is_restored(
    server: Server, encrypted: Host, key: Key, shop: str, tmp_path: Path
) -> None:
    backup(encrypted, server, shop)
    restore = {"database_id": server.database_id, "database": shop, "target": "vya_not_made"}
    with pytest.raises(CredentialsError, match=r"encrypted with age, and there is no identity.*--identity"):
        encrypted.engine().restore(**restore)
    other = make_key(tmp_path / "other")
    with pytest.raises(CredentialsError, match=f"was not encrypted for the identity {other.path}"):
        with_key(encrypted, other).restore(**restore)
    (tmp_path / "none").write_text("AGE-SECRET-KEY-1NOTHING\n")
    (tmp_path / "none").chmod(0o600)
    with pytest.raises(CredentialsError, match="age cannot use the identity") as refused:
        with_key(encrypted, Key(tmp_path / "none", "")).restore(**restore)
    assert "NOTHING" not in str(refused.value)
    key.path.chmod(0o640)
    with pytest.raises(CredentialsError, match=r"open to other users \(mode 0640\)"):
        with_key(encrypted, key)
    assert not server.exists("vya_not_made")


def test_a_configured_identity_is_used(server: Server, encrypted: Host, key: Key, shop: str) -> None:
    backup(encrypted, server, shop)
    encrypted.write(age_identity_file=str(key.path))
    try:
        encrypted.engine().restore(database_id=server.database_id, database=shop, target="vya_copy")
        assert server.sql(COUNT, "vya_copy") == "3"
    finally:
        server.drop("vya_copy")
    key.path.unlink()
    with pytest.raises(CredentialsError, match="There is no age identity"):
        encrypted.engine().restore(database_id=server.database_id, database=shop, target="vya_copy")
    assert backup(encrypted, server, shop).exists()  # backups need none


def test_a_verification_says_what_it_could_see(server: Server, encrypted: Host, key: Key, shop: str) -> None:
    encrypted.write(policies=[policy(key, verification={"after_backup": True})])
    report = encrypted.engine().backup(database_id=server.database_id, databases=[shop])
    assert report.results[0].proof == "checksum"
    artifact = Path(str(report.results[0].artifact))

    (result,) = encrypted.engine().verify().results
    assert (result.outcome, result.proof) == ("success", "checksum")
    assert "Checksum only: there is no identity to decrypt it with" in str(result.note)

    (result,) = with_key(encrypted, key).verify().results
    assert (result.outcome, result.proof, result.note) == ("success", "verified", None)
    assert find_artifact(artifact).manifest.proof == "verified"

    # A weaker proof takes nothing away from a stronger one.
    (result,) = encrypted.engine().verify().results
    assert (result.proof, bool(result.note)) == ("verified", True)


def test_a_verification_with_the_wrong_identity_fails_and_marks_nothing(
    server: Server, encrypted: Host, shop: str, tmp_path: Path
) -> None:
    artifact = backup(encrypted, server, shop)
    (result,) = with_key(encrypted, make_key(tmp_path / "other")).verify().results
    assert result.outcome == "failed"
    assert "was not encrypted for the identity" in str(result.error)
    assert not damage_path(artifact).exists()


def test_age_killed_in_mid_dump_leaves_no_artifact(server: Server, encrypted: Host, shop: str) -> None:
    engine = encrypted.engine()
    killed: list[str] = []

    def kill(progress: Progress) -> None:
        for child in list(engine._processes._children) if progress.phase == "dumping" else ():
            if child.program == "age":
                killed.append(child.program)
                child.kill()

    report = engine.backup(database_id=server.database_id, databases=[shop], progress=kill)

    assert killed
    assert "age failed (killed by SIGKILL)" in str(report.results[0].error)
    assert not [path for path in encrypted.files() if ".sql" in path]


def test_a_recipient_that_age_refuses_fails_the_backup(server: Server, encrypted: Host, key: Key, shop: str) -> None:
    wrong = key.recipient[:-1] + ("q" if key.recipient[-1] != "q" else "p")
    encrypted.write(policies=[policy(Key(key.path, wrong))])
    report = encrypted.engine().backup(database_id=server.database_id, databases=[shop])
    assert "age failed (exit code 1): malformed recipient" in str(report.results[0].error)
    assert not [path for path in encrypted.files() if ".sql" in path]
    (check,) = (
        one
        for one in encrypted.engine().check().checks
        if one["database_id"] == server.database_id and one["check"] == "encryption"
    )
    assert check["status"] == "failed"


def test_without_age_nothing_is_begun(
    server: Server, encrypted: Host, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vya_backupdb.core.encryption.find_program", lambda _name: None)
    report = encrypted.engine().backup(database_id=server.database_id, databases=[shop])
    assert "Install the package age" in str(report.results[0].error)
    report = encrypted.engine().backup(database_id=server.database_id, databases=[shop], dry_run=True)
    assert "Install the package age" in str(report.results[0].error)
    assert encrypted.files() == {}
    monkeypatch.undo()
    assert clients.find_program("age")


def test_one_table_is_taken_out(
    server: Server, encrypted: Host, key: Key, make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 1)
    name = make_database("vya_tables")
    for table in ("a_first", "b_wanted", "c_last"):
        server.sql(f"CREATE TABLE {table} (id integer); INSERT INTO {table} VALUES (1), (2), (3);", name)
    backup(encrypted, server, name)
    table = "b_wanted" if server.kind == "mysql" else "public.b_wanted"
    what = {"database_id": server.database_id, "database": name, "table": table}
    with pytest.raises(CredentialsError, match="no identity"):
        next(encrypted.engine().extract(**what))
    target = make_database("vya_extracted")

    server.sql(b"".join(with_key(encrypted, key).extract(**what)).decode(), target)

    assert server.sql("SELECT id FROM b_wanted ORDER BY id;", target).split() == ["1", "2", "3"]


@pytest.mark.parametrize("algorithm", ["none", "zstd"])
def test_no_row_is_on_the_disk_in_clear(
    server: Server, encrypted: Host, key: Key, make_database: Callable[..., str], algorithm: str
) -> None:
    name = make_database("vya_secret", f"CREATE TABLE item (t text); INSERT INTO item VALUES ('{MARKER}');")
    encrypted.write(policies=[policy(key, compression={"algorithm": algorithm})])
    seen: list[int] = []

    def look(_progress: Progress) -> None:
        files = [path for path in encrypted.root.rglob("*") if path.is_file()]
        seen.append(sum(MARKER.encode() in path.read_bytes() for path in files))

    engine = with_key(encrypted, key)
    report = engine.backup(database_id=server.database_id, databases=[name], progress=look)
    assert report.ok, report.to_dict()
    engine.restore(database_id=server.database_id, database=name, overwrite=True, progress=look)
    assert server.sql("SELECT t FROM item;", name) == MARKER
    assert set(seen) == {0}
    if algorithm == "none":  # what this test would find
        encrypted.write(policies=[{"name": "open", "compression": {"algorithm": "none"}}])
        backup(encrypted, server, name)
        look(Progress("", "", ""))
        assert seen[-1] == 1


def test_what_is_replaced_in_place_can_be_brought_back(
    server: Server, host: Host, key: Key, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = backup(host, server, shop)
    host.write(policies=[policy(key)])
    server.sql("DELETE FROM item WHERE id = 3;", shop)
    restore = {"database_id": server.database_id, "database": shop, "artifact": plain, "overwrite": True}
    if server.kind == "postgresql":  # which loads beside the old one, and needs no backup of it
        host.engine().restore(**restore)
        assert server.sql(COUNT, shop) == "3"
        return
    for engine, reason in (
        (host.engine(), "there is no identity"),
        (with_key(host, make_key(tmp_path / "other")), "was not encrypted for the identity"),
    ):
        for dry_run in (True, False):
            with pytest.raises(CredentialsError, match=f"could not be brought back.*{reason}.*Nothing was changed"):
                engine.restore(**restore, dry_run=dry_run)
    assert server.sql(COUNT, shop) == "2"
    assert len(host.engine().info().artifacts) == 1

    def fail(*_arguments: Any) -> None:
        raise RestoreError("Something is missing.")

    with monkeypatch.context() as patched:
        patched.setattr("vya_backupdb.core.restore.refuse_other_objects", fail)
        with pytest.raises(RestoreError, match=r"was brought back from its safety backup .*\.age"):
            with_key(host, key).restore(**restore)
    assert server.sql(COUNT, shop) == "2"

    report = with_key(host, key).restore(**restore)
    assert str(report.safety_backup).endswith(".sql.gz.age")
    assert server.sql(COUNT, shop) == "3"


def test_check_says_who_can_decrypt(server: Server, encrypted: Host, key: Key, tmp_path: Path) -> None:
    def found() -> tuple[str, str]:
        checks = encrypted.engine().check(database_id=server.database_id).checks
        (check,) = (one for one in checks if one["check"] == "encryption")
        return check["status"], check["detail"]

    assert found() == (
        "ok",
        "age encrypts for 1 recipient; this host has no identity to decrypt it: artifacts are verified by checksum.",
    )
    encrypted.write(age_identity_file=str(key.path))
    assert found() == ("ok", "age encrypts for 1 recipient; this host decrypts it.")
    encrypted.write(age_identity_file=str(make_key(tmp_path / "other").path))
    assert found()[0] == "warning"


def test_a_drill_needs_the_identity(server: Server, encrypted: Host, key: Key, shop: str) -> None:
    if server.kind == "mysql":
        time.sleep(2.5)  # a change within the second of the dump's beginning cannot be told from none
    artifact = backup(encrypted, server, shop)
    (result,) = encrypted.engine().drill(database_id=server.database_id, database=shop).results
    assert result.outcome == "not possible"
    assert "there is no identity" in str(result.error)

    # A path that is short enough for sockets, and that a server may look into.
    with tempfile.TemporaryDirectory(prefix="vya-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o755)
        encrypted.write(drill={"directory": f"{scratch}/s", "memory": "64MiB"})
        (result,) = with_key(encrypted, key).drill(database_id=server.database_id, database=shop).results

    assert (result.outcome, result.error) == ("success", None)
    assert find_artifact(artifact).manifest.proof == "restored"
