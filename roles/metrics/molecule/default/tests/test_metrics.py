# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the role metrics leaves on a host, and whether node_exporter publishes what the backups write."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://database_hosts"]

DIRECTORY = "/var/lib/prometheus/node-exporter"
AS_USER = "runuser -u vya-backupdb --"


def scrape(host: Host) -> list[str]:
    command = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    return host.run(f'python3 -c "{command}"').stdout.splitlines()


def test_exporter_runs_and_starts_with_the_host(host: Host) -> None:
    exporter = host.service("prometheus-node-exporter")
    assert exporter.is_running
    assert exporter.is_enabled


def test_exporter_is_told_of_the_directory_once(host: Host) -> None:
    arguments = host.run("grep ^ARGS= /etc/default/prometheus-node-exporter").stdout
    assert arguments.strip() == f'ARGS="--collector.textfile.directory={DIRECTORY}"'


def test_backups_can_replace_their_file_and_touch_no_other(host: Host) -> None:
    directory = host.file(DIRECTORY)
    assert (directory.group, directory.mode) == ("vya-backupdb", 0o1775)
    host.run(f"echo other_metric 1 > {DIRECTORY}/other.prom")
    replacing = f"umask 022; cd {DIRECTORY} && echo vya_backupdb_test 42 > .new && mv .new vya_backupdb.prom"
    for _ in range(2):
        written = host.run(f"{AS_USER} sh -c '{replacing}'")
        assert written.rc == 0, written.stderr
    assert host.run(f"{AS_USER} rm -f {DIRECTORY}/other.prom").rc != 0


def test_exporter_publishes_what_is_written(host: Host) -> None:
    host.run(f"{AS_USER} sh -c 'umask 022; echo vya_backupdb_test 42 > {DIRECTORY}/vya_backupdb.prom'")
    lines = scrape(host)
    assert next(line for line in lines if line.startswith("vya_backupdb_test")).endswith(" 42")
    assert "node_textfile_scrape_error 0" in lines
