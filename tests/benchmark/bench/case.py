# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What one case is: an entry in a list, which names what is run, what that makes, and how it is loaded again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATABASE, COPY = "bench", "bench_copy"  # what is backed up, and where backups are loaded to be looked at


@dataclass(frozen=True)
class Case:
    """A way to make a backup, or anything else that is timed. Scripts are for bash with pipefail.

    Attributes:
        name: What the tables call it.
        script: What is timed. A leading ``exec`` makes the program's memory ours to see.
        output: What it makes, a file or a directory; removed before each run.
        before: Run before each run, untimed.
        load: Loads the output into the database :data:`COPY`, which is there and empty.
        loaded_as: The name under which loading is timed as a restore; without it, it only proves the output.
        creates: Whether ``load`` makes the database itself.
        plain: Prints the output as the vendor's plain dump: compared with that instead of being loaded.
        needs: Programs without which the case is left out.
        needs_option: A program and an option that its help must name.
        ours: Whether it is the engine.
        restores: Whether ``script`` loads into the copy, which is made anew before.
        invalid_unless: Checks the output in a way of its own.
        table: The only table that it restores; empty if all.
    """

    name: str
    script: str
    output: Path | None = None
    before: str = ""
    load: str = ""
    loaded_as: str = ""
    creates: bool = False
    plain: str = ""
    needs: tuple[str, ...] = ()
    needs_option: tuple[str, str] = ("", "")
    ours: bool = False
    restores: bool = False
    invalid_unless: str = ""
    table: str = ""


@dataclass(frozen=True)
class Part:
    """Cases that are run interleaved and shown together.

    Attributes:
        key: Its short name, by which it can be chosen.
        title: Its heading.
        cases: What is run.
        references: Column headers for ratios, by the name of the case that they refer to.
    """

    key: str
    title: str
    cases: tuple[Case, ...]
    references: dict[str, str]
