# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Verification: what it finds, what it marks, when it happens by policy."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vya_backupdb.core import verification
from vya_backupdb.core.backup import Progress
from vya_backupdb.core.catalog import FAILED, SUCCESS
from vya_backupdb.core.events import Batch
from vya_backupdb.core.locks import artifact_for_removal
from vya_backupdb.core.manifest import seal_document
from vya_backupdb.core.marks import damage_path, read_mark
from vya_backupdb.core.overview import summarize_host
from vya_backupdb.core.retention import prune_database
from vya_backupdb.core.storage import find_artifact
from vya_backupdb.core.verification import choose_to_verify, prove_new, verify_and_record, verify_several
from vya_backupdb.errors import ArtifactError
from vya_backupdb.reports import describe_artifact

ID, SHOP = "prod", "shop"


def verify(host: Any, artifact: Path) -> Any:
    return verify_and_record(host.context, find_artifact(artifact))[0]


def damage(artifact: Path) -> None:
    content = bytearray(artifact.read_bytes())
    content[len(content) // 2] ^= 1
    artifact.write_bytes(content)


def edit(artifact: Path, **changes: Any) -> None:
    manifest = artifact.with_name(artifact.name + ".manifest.json")
    manifest.write_bytes(seal_document({**json.loads(manifest.read_text()), **changes}))


def test_what_is_whole_is_verified(host: Any) -> None:
    artifact = host.artifact()
    result = verify(host, artifact)
    assert (result.outcome, result.proof, result.error) == (SUCCESS, "verified", None)
    assert find_artifact(artifact).manifest.proof == "verified"
    (record,) = host.catalog.runs("verification")
    assert (record.outcome, record.artifact, record.policy) == (SUCCESS, str(artifact), "nightly")


def test_what_is_damaged_is_marked_for_good(host: Any) -> None:
    artifact = host.artifact()
    sound = artifact.read_bytes()
    damage(artifact)
    result = verify(host, artifact)
    assert (result.outcome, result.proof) == (FAILED, None)
    mark = read_mark(damage_path(artifact))
    assert mark is not None
    assert "is damaged" in mark.reason
    assert find_artifact(artifact).manifest.proof == "sealed"
    assert describe_artifact(find_artifact(artifact))["damage"] == mark.reason
    assert mark.reason in summarize_host(host.context).problems[0]
    # A disk that gives other bytes the next time is not to be trusted.
    artifact.write_bytes(sound)
    again = verify(host, artifact)
    assert again.outcome == FAILED
    assert "reads whole now" in str(again.error)
    assert read_mark(damage_path(artifact)) == mark
    assert find_artifact(artifact).manifest.proof == "sealed"
    damage_path(artifact).unlink()
    assert verify(host, artifact).outcome == SUCCESS


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_found(host: Any, data: st.DataObject) -> None:
    artifact = host.artifact(rows=50)
    content = bytearray(artifact.read_bytes())
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    artifact.write_bytes(content)
    damage_path(artifact).unlink(missing_ok=True)
    assert verify(host, artifact).outcome == FAILED


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [{"kind": "dump", "offset": 0, "length": 5, "plain_length": 5}],
        [{"kind": "dump", "offset": 1, "length": 0, "plain_length": 0}],
    ],
)
def test_other_parts_than_the_manifest_says_are_damage(host: Any, segments: list[dict[str, Any]]) -> None:
    artifact = host.artifact()
    edit(artifact, segments=segments)
    error = str(verify(host, artifact).error)
    assert "other parts than its manifest says" in error or "its end is missing" in error


def test_what_cannot_be_read_is_a_failure_but_no_finding(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = host.artifact()

    def refuse(number: int) -> Callable[..., Any]:
        def read(*_arguments: Any) -> Any:
            raise OSError(number, os.strerror(number))

        return read

    monkeypatch.setattr(verification, "check_segments", refuse(errno.ESTALE))
    assert "cannot be read" in str(verify(host, artifact).error)
    assert not damage_path(artifact).exists()
    monkeypatch.setattr(verification, "check_segments", refuse(errno.EIO))
    assert "cannot be read" in str(verify(host, artifact).error)
    assert damage_path(artifact).exists(), "the disk says that the bytes are lost"


def test_what_retention_is_just_removing_is_left_to_it(host: Any) -> None:
    artifact = host.artifact()
    stored = find_artifact(artifact)
    with artifact_for_removal(artifact) as alone:
        assert alone
        result, _record = verify_and_record(host.context, stored)
    assert "just being removed" in str(result.error)
    assert not damage_path(artifact).exists()


def test_a_new_artifact_is_read_back_and_kept_aside_if_it_is_not_good(host: Any) -> None:
    told: list[Progress] = []
    artifact = host.artifact()
    assert prove_new(host.context, artifact, told.append).proof == "verified"
    assert {progress.phase for progress in told} == {"verifying"}
    edit(artifact, proof="sealed")
    damage(artifact)
    with pytest.raises(ArtifactError, match=r"The new artifact was read back and is not good: .* is damaged"):
        prove_new(host.context, artifact, told.append)
    assert artifact.exists()
    assert damage_path(artifact).exists()


def test_a_command_verifies_what_it_is_about_and_tells_the_observers(host: Any) -> None:
    host.settings["policies"] = [host.policy, {"name": "rest"}]
    host.policy["include"] = [SHOP]
    newest, older = host.nights(2)
    other = host.artifact(database="wiki")
    context = host.context
    policies = {policy.name: policy for policy in context.config.policies}

    def chosen(*arguments: Any) -> list[Path]:
        return [stored.path for stored in choose_to_verify(context, *arguments)]

    assert set(chosen(None, ID, None, None, False)) == {newest, older, other}
    assert chosen(None, ID, SHOP, None, True) == [newest]
    assert chosen(None, None, None, policies["nightly"], False) == [newest, older]
    assert chosen(None, None, None, policies["rest"], False) == [other]
    assert chosen(older, None, None, None, False) == [older]
    both = choose_to_verify(context, None, ID, SHOP, None, False)
    older.unlink()
    results = verify_several(context, both, "nightly")
    assert [(result.artifact, result.outcome) for result in results] == [(str(newest), SUCCESS)]
    batch = host.events[-1]
    assert isinstance(batch, Batch)
    assert (batch.kind, batch.policy, len(batch.records)) == ("verification", "nightly", 1)


def test_it_stops_when_it_is_told_to(host: Any) -> None:
    host.nights(2)
    context = host.context
    context.processes.cancel()
    assert verify_several(context, context.storage.artifacts()) == []


class TestBeforeRetention:
    """Nothing is removed until what stays has been read."""

    @pytest.fixture(autouse=True)
    def _policy(self, host: Any) -> None:
        host.policy.pop("verification")  # the default

    def test_what_stays_is_read_first(self, host: Any) -> None:
        artifacts = host.nights(4)
        report = prune_database(host.context, ID, SHOP, dry_run=True)
        assert len(report.removed) == 2
        assert find_artifact(artifacts[0]).manifest.proof == "sealed"
        report = prune_database(host.context, ID, SHOP, dry_run=False)
        assert len(report.removed) == 2
        assert [find_artifact(path).manifest.proof for path in artifacts[:2]] == ["verified"] * 2
        assert [run.artifact for run in host.catalog.runs("verification")] == [str(artifacts[1]), str(artifacts[0])]

    def test_nothing_is_read_where_nothing_goes(self, host: Any) -> None:
        host.nights(2)
        prune_database(host.context, ID, SHOP, dry_run=False)
        assert host.catalog.runs("verification") == []

    def test_what_is_verified_is_not_read_again(self, host: Any) -> None:
        host.nights(4, proof="verified")
        assert len(prune_database(host.context, ID, SHOP, dry_run=False).removed) == 2
        assert host.catalog.runs("verification") == []

    def test_in_place_of_a_damaged_one_an_older_one_stays(self, host: Any) -> None:
        artifacts = host.nights(5)
        damage(artifacts[0])
        damage(artifacts[1])
        report = prune_database(host.context, ID, SHOP, dry_run=False)
        left = {Path(entry["artifact"]) for entry in report.kept}
        assert left == set(artifacts[:4]), "two whole days, and the damaged ones for as long as they would have stayed"
        assert [find_artifact(path).manifest.proof for path in artifacts[2:4]] == ["verified"] * 2

    def test_when_all_are_damaged_nothing_good_is_lost(self, host: Any) -> None:
        artifacts = host.nights(7)
        for path in artifacts:
            damage(path)
        report = prune_database(host.context, ID, SHOP, dry_run=False)
        assert report.removed == ()
        assert all(path.exists() for path in artifacts)
        assert all(damage_path(path).exists() for path in artifacts)

    def test_what_cannot_be_read_holds_everything_back(self, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        artifacts = host.nights(4)

        def refuse(*_arguments: Any) -> Any:
            raise OSError(errno.ESTALE, "Stale file handle")

        monkeypatch.setattr(verification, "check_segments", refuse)
        report = prune_database(host.context, ID, SHOP, dry_run=False)
        assert "could not be read back: The artifact" in report.held[0]["reason"]
        assert all(path.exists() for path in artifacts)

    def test_a_stop_in_the_midst_removes_nothing(self, host: Any) -> None:
        artifacts = host.nights(4)
        context = host.context
        context.processes.cancel()
        report = prune_database(context, ID, SHOP, dry_run=False)
        assert "It was stopped" in report.held[0]["reason"]
        assert all(path.exists() for path in artifacts)

    def test_one_from_the_future_is_read_too(self, host: Any) -> None:
        future = host.artifact(host.clock() + timedelta(days=100))
        host.nights(4)
        prune_database(host.context, ID, SHOP, dry_run=False)
        assert find_artifact(future).manifest.proof == "verified"
