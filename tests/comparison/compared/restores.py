# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong with what is stored, and while it is restored."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from apparatus.stand_ins import dumper
from servers import Server

from .contestant import DATABASE, Ended
from .faults import Night
from .judge import NOT_APPLICABLE, Verdict, judge_check, judge_restore
from .stage import FLOWING
from .subject import OWNER, State

OTHER = "vya_other"


def truncate(path: Path, _server: Server) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bit(path: Path, _server: Server) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path, _server: Server) -> None:
    """Empty a file."""
    path.write_bytes(b"")


def swap(path: Path, server: Server) -> None:
    """Put a whole dump of another database in a file's place."""
    server.create(OTHER, "CREATE TABLE other (id integer); INSERT INTO other VALUES (1);")
    owner = ["runuser", "-u", "postgres", "--"] if server.kind == "postgresql" else []
    dumped = subprocess.run([*owner, dumper(server), OTHER], check=True, capture_output=True, cwd="/").stdout
    path.write_bytes(gzip.compress(dumped))
    server.drop(OTHER)


DAMAGES: dict[str, Callable[[Path, Server], None]] = {
    "stored backup cut in half": truncate,
    "one bit of the stored backup flipped": flip_bit,
    "stored backup emptied": empty,
    "another database's backup in its place": swap,
}


def damaged(night: Night, name: str) -> tuple[Verdict, Verdict]:
    """Damage what is stored; judge the tool's check, and its restore."""
    if DAMAGES[name] is swap and not night.tool.holds_plain_files():
        nothing = Verdict(NOT_APPLICABLE, None, "it has no file for each backup")
        return nothing, nothing
    DAMAGES[name](night.tool.main_file(), night.subject.server)
    return judge_check(night.tool.check()), restored(night)


def restored(night: Night) -> Verdict:
    """Restore, and judge that."""
    now = night.subject.state()
    return judge(night, night.tool.restore(), now)


def judge(night: Night, ran: Ended, now: State) -> Verdict:
    """Judge a restore."""
    return judge_restore(ran, night.tool, night.subject, night.before, now)


@contextlib.contextmanager
def failing_statement(night: Night) -> Iterator[None]:
    """Let the server refuse a statement in the middle of the dump, or near its end: too large, or its role is gone."""
    server = night.subject.server
    if night.mysql:
        usual = server.sql("SELECT @@GLOBAL.max_allowed_packet;")
        server.sql("SET GLOBAL max_allowed_packet = 131072;")
        try:
            yield
        finally:
            server.sql(f"SET GLOBAL max_allowed_packet = {usual};")
    else:
        server.sql(f"ALTER TABLE z_last OWNER TO postgres; DROP ROLE {OWNER};", DATABASE)
        yield


def refused_statement(night: Night) -> Verdict:
    """Restore where one statement fails."""
    with failing_statement(night):
        now = night.subject.state()
        ran = night.tool.restore()
    return judge(night, ran, now)


def load_client_killed(night: Night) -> Verdict:
    """Restore with a load client that dies in its middle."""
    now = night.subject.state()
    script = f'head -c {FLOWING} | "$real" "$@"; kill -KILL $$'
    with night.stage.load_client(script):
        ran = night.tool.restore()
    return judge(night, ran, now)


def in_mid_load(strike: str) -> Callable[[Night], Verdict]:
    """Strike while a restore is under way."""

    def run(night: Night) -> Verdict:
        now = night.subject.state()
        with night.stage.held_up_load(getattr(night.stage, strike)) as meanwhile:
            ran = night.tool.restore(meanwhile=meanwhile)
        return judge(night, ran, now)

    return run


RESTORES: dict[str, Callable[[Night], Verdict]] = {
    "a statement fails in mid-load": refused_statement,
    "load client killed in mid-load": load_client_killed,
    "connection killed in mid-load": in_mid_load("kill_connections"),
    "server killed in mid-load, and back": in_mid_load("restart_server"),
}
