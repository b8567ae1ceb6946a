# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of an artifact loaded by several clients: the same arrives as by one, and nothing of other tables."""

from __future__ import annotations

import functools
import gzip
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from segmented_dumps import mysql_in_calls, postgresql, segmented
from shell_clients import ShellClients

from vya_backupdb.core import key_plan, load_plan, part_survey, segmentation
from vya_backupdb.core.encryption import Decryption
from vya_backupdb.core.loads import LoadTask
from vya_backupdb.core.part import Part
from vya_backupdb.core.part_load import LogicalPartLoad
from vya_backupdb.core.storage import StoredArtifact
from vya_backupdb.db.loading import Loading
from vya_backupdb.db.mysql_loading import MySqlLoading
from vya_backupdb.db.postgresql_loading import PostgreSqlLoading
from vya_backupdb.errors import DamageError
from vya_backupdb.utils.processes import ProcessTable

LOADINGS: dict[str, Loading] = {"postgresql": PostgreSqlLoading(), "mariadb": MySqlLoading(dollar_quotes=False)}
# The first two tables share segments, as one of them is small.
ROWS = {
    "a": [f"a {number}" for number in range(3)],
    "b": [f"b {number} COPY public.a (c) FROM stdin; INSERT INTO `a` VALUES" for number in range(60)],
    "c": [f"c {number} {'x' * 40}" for number in range(40)],
}
KEY = "CREATE TABLE `{}` (\n  `c` text NOT NULL,\n  KEY `k` (`c`(9))\n) ENGINE=InnoDB;\n"
PARTS = [("b",), ("a",), ("a", "b"), ("b", "c"), ("a", "b", "c")]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 700)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 200)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(key_plan, "KEYS_ROWS", 0)


def dump_of(flavour: str, rows: Mapping[str, list[str]]) -> bytes:
    if flavour == "postgresql":
        return postgresql(dict(rows))
    dump = mysql_in_calls(dict(rows))
    for name in rows:
        dump = dump.replace(f"CREATE TABLE `{name}` (c text);\n".encode(), KEY.format(name).encode())
    return dump


def table_name(flavour: str, name: str) -> str:
    return f"public.{name}" if flavour == "postgresql" else name


def make_artifact(host: Any, flavour: str, rows: Mapping[str, list[str]]) -> StoredArtifact:
    artifact: StoredArtifact = host.artifact_in_segments(
        segmented(LOADINGS[flavour].reader(), dump_of(flavour, rows), 700).segments,
        dbms={"flavour": flavour, "version": "17.5", "description": "a server"},
        inventory={"table": [table_name(flavour, name) for name in rows]},
    )
    return artifact


@pytest.fixture(params=LOADINGS)
def stored(request: pytest.FixtureRequest, host: Any) -> StoredArtifact:
    """An artifact with some tables, large and small."""
    return make_artifact(host, request.param, ROWS)


class Server(ShellClients):
    """A server whose clients keep what they are given, each in a file of its own."""

    def __init__(self, flavour: str, directory: Path) -> None:
        super().__init__(LOADINGS[flavour], f"cat > {directory}/$$")
        self.directory = directory
        directory.mkdir()

    @property
    def taken(self) -> list[bytes]:
        """What each client was given, in the order in which they were started."""
        return [path.read_bytes() for path in sorted(self.directory.iterdir(), key=lambda path: path.stat().st_mtime)]


def load_part(
    stored: StoredArtifact,
    names: tuple[str, ...],
    jobs: int,
    directory: Path,
    between: Callable[[], None] = lambda: None,
) -> Server:
    """Load some tables of an artifact into a new server."""
    flavour = stored.manifest.dbms["flavour"]
    server = Server(flavour, directory / f"jobs{jobs}")
    dbms: Any = server
    processes = ProcessTable()
    task = LoadTask(processes, dbms, stored, jobs, timedelta(seconds=20), Decryption(processes))
    part = LogicalPartLoad(task, Part(tuple(table_name(flavour, name) for name in names)))
    part.examine(lambda _done: None, thorough=False)
    between()
    told: list[int] = []
    part.load("copy", told.append)
    assert told == sorted(told)
    assert not processes._children
    return server


Load = Callable[..., Server]


@pytest.fixture
def load(stored: StoredArtifact, tmp_path: Path) -> Load:
    """Load some tables of the artifact."""
    return functools.partial(load_part, stored, directory=tmp_path)


def content(taken: list[bytes]) -> Counter[bytes]:
    """The lines that were loaded, but for what each client is told anew, and keys, which are made in two ways."""
    frame = (b"SET ", b"/*", b"COPY ", b"\\.", b"COMMIT", b"--", b"ALTER TABLE", b"  ADD KEY", b"  KEY")
    lines = [line.rstrip(b",") for text in taken for line in text.splitlines() if line and not line.startswith(frame)]
    return Counter(lines)


@pytest.mark.parametrize("names", PARTS, ids=" ".join)
def test_the_same_arrives_as_by_one_client(load: Load, names: tuple[str, ...], stored: StoredArtifact) -> None:
    one, several = load(names, jobs=1).taken, load(names, jobs=3).taken
    assert len(one) == 1
    assert content(several) == content(one)
    text = b"\n".join(several)
    for name, rows in ROWS.items():
        times = 1 if name in names else 0
        assert [text.count(row.encode()) for row in rows] == [times] * len(rows)
    assert (len(several) > 2) == (names != ("a",))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("flavour", LOADINGS)
def test_each_client_understands_all_that_it_is_given(
    host: Any, flavour: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and segments of any size: what a client is given are whole statements with the rows that are wanted."""
    chance = random.Random(seed)
    monkeypatch.setattr(segmentation, "ROWS_BYTES", chance.choice([50, 200, 700]))
    monkeypatch.setattr(segmentation, "SHARED_BYTES", chance.choice([1, 100, 400]))
    sizes = {name: chance.choice([0, 1, 3, 12, 40]) for name in "abcdef"}
    rows = {name: [f"{name} {number} {'x' * chance.randrange(40)}" for number in range(sizes[name])] for name in sizes}
    names = tuple(chance.sample(sorted(sizes), chance.randint(1, 4)))

    taken = load_part(make_artifact(host, flavour, rows), names, 3, tmp_path).taken

    counted = 0
    for text in taken:
        reader = LOADINGS[flavour].reader()
        reader.feed(text)
        assert reader.between_statements
        counted += sum(reader.rows.values())
    assert counted == sum(sizes[name] for name in names)
    found = re.findall(r"\b[a-f] \d+ x*", b"\n".join(taken).decode())
    assert Counter(found) == Counter(row for name in names for row in rows[name])


@pytest.mark.parametrize("jobs", [1, 3])
def test_keys_and_indexes_of_wanted_tables_are_made_once(load: Load, jobs: int, stored: StoredArtifact) -> None:
    text = b"\n".join(load(("b", "c"), jobs).taken)
    assert b"CREATE INDEX i" not in text
    if stored.manifest.dbms["flavour"] == "mariadb":
        added = [text.count(b"ALTER TABLE `%c`\n  ADD KEY `k`" % ord(name)) for name in "abc"]
        defined = text.count(b"  KEY `k`")
        assert (added, defined) == (([0, 1, 1], 0) if jobs > 1 else ([0, 0, 0], 2))


def test_each_client_is_given_whole_statements(load: Load, stored: StoredArtifact) -> None:
    taken = load(("a", "b"), jobs=3).taken
    if stored.manifest.dbms["flavour"] == "postgresql":
        for text in taken:
            assert text.count(b"\nCOPY ") == text.count(b"\n\\.\n")
    assert [b"SET client_encoding" in text or b"SET NAMES" in text for text in taken] == [True] * len(taken)


def test_where_too_much_were_to_be_held_one_client_loads(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_survey, "_HELD_BYTES", 100)
    assert len(load(("b",), jobs=3).taken) == 1


@pytest.mark.parametrize("place", [0, -1])
def test_what_changed_after_it_was_read_is_not_loaded(load: Load, stored: StoredArtifact, place: int) -> None:
    """Definitions, or rows of the table."""
    wanted = [each for each in stored.manifest.segments if each.kind != segmentation.ROWS or len(each.tables) == 1]
    rows = [each for each in wanted if any("b" in key.partition(";")[0] for key in each.tables)]
    segment = (wanted[:1] + rows)[place]

    def exchange() -> None:
        data = bytearray(stored.path.read_bytes())
        changed = gzip.compress(b"x" * segment.plain_length).ljust(segment.length, b"\0")
        data[segment.offset : segment.offset + len(changed)] = changed
        stored.path.write_bytes(data)

    with pytest.raises(DamageError):
        load(("b",), jobs=3, between=exchange)
