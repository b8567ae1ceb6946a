# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command tree and the options that stand before a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from .. import __version__
from ._typer import typer
from .commands_backup import backup
from .commands_config import config_app
from .commands_drill import drill
from .commands_extract import extract
from .commands_holds import accept, adopt_storage, pin, unpin
from .commands_inspect import check, list_artifacts, status
from .commands_restore import restore
from .commands_show import show
from .commands_upkeep import prune, verify
from .exit_codes import EPILOG
from .options import session_of
from .session import DEFAULT_CONFIG_PATH, Session
from .text import sentence

PROGRAM = "vya-backupdb"
CONFIG_VARIABLE = "VYA_BACKUPDB_CONFIG"

app = typer.Typer(
    epilog=EPILOG,
    # Plain help: it starts in half the time, and is as wide and as searchable as the reader's terminal.
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        session_of(context).out.line(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", metavar="PATH", envvar=CONFIG_VARIABLE, help="The host's configuration.")
    ] = DEFAULT_CONFIG_PATH,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, to standard error.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an internal error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and end.")
    ] = False,
) -> None:
    """Back up and restore the databases of this host: MariaDB, MySQL and PostgreSQL."""
    session = session_of(context)
    session.config_path, session.verbose, session.debug = config, verbose, debug


app.command("backup")(backup)
app.command("restore")(restore)
app.command("extract")(extract)
app.command("list")(list_artifacts)
app.command("show")(show)
app.command("verify")(verify)
app.command("drill")(drill)
app.command("prune")(prune)
app.command("pin")(pin)
app.command("unpin")(unpin)
app.command("accept")(accept)
app.command("adopt-storage")(adopt_storage)
app.command("status")(status)
app.command("check")(check)
app.add_typer(config_app, name="config")


def run(arguments: Sequence[str], session: Session) -> int:
    """Run a command and return its exit code.

    Raises:
        BackupDbError: What was expected to be possible, and did not succeed.
    """
    try:
        code: object = app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=session)
    except typer.TyperException as exc:
        session.err.line(f"Error: {sentence(exc.format_message())}")
        where = getattr(getattr(exc, "ctx", None), "command_path", PROGRAM)
        session.err.line(f"See {where} --help.")
        return exc.exit_code
    return code if isinstance(code, int) else 0
