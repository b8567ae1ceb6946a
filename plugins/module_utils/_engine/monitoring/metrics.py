# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics for Prometheus, by way of node_exporter's textfile collector.

They are a pure function of the catalog and the storage: counters are counted from the records each time, so they
survive restarts and upgrades, and two processes never disagree.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..config import Config
from ..core.catalog import (
    ALL_DATABASES,
    FAILED,
    IMPOSSIBLE,
    LOST,
    RESTORE_SECONDS,
    SUCCESS,
    VANISHED,
    Catalog,
    RunRecord,
)
from ..core.listing import Entry
from ..core.storage import Storage
from ..errors import StorageError
from ..utils.files import write_atomically
from .tally import Tally

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

    from ..core.events import Batch

PREFIX = "vya_backupdb_"
FILE_NAME = "vya_backupdb.prom"
# Seconds, from a small database to the longest night.
DURATION_BUCKETS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200)
_DATABASE = ("database_id", "database")


def collect(config: Config, catalog: Catalog, artifacts: Sequence[Entry]) -> CollectorRegistry:
    """Return all metrics of this host.

    Args:
        config: What is configured; gauges speak of its instances only.
        catalog: The records of all runs.
        artifacts: The artifacts that exist.

    Raises:
        StorageError: The catalog cannot be read.
    """
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(_CatalogCollector(config, Tally.of(catalog.history(), DURATION_BUCKETS), artifacts))
    return registry


class MetricsObserver:
    """Writes the metrics where node_exporter reads them, at the end of each command."""

    def __init__(self, config: Config, catalog: Catalog) -> None:
        """Take what the metrics are made of.

        Args:
            config: The host's configuration.
            catalog: The records of all runs.
        """
        self._config = config
        self._catalog = catalog

    def run_finished(self, record: RunRecord) -> None:
        """Do nothing: the file is written once for all runs of a command."""

    def batch_finished(self, batch: Batch) -> None:
        """Write the metrics file as a whole.

        Raises:
            StorageError: The catalog cannot be read, or the file not be written.
        """
        directory = self._config.metrics.textfile_directory
        if directory is None:
            return
        from prometheus_client import generate_latest

        artifacts, _orphans = Storage(self._config.storage.root, self._config.hostname).names()
        text = generate_latest(collect(self._config, self._catalog, artifacts))
        try:
            write_atomically(directory / FILE_NAME, text, 0o644)
        except OSError as exc:
            raise StorageError(
                f"The metrics cannot be written to {directory}: {exc.strerror}.",
                "Apply the role vya.backupdb.metrics, which makes that directory writable for the user vya-backupdb.",
            ) from None


class _CatalogCollector:
    """Turns records and artifacts into metrics, anew for each collection."""

    def __init__(self, config: Config, runs: Tally, artifacts: Sequence[Entry]) -> None:
        self._config = config
        self._runs = runs
        self._artifacts = artifacts

    def collect(self) -> Iterator[Metric]:
        yield self._totals("backup", "backups", "Backups that have ended, by outcome.")
        yield self._totals("restore", "restores", "Restores that have ended, by outcome.")
        yield self._totals("verification", "verifications", "Verifications of artifacts that have ended, by outcome.")
        yield self._totals("retention", "removals", "Removals of artifacts by retention that have ended, by outcome.")
        yield self._totals("drill", "drills", "Drills that have ended, by outcome.")
        yield from self._last_drills()
        yield self._errors()
        yield from self._last_backups()
        yield from self._storage()
        yield self._durations("backup")
        yield self._durations("restore")
        yield self._sizes("backup", "Stored size of the artifacts made.")
        yield self._sizes("restore", "Stored size of the artifacts restored.")

    def _totals(self, kind: str, name: str, text: str) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(PREFIX + name, text, labels=(*_DATABASE, "outcome"))
        for (counted, *labels), count in sorted(self._runs.outcomes.items()):
            if counted == kind:
                family.add_metric(labels, count)
        return family

    def _errors(self) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(
            f"{PREFIX}errors",
            "Operations of any kind that failed, or vanished together with their process.",
            labels=(*_DATABASE, "operation", "outcome"),
        )
        for (kind, database_id, database, outcome), count in sorted(self._runs.outcomes.items()):
            if outcome in (FAILED, VANISHED, LOST, IMPOSSIBLE):
                family.add_metric((database_id, database, kind, outcome), count)
        return family

    def _last_backups(self) -> Iterator[Metric]:
        configured = {instance.database_id for instance in self._config.instances}
        last, good = (
            {name: run for name, run in runs.get("backup", {}).items() if name[0] in configured}
            for runs in (self._runs.last, self._runs.last_success)
        )
        yield _gauge(
            "last_backup_status",
            "Whether the last backup that ended succeeded (1) or not (0); database * is an instance out of reach.",
            {key: float(record.outcome == SUCCESS) for key, record in last.items()},
        )
        yield _gauge(
            "last_success_timestamp_seconds",
            "When the last successful backup began; its data is of that time.",
            {key: record.started_at.timestamp() for key, record in good.items()},
        )
        yield _gauge(
            "last_backup_duration_seconds",
            "How long the last successful backup took.",
            {key: record.duration for key, record in good.items()},
        )
        yield _gauge(
            "last_backup_size_bytes",
            "Stored size of the last successful backup.",
            {key: record.stored_bytes for key, record in good.items()},
        )
        yield self._configured(last)

    def _last_drills(self) -> Iterator[Metric]:
        last, good = self._runs.last.get("drill", {}), self._runs.last_success.get("drill", {})
        yield _gauge(
            "last_drill_status",
            "Whether the last drill that ended proved its artifact (1) or not (0), also where it was not possible.",
            {key: float(record.outcome == SUCCESS) for key, record in last.items()},
        )
        yield _gauge(
            "last_drill_timestamp_seconds",
            "When the last drill began.",
            {key: record.started_at.timestamp() for key, record in last.items()},
        )
        yield _gauge(
            "last_drill_success_timestamp_seconds",
            "When the last drill began that proved its artifact.",
            {key: record.started_at.timestamp() for key, record in good.items()},
        )
        yield _gauge(
            "last_drill_restore_seconds",
            "How long the restore took in the last drill that proved its artifact.",
            {
                key: float(record.traces[RESTORE_SECONDS])
                for key, record in good.items()
                if RESTORE_SECONDS in record.traces
            },
        )

    def _configured(self, last: Iterable[tuple[str, str]]) -> Metric:
        """Databases that have come up in a backup and that the configuration still covers."""
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(
            f"{PREFIX}configured_databases",
            "Databases of the instance that the policies cover, as far as a backup has come across them.",
            labels=("database_id",),
        )
        policies = self._config.policies
        covered = Counter(
            database_id
            for database_id, database in last
            if database != ALL_DATABASES
            and any(p.covers_instance(database_id) and p.covers_database(database) for p in policies)
        )
        for instance in self._config.instances:
            family.add_metric([instance.database_id], covered[instance.database_id])
        return family

    def _storage(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        used, damaged, held = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for entry in self._artifacts:
            name = (entry.database_id, entry.database)
            used[name] += entry.stored_bytes
            damaged[name] += entry.damaged
            held[name] += entry.held
        yield _gauge("disk_usage_bytes", "Stored size of all artifacts that exist.", used)
        yield _gauge("damaged_artifacts", "Artifacts that a verification has found damaged.", damaged)
        yield _gauge("held_artifacts", "Artifacts that somebody keeps from being removed.", held)
        root = self._config.storage.root
        family = GaugeMetricFamily(
            f"{PREFIX}disk_free_bytes", "Space left where artifacts are stored.", labels=("root",)
        )
        with contextlib.suppress(StorageError):  # without a value its absence can be seen
            family.add_metric([str(root)], Storage(root, self._config.hostname).free_bytes())
        yield family

    def _durations(self, kind: str) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(
            f"{PREFIX}{kind}_duration_seconds", f"How long each successful {kind} took.", labels=_DATABASE
        )
        limits = [*(str(float(limit)) for limit in DURATION_BUCKETS), "+Inf"]
        for (counted, *labels), durations in sorted(self._runs.durations.items(), key=lambda item: item[0]):
            if counted == kind:
                buckets = list(zip(limits, itertools.accumulate(durations.buckets), strict=True))
                family.add_metric(labels, buckets, sum_value=durations.seconds)
        return family

    def _sizes(self, kind: str, text: str) -> Metric:
        from prometheus_client.core import SummaryMetricFamily

        family = SummaryMetricFamily(f"{PREFIX}{kind}_size_bytes", text, labels=_DATABASE)
        for (counted, *labels), sizes in sorted(self._runs.sizes.items(), key=lambda item: item[0]):
            if counted == kind:
                family.add_metric(labels, count_value=sizes.number, sum_value=sizes.stored_bytes)
        return family


def _gauge(name: str, text: str, values: Mapping[tuple[str, str], float | None]) -> Metric:
    """A gauge with a value for each database; a value that is not known is left out."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, text, labels=_DATABASE)
    for labels, value in sorted(values.items()):
        if value is not None:
            family.add_metric(labels, value)
    return family
