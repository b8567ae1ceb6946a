# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics for Prometheus, by way of node_exporter's textfile collector.

They are a pure function of the catalog and the storage: counters are what the catalog has added up, so they survive
restarts and upgrades, and two processes never disagree.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
from ..core.catalog_schema import DURATION_LIMITS
from ..core.listing import Entry
from ..core.storage import Storage
from ..errors import StorageError
from ..utils.files import write_pieces_atomically

if TYPE_CHECKING:
    from prometheus_client import Metric

    from ..core.events import Batch

PREFIX = "vya_backupdb_"
FILE_NAME = "vya_backupdb.prom"
_DATABASE = ("database_id", "database")
_AT_A_TIME = 200  # databases, or lines of text, that are in memory: all of thousands are tens of megabytes
_HEADERS = re.compile(rb"^# .*\n", re.MULTILINE)

Name = tuple[str, str]  # instance, database


def exposition(config: Config, catalog: Catalog, artifacts: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the text that node_exporter reads, in pieces.

    Args:
        config: What is configured; gauges speak of its instances only.
        catalog: The records of all runs.
        artifacts: The artifacts that exist.

    Raises:
        StorageError: The catalog cannot be read.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    former = ""
    for metric in _Metrics(config, catalog, artifacts).all():
        for start in range(0, max(1, len(metric.samples)), _AT_A_TIME):
            piece = copy.copy(metric)
            piece.samples = metric.samples[start : start + _AT_A_TIME]
            registry = CollectorRegistry()
            registry.register(_Collected(piece))
            text = generate_latest(registry)
            yield _HEADERS.sub(b"", text) if metric.name == former else text
            former = metric.name


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
        listed = Storage(self._config.storage.root, self._config.hostname).walk()
        artifacts = (each for each in listed if isinstance(each, Entry))
        text = exposition(self._config, self._catalog, artifacts)
        try:
            write_pieces_atomically(directory / FILE_NAME, text, 0o644)
        except OSError as exc:
            raise StorageError(
                f"The metrics cannot be written to {directory}: {exc.strerror}.",
                "Apply the role vya.backupdb.metrics, which makes that directory writable for the user vya-backupdb.",
            ) from None


class _Collected:
    """Hands on a metric as it is."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


class _Metrics:
    """Turns records and artifacts into metrics, one after the other."""

    def __init__(self, config: Config, catalog: Catalog, artifacts: Iterable[Entry]) -> None:
        self._config = config
        self._catalog = catalog
        self._artifacts = artifacts

    def all(self) -> Iterator[Metric]:
        """Yield each metric; one of very many samples in several pieces."""
        yield self._totals("backup", "backups", "Backups that have ended, by outcome.")
        yield self._totals("restore", "restores", "Restores that have ended, by outcome.")
        yield self._totals("verification", "verifications", "Verifications of artifacts that have ended, by outcome.")
        yield self._totals("retention", "removals", "Removals of artifacts by retention that have ended, by outcome.")
        yield self._totals("drill", "drills", "Drills that have ended, by outcome.")
        yield from self._last_drills()
        yield self._errors()
        yield from self._last_backups()
        yield from self._storage()
        yield from self._durations("backup")
        yield from self._durations("restore")
        yield self._sizes("backup", "Stored size of the artifacts made.")
        yield self._sizes("restore", "Stored size of the artifacts restored.")

    def _totals(self, kind: str, name: str, text: str) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(PREFIX + name, text, labels=(*_DATABASE, "outcome"))
        for total in self._catalog.totals(kind):
            family.add_metric((total.database_id, total.database, total.outcome), total.runs)
        return family

    def _errors(self) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(
            f"{PREFIX}errors",
            "Operations of any kind that failed, or vanished together with their process.",
            labels=(*_DATABASE, "operation", "outcome"),
        )
        for outcome in (FAILED, VANISHED, LOST, IMPOSSIBLE):
            for total in self._catalog.totals(outcome=outcome):
                family.add_metric((total.database_id, total.database, total.kind, outcome), total.runs)
        return family

    def _last_backups(self) -> Iterator[Metric]:
        configured = {instance.database_id for instance in self._config.instances}
        last, good = (
            {name: run for name, run in self._last_of("backup", outcome).items() if name[0] in configured}
            for outcome in (None, SUCCESS)
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
        last, good = self._last_of("drill"), self._last_of("drill", SUCCESS)
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

        used, damaged, held = Counter[Name](), Counter[Name](), Counter[Name]()
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

    def _durations(self, kind: str) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        limits = [*(str(float(limit)) for limit in DURATION_LIMITS), "+Inf"]
        totals = self._catalog.totals(kind, SUCCESS)
        for start in range(0, max(1, len(totals)), _AT_A_TIME):
            family = HistogramMetricFamily(
                f"{PREFIX}{kind}_duration_seconds", f"How long each successful {kind} took.", labels=_DATABASE
            )
            for total in totals[start : start + _AT_A_TIME]:
                buckets = list(zip(limits, (*total.within, total.runs), strict=True))
                family.add_metric((total.database_id, total.database), buckets, sum_value=total.seconds)
            yield family

    def _sizes(self, kind: str, text: str) -> Metric:
        from prometheus_client.core import SummaryMetricFamily

        family = SummaryMetricFamily(f"{PREFIX}{kind}_size_bytes", text, labels=_DATABASE)
        for total in self._catalog.totals(kind, SUCCESS):
            if total.sized:
                labels = (total.database_id, total.database)
                family.add_metric(labels, count_value=total.sized, sum_value=total.stored_bytes)
        return family

    def _last_of(self, kind: str, outcome: str | None = None) -> dict[Name, RunRecord]:
        return {(run.database_id, run.database): run for run in self._catalog.last_ended(kind, outcome)}


def _gauge(name: str, text: str, values: Mapping[tuple[str, str], float | None]) -> Metric:
    """A gauge with a value for each database; a value that is not known is left out."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, text, labels=_DATABASE)
    for labels, value in sorted(values.items()):
        if value is not None:
            family.add_metric(labels, value)
    return family
