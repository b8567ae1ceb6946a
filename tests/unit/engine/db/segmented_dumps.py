# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps as the vendors' clients write them, with any rows, and their segments in memory."""

from __future__ import annotations

from hypothesis import strategies as st

from vya_backupdb.core.segmentation import Segmenter
from vya_backupdb.db.dump_reader import DumpReader
from vya_backupdb.db.dump_watch import DumpWatch


class Kept:
    """Segments in memory."""

    def __init__(self) -> None:
        self.segments: list[tuple[str, str, bytes, dict[str, int]]] = []
        self._open: tuple[str, str] | None = None
        self._data = b""

    def begin(self, kind: str, continued: str = "") -> None:
        assert self._open is None
        self._open, self._data = (kind, continued), b""

    def write(self, data: memoryview | bytes) -> None:
        self._data += bytes(data)

    def end(self, tables: dict[str, int]) -> None:
        assert self._open is not None
        self.segments.append((*self._open, self._data, dict(tables)))
        self._open = None

    @property
    def segment_bytes(self) -> int:
        return len(self._data)


def segmented(reader: DumpReader, dump: bytes, size: int) -> Kept:
    kept = Kept()
    segmenter = Segmenter(kept, DumpWatch(reader))
    for start in range(0, len(dump), size):
        segmenter.feed(dump[start : start + size])
    segmenter.finish()
    return kept


def postgresql(tables: dict[str, list[str]]) -> bytes:
    made = ["--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n"]
    for name in tables:
        made.append(f"--\n-- Name: {name}; Type: TABLE; Schema: public; Owner: me\n--\n\n")
        made.append(f"CREATE TABLE public.{name} (c text);\n\n")
    for name, rows in tables.items():
        made.append(f"--\n-- Data for Name: {name}; Type: TABLE DATA; Schema: public; Owner: me\n--\n\n")
        made.append(f"COPY public.{name} (c) FROM stdin;\n" + "".join(f"{row}\n" for row in rows) + "\\.\n\n\n")
    made.append("--\n-- Name: i; Type: INDEX; Schema: public; Owner: me\n--\n\nCREATE INDEX i ON public.a (c);\n\n")
    made.append("--\n-- PostgreSQL database dump complete\n--\n\n")
    return "".join(made).encode()


def _mysql_text(row: str) -> str:
    return "'" + row.replace("\\", "\\\\").replace("'", "\\'") + "'"


def mysql(tables: dict[str, list[str]]) -> bytes:
    made = ["-- MariaDB dump 10.19\n/*!40101 SET NAMES utf8mb4 */;\n"]
    for name, rows in tables.items():
        made.append(f"CREATE TABLE `{name}` (\n  `c` text\n);\n/*!40000 ALTER TABLE `{name}` DISABLE KEYS */;\n")
        for start in range(0, len(rows), 3):
            quoted = ",\n".join(f"({_mysql_text(row)})" for row in rows[start:][:3])
            made.append(f"INSERT INTO `{name}` VALUES\n{quoted};\n")
        made.append(f"/*!40000 ALTER TABLE `{name}` ENABLE KEYS */;\n")
    made.append("/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n-- Dump completed on 2026-01-01  1:01:01\n")
    return "".join(made).encode()


_HEADER = (
    "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n"
    "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n/*!40101 SET NAMES {} */;\n"
)
_FOOTER = "/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;\n\n-- Dump completed on 2026-01-01\n"


def mysql_rows(tables: dict[str, list[str]]) -> bytes:
    """Rows alone, as MariaDB frames them."""
    made = [_HEADER.format("binary")]
    for name, rows in tables.items():
        made.append(
            f"SET @OLD_AUTOCOMMIT=@@AUTOCOMMIT, @@AUTOCOMMIT=0;\n/*!40000 ALTER TABLE `{name}` DISABLE KEYS */;\n"
        )
        made += [f"INSERT INTO `{name}` VALUES\n({_mysql_text(row)});\n" for row in rows]
        made.append(f"/*!40000 ALTER TABLE `{name}` ENABLE KEYS */;\nCOMMIT;\nSET AUTOCOMMIT=@OLD_AUTOCOMMIT;\n")
    return "".join([*made, _FOOTER]).encode()


def mysql_in_calls(tables: dict[str, list[str]]) -> bytes:
    """Three calls: definitions, rows, triggers."""
    header = _HEADER.format("utf8mb4")
    definitions = [header, *(f"CREATE TABLE `{name}` (c text);\n" for name in tables), _FOOTER]
    programs = [
        f"DELIMITER ;;\nCREATE TRIGGER t_{name} BEFORE INSERT ON `{name}` FOR EACH ROW BEGIN END ;;\nDELIMITER ;\n"
        for name in tables
    ]
    return "".join(definitions).encode() + mysql_rows(tables) + "".join([header, *programs, _FOOTER]).encode()


NAMES = st.sampled_from(["a", "b", "c"])
ROW = st.text(st.sampled_from("ab';()\\`-\"$ "), max_size=30).map(lambda text: "r" + text.replace("\\", "/"))
TABLES = st.dictionaries(NAMES, st.lists(ROW, max_size=12), min_size=1)
