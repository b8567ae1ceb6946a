# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory that a backup or a restore takes does not grow with the database.

Twenty and a hundred megabytes by default; with VYA_TEST_LARGE=1 a hundred megabytes and two gigabytes, which takes
some twenty minutes. ``pytest -s`` shows the figures.
"""

from __future__ import annotations

import os
import sys

from harness.hosts import SAMPLE, for_each
from harness.servers import Target

LARGE = os.environ.get("VYA_TEST_LARGE") == "1"
MEGABYTES = (100, 2000) if LARGE else (20, 100)
GROWTH = 1.3


def test_memory_does_not_grow_with_the_database(targets: list[Target]) -> None:
    figures: dict[Target, dict[int, dict[str, dict[str, int]]]] = {target: {} for target in targets}

    def measure(target: Target) -> None:
        for megabytes in MEGABYTES:
            name = f"bulk_{megabytes}"
            target.drop(name)
            target.create(name)
            generator = f"python3 {SAMPLE}/generate.py --dbms {target.dbms} --megabytes {megabytes}"
            target.host.shell(f"{generator} | {target.shell_client(name)}", timeout=3600)
            backup = ["backup", "--instance", target.database_id, name]
            restore = ["restore", target.database_id, name, "--overwrite", "--yes"]
            figures[target][megabytes] = {
                what: target.host.python("measure.py", "vya-backupdb", *arguments, timeout=3600)
                for what, arguments in (("backup", backup), ("restore", restore))
            }
            size = target.host.report("list", target.database_id, name)["artifacts"][0]["plain_bytes"]
            assert size > megabytes * 900_000, "the data is not as large as it should be"
            target.drop(name)
            target.host.shell(f"rm -r {target.storage}/{name}")

    for_each(targets, measure)
    for target, sizes in figures.items():
        small, large = (sizes[megabytes] for megabytes in MEGABYTES)
        for what in ("backup", "restore"):
            # Kilobytes of each program.
            sys.stderr.write(f"{target} {what}: {MEGABYTES[0]} MB {small[what]}, {MEGABYTES[1]} MB {large[what]}\n")
            assert len(large[what]) >= 2, "the engine and the vendor's client"
            assert set(large[what]) == set(small[what])
            for program, kilobytes in large[what].items():
                assert kilobytes < small[what][program] * GROWTH, (str(target), what, program)
