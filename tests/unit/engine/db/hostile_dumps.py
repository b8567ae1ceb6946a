# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes dumps with hostile content, as the vendors' clients write them, together with what is in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from vya_backupdb.db.dump_reader import Cut, DumpReader

FRAGMENTS = (
    *(
        "'",
        '"',
        "`",
        "\\",
        "\n",
        "\r\n",
        "\t",
        "\0",
        ";",
        ";;",
        ";\n",
        ",",
        "(",
        ")",
        "),(",
        "((",
        "--",
        "-- ",
        "#",
        "/*",
    ),
    *(
        "*/",
        "/*!",
        "/*!50003 ",
        "$",
        "$$",
        "$body$",
        "\\.",
        "\n\\.\n",
        "\\N",
        "\\'",
        "''",
        "\\\\'",
        "E'",
        "e",
        "x",
        "1",
    ),
    *("é", "🐘", " ", "NULL", "BEGIN", "END", "begin", "case", "end;", "DELIMITER ;\n", "\nDELIMITER ;;\n", "--\n"),
    "\n-- Dump completed on 2026-11-23  7:31:48\n",
    "\n--\n-- PostgreSQL database dump complete\n--\n\n",
    "INSERT INTO `t` VALUES (1),(2);\n",
    "\n/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n",
    "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;",
    "\nCREATE TABLE `x` (\n",
    "COPY public.t (a) FROM stdin;\n1\n\\.\n",
    "\n--\n-- Name: x; Type: TABLE; Schema: public; Owner: me\n--\n\n",
    "; Type: TABLE; Schema: public; Owner: ",
    "\\restrict x\n",
)
hostile = st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join)


@dataclass
class Dump:
    """A dump, and the truth about it."""

    data: bytes
    rows: dict[str, int] = field(default_factory=dict)
    defined: list[object] = field(default_factory=list)
    begins: dict[str, int] = field(default_factory=dict)  # where the rows of tables begin


def read(reader: DumpReader, data: bytes, sizes: list[int]) -> list[Cut]:
    """Feed a dump in pieces of these sizes, in turn, and check what holds for all cuts."""
    position, turn, cuts = 0, 0, []
    while position < len(data):
        settled = reader.settled
        assert settled <= position
        size = sizes[turn % len(sizes)]
        found = reader.feed(data[position : position + size])
        assert all(settled <= cut.offset <= position + size for cut in found)
        cuts += found
        position, turn = position + size, turn + 1
    assert [cut.offset for cut in cuts] == sorted(cut.offset for cut in cuts)
    return cuts


def check_any_cut_off_is_noticed(make: Callable[[], DumpReader], data: bytes, at: int) -> None:
    """A dump of which something is missing at the end, be it one line end, is not taken for a whole one."""
    reader = make()
    reader.feed(data[: at % len(data)])
    assert reader.unfinished()
