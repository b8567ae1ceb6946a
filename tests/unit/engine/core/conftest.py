# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A host without servers: its storage, its catalog, its audit log, and artifacts made without a dump."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.config_file import parse_config
from vya_backupdb.core.catalog import SUCCESS, Catalog, RunRecord
from vya_backupdb.core.context import Context
from vya_backupdb.core.events import Observers
from vya_backupdb.core.manifest import SUFFIX, Manifest, Segment
from vya_backupdb.core.storage import Storage, StoredArtifact, find_artifact
from vya_backupdb.errors import ServerError
from vya_backupdb.security.audit import AuditLog
from vya_backupdb.utils.processes import ProcessTable

ID, SHOP = "prod", "shop"
END = b"\n-- Dump completed on 2026-01-09 02:00:00\n"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 15, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now


class HostWithoutServers:
    """What the engine works with, without any server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Clock()
        self.policy: dict[str, Any] = {
            "name": "nightly",
            "retention": {"daily": 2, "weekly": 0, "monthly": 0},
            "verification": {"before_retention": False},
        }
        self.settings: dict[str, Any] = {}
        self.events: list[Any] = []
        (root / "state").mkdir()
        self.catalog = Catalog(root / "state" / "catalog.sqlite3", self.clock)
        self.storage = Storage(root / "backups", "db1")

    @property
    def context(self) -> Context:
        """All parts together, with the configuration as it is now."""
        document = {
            "hostname": "db1",
            "storage": {"root": str(self.root / "backups")},
            "state_directory": str(self.root / "state"),
            "instances": [{"database_id": ID, "dbms": "mariadb"}],
            "policies": [self.policy],
            **self.settings,
        }
        return Context(
            config=parse_config(document, "config.yml"),
            storage=self.storage,
            catalog=self.catalog,
            observers=Observers([AuditLog(self.root / "state" / "audit.log", self.clock), self]),
            processes=ProcessTable(),
            connect=self.connect,
            clock=self.clock,
            trigger="command",
        )

    def connect(self, instance: Any) -> Any:
        """No server answers."""
        raise ServerError(f"The server {instance.database_id} cannot be reached.")

    def run_finished(self, record: RunRecord) -> None:
        """Take note of what observers are told."""
        self.events.append(record)

    def batch_finished(self, batch: Any) -> None:
        """Take note of what observers are told."""
        self.events.append(batch)

    def artifact(self, moment: datetime | None = None, *, database: str = SHOP, rows: int = 1, **facts: Any) -> Path:
        """A sealed artifact made at that moment, 12 hours before the present unless given; nothing is on record."""
        moment = moment or self.clock() - timedelta(hours=12)
        path = self.storage.artifact_path(ID, database, moment)
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = b"INSERT INTO item VALUES (1);\n" * rows + END
        compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
        stored = compressor.compress(plain) + compressor.flush()
        path.write_bytes(stored)
        manifest = Manifest(
            artifact=path.name,
            hostname="db1",
            database_id=ID,
            database=database,
            created_at=moment,
            finished_at=moment,
            stored_bytes=len(stored),
            plain_bytes=len(plain),
            sha256=hashlib.sha256(stored).hexdigest(),
            dbms={"flavour": "mariadb", "version": "11.8.3", "description": "MariaDB 11.8.3"},
            tool={"name": "mariadb-dump", "version": "11.8.3", "arguments": []},
            compression={"algorithm": "gzip", "level": 1},
            settings={},
            inventory={},
            segments=(Segment("dump", 0, len(stored), len(plain)),),
            policy="nightly",
            run_id="r",
            engine_version="2",
            restore_by_hand="gunzip",
        )
        dataclasses.replace(manifest, **facts).write(path.parent)
        return path

    def artifact_in_segments(
        self, segments: Iterable[tuple[str, str, bytes, dict[str, int]]], **facts: Any
    ) -> StoredArtifact:
        """A sealed artifact of a dump that was cut: kind, what it continues, content and tables of each segment."""
        known: list[Segment] = []
        stored, plain_bytes = b"", 0
        for kind, continues, data, tables in segments:
            member = gzip.compress(data)
            known.append(Segment(kind, len(stored), len(member), len(data), 1, tables, continues))
            stored, plain_bytes = stored + member, plain_bytes + len(data)
        path = self.artifact(
            segments=tuple(known),
            stored_bytes=len(stored),
            plain_bytes=plain_bytes,
            sha256=hashlib.sha256(stored).hexdigest(),
            **facts,
        )
        path.write_bytes(stored)
        return find_artifact(path)

    def nights(self, count: int, **facts: Any) -> list[Path]:
        """Artifacts of so many nights, newest first."""
        return [self.artifact(self.clock() - timedelta(days=n, hours=12), **facts) for n in range(count)]

    def run(self, kind: str, outcome: str = SUCCESS, database: str = SHOP, **facts: Any) -> RunRecord:
        """Put a run on record."""
        return self.catalog.finish(self.catalog.start(kind, ID, database).run_id, outcome, **facts)

    def audited(self) -> list[dict[str, Any]]:
        """The lines of the audit log."""
        log = self.root / "state" / "audit.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> HostWithoutServers:
    """A host without servers."""
    return HostWithoutServers(tmp_path)


@pytest.fixture
def manifest_of() -> Callable[[Path], Path]:
    """Where an artifact's manifest is."""
    return lambda artifact: artifact.with_name(artifact.name + SUFFIX)
