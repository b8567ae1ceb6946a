# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The strategies by which a policy may have databases dumped: the static tables are the factory."""

from __future__ import annotations

from .concurrent_dump import ConcurrentDump
from .directory_dump import DirectoryDump
from .dump import Dump, Task
from .logical import LogicalDump

# By strategy, and where it differs by the make of the server, that.
_DUMPS: dict[str, type[Dump]] = {"logical": LogicalDump, "parallel": ConcurrentDump}
_DUMPS_OF_MAKES: dict[tuple[str, str], type[Dump]] = {("parallel", "postgresql"): DirectoryDump}


def dump_of(task: Task) -> Dump:
    """Return the dump of a database by the strategy of its policy."""
    strategy = task.policy.strategy
    return _DUMPS_OF_MAKES.get((strategy, task.dbms.instance.dbms), _DUMPS[strategy])(task)
