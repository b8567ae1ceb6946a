# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A timer that fires by itself, and what it leaves: artifacts, manifests, records, metrics."""

from __future__ import annotations

import json
import re

from harness.hosts import STORAGE, Host, for_each
from harness.inventory import MINUTELY, TEXTFILES
from harness.servers import DATABASES, SHOP, Target

# {root}/{hostname}/{database_id}/{database}/YYYY-MM-DD/{database}_{YYYYMMDD}_{HHMMSS}.sql.gz
REQUIRED_PATH = re.compile(
    rf"{STORAGE}/(?P<host>[^/]+)/(?P<id>[^/]+)/(?P<name>[^/]+)/(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)/"
    r"(?P=name)_(?P=y)(?P=m)(?P=d)_\d{6}\.sql\.gz"
)
SERVICE = f"vya-backupdb-backup-{MINUTELY}.service"


def by_timer(host: Host) -> list[dict[str, str]]:
    """The runs in the catalog that the minutely timer started."""
    rows: list[dict[str, str]] = host.python("catalog.py", "trigger = 'timer' AND policy = 'minutely'")
    return rows


def test_the_timer_backs_up_every_database(targets: list[Target]) -> None:
    def check(target: Target) -> None:
        runs = [run for run in by_timer(target.host) if run["database_id"] == target.database_id]
        outcomes = {(run["database"], run["outcome"], run["error"]) for run in runs}
        assert outcomes == {(name, "success", None) for name in DATABASES}, target.host.journal(SERVICE)
        assert {run["user"] for run in runs} == {"vya-backupdb"}

    for_each(targets, check)


def test_artifacts_and_manifests_are_where_they_must_be(targets: list[Target]) -> None:
    def check(target: Target) -> None:
        paths = target.host.shell(f"find {target.storage} -type f").splitlines()
        assert not [path for path in paths if not path.endswith((".sql.gz", ".sql.gz.manifest.json"))]
        artifacts = {path for path in paths if path.endswith(".sql.gz")}
        assert {f"{path}.manifest.json" for path in artifacts} == set(paths) - artifacts
        names = set()
        for path in artifacts:
            match = REQUIRED_PATH.fullmatch(path)
            assert match, path
            assert (match["host"], match["id"]) == (target.host.name, target.database_id)
            manifest = json.loads(target.host.read(f"{path}.manifest.json"))
            assert f"{manifest['created_at'][:10]}" == f"{match['y']}-{match['m']}-{match['d']}"
            assert manifest["sha256"] == target.host.run("sha256sum", "--", path).stdout.split()[0].lstrip("\\")
            assert manifest["proof"] in {"sealed", "verified"}  # read back if another run of the timer followed
            names.add(manifest["database"])
        assert names == set(DATABASES)

    for_each(targets, check)


def test_metrics_tell_of_it_and_node_exporter_serves_them(targets: list[Target]) -> None:
    def check(target: Target) -> None:
        served = target.host.shell("curl --silent --fail http://127.0.0.1:9100/metrics")
        written = target.host.read(f"{TEXTFILES}/vya_backupdb.prom")
        for text in (served, written):
            label = f'database="{SHOP}",database_id="{target.database_id}"'
            lines = {
                line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if label in line
            }
            assert lines[f"vya_backupdb_last_backup_status{{{label}}}"] == 1
            assert lines[f'vya_backupdb_backups_total{{{label},outcome="success"}}'] >= 1
            assert lines[f"vya_backupdb_last_backup_size_bytes{{{label}}}"] > 1000
            assert lines[f"vya_backupdb_last_success_timestamp_seconds{{{label}}}"] > 1.7e9
        assert "node_textfile_scrape_error 0" in served

    for_each(targets, check)


def test_the_journal_and_the_audit_log_tell_of_it(targets: list[Target]) -> None:
    def check(target: Target) -> None:
        journal = target.host.journal(SERVICE, lines=2000)
        assert f"{target.database_id}/{SHOP}: dumping done after" in journal, journal
        assert "databases backed up" in journal, journal
        lines = [json.loads(line) for line in target.host.read("/var/lib/vya-backupdb/audit.log").splitlines()]
        assert any(
            (line["operation"], line["database_id"], line["database"], line["result"])
            == ("backup", target.database_id, SHOP, "success")
            for line in lines
        )

    for_each(targets, check)


def test_the_service_is_kept_in_a_sandbox(targets: list[Target], hosts: list[Host]) -> None:
    """systemd's own figure, from 0 (nothing allowed) to 10 (everything): below 3 it calls a service well confined."""

    def check(host: Host) -> None:
        table = host.shell("systemd-analyze security --no-pager vya-backupdb-backup-nightly.service", check=False)
        match = re.search(r"Overall exposure level for \S+: ([\d.]+)", table)
        assert match, table
        assert float(match[1]) < 3, table

    for_each(hosts, check)
