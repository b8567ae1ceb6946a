# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong while a backup is made. Each fault is over when its block begins; the block judges."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from apparatus.servers_down import bring_back

from .contestant import ACCOUNT, DATABASE, Contestant, Ended
from .judge import Before, Verdict, difference, judge_backup
from .stage import FLOWING, Stage
from .subject import BROKEN, State, Subject


@dataclass(frozen=True)
class Night:
    """A backup of the second day, about to be made."""

    tool: Contestant
    subject: Subject
    stage: Stage
    before: Before
    now: State

    @property
    def mysql(self) -> bool:
        return self.subject.server.kind == "mysql"

    def judge(self, ran: Ended, failed: str = "noticed") -> Verdict:
        return judge_backup(ran, self.tool, self.subject, self.before, self.now, failed)


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes:
        name: In the table.
        run: Makes the backup and judges it.
        kind: The only kind of servers that it is possible with.
    """

    name: str
    run: Callable[[Night], Verdict]
    kind: str = ""


def instead_of_the_client(script: str, times: int = 1) -> Callable[[Night], Verdict]:
    """Let something stand in for the dump client, in so many nights."""

    def run(night: Night) -> Verdict:
        with night.stage.dump_client(script):
            for _ in range(times):
                ran = night.tool.backup()
        return night.judge(ran)

    return run


def in_mid_dump(action: Callable[[Night], object], failed: str = "noticed") -> Callable[[Night], Verdict]:
    """Do something while the dump is under way."""

    def run(night: Night) -> Verdict:
        with night.stage.held_up_dump(lambda: action(night)) as meanwhile:
            ran = night.tool.backup(meanwhile=meanwhile)
        if not night.subject.server.answers():
            bring_back(night.subject.server)
        return night.judge(ran, failed)

    return run


def no_fault(night: Night) -> Verdict:
    """Back up where all is well; from now on, what was missing even then does not count."""
    subject = night.subject
    ran = night.tool.backup()
    subject.empty()
    restored = night.tool.restore()
    after = subject.state()
    detail = f"backup: {ran.code} {ran.said[-600:]}\nrestore: {restored.code} {restored.said[-600:]}"
    if after == night.now and ran.ok and restored.ok:
        return Verdict("whole backup", True, detail)
    subject.unseen = frozenset(night.now["objects"].splitlines()) - frozenset(after["objects"].splitlines())
    kinds = sorted({re.split(r"\W", line)[0] for line in subject.unseen})
    words = f"MISSED: no {', no '.join(f'{kind}s' for kind in kinds)}" if kinds else "MISSED"
    return Verdict(words, False, f"{detail}\n{difference(night.now, after)}")


def with_trouble(trouble: Callable[[Night], contextlib.AbstractContextManager[None]]) -> Callable[[Night], Verdict]:
    """Let something be wrong from before the backup until after it."""

    def run(night: Night) -> Verdict:
        with trouble(night):
            ran = night.tool.backup()
        return night.judge(ran)

    return run


def full_disk(night: Night) -> Verdict:
    """Fill the disk of what is stored in mid-dump."""
    with night.tool.on_a_small_disk():
        filler = night.tool.store / "filler"

        def fill() -> None:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

        with night.stage.held_up_dump(fill) as meanwhile:
            ran = night.tool.backup(meanwhile=meanwhile)
        filler.unlink(missing_ok=True)
        return night.judge(ran)


def two_at_once(night: Night) -> Verdict:
    """Back up while a backup is under way."""
    second: list[Ended] = []
    with night.stage.held_up_dump(lambda: second.append(night.tool.backup())) as meanwhile:
        first = night.tool.backup(meanwhile=meanwhile)
    verdict = night.judge(first)
    if verdict.good:
        verdict = replace(verdict, words="both whole" if second[0].ok else "one whole, one refused")
    return verdict


def missing_database(night: Night) -> Verdict:
    """Back up a database that does not exist."""
    ran = night.tool.backup("vya_gone")
    detail = f"backup: {ran.code} {ran.said[-600:]}"
    return Verdict("MISSED" if ran.ok else "noticed", not ran.ok, detail)


@contextlib.contextmanager
def broken_view(night: Night) -> Iterator[None]:
    """Let there be a view whose table is gone."""
    statements = f"CREATE TABLE t (id integer); CREATE VIEW {BROKEN} AS SELECT id FROM t; DROP TABLE t;"
    night.subject.server.sql(statements, DATABASE)
    yield


@contextlib.contextmanager
def missing_table_file(night: Night) -> Iterator[None]:
    """Let the file of a table be gone."""
    server = night.subject.server
    if night.mysql:
        server.sql("ALTER TABLE item DISCARD TABLESPACE;", DATABASE)
        yield
        return
    server.sql("CHECKPOINT;")
    place = server.sql("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('item');", DATABASE)
    aside = f"{place}.aside"
    shutil.move(place, aside)
    try:
        yield
    finally:
        shutil.move(aside, place)


@contextlib.contextmanager
def fewer_privileges(night: Night) -> Iterator[None]:
    """Let the account lack privileges: to see triggers and events, or to read tables."""
    server = night.subject.server
    if night.mysql:
        server.sql(f"REVOKE TRIGGER, EVENT ON *.* FROM {ACCOUNT}@localhost;")
    else:
        server.sql(f"ALTER ROLE {ACCOUNT} NOSUPERUSER;")
    try:
        yield
    finally:
        night.subject.let_the_account_do_everything()


def _strike(name: str) -> Callable[[Night], object]:
    return lambda night: getattr(night.stage, name)()


CUT_AT_MARKER = '"$real" "$@" | sed -E "/^-- (Dump completed|PostgreSQL database dump complete)/q"; exit 0'
NO_FAULT = "nothing: a plain backup, all of it restored"
FAULTS = (
    Fault(NO_FAULT, no_fault),
    Fault("dump client killed in mid-dump", in_mid_dump(_strike("kill_dump_client"))),
    Fault("connection killed in mid-dump", in_mid_dump(_strike("kill_connections"))),
    Fault("server killed in mid-dump", in_mid_dump(_strike("kill_server"))),
    Fault("dump client stops and does not end", instead_of_the_client(f'"$real" "$@" | head -c {FLOWING}; sleep 1000')),
    Fault("disk full in mid-dump", full_disk),
    Fault("a view whose table is gone", with_trouble(broken_view), "mysql"),
    Fault("the file of a table is gone", with_trouble(missing_table_file)),
    Fault("the account lacks privileges", with_trouble(fewer_privileges)),
    Fault("a database that does not exist", missing_database),
    Fault("dump client writes nothing, exit code 0", instead_of_the_client("exit 0")),
    Fault("dump cut off where it looks like its end, exit code 0", instead_of_the_client(CUT_AT_MARKER)),
    Fault(
        "three failing nights in a row",
        instead_of_the_client(f'"$real" "$@" | head -c {FLOWING}; exit 2', times=3),
    ),
    Fault("the tool itself killed in mid-dump", in_mid_dump(lambda night: night.tool.kill(), "")),
    Fault("two runs at once", two_at_once),
)
