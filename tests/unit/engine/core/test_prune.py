# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Retention at work: what it removes, what it leaves alone, what it puts on record, and what a crash leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.core.catalog import FAILED, LOST, SUCCESS, VANISHED
from vya_backupdb.core.holds import put_hold, take_hold_off
from vya_backupdb.core.locks import artifact_in_use, database_lock
from vya_backupdb.core.manifest import seal_document
from vya_backupdb.core.marks import Mark, damage_path, hold_path, read_mark, write_mark
from vya_backupdb.core.retention import INTERRUPTED, accept_database, databases_of, prune_database
from vya_backupdb.errors import ArtifactError, LockedError
from vya_backupdb.reports import HoldReport, RetentionReport
from vya_backupdb.security.audit import AuditLog

ID, SHOP = "prod", "shop"
ManifestOf = Callable[[Path], Path]


def prune(host: Any, dry_run: bool = False) -> RetentionReport:
    return prune_database(host.context, ID, SHOP, dry_run)


def names(entries: tuple[dict[str, Any], ...]) -> set[Path]:
    return {Path(entry["artifact"]) for entry in entries}


def reasons(report: RetentionReport, artifact: Path) -> list[str]:
    return next(e["reasons"] for e in (*report.kept, *report.removed) if e["artifact"] == str(artifact))


def edit(manifest: Path, **changes: Any) -> None:
    manifest.write_bytes(seal_document({**json.loads(manifest.read_text()), **changes}))


def test_what_is_spent_goes_and_is_on_record_with_its_reason(host: Any, manifest_of: ManifestOf) -> None:
    artifacts = host.nights(4)
    foretold = prune(host, dry_run=True)
    assert all(path.exists() for path in artifacts)
    report = prune(host)
    assert names(report.removed) == names(foretold.removed) == set(artifacts[2:])
    assert names(report.kept) == set(artifacts[:2])
    assert not any(path.exists() or manifest_of(path).exists() or path.parent.exists() for path in artifacts[2:])
    runs = host.catalog.runs("retention")
    assert {(run.artifact, run.outcome, run.reason) for run in runs} == {
        (str(path), SUCCESS, "beyond 2 days, 0 weeks and 0 months") for path in artifacts[2:]
    }
    assert {(line["artifact"], line["reason"]) for line in host.audited()} == {
        (str(path), "beyond 2 days, 0 weeks and 0 months") for path in artifacts[2:]
    }
    assert prune(host).changed is False


@pytest.mark.parametrize(
    ("kind", "outcome", "why"),
    [
        ("backup", FAILED, "The newest backup run failed"),
        ("backup", VANISHED, "The newest backup run vanished"),
        ("restore", LOST, "may have lost the database"),
        ("restore", VANISHED, "may have lost the database"),
    ],
)
def test_nothing_goes_while_the_last_run_speaks_against_it(host: Any, kind: str, outcome: str, why: str) -> None:
    artifacts = host.nights(4)
    host.run(kind, outcome)
    report = prune(host)
    assert report.changed is False
    assert why in report.held[0]["reason"]
    assert all(path.exists() for path in artifacts)
    assert names(report.kept) == set(artifacts)
    host.run(kind, SUCCESS)
    assert names(prune(host).removed) == set(artifacts[2:])


def test_a_clock_set_back_does_not_hide_the_newest_failure(host: Any) -> None:
    host.nights(4)
    host.run("backup", SUCCESS)
    host.clock.now -= timedelta(days=300)
    host.run("backup", FAILED)
    host.clock.now += timedelta(days=300)
    assert "The newest backup run failed" in prune(host).held[0]["reason"]


def test_a_lost_database_may_be_accepted(host: Any) -> None:
    artifacts = host.nights(4)
    host.run("restore", LOST)
    assert accept_database(host.context, ID, SHOP, "rebuilt by hand", dry_run=True)
    assert prune(host).held
    assert accept_database(host.context, ID, SHOP, "rebuilt by hand", dry_run=False)
    assert not accept_database(host.context, ID, SHOP, "again", dry_run=False)
    assert names(prune(host).removed) == set(artifacts[2:])
    (record,) = host.catalog.runs("acceptance")
    assert (record.reason, record.artifact) == ("rebuilt by hand", str(artifacts[0]))


def test_a_shrink_holds_until_it_is_accepted(host: Any) -> None:
    artifacts = host.nights(5, rows=100)
    host.artifact(rows=1)  # in place of the newest
    report = prune(host)
    assert report.changed is False
    assert "less than 50% of what is normal" in report.held[0]["reason"]
    assert f"vya-backupdb accept {ID} {SHOP}" in report.held[0]["reason"]
    assert all(path.exists() for path in artifacts)
    assert accept_database(host.context, ID, SHOP, "", dry_run=False)
    assert names(prune(host).removed) == set(artifacts[2:])


def test_a_shrink_is_over_with_a_normal_artifact(host: Any) -> None:
    host.artifact(host.clock() - timedelta(hours=2), rows=1)
    old = host.nights(5, rows=100)
    assert prune(host).held
    host.artifact(host.clock() - timedelta(hours=1), rows=90)
    assert names(prune(host).removed) >= set(old[2:])


def test_accepting_nothing_is_refused(host: Any) -> None:
    with pytest.raises(ArtifactError, match="no artifact of prod/shop"):
        accept_database(host.context, ID, SHOP, "", dry_run=False)


def test_a_hold_outlives_the_catalog(host: Any) -> None:
    artifacts = host.nights(4)
    audit = AuditLog(host.root / "state" / "audit.log", host.clock)
    assert put_hold(artifacts[3], "before the migration", audit, host.clock, dry_run=True).changed
    assert read_mark(hold_path(artifacts[3])) is None
    done = put_hold(artifacts[3], "before the migration", audit, host.clock, dry_run=False)
    assert (done.before, done.hold) == (None, "before the migration")
    assert not put_hold(artifacts[3], "", audit, host.clock, dry_run=False).changed
    assert not put_hold(artifacts[3], "before the migration", audit, host.clock, dry_run=False).changed
    host.catalog.path.unlink(missing_ok=True)
    report = prune(host)
    assert reasons(report, artifacts[3]) == ["held: before the migration"]
    assert artifacts[3].exists()
    assert not artifacts[2].exists()
    assert not take_hold_off(artifacts[0], audit, dry_run=False).changed
    assert take_hold_off(artifacts[3], audit, dry_run=True).changed
    assert take_hold_off(artifacts[3], audit, dry_run=False) == HoldReport(
        True, str(artifacts[3]), "before the migration", None
    )
    assert prune(host).changed
    assert not artifacts[3].parent.exists()
    assert [(line["operation"], line["database"]) for line in host.audited() if line["operation"] != "retention"] == [
        ("hold", SHOP),
        ("release", SHOP),
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"reason": 1}'])
def test_a_hold_that_cannot_be_read_holds(host: Any, content: bytes) -> None:
    artifacts = host.nights(4)
    hold_path(artifacts[3]).write_bytes(content)
    assert "cannot be read" in reasons(prune(host), artifacts[3])[0]


def test_a_hold_that_comes_at_the_last_moment_holds(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = host.nights(4)
    plan = "vya_backupdb.core.retention.removal_order"
    from vya_backupdb.core.retention_plan import removal_order

    def hold_then_order(decisions: Any) -> Any:
        write_mark(hold_path(artifacts[3]), Mark("just now", "me", host.clock()))
        return removal_order(decisions)

    monkeypatch.setattr(plan, hold_then_order)
    assert "held" in reasons(prune(host), artifacts[3])[0]
    assert artifacts[3].exists()


def test_what_is_being_read_stays(host: Any) -> None:
    artifacts = host.nights(4)
    with artifact_in_use(artifacts[3]), artifact_in_use(artifacts[3]):
        report = prune(host)
    assert artifacts[3].exists()
    assert "in use" in reasons(report, artifacts[3])[0]
    assert names(report.removed) == {artifacts[2]}
    assert names(prune(host).removed) == {artifacts[3]}


def test_what_the_one_that_stays_needs_stays_too(host: Any) -> None:
    artifacts = host.nights(3)
    artifacts.append(host.artifact(host.clock() - timedelta(days=9)))
    artifacts.append(host.artifact(host.clock() - timedelta(days=8), needs=(artifacts[3].name,)))
    with artifact_in_use(artifacts[4]):
        report = prune(host)
    assert artifacts[3].exists()
    assert reasons(report, artifacts[3]) == ["needed by one that stays"]
    assert names(report.removed) == {artifacts[2]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hostname": "db2"}, "of another host"),
        ({"database": "wiki"}, "of another database"),
        ({"database_id": "test"}, "of another database"),
        ({"artifact": "x.sql.gz"}, "contradicts its name"),
        ({"created_at": "2006-06-11T00:00:00Z"}, "contradicts its name"),
        ({"created_at": "yesterday"}, "is damaged"),
        ({"proof": "sealee"}, "is damaged"),
        ({"plain_bytes": None}, "is damaged"),
        ({"schema_version": "1"}, "is damaged"),
    ],
)
def test_what_is_not_recognised_is_left_alone(
    host: Any, manifest_of: ManifestOf, changes: dict[str, Any], why: str
) -> None:
    artifacts = host.nights(4)
    edit(manifest_of(artifacts[3]), **changes)
    report = prune(host)
    assert artifacts[3].exists()
    assert manifest_of(artifacts[3]).exists()
    assert why in reasons(report, artifacts[3])[0]
    assert names(report.removed) == {artifacts[2]}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_manifest_that_is_none_is_left_alone(host: Any, manifest_of: ManifestOf, content: bytes) -> None:
    artifacts = host.nights(4)
    manifest_of(artifacts[3]).write_bytes(content)
    assert names(prune(host).removed) == {artifacts[2]}


def test_nothing_goes_beside_artifacts_of_a_later_engine(host: Any, manifest_of: ManifestOf) -> None:
    artifacts = host.nights(4)
    edit(manifest_of(artifacts[0]), schema_version=99)
    report = prune(host)
    assert "of a later engine" in report.held[0]["reason"]
    assert all(path.exists() for path in artifacts)


def test_foreign_files_and_links_are_left_alone(host: Any, manifest_of: ManifestOf) -> None:
    artifacts = host.nights(4)
    folder = artifacts[3].parent
    elsewhere = host.root / "elsewhere"
    elsewhere.mkdir()
    os.rename(artifacts[3], elsewhere / "precious")
    artifacts[3].symlink_to(elsewhere / "precious")
    (folder / "notes.txt").write_text("mine")
    (folder / "other_20260101_000000.sql.gz").write_text("no manifest")
    linked_day = folder.parent / "2020-01-01"
    linked_day.symlink_to(artifacts[2].parent)
    before = sorted(path.name for path in folder.iterdir())
    report = prune(host)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (elsewhere / "precious").exists()
    assert names(report.removed) == {artifacts[2]}
    assert linked_day.is_symlink()


def test_a_damaged_one_is_never_the_newest(host: Any) -> None:
    artifacts = host.nights(4)
    for path in artifacts[:3]:
        write_mark(damage_path(path), Mark("bits were lost", "me", host.clock()))
    report = prune(host)
    assert reasons(report, artifacts[3])[0] == "newest"
    assert names(report.removed) == {artifacts[2]}
    assert not damage_path(artifacts[2]).exists()


@pytest.mark.parametrize("left", ["manifest", "manifest and mark"])
def test_an_interrupted_removal_is_finished(host: Any, manifest_of: ManifestOf, left: str) -> None:
    artifacts = host.nights(3)
    host.catalog.start("retention", ID, SHOP, artifact=str(artifacts[2]), reason="beyond 2 days")
    artifacts[2].unlink()  # and then the machine stopped
    if left == "manifest and mark":
        write_mark(damage_path(artifacts[2]), Mark("bits were lost"))
    foretold = prune(host, dry_run=True)
    assert manifest_of(artifacts[2]).exists()
    report = prune(host)
    assert names(foretold.removed) == names(report.removed) == {artifacts[2]}
    assert reasons(report, artifacts[2]) == [INTERRUPTED, "beyond 2 days"]
    assert not artifacts[2].parent.exists()
    assert host.catalog.runs("retention", limit=1)[0].reason == INTERRUPTED
    assert prune(host).changed is False


def test_an_artifact_that_somebody_else_took_is_reported(host: Any, manifest_of: ManifestOf) -> None:
    artifacts = host.nights(3)
    artifacts[0].unlink()
    report = prune(host)
    assert report.missing == (str(artifacts[0]),)
    assert manifest_of(artifacts[0]).exists()
    assert artifacts[1].exists()


def test_the_lock_is_held_meanwhile(host: Any) -> None:
    artifacts = host.nights(4)
    with database_lock(host.context.lock_directory, ID, SHOP, "a backup"):
        with pytest.raises(LockedError, match="in use by a backup"):
            prune(host)
        assert names(prune(host, dry_run=True).removed) == set(artifacts[2:])
    assert all(path.exists() for path in artifacts)


def test_partial_files_of_the_dead_go(host: Any) -> None:
    (artifact,) = host.nights(1)
    dead = artifact.with_name(".x.sql.gz.partial")
    dead.write_bytes(b"")
    prune(host, dry_run=True)
    assert dead.exists()
    prune(host)
    assert not dead.exists()


def test_a_removal_that_fails_is_reported_and_ends_it(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = host.nights(5)
    unlink = Path.unlink

    def refuse(path: Path, **options: Any) -> None:
        if path == artifacts[4]:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    report = prune(host)
    assert not report.ok
    assert "Operation not permitted" in report.failed[0]["error"]
    assert all(path.exists() for path in artifacts)
    assert host.catalog.runs("retention")[0].outcome == FAILED


def test_databases_are_found_by_their_directories(host: Any) -> None:
    odd = "a/b%2F. é"
    host.artifact(database=odd)
    host.artifact(database="x").unlink()
    assert databases_of(*host.storage.names()) == [(ID, odd), (ID, "x")]
    assert prune_database(host.context, ID, odd, True).kept[0]["database"] == odd
