# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

from ._typer import typer
from .session import Session

JsonOption = Annotated[
    bool, typer.Option("--json", help="Write the report as JSON to standard output, and nothing else there.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
InstanceFilter = Annotated[
    Optional[str],
    typer.Argument(metavar="INSTANCE", show_default=False, help="Only this instance (its database_id)."),
]
DatabaseFilter = Annotated[
    Optional[str], typer.Argument(metavar="DATABASE", show_default=False, help="Only this database of it.")
]
ArtifactOption = Annotated[
    Optional[Path], typer.Option("--artifact", metavar="PATH", help="This artifact, wherever it is.")
]


def session_of(context: typer.Context) -> Session:
    """Return the session that :func:`main` began."""
    session: Session = context.obj
    return session


def usage_error(message: str) -> Exception:
    """Return the error of arguments that do not go together; it ends the command with exit code 2."""
    from ..errors import ConfigError

    return ConfigError(message, "See --help of the command.")
