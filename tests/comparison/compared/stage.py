# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What faults are done with: clients that are stood in for, dumps that are held up, servers that are struck."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from apparatus.servers_down import bring_back, kill_server, process_ids, wait_until
from apparatus.stand_ins import LOADER, dumper, in_place_of
from servers import Server

from .contestant import ACCOUNT, PATIENCE, Meanwhile

FLOWING = 400_000  # bytes: beyond the definitions, within the rows
# Some tools have the client itself write to a pipe that they read; standard output is made to be that pipe.
_OUTPUT = """
words=()
while [ $# -gt 0 ]; do
    case $1 in
        --result-file) exec > "$2"; shift 2 ;;
        --result-file=*) exec > "${1#*=}"; shift ;;
        --file=*) exec > "${1#*=}"; shift ;;
        *) words+=("$1"); shift ;;
    esac
done
set -- "${words[@]}"
"""
# Lets the first bytes pass, then waits until the fault has struck, unless another is waiting or was.
_HELD_UP = """
hold() { perl -e '
my ($left, $mark, $go) = @ARGV;
while (my $read = sysread(STDIN, my $block, $left > 0 && $left < 65536 ? $left : 65536)) {
    for (my $done = 0; $done < $read;) {
        my $wrote = syswrite(STDOUT, $block, $read - $done, $done);
        defined $wrote or exit 1;
        $done += $wrote;
    }
    $left -= $read;
    if ($left == 0 && ! -e $mark) {
        open(my $file, ">", $mark);
        select(undef, undef, undef, 0.05) while ! -e $go;
    }
}' %(bytes)d %(mark)s %(go)s; }
"""
# Statements of the administrator, of tests and comparison, go to the real client.
_ADMINISTRATOR = """
[ "$(id -un)" = postgres ] && exec "$real" "$@"
for word in "$@"; do
    [ "$word" = --skip-column-names ] && exec "$real" "$@"
done
"""


class Stage:
    """Where clients are stood in for.

    Args:
        server: The server.
        directory: For marks, scripts and copies of the real clients.
    """

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self._directory = directory
        self._mark, self._go = directory / "flows", directory / "goes-on"

    @contextlib.contextmanager
    def dump_client(self, script: str) -> Iterator[None]:
        """Let a script stand in for the client that dumps."""
        with in_place_of(dumper(self.server), _OUTPUT + script, self._directory):
            yield

    @contextlib.contextmanager
    def load_client(self, script: str) -> Iterator[None]:
        """Let a script stand in for the clients that load."""
        programs = ["psql", "pg_restore"] if self.server.kind == "postgresql" else [LOADER[self.server.flavour]]
        with contextlib.ExitStack() as stack:
            for program in programs:
                stack.enter_context(in_place_of(program, _ADMINISTRATOR + script, self._directory))
            yield

    @contextlib.contextmanager
    def held_up_dump(self, action: Callable[[], object]) -> Iterator[Meanwhile]:
        """Let a dump wait in its middle; the block's value does the fault there, and lets it go on."""
        with (
            self._held_up(action) as (functions, meanwhile),
            self.dump_client(f'{functions}"$real" "$@" | hold; exit ${{PIPESTATUS[0]}}'),
        ):
            yield meanwhile

    @contextlib.contextmanager
    def held_up_load(self, action: Callable[[], object]) -> Iterator[Meanwhile]:
        """The same for a load."""
        with (
            self._held_up(action) as (functions, meanwhile),
            self.load_client(f'{functions}hold | "$real" "$@"; exit ${{PIPESTATUS[1]}}'),
        ):
            yield meanwhile

    @contextlib.contextmanager
    def _held_up(self, action: Callable[[], object]) -> Iterator[tuple[str, Meanwhile]]:
        def meanwhile(has_ended: Callable[[], bool]) -> None:
            try:
                wait_until(lambda: self._mark.exists() or has_ended(), "nothing flows", PATIENCE)
                if self._mark.exists():
                    action()
            finally:
                self._go.touch()

        try:
            yield _HELD_UP % {"bytes": FLOWING, "mark": self._mark, "go": self._go}, meanwhile
        finally:
            self._mark.unlink(missing_ok=True)
            self._go.unlink(missing_ok=True)

    def kill_dump_client(self) -> None:
        """Kill the real client that dumps."""
        for process in process_ids(dumper(self.server)):
            os.kill(process, signal.SIGKILL)

    def kill_connections(self) -> None:
        """End the tool's connections as an administrator does."""
        if self.server.kind == "mysql":
            query = f"SELECT id FROM information_schema.processlist WHERE user = '{ACCOUNT}';"
            for number in self.server.sql(query).split():
                with contextlib.suppress(RuntimeError):  # it has just ended
                    self.server.sql(f"KILL {number};")
        else:
            self.server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ACCOUNT}';")

    def kill_server(self) -> None:
        """Kill the server."""
        kill_server(self.server)

    def restart_server(self) -> None:
        """Kill the server, and have it come back, as its supervisor does."""
        kill_server(self.server)
        bring_back(self.server)
