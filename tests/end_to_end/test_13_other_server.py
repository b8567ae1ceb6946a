# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What one host has backed up, another restores: into later versions of its server, and nowhere else."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from harness.ansible import Ansible
from harness.calls import refused_by_command
from harness.hosts import STORAGE, for_each
from harness.servers import Target, assert_same

SUITES = ("bookworm", "trixie", "sid")
MOVED, ARRIVED, REFUSED = "moved", "arrived", "refused"
WAYS = [
    ("postgresql", "bookworm", "trixie", "sid"),  # 15, 17, 18
    ("postgresql", "bookworm", "sid"),
    ("mysql", "bookworm", "trixie"),  # MariaDB 10.11, 11.8
]


def copy(artifact: str, source: Target, destination: Target) -> str:
    """Bring an artifact and its manifest to another host, as anybody would, and return where it is."""
    directory, name = artifact.rsplit("/", 1)
    stem = name.removesuffix(".sql.gz")
    place = f"/var/tmp/{MOVED}"
    destination.host.shell(f"rm -rf {place}; mkdir --mode=0700 {place}")
    packing = source.host.words("bash", "-c", f"cd '{directory}' && tar --create -- {stem}*")
    packed = subprocess.run(packing, capture_output=True, check=True, timeout=300).stdout
    unpacking = destination.host.words("tar", "--extract", f"--directory={place}")
    subprocess.run(unpacking, input=packed, check=True, timeout=300)
    destination.host.shell(f"chown -R vya-backupdb: {place}")
    return f"{place}/{name}"


@pytest.fixture(scope="module")
def artifacts(targets: list[Target]) -> Iterator[dict[Target, str]]:
    """An artifact of each server, of a database with all that the server offers and a restore elsewhere keeps."""

    def make(target: Target) -> str:
        target.drop(MOVED)
        target.create(MOVED)
        target.load_sample(MOVED)
        made = target.host.report("backup", "--instance", target.database_id, MOVED)
        return str(made["results"][0]["artifact"])

    yield for_each(targets, make)
    for_each(targets, lambda target: (target.drop(MOVED), target.drop(ARRIVED)))


NOT_DECIDED_BY_THE_DATABASE = {  # but by the version of the server or of an extension
    "columns",  # of MariaDB; what is known of a column grows
    "database",
    "definitions",  # of MariaDB; how they are written changes
    "members of extensions",
    "privileges on the server's own objects",
}


def what_moves(target: Target, database: str) -> dict[str, Any]:
    """What of a database any later version has and shows in the same way: contents, counters, and names of objects."""
    found = target.fingerprint(database)
    for section in NOT_DECIDED_BY_THE_DATABASE & found.keys():
        del found[section]
    if target.family == "mysql":
        return found
    whole = ("contents", "positions")
    return {
        section: values if section in whole else {name: "" for name in values if not RENAMED.search(name)}
        for section, values in found.items()
    }


# Later versions have further members of extensions, write one thing differently, and name not-null constraints of
# domains and foreign keys of partitions by themselves.
RENAMED = re.compile(r"ext\.|postgres_fdw_|pg_get_wal|^transform|_not_null|fips_mode|references_part_c_i_fkey_?\d")


@pytest.mark.parametrize("way", WAYS, ids=["-".join(way) for way in WAYS])
def test_a_later_version_takes_it(targets: list[Target], artifacts: dict[Target, str], way: tuple[str, ...]) -> None:
    family, *names = way
    stations = [target for name in names for target in targets if (target.host.name, target.family) == (name, family)]
    before, artifact, database = what_moves(stations[0], MOVED), artifacts[stations[0]], MOVED
    for source, destination in itertools.pairwise(stations):
        place = copy(artifact, source, destination)
        destination.drop(ARRIVED)
        options = ("--artifact", place, "--target", ARRIVED, "--yes")
        done = destination.host.report("restore", destination.database_id, database, *options)
        assert done["differences"] == []
        assert_same(before, what_moves(destination, ARRIVED))
        made = destination.host.report("backup", "--instance", destination.database_id, ARRIVED)
        artifact, database = made["results"][0]["artifact"], ARRIVED


def test_no_other_server_takes_it(targets: list[Target], artifacts: dict[Target, str]) -> None:
    refused = 0
    for source, destination in itertools.permutations(targets, 2):
        later = SUITES.index(destination.host.name) > SUITES.index(source.host.name)
        if source.host is destination.host or (source.dbms == destination.dbms and later):
            continue
        place = copy(artifacts[source], source, destination)
        before = destination.databases()
        options = ("--artifact", place, "--target", REFUSED, "--yes")
        done = destination.host.command("restore", destination.database_id, MOVED, *options)
        reason = "newer than this server" if source.dbms == destination.dbms else "this server is"
        refused_by_command(done, 7, f"The artifact is from .*{reason}.*nothing was changed", "Restore it into a server")
        assert destination.databases() == before
        refused += 1
    assert refused > 15


def test_playbooks_copy_it_and_restore_it(
    ansible: Ansible, targets: list[Target], artifacts: dict[Target, str]
) -> None:
    source, destination = (
        next(target for target in targets if (target.host.name, target.family) == (name, "postgresql"))
        for name in ("bookworm", "trixie")
    )
    artifact = artifacts[source]
    which = {"backupdb_instance": destination.database_id, "backupdb_database": MOVED}
    limit = ("--limit", destination.host.name)

    def copied(*options: str) -> int:
        wanted = {**which, "backupdb_source_host": source.host.name}
        return ansible.playbook("copy", *limit, *options, variables=wanted).recap[destination.host.name]["changed"]

    assert copied("--check") == 1
    assert destination.host.run("test", "-e", artifact, check=False).returncode == 1
    assert copied() > 0
    assert copied() == 0
    compared = f"sha256sum '{artifact}' '{artifact}.manifest.json'"
    assert destination.host.shell(compared) == source.host.shell(compared)
    assert not destination.host.shell("find /tmp /root/.ansible -name '*vya-backupdb*' -o -name artifact.tar").strip()

    destination.drop(ARRIVED)
    chosen = {**which, "backupdb_artifact": artifact}
    ansible.playbook("restore", *limit, variables={**chosen, "backupdb_target": ARRIVED, "confirm": True})
    assert_same(what_moves(source, MOVED), what_moves(destination, ARRIVED))
    drilled = ansible.playbook("drill", *limit, variables={"backupdb_artifact": artifact}, check=False)
    assert f"/{MOVED}: not possible" in drilled.output, "a drill takes the version that made the artifact"
    assert "Install the package postgresql-15" in drilled.output
    destination.host.shell(f"rm -r '{STORAGE}/{source.host.name}'")
