# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics as a function of the catalog, read back with Prometheus's own parser."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from vya_backupdb.config import Config, Instance, Policy
from vya_backupdb.config_file import parse_config
from vya_backupdb.core.catalog import Catalog
from vya_backupdb.core.catalog_schema import DURATION_LIMITS
from vya_backupdb.core.events import Batch
from vya_backupdb.core.listing import Entry
from vya_backupdb.core.storage import Storage
from vya_backupdb.errors import StorageError
from vya_backupdb.monitoring.metrics import MetricsObserver, exposition

START = datetime(2026, 1, 9, 2, 0, 0, tzinfo=timezone.utc)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Host:
    """A host with a catalog and a clock that the test moves."""

    config: Config
    catalog: Catalog
    now: datetime = START

    def run(self, kind: str = "backup", database: str = "shop", outcome: str = "success", **facts: Any) -> None:
        """Put a run on record that takes as many seconds as are given, and lasts until now."""
        seconds = facts.pop("seconds", 10)
        record = self.catalog.start(kind, facts.pop("database_id", "prod"), database)
        self.now += timedelta(seconds=seconds)
        if outcome != "running":
            self.catalog.finish(record.run_id, outcome, **facts)

    def samples(self, artifacts: list[Entry] | None = None) -> Samples:
        """All samples, by name and labels, as Prometheus would read them."""
        return read(b"".join(exposition(self.config, self.catalog, artifacts or [])).decode())


def read(text: str) -> Samples:
    """Parse the text format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(name: str, database: str = "shop", database_id: str = "prod", **labels: str) -> tuple[str, Any]:
    """A sample's key."""
    labels |= {"database": database, "database_id": database_id}
    return (f"vya_backupdb_{name}", frozenset(labels.items()))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with one instance, whose policy leaves ``tmp_*`` out."""
    config = parse_config(
        {
            "hostname": "db1",
            "storage": {"root": str(tmp_path / "storage")},
            "state_directory": str(tmp_path),
            "instances": [{"database_id": "prod", "dbms": "mariadb"}],
            "policies": [{"name": "nightly", "exclude": ["tmp_*"]}],
            "metrics": {"textfile_directory": str(tmp_path / "textfile")},
        },
        "config.yml",
    )
    (tmp_path / "textfile").mkdir()
    host = Host(config, Catalog(tmp_path / "catalog.sqlite3", clock=lambda: host.now))
    return host


def test_runs_are_counted_by_outcome(host: Host) -> None:
    for outcome in ("success", "success", "failed", "vanished", "running"):
        host.run(outcome=outcome)
    host.run("restore")
    host.run("restore", outcome="failed")
    host.run("verification", outcome="failed")
    samples = host.samples()
    assert samples[of("backups_total", outcome="success")] == 2
    assert samples[of("backups_total", outcome="failed")] == 1
    assert samples[of("backups_total", outcome="vanished")] == 1
    assert of("backups_total", outcome="running") not in samples
    assert samples[of("restores_total", outcome="success")] == 1
    assert samples[of("restores_total", outcome="failed")] == 1
    assert samples[of("errors_total", operation="backup", outcome="failed")] == 1
    assert samples[of("errors_total", operation="backup", outcome="vanished")] == 1
    assert samples[of("errors_total", operation="restore", outcome="failed")] == 1
    assert samples[of("errors_total", operation="verification", outcome="failed")] == 1
    assert sum(value for (name, _), value in samples.items() if name == "vya_backupdb_errors_total") == 4


def test_the_last_drill(host: Host) -> None:
    host.run("drill")
    host.catalog.note(host.catalog.runs("drill")[0].run_id, {"restore_seconds": "12.5"})
    host.run("drill", outcome="not possible")
    abroad = host.catalog.start("drill", "prod", "shop")
    host.catalog.note(abroad.run_id, {"origin": "another-host"})
    host.catalog.finish(abroad.run_id, "success")
    samples = host.samples()
    assert samples[of("last_drill_status")] == 0
    assert samples[of("last_drill_success_timestamp_seconds")] == START.timestamp()
    assert samples[of("last_drill_timestamp_seconds")] >= START.timestamp()
    assert samples[of("last_drill_restore_seconds")] == 12.5
    assert samples[of("drills_total", outcome="not possible")] == 1
    assert samples[of("errors_total", operation="drill", outcome="not possible")] == 1
    assert of("last_backup_status") not in samples


class TestLastBackup:
    """Gauges speak of the last backup, or of the last good one."""

    def test_success(self, host: Host) -> None:
        host.run(seconds=42, stored_bytes=1000)
        samples = host.samples()
        assert samples[of("last_backup_status")] == 1
        assert samples[of("last_success_timestamp_seconds")] == START.timestamp()
        assert samples[of("last_backup_duration_seconds")] == 42
        assert samples[of("last_backup_size_bytes")] == 1000

    def test_a_failure_after_a_success(self, host: Host) -> None:
        host.run(seconds=42, stored_bytes=1000)
        host.run(seconds=1, outcome="failed")
        samples = host.samples()
        assert samples[of("last_backup_status")] == 0
        assert samples[of("last_success_timestamp_seconds")] == START.timestamp()
        assert samples[of("last_backup_duration_seconds")] == 42
        assert samples[of("last_backup_size_bytes")] == 1000

    def test_a_success_after_a_failure(self, host: Host) -> None:
        host.run(outcome="failed")
        host.run()
        assert host.samples()[of("last_backup_status")] == 1

    def test_a_failure_shows_although_the_clock_was_set_back_before_it(self, host: Host) -> None:
        host.run()
        host.now -= timedelta(hours=1)
        host.run(outcome="failed")
        assert host.samples()[of("last_backup_status")] == 0

    def test_never_a_success(self, host: Host) -> None:
        host.run(outcome="failed")
        samples = host.samples()
        assert samples[of("last_backup_status")] == 0
        assert of("last_success_timestamp_seconds") not in samples

    def test_other_operations_say_nothing_of_it(self, host: Host) -> None:
        host.run("restore")
        assert of("last_backup_status") not in host.samples()

    def test_an_unreachable_instance_shows_until_it_is_back(self, host: Host) -> None:
        host.run(database="*", outcome="failed")
        assert host.samples()[of("last_backup_status", database="*")] == 0
        host.run(database="shop")
        assert of("last_backup_status", database="*") not in host.samples()
        host.run(database="*", outcome="failed")
        assert host.samples()[of("last_backup_status", database="*")] == 0

    def test_an_instance_that_is_no_longer_configured_raises_no_alarm(self, host: Host) -> None:
        host.run(database_id="gone", outcome="failed")
        samples = host.samples()
        assert of("last_backup_status", database_id="gone") not in samples
        assert samples[of("backups_total", database_id="gone", outcome="failed")] == 1


def test_configured_databases(host: Host) -> None:
    names = (("vya_backupdb_configured_databases", frozenset({("database_id", "prod")})),)
    assert host.samples()[names[0]] == 0
    for database in ("shop", "shop", "crm", "tmp_1", "*"):
        host.run(database=database)
    assert host.samples()[names[0]] == 2


def test_durations_are_a_histogram(host: Host) -> None:
    for seconds in (0.5, 1, 61, 50000):
        host.run(seconds=seconds)
    host.run(seconds=7, outcome="failed")
    samples = host.samples()
    counts = [samples[of("backup_duration_seconds_bucket", le=str(float(limit)))] for limit in DURATION_LIMITS]
    assert counts == [2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]
    assert samples[of("backup_duration_seconds_bucket", le="+Inf")] == 4
    assert samples[of("backup_duration_seconds_count")] == 4
    assert samples[of("backup_duration_seconds_sum")] == pytest.approx(50062.5)
    host.run("restore", seconds=20)
    assert host.samples()[of("restore_duration_seconds_sum")] == 20


def test_sizes_are_a_summary(host: Host) -> None:
    host.run(stored_bytes=100)
    host.run(stored_bytes=250)
    host.run(outcome="failed", stored_bytes=999)
    host.run("restore", stored_bytes=100)
    samples = host.samples()
    assert samples[of("backup_size_bytes_count")] == 2
    assert samples[of("backup_size_bytes_sum")] == 350
    assert samples[of("restore_size_bytes_sum")] == 100


def stored(root: Path, database: str, size: int, held: bool = False, damaged: bool = False) -> Entry:
    """An artifact as the storage lists it."""
    path = root / f"{database}-{size}.sql.gz"
    path.write_bytes(b"x" * size)
    return Entry(path, "prod", database, START, held, damaged)


def test_disk_usage_is_what_exists(host: Host, tmp_path: Path) -> None:
    host.run(stored_bytes=5000)
    shop = [stored(tmp_path, "shop", 100, held=True), stored(tmp_path, "shop", 30, held=True, damaged=True)]
    gone = stored(tmp_path, "crm", 8)
    gone.path.unlink()
    samples = host.samples([*shop, stored(tmp_path, "crm", 7), gone])
    assert samples[of("disk_usage_bytes")] == 130
    assert samples[of("disk_usage_bytes", database="crm")] == 7
    assert (samples[of("held_artifacts")], samples[of("damaged_artifacts")]) == (2, 1)
    assert samples[of("damaged_artifacts", database="crm")] == 0
    root = frozenset({("root", str(tmp_path / "storage"))})
    assert samples["vya_backupdb_disk_free_bytes", root] > 0


def test_an_unknown_free_space_is_left_out(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Storage) -> int:
        raise StorageError("It cannot be examined.")

    monkeypatch.setattr(Storage, "free_bytes", fail)
    assert not any(name == "vya_backupdb_disk_free_bytes" for name, _ in host.samples())


def test_every_metric_is_explained_and_a_host_without_runs_has_metrics(host: Host) -> None:
    text = b"".join(exposition(host.config, host.catalog, [])).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    explained = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP") and len(line.split()) > 4}
    assert names == explained
    assert {name.removeprefix("vya_backupdb_") for name in names} == {
        "backups_total",
        "restores_total",
        "verifications_total",
        "drills_total",
        "last_drill_status",
        "last_drill_timestamp_seconds",
        "last_drill_success_timestamp_seconds",
        "last_drill_restore_seconds",
        "removals_total",
        "errors_total",
        "last_backup_status",
        "last_success_timestamp_seconds",
        "last_backup_duration_seconds",
        "last_backup_size_bytes",
        "configured_databases",
        "disk_usage_bytes",
        "damaged_artifacts",
        "held_artifacts",
        "disk_free_bytes",
        "backup_duration_seconds",
        "restore_duration_seconds",
        "backup_size_bytes",
        "restore_size_bytes",
    }


@pytest.mark.parametrize("lines", [1, 2, 13])
def test_text_in_pieces_is_the_same_text(host: Host, monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    for database in ("shop", "crm", "# HELP\n# TYPE"):
        host.run(database=database, stored_bytes=5)
    host.run("restore", outcome="failed")
    monkeypatch.setattr(Storage, "free_bytes", lambda _self: 1)
    (whole, *_more), text = with_size(host, monkeypatch, 1000)
    pieces, same = with_size(host, monkeypatch, lines)
    assert same == text
    assert whole.startswith(b"# HELP ")
    assert max(sum(not line.startswith(b"#") for line in piece.splitlines()) for piece in pieces) <= lines


def with_size(host: Host, monkeypatch: pytest.MonkeyPatch, lines: int) -> tuple[list[bytes], bytes]:
    """The pieces of so many lines each, and what they are together."""
    monkeypatch.setattr("vya_backupdb.monitoring.metrics._AT_A_TIME", lines)
    pieces = list(exposition(host.config, host.catalog, []))
    return pieces, b"".join(pieces)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(database=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_of_a_database_survives_the_format(tmp_path_factory: Any, database: str) -> None:
    path = tmp_path_factory.mktemp("catalog") / "catalog.sqlite3"
    catalog = Catalog(path)
    catalog.finish(catalog.start("backup", "prod", database).run_id, "success")
    config = Config(
        hostname="db1", instances=(Instance(database_id="prod", dbms="mariadb"),), policies=(Policy(name="a"),)
    )
    text = b"".join(exposition(config, catalog, [])).decode()
    assert "\n\n" not in text
    assert database == "*" or f'status{{database="{escaped(database)}",database_id="prod"}} 1.0\n' in text


def escaped(text: str) -> str:
    """A label's value as the text format wants it."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class TestObserver:
    """The file is written once for each command, as a whole."""

    def test_it_writes_what_collect_says(self, host: Host, tmp_path: Path) -> None:
        host.run()
        previous = os.umask(0o077)
        try:
            MetricsObserver(host.config, host.catalog).batch_finished(Batch("backup", None, "timer", ()))
        finally:
            os.umask(previous)
        path = tmp_path / "textfile" / "vya_backupdb.prom"
        assert read(path.read_text()).keys() == host.samples().keys()
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert [entry.name for entry in path.parent.iterdir()] == ["vya_backupdb.prom"]

    def test_it_follows_the_catalog(self, host: Host, tmp_path: Path) -> None:
        observer = MetricsObserver(host.config, host.catalog)
        for count in (1, 2):
            host.run()
            observer.batch_finished(Batch("backup", None, "timer", ()))
            samples = read((tmp_path / "textfile" / "vya_backupdb.prom").read_text())
            assert samples[of("backups_total", outcome="success")] == count

    def test_single_runs_write_nothing(self, host: Host, tmp_path: Path) -> None:
        host.run()
        MetricsObserver(host.config, host.catalog).run_finished(host.catalog.runs()[0])
        assert list((tmp_path / "textfile").iterdir()) == []

    def test_without_a_directory_nothing_is_written(self, host: Host, tmp_path: Path) -> None:
        config = host.config.model_copy(update={"metrics": Config().metrics})
        MetricsObserver(config, host.catalog).batch_finished(Batch("backup", None, "timer", ()))
        assert list((tmp_path / "textfile").iterdir()) == []

    def test_a_missing_directory_is_explained(self, host: Host, tmp_path: Path) -> None:
        (tmp_path / "textfile").rmdir()
        with pytest.raises(StorageError, match=r"No such file.*vya\.backupdb\.metrics"):
            MetricsObserver(host.config, host.catalog).batch_finished(Batch("backup", None, "timer", ()))


def test_the_clock_of_the_fixture_is_what_records_say(host: Host) -> None:
    host.run(seconds=3)
    [record] = host.catalog.runs()
    assert record.started_at == START
    assert record.duration == 3
