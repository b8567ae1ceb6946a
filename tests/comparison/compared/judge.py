# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of a fault, in a few words; the same for all tools.

Nothing counts but exit codes, what is in the database after a restore, and which backups are there.
"""

from __future__ import annotations

from dataclasses import dataclass

from .contestant import Contestant, Ended
from .subject import State, Subject

NOT_APPLICABLE = "–"
NO_CHECK = "has none"


@dataclass(frozen=True)
class Verdict:
    """A cell of the table.

    Attributes:
        words: What became of it.
        good: Whether that is as it should be; None if the fault does not apply.
        detail: What the tool said, and what was found, for whoever doubts it.
    """

    words: str
    good: bool | None
    detail: str = ""

    def __str__(self) -> str:
        return self.words if self.good is not False else f"**{self.words}**"


@dataclass(frozen=True)
class Before:
    """What was there before a fault.

    Attributes:
        first: The state of the database that the good backup holds.
        good: The good backup.
    """

    first: State
    good: str


def difference(before: State, after: State) -> str:
    """Say what is different."""
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return "; ".join(f"{key}: {before.get(key, 'none')!r:.200} became {after.get(key, 'none')!r:.200}" for key in keys)


def judge_backup(
    ran: Ended, tool: Contestant, subject: Subject, before: Before, now: State, failed: str = "noticed"
) -> Verdict:
    """Judge a backup that met a fault, which is over: restore what the tool takes for the newest one.

    Args:
        ran: How the backup ended.
        tool: The tool.
        subject: The database.
        before: What was there before.
        now: The state of the database that should have been backed up.
        failed: What to call it that the backup failed; nothing if it could not say so.
    """
    kept = before.good in tool.backups()
    subject.empty()
    restored = tool.restore()
    after = subject.state()
    current, usable = after == now, after in (now, before.first) and restored.ok
    detail = (
        f"backup: {ran.code} {ran.said[-600:]}\ngood one kept: {kept}\n"
        f"restore: {restored.code} {restored.said[-600:]}\n"
        f"{difference(now, after)}"
    )
    if ran.ok and current and usable:
        return Verdict("whole backup", True, detail)
    word = "MISSED" if ran.ok else "hangs" if ran.hung else failed
    if not ran.ok and usable:
        return Verdict(word or "nothing lost", not ran.hung, detail)
    if not kept:
        return Verdict(f"{word}, good one lost".removeprefix(", "), False, detail)
    if ran.ok:
        return Verdict(word, False, detail)
    left = "half a backup is left and restored as if whole" if restored.ok else "half a backup is left as the newest"
    return Verdict(f"{word}, but {left}" if word else left, False, detail)


def judge_restore(ran: Ended, tool: Contestant, subject: Subject, before: Before, now: State) -> Verdict:
    """Judge a restore that met a fault, which is over.

    Args:
        ran: How it ended.
        tool: The tool.
        subject: The database, as the restore left it.
        before: What was there when the backup was made.
        now: The state of the database just before the restore.
    """
    after = subject.state()
    against = difference(before.first, after)
    detail = f"restore: {ran.code} {ran.said[-600:]}\nnow against before: {difference(now, after)}\nbackup: {against}"
    if ran.ok and after == before.first:
        return Verdict("restored whole", True, detail)
    if ran.ok:
        return Verdict("MISSED", False, detail)
    word = "hangs" if ran.hung else "noticed"
    if after == now:
        return Verdict(f"{word}, nothing touched", not ran.hung, detail)
    if set(tool.backups()) - {before.good} and tool.restore().ok and subject.state() == now:
        return Verdict(f"{word}, database overwritten, but backed up before", False, detail)
    return Verdict(f"{word}, database overwritten", False, detail)


def judge_check(ran: Ended | None) -> Verdict:
    """Judge whether a check found damage."""
    if ran is None:
        return Verdict(NO_CHECK, False)
    return Verdict("MISSED" if ran.ok else "noticed", not ran.ok, f"check: {ran.code} {ran.said[-600:]}")
