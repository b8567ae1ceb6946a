# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other ways to back up PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from .case import COPY, DATABASE, Case
from .elsewhere import ansible_case, borgmatic_case, stream_cases
from .servers import PostgreSql

PSQL = "psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null"


def other_cases(work: Path, server: PostgreSql) -> list[Case]:
    """Return a case for each alternative; those that this host lacks are left out later."""
    plain = work / "plain.sql"
    cases = [
        *stream_cases(work, f"pg_dump {DATABASE}", f"{PSQL} --dbname={COPY}"),
        Case(
            "pg_dump > file",
            f"pg_dump --file={plain} {DATABASE}",
            output=plain,
            load=f"{PSQL} --dbname={COPY} --file={plain}",
            loaded_as="psql --file, uncompressed",
        ),
    ]
    # What pg_dump can compress with depends on how it was built, so it is tried.
    formats = [("-Fc", "", "-Fc"), ("-Fd -j2, gzip", "", "-Fd -j2")]
    if int(server.major) >= 16:
        formats += [(f"-Fd -j2, {name}", f"--compress={name}", "-Fd -j2") for name in ("zstd:3", "lz4")]
    for name, option, how in formats:
        output = work / f"pg_dump{name.replace(' ', '').replace(',', '-').replace(':', '')}"
        cases.append(
            Case(
                f"pg_dump {name}",
                f"pg_dump {how} {option} --file={output} {DATABASE}",
                output=output,
                load=f"pg_restore -j2 --exit-on-error --dbname={COPY} {output}",
                loaded_as=f"pg_restore -j2 of {name}",
            )
        )
    return [
        *cases,
        borgmatic_case(
            work,
            f"postgresql_databases:\n    - name: {DATABASE}\n      format: plain\n",
            f"postgresql_databases/localhost/{DATABASE}",
            f"sed -E '/^(DROP|CREATE|ALTER) DATABASE|^.connect/s/\\b{DATABASE}\\b/{COPY}/' | {PSQL} --dbname={COPY}",
        ),
        ansible_case(
            work,
            "community.postgresql.postgresql_db",
            f"name={DATABASE} state=dump login_user=root login_unix_socket={server.instance['socket']}",
            f"{PSQL} --dbname={COPY}",
        ),
    ]
