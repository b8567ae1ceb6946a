# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges what a fault has left behind: no false success, no good artifact lost, the next run works.

Artifacts are judged by what is in the files, without the engine: it must not be its own witness.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from servers import Host, Server

from .tool import KILLED, Ran, Tool

_ARTIFACT, _DIRECTORY, _MANIFEST = ".sql.gz", ".dump.d", ".manifest.json"
_UNFINISHED = (".partial", ".content", ".removed")
_END = re.compile(rb"\n-- (Dump completed|PostgreSQL database dump complete)")
_SUCCESSES = re.compile(r'^vya_backupdb_backups_total\{.*outcome="success".*\} (\S+)$', re.M)
_LAST = re.compile(r'^vya_backupdb_last_backup_status\{.*database="(.*?)".*\} (\S+)$', re.M)
_found_whole: dict[tuple[str, bytes], str] = {}


def damage(artifact: Path) -> str:
    """Say what is wrong with an artifact; nothing if it is whole."""
    path = artifact.with_name(artifact.name + _MANIFEST)
    if not path.exists():
        return "has no manifest"
    if artifact.is_dir():
        return _damage_of_directory(artifact, path)
    key = hashlib.sha256(path.read_bytes() + artifact.read_bytes()).hexdigest(), artifact.name.encode()
    if key not in _found_whole:
        _found_whole[key] = _damage(artifact, path)
    return _found_whole[key]


def _damage(artifact: Path, path: Path) -> str:
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError:
        return "has a manifest that is no JSON"
    stored = artifact.read_bytes()
    if (manifest["artifact"], manifest["stored_bytes"]) != (artifact.name, len(stored)):
        return "is not what its manifest is about"
    if manifest["sha256"] != hashlib.sha256(stored).hexdigest():
        return "has another checksum than its manifest says"
    try:
        plain = gzip.decompress(stored)
    except (OSError, EOFError) as exc:
        return f"cannot be decompressed: {exc}"
    return "" if _END.search(plain) else "has no end"


def _damage_of_directory(artifact: Path, path: Path) -> str:
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError:
        return "has a manifest that is no JSON"
    expected = {each["name"]: (each["length"], each["sha256"]) for each in manifest["files"]}
    found = {each.name: each.read_bytes() for each in artifact.iterdir()}
    if {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in found.items()} != expected:
        return "has other files than its manifest says"
    if manifest["artifact"] != artifact.name or not found["toc.dat"].startswith(b"PGDMP"):
        return "is not what its manifest is about"
    plain = [gzip.decompress(data) for name, data in found.items() if name.endswith(".dat.gz") and "blob" not in name]
    return "" if all(data.endswith(b"\\.\n\n\n") for data in plain) else "has no end"


def _content(name: str, data: bytes) -> object:
    """What must not change: all but the proof in a manifest, which grows when it is read back, and its seal."""
    if not name.endswith(_MANIFEST):
        return data
    try:
        return {**json.loads(data), "proof": None, "proven_at": None, "manifest_sha256": None}
    except ValueError:
        return data


class Snapshot:
    """The directories of a host as they are now, to be put back before the next fault."""

    def __init__(self, host: Host, keep: Path) -> None:
        self._host = host
        self._keep = keep
        shutil.rmtree(keep, ignore_errors=True)
        for directory in self._directories():
            if directory.exists():
                shutil.copytree(directory, keep / directory.name)

    def _directories(self) -> Iterator[Path]:
        for name in ("backups", "state", "metrics"):
            yield self._host.root / name

    def put_back(self) -> None:
        """Let the host be as it was."""
        for directory in self._directories():
            shutil.rmtree(directory, ignore_errors=True)
            if (self._keep / directory.name).exists():
                shutil.copytree(self._keep / directory.name, directory)


class Witness:
    """Remembers how a host was before a fault, and finds what must not be after it."""

    def __init__(self, host: Host, server: Server, database: str) -> None:
        self._host = host
        self._server = server
        self._database = database
        self.files = host.files()
        self.good = [path for path in self.artifacts() if not damage(path)]

    def artifacts(self) -> list[Path]:
        """All files with the final name of an artifact."""
        found = self._host.storage.rglob("[!.]*")
        return sorted(path for path in found if path.name.endswith((_ARTIFACT, _DIRECTORY)))

    def listed(self) -> list[Path]:
        """What the tool calls a backup of the database."""
        info = self._host.engine().info(database_id=self._server.database_id, database=self._database)
        return [Path(str(artifact["artifact"])) for artifact in info.artifacts]

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What is on record, the newest run first; read as any SQLite tool reads it."""
        path = self._host.root / "state" / "catalog.sqlite3"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
                return []
            rows = connection.execute("SELECT * FROM runs ORDER BY rowid DESC").fetchall()
        return [dict(row) for row in rows if kind in (None, row["kind"])]

    def is_running(self) -> bool:
        """Whether a run is on record that has not ended."""
        return any(record["outcome"] == "running" for record in self.records())

    def halves(self) -> list[str]:
        """Artifacts without a manifest, and manifests without an artifact."""
        names = {name for name in self._host.files() if not name.endswith(".partial")}
        with_manifest = {name.removesuffix(_MANIFEST) for name in names if name.endswith(_MANIFEST)}
        return sorted(with_manifest ^ set(map(str, self.artifacts())))

    def problems(self, ran: Ran, *, succeeded: bool = False, removable: Collection[Path] = ()) -> list[str]:
        """Return what must not be after a run.

        Args:
            ran: The run.
            succeeded: Whether it ought to have succeeded; if not, it must have failed in words or been killed.
            removable: Good artifacts that retention may have removed.
        """
        found = [f"left behind: {process}" for process in ran.left_over]
        if ran.code != KILLED:
            found += self._about_the_end(ran, succeeded)
        found += self._about_artifacts(removable)
        found += self._about_records(ran, removable)
        found += self._about_metrics()
        return found

    def _about_the_end(self, ran: Ran, succeeded: bool) -> Iterator[str]:
        if (ran.code == 0) is not succeeded:
            yield f"ended with {ran.code}: {ran.said}"
        if not succeeded and not ran.said:
            yield "failed without a word"
        if "Traceback" in ran.err or "Internal error" in ran.said or ran.code == 70:
            yield f"an internal error: {ran.said} {ran.err[-500:]}"
        for result in ran.report.get("results", ()):
            path = result.get("artifact")
            if result["outcome"] == "success" and (not path or not Path(path).exists() or damage(Path(path))):
                yield f"reports a success without a whole artifact: {path}"

    def _about_artifacts(self, removable: Collection[Path]) -> Iterator[str]:
        now = self._host.files()
        for path in self.good:
            if path in removable:
                continue
            own = [name for name in self.files if name == str(path) or name.startswith(f"{path}/")]
            for name in (*own, f"{path}{_MANIFEST}"):
                if name not in now or _content(name, now[name]) != _content(name, self.files[name]):
                    yield f"a good artifact was {'changed' if name in now else 'lost'}: {name}"
        for path in self.listed():
            if not path.exists() or damage(path):
                yield f"is listed as a backup: {path.name}, which {damage(path) if path.exists() else 'is not there'}"

    def _about_records(self, ran: Ran, removable: Collection[Path]) -> Iterator[str]:
        removed = {record["artifact"] for record in self.records("retention")} | set(map(str, removable))
        for record in self.records("backup"):
            path = record["artifact"]
            if record["outcome"] == "success" and path not in removed and (not path or not Path(path).exists()):
                yield f"on record as a success: {path}, which is not there"
        if ran.code == KILLED or not ran.report.get("results"):
            return
        newest = {}
        for record in reversed(self.records("backup")):
            newest[record["database"]] = record["outcome"]
        for result in ran.report["results"]:
            if "run_id" in result and result["run_id"] and newest.get(result["database"]) != result["outcome"]:
                yield f"reports {result['outcome']}, but has {newest.get(result['database'])} on record"

    def _about_metrics(self) -> Iterator[str]:
        path = self._host.root / "metrics" / "vya_backupdb.prom"
        if not path.exists():
            return
        text = path.read_text()
        backups = self.records("backup")
        if sum(map(float, _SUCCESSES.findall(text))) > sum(r["outcome"] == "success" for r in backups):
            yield "the metrics count more successes than there are on record"
        ended = {r["database"]: r["outcome"] for r in reversed(backups) if r["outcome"] != "running"}
        for database, value in _LAST.findall(text):
            if float(value) == 1 and ended.get(database) == "failed":
                yield f"the metrics call the last backup of {database} a good one"

    def problems_of_the_next(self, tool: Tool, *, began: bool, policy: bool = False) -> list[str]:
        """Back up once more and return what must not be then.

        Args:
            tool: What backs up.
            began: Whether the run before was on record when it died, so that it must now be known as vanished.
            policy: Whether to follow the policy, so that retention is applied.
        """
        ran = tool.policy() if policy else tool.backup(self._server, self._database)
        found = [f"the next run ended with {ran.code}: {ran.said}"] if ran.code else []
        made = [Path(result["artifact"]) for result in ran.report.get("results", ()) if result["outcome"] == "success"]
        found += [f"the next run's artifact {damage(path)}" for path in made if damage(path)]
        found += [f"the next run left behind: {process}" for process in ran.left_over]
        found += [f"still there after the next run: {path}" for path in self.unfinished()]
        outcomes = [record["outcome"] for record in self.records()]
        if "running" in outcomes:
            found.append("a dead run is still on record as running")
        if began and "vanished" not in outcomes:
            found.append("the run that vanished is not on record as such")
        return found

    def unfinished(self) -> list[Path]:
        """Partial files and directories, of artifacts and others."""
        return sorted(path for path in self._host.root.rglob(".*") if path.name.endswith(_UNFINISHED))
