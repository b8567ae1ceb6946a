# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of the fleet."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from . import bases, cgroups, doctor, ssh
from .errors import FleetError, Interrupted, UnusableMachineError
from .fleet import BUILDS_AT_ONCE, DEFAULT_HOSTS, Fleet, all_of, remove, remove_leftovers, tell
from .processes import Processes, stopping_by_signal, undisturbed
from .state import all_fleets, load, locked, state_dir

EXIT_FAILED, EXIT_UNUSABLE = 1, 2


def _show(line: object) -> None:
    sys.stdout.write(f"{line}\n")


def _pair(text: str, separator: str, form: str) -> tuple[str, str]:
    left, _, right = text.partition(separator)
    if not (left and right):
        raise FleetError(f"{text!r} is not of the form {form}.")
    return left, right


def _up(args: argparse.Namespace) -> None:
    binds = [
        (Path(source), destination, writable)
        for given, writable in ((args.bind, False), (args.bind_rw, True))
        for source, destination in (_pair(text, ":", "SOURCE:DESTINATION") for text in given)
    ]
    fleet = Fleet(args.fleet, dict(_pair(text, "=", "NAME=SUITE") for text in args.host), binds=binds)
    fleet.up(owned=False, keep=args.keep)
    _show(fleet.directory)


def _down(args: argparse.Namespace) -> None:
    Fleet(args.fleet).down()


def _exec(args: argparse.Namespace) -> int:
    fleet = load(args.fleet)
    if args.name not in {host.name for host in fleet.hosts}:
        raise FleetError(f"Fleet {fleet.name!r} has no host {args.name!r}.")
    terminal = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    return subprocess.run(ssh.command(fleet, args.name, words or ["bash", "-l"], *terminal), check=False).returncode


def _list(args: argparse.Namespace) -> None:
    fleets = all_fleets()
    if args.json:
        _show(json.dumps([{**asdict(fleet), "directory": str(fleet.directory)} for fleet in fleets], indent=2))
        return
    for fleet in fleets:
        _show(f"{fleet.name}  {fleet.subnet}  {fleet.directory}")
        for host in fleet.hosts:
            alive = "alive" if cgroups.populated(fleet, host.name) else "ended"
            _show(f"  {host.name}  {host.suite}  {host.address}  {alive}")


def _base(args: argparse.Namespace) -> None:
    doctor.require()
    for name in args.suite:
        bases.suite(name)
    processes = Processes()
    names = dict.fromkeys(args.suite)
    all_of(BUILDS_AT_ONCE, processes, [partial(bases.ensure, name, processes, tell, args.rebuild) for name in names])
    for name in names:
        _show(bases.bases_dir() / bases.recipe(name).key)


def _clean(args: argparse.Namespace) -> None:
    with undisturbed(), locked():
        remove_leftovers(tell)
        for fleet in [] if args.stale else all_fleets():
            tell(f"fleet {fleet.name}: removing it")
            remove(fleet)
    if not args.keep_bases:
        for name in bases.remove_unused(everything=not args.stale):
            tell(f"base {name}: removed")
        for path in (bases.bases_dir(), state_dir() / "fleets", state_dir()):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _doctor(args: argparse.Namespace) -> int:
    if args.install:
        if os.geteuid():
            raise UnusableMachineError(doctor.NOT_ROOT)
        doctor.install()
    found = doctor.problems()
    _show("\n".join(found) or "Everything that the fleet needs is here.")
    return EXIT_UNUSABLE if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleet.py", description="Boot Debian hosts with their database servers for tests; needs root."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    up = command("up", _up, "Boot the hosts of a fleet and wait until they serve; prints the fleet's directory.")
    up.add_argument("--fleet", required=True, metavar="NAME")
    hosts = " ".join(f"{name}={suite}" for name, suite in DEFAULT_HOSTS.items())
    up.add_argument("--host", action="append", default=[], metavar="NAME=SUITE", help=f"default: {hosts}")
    up.add_argument("--bind", action="append", default=[], metavar="SRC:DST", help="show a directory, read-only")
    up.add_argument("--bind-rw", action="append", default=[], metavar="SRC:DST", help="show a directory, writable")
    up.add_argument("--keep", action="store_true", help="keep the hosts if one of them fails, to look at them")
    down = command("down", _down, "End a fleet and remove everything of it.")
    down.add_argument("--fleet", required=True, metavar="NAME")
    run = command("exec", _exec, "Run a command on a host; without one, a shell.")
    run.add_argument("--fleet", required=True, metavar="NAME")
    run.add_argument("name", metavar="HOST")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    listing = command("list", _list, "Show the fleets.")
    listing.add_argument("--json", action="store_true")
    base = command("base", _base, "Build base roots only.")
    base.add_argument("--suite", nargs="+", default=list(dict.fromkeys(DEFAULT_HOSTS.values())))
    base.add_argument("--rebuild", action="store_true", help="build them anew even if they exist")
    clean = command("clean", _clean, "Remove all fleets and base roots, and what killed runs left over.")
    clean.add_argument("--stale", action="store_true", help="only leftovers and outdated base roots")
    clean.add_argument("--keep-bases", action="store_true", help="leave the base roots")
    check = command("doctor", _doctor, "Say what this machine lacks.")
    check.add_argument("--install", action="store_true", help="install the missing packages")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool.

    Returns:
        0; 1 if something failed; 2 if the machine or the arguments do not fit; the command's own code for ``exec``.
    """
    args = _parser().parse_args(arguments)
    if os.geteuid() and args.run is not _doctor:
        tell(f"fleet: {doctor.NOT_ROOT}")
        return EXIT_UNUSABLE
    try:
        if not os.geteuid():
            state_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
        with stopping_by_signal():
            return args.run(args) or 0
    except FleetError as error:
        tell(f"fleet: {error}")
        return EXIT_UNUSABLE if isinstance(error, UnusableMachineError) else EXIT_FAILED
    except Interrupted as stop:
        tell(f"fleet: {stop}; everything begun was removed.")
        return 128 + stop.signum
