# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The parallel strategy: what several processes dump into a directory comes back, and what is not whole is no backup."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fingerprint import compare
from servers import Host, Server

from vya_backupdb.core.manifest import Manifest, read_manifest
from vya_backupdb.core.storage import find_artifact

SAMPLE = "vya_sample"


@pytest.fixture(scope="module")
def postgresql(servers: dict[str, Server]) -> Server:
    """The server that this strategy is for."""
    return servers["postgresql"]


@pytest.fixture(scope="module")
def sampled(postgresql: Server) -> Iterator[dict[str, Any]]:
    """The sample database, and its fingerprint."""
    postgresql.load_sample(SAMPLE)
    yield postgresql.fingerprint(SAMPLE)
    postgresql.drop(SAMPLE)


@pytest.fixture
def parallel(host: Host) -> Host:
    """A host whose policy asks for directories."""
    return with_policy(host)


def with_policy(host: Host, **changes: Any) -> Host:
    policy = {"name": "parallel", "instances": ["test-postgresql"], "strategy": "parallel", **changes}
    host.write(policies=[policy])
    return host


def backup(host: Host, database: str) -> tuple[Path, Manifest]:
    report = host.engine().backup(database_id="test-postgresql", databases=[database])
    assert report.ok, report.to_dict()
    artifact = Path(str(report.results[0].artifact))
    return artifact, read_manifest(Path(str(report.results[0].manifest)))


def zstd_is_there(postgresql: Server) -> bool:
    return int(postgresql.sql("SHOW server_version_num;")) >= 160000


@pytest.mark.parametrize("algorithm", ["gzip", "zstd", "none"])
def test_a_database_comes_back_whole_from_a_directory(
    host: Host, postgresql: Server, sampled: dict[str, Any], algorithm: str
) -> None:
    with_policy(host, compression={"algorithm": algorithm, "level": "auto"}, checksums=["sha256", "md5"])
    if algorithm == "zstd" and not zstd_is_there(postgresql):
        (failed,) = host.engine().backup(database_id="test-postgresql", databases=[SAMPLE]).results
        assert "cannot compress with zstd" in str(failed.error)
        checks = host.engine().check("test-postgresql").checks
        assert [c["status"] for c in checks if c["check"] == "parallel"] == ["failed"]
        return
    artifact, manifest = backup(host, SAMPLE)

    assert artifact.name.endswith(".dump.d")
    assert artifact.is_dir()
    assert (manifest.strategy, manifest.format, manifest.segments) == ("parallel", "dump.d", ())
    assert {each.name: each.length for each in manifest.files} == {p.name: p.stat().st_size for p in artifact.iterdir()}
    assert manifest.stored_bytes == sum(each.length for each in manifest.files)
    for each in manifest.files:
        content = (artifact / each.name).read_bytes()
        assert each.sha256 == hashlib.sha256(content).hexdigest()
        assert each.md5 == hashlib.md5(content).hexdigest()
    by_hand = subprocess.run("sha256sum * | sha256sum", shell=True, cwd=artifact, capture_output=True, check=True)
    assert by_hand.stdout.split()[0].decode() == manifest.sha256
    assert stat_of(artifact) == 0o750
    assert {stat_of(path) for path in artifact.iterdir()} == {0o640}
    assert [path.name for path in artifact.parent.iterdir() if path.name.startswith(".")] == []

    assert host.engine().verify(database_id="test-postgresql", database=SAMPLE).ok
    assert find_artifact(artifact).manifest.proof == "verified"
    restored = host.engine().restore(database_id="test-postgresql", database=SAMPLE, overwrite=True)
    assert (restored.outcome, restored.overwritten) == ("success", True)
    assert compare(sampled, postgresql.fingerprint(SAMPLE)) == []


def stat_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777
