# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

from ..errors import ConfigError
from ..utils.clock import local_moment
from . import text
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
BeforeOption = Annotated[
    Optional[str],
    typer.Option(metavar="TIME", help="The newest artifact before this time: 2026-01-09T02:00, local unless zoned."),
]
InstanceArgument = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance (its database_id).")]
DatabaseArgument = Annotated[
    str, typer.Argument(metavar="DATABASE", help="The database, as it was called when backed up.")
]
IdentityOption = Annotated[
    Optional[Path],
    typer.Option("--identity", metavar="PATH", help="Decrypt with this age identity, instead of the host's own."),
]
TriggerOption = Annotated[
    Literal["command", "timer"], typer.Option(help="What the records name as the cause; timers say so themselves.")
]


def chosen_artifact(artifact: Optional[Path], before: Optional[str]) -> dict[str, Any]:
    """Return what an engine is told of the artifact that is meant.

    Raises:
        ConfigError: Path and time were both given, or the time is none.
    """
    if artifact is not None and before is not None:
        raise usage_error("--artifact and --before cannot be given together.")
    return {
        # Relative to where the command was called, which is not where the engine may look.
        "artifact": artifact.absolute() if artifact is not None else None,
        "before": parse_moment(before) if before is not None else None,
    }


def parse_moment(value: str) -> datetime:
    """Read a moment in ISO 8601; without a zone it is local time, a bare date is its midnight.

    Raises:
        ConfigError: The text is no such moment.
    """
    try:
        return local_moment(value)
    except ValueError:
        raise ConfigError(
            f"{text.plain(value)!r} is not a time.",
            "Write for example 2026-01-09, 2026-01-09T02:00 or 2026-01-09T02:00Z.",
        ) from None


def parse_owners(words: Sequence[str]) -> dict[str, str]:
    """Return what ``OLD=NEW`` says, by the old.

    Raises:
        ConfigError: One is of another form, or two are about the same account.
    """
    found: dict[str, str] = {}
    for word in words:
        old, _sign, new = word.partition("=")
        if not old or not new or old in found:
            what = f"{text.plain(word)!r} does not say which account takes the place of which."
            raise ConfigError(what, "Write OLD=NEW, each once.")
        found[old] = new
    return found


def session_of(context: typer.Context) -> Session:
    """Return the session that :func:`main` began."""
    session: Session = context.obj
    return session


def usage_error(message: str) -> Exception:
    """Return the error of arguments that do not go together; it ends the command with exit code 2."""
    return ConfigError(message, "See --help of the command.")
