# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The parallel logical strategy of servers whose clients write to one place each: several of them, still one file."""

from __future__ import annotations

import functools

from ..db.dump_session import DumpSession
from ..db.dump_share import DumpShare, OneMoment
from ..utils.processes import Command
from .interleaving import Interleaver
from .logical import LogicalDump
from .together import Started, Together
from .writer import ArtifactWriter


class ConcurrentDump(LogicalDump):
    """Several clients at once, one portable stream of SQL in one file, of one moment."""

    def _dump(self, writer: ArtifactWriter, session: DumpSession) -> list[str]:
        complaints: list[str] = []
        for command in session.commands():
            with session.split(command, self._task.policy.limits.jobs) as moment:
                if moment is None:
                    complaints.append(self._run(writer, writer, command, session))
                else:
                    complaints += self._run_together(writer, session, moment)
        return [*complaints, *session.remarks]

    def _run_together(self, writer: ArtifactWriter, session: DumpSession, moment: OneMoment) -> list[str]:
        """Run several clients at once; return what they wrote to standard error."""
        complaints: list[str] = []
        interleaver = Interleaver(
            writer, self._task.policy.compression.algorithm, functools.partial(self._level, session)
        )

        def work(command: Command, share: DumpShare, started: Started) -> None:
            strand = interleaver.strand(share)
            complaints.append(self._run(writer, strand, command, share, started))
            strand.finish()

        together = Together()
        together.run(
            [functools.partial(work, command, share) for command, share in moment.parts],
            meanwhile=lambda: moment.pass_on(lambda: together.failed),
        )
        interleaver.finish()
        moment.conclude()
        return complaints
