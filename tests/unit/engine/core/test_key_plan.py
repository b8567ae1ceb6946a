# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys after rows: what is left out of definitions is made once, after the rows, in a session like the dump's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmented_dumps import segmented

from vya_backupdb.core import key_plan, load_plan, segmentation
from vya_backupdb.core.load_plan import LoadPlanner, Step
from vya_backupdb.core.manifest import Segment
from vya_backupdb.core.segment_load import _parts
from vya_backupdb.core.segmentation import DEFINITIONS
from vya_backupdb.db.mysql_loading import MySqlLoading

LOADING = MySqlLoading(dollar_quotes=False)
HEADER = (
    "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n"
    "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n/*!40101 SET NAMES {} */;\n"
    "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n"
)
FOOTER = (
    "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n"
    "/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;\n\n-- Dump completed on 2026-01-01\n"
)
TABLE = (
    "\n--\n-- Table structure for table `{0}`\n--\n\nDROP TABLE IF EXISTS `{0}`;\n"
    "/*!40101 SET @saved_cs_client     = @@character_set_client */;\n/*!40101 SET character_set_client = {1} */;\n"
    "CREATE TABLE `{0}` (\n  `id` int(11) NOT NULL,\n  `c` text DEFAULT ';',\n  PRIMARY KEY (`id`)"
    ",\n  KEY `k` (`c`(9)),\n  KEY `l` (`c`(8)) COMMENT ';'"
    "\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n/*!40101 SET character_set_client = @saved_cs_client */;\n"
)
CUT = ",\n  KEY `k` (`c`(9)),\n  KEY `l` (`c`(8)) COMMENT ';'"
ADDED = "ALTER TABLE `{0}`\n  ADD KEY `k` (`c`(9)),\n  ADD KEY `l` (`c`(8)) COMMENT ';';"
TRIGGER = "DELIMITER ;;\nCREATE TRIGGER t_{0} BEFORE INSERT ON `{0}` FOR EACH ROW BEGIN END ;;\nDELIMITER ;\n"


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 60)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 20)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(key_plan, "KEYS_ROWS", 3)


class Planned:
    """A dump in three calls, and the steps in which it would be loaded."""

    def __init__(self, rows: dict[str, int], charsets: dict[str, str], pieces: int = 30, **more: Any) -> None:
        tables = [TABLE.format(name, charsets.get(name, "utf8mb4")) for name in rows]
        dump = "".join([HEADER.format("utf8mb4"), *tables, FOOTER, HEADER.format("binary")])
        for name, count in rows.items():
            dump += f"/*!40000 ALTER TABLE `{name}` DISABLE KEYS */;\n"
            dump += "".join(f"INSERT INTO `{name}` VALUES\n({number},'x');\n" for number in range(count))
            dump += f"/*!40000 ALTER TABLE `{name}` ENABLE KEYS */;\n"
        dump += FOOTER + HEADER.format("utf8mb4") + "".join(map(TRIGGER.format, rows)) + FOOTER
        self.dump = dump.encode()
        kept = segmented(LOADING.reader(), self.dump, 50).segments
        self.contents = [data for _kind, _continued, data, _tables in kept]
        self.segments = [Segment(kind, 0, len(data), len(data), 0, tables, more) for kind, more, data, tables in kept]
        planner = LoadPlanner(self.segments, LOADING, **more)
        for data in self.contents:
            for start in range(0, len(data), pieces):
                planner.feed(data[start : start + pieces])
        self.steps = planner.steps()

    def loaded(self, step: Step) -> bytes:
        """What is loaded of the artifact in a step."""
        text = b""
        for number in step.segments:
            content, parts = self.contents[number], step.parts.get(number)
            text += content if parts is None else b"".join(_parts(iter([content[:40], content[40:]]), parts))
        return text

    @property
    def builds(self) -> list[str]:
        """The statements that make keys."""
        return [each.text.decode() for step in self.steps for each in step.builds]


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(rows=st.dictionaries(NAMES, st.integers(0, 9), min_size=1), pieces=st.integers(1, 300))
def test_each_key_is_made_once(rows: dict[str, int], pieces: int) -> None:
    planned = Planned(rows, {}, pieces)
    shared = [place for place, step in enumerate(planned.steps) if step.shared]
    later = [name for name, count in rows.items() if count >= 3] if shared else []
    assert planned.builds == [ADDED.format(name) for name in later]
    text = b"".join(map(planned.loaded, planned.steps)).decode()
    for name in rows:
        definition = TABLE.format(name, "utf8mb4")
        assert (definition.replace(CUT, "") if name in later else definition) in text
    assert len(text) == len(planned.dump) - len(CUT) * len(later)
    assert sum(each.length for step in planned.steps for each in step.builds) == len(CUT) * len(later)
    if later:
        made = next(place for place, step in enumerate(planned.steps) if step.builds)
        assert made == shared[-1] + 1
        assert b"CREATE TRIGGER" in b"".join(map(planned.loaded, planned.steps[made + 1 :]))


def test_keys_are_made_in_a_session_like_that_of_the_definition() -> None:
    planned = Planned({"a": 9, "b": 9, "c": 9}, {"b": "utf8"})
    a, b, c = (each for step in planned.steps for each in step.builds)
    assert a.settings.decode() == (
        HEADER.format("utf8mb4") + "/*!40101 SET @saved_cs_client     = @@character_set_client */;\n"
        "/*!40101 SET character_set_client = utf8mb4 */;\n"
    )
    assert c.settings == a.settings
    assert b.settings == a.settings.replace(b"client = utf8mb4", b"client = utf8")


def test_keys_stay_where_they_are_if_that_is_wanted() -> None:
    planned = Planned({"a": 9}, {}, keys_later=False)
    assert any(step.shared for step in planned.steps)
    assert planned.builds == []
    assert not any(step.parts for step in planned.steps)


def test_keys_stay_where_rows_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 10_000)
    planned = Planned({"a": 9}, {})
    assert planned.builds == []
    assert planned.steps == [Step(tuple(range(len(planned.segments))), False, b"")]


def test_only_definitions_before_the_rows_are_changed() -> None:
    planned = Planned({"a": 9}, {})
    first = planned.steps[0]
    assert set(first.parts) == {0}
    assert planned.segments[0].kind == DEFINITIONS
    assert not any(step.parts for step in planned.steps[1:])
