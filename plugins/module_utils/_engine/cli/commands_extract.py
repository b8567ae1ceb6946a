# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``extract``: one table out of an artifact, as SQL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

from ..errors import ConfigError
from . import text
from ._typer import typer
from .options import (
    ArtifactOption,
    BeforeOption,
    DatabaseArgument,
    IdentityOption,
    InstanceArgument,
    chosen_artifact,
    session_of,
)


def extract(
    context: typer.Context,
    instance: InstanceArgument,
    database: DatabaseArgument,
    table: Annotated[
        str, typer.Option("--table", metavar="NAME", help="The table; of PostgreSQL with its schema: public.item.")
    ],
    artifact: ArtifactOption = None,
    before: BeforeOption = None,
    identity: IdentityOption = None,
    output: Annotated[
        Optional[Path], typer.Option("--output", metavar="PATH", help="Write into this new file.")
    ] = None,
) -> int:
    """Write the SQL of one table to standard output or into a file; no server is needed.

    Only those parts of the artifact are read that hold it.
    """
    chosen = chosen_artifact(artifact, before)
    session = session_of(context)
    content = session.engine(identity=identity).extract(database_id=instance, database=database, table=table, **chosen)
    first = next(content, b"")  # what cannot be extracted leaves no file behind
    try:
        descriptor = (
            session.out.fileno() if output is None else os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        )
        with os.fdopen(descriptor, "wb", closefd=output is not None) as stream:
            stream.write(first)
            for piece in content:
                stream.write(piece)
    except OSError as exc:
        where = "Standard output" if output is None else text.plain(str(output))
        raise ConfigError(f"{where} cannot be written: {exc.strerror}.", "What was written is not whole.") from None
    return 0
