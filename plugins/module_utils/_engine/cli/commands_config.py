# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``config``: check a configuration before it is used, and describe its format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

from . import text
from ._typer import typer
from .options import session_of

config_app = typer.Typer(
    help="Check a configuration, or print its format.", rich_markup_mode=None, no_args_is_help=False
)


@config_app.command("validate")
def validate(
    context: typer.Context,
    path: Annotated[
        Optional[Path],
        typer.Argument(metavar="PATH", show_default=False, help="The file; the host's own if not given."),
    ] = None,
) -> int:
    """Check a configuration file as a whole."""
    from ..config_file import load_config

    session = session_of(context)
    checked = path or session.config_path
    config = load_config(checked)
    session.out.line(
        f"{text.plain(checked)} is valid: {text.count(len(config.instances), 'instance')}, "
        f"{text.count(len(config.policies), 'policy', 'policies')}."
    )
    return 0


@config_app.command("schema")
def schema(context: typer.Context) -> int:
    """Print the JSON Schema of the configuration."""
    from ..config import json_schema

    session_of(context).out.line(json_schema())
    return 0
