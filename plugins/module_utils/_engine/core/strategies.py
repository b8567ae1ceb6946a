# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The strategies by which a policy may have databases dumped: the static table is the factory."""

from __future__ import annotations

from .dump import Dump
from .logical import LogicalDump
from .parallel import ParallelDump

DUMPS: dict[str, type[Dump]] = {"logical": LogicalDump, "parallel": ParallelDump}
