# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other ways to back up MariaDB and MySQL."""

from __future__ import annotations

from pathlib import Path

from .case import COPY, DATABASE, Case
from .elsewhere import ansible_case, borgmatic_case, stream_cases
from .servers import MySql


def other_cases(work: Path, server: MySql) -> list[Case]:
    """Return a case for each alternative; those that this host lacks are left out later."""
    dump, client = server.dump, server.name
    folder = work / "parallel"
    return [
        *stream_cases(work, f"{dump} {DATABASE}", f"{client} --default-character-set=utf8mb4 {COPY}"),
        Case(
            f"{dump} --default-character-set=binary > /dev/null",
            f"{dump} --default-character-set=binary {DATABASE}",
        ),
        Case(
            f"{dump} --dir --parallel=2",
            f"umask 0; mkdir -p {folder}/data; {dump} --dir={folder}/data --parallel=2 --single-transaction --routines"
            f" --events --databases {DATABASE} > {folder}/more.sql",
            output=folder,
            load=f"cd {folder}/data; mv {DATABASE} {COPY}; trap 'mv {COPY} {DATABASE}' EXIT;"
            f" {client}-import --dir={folder}/data --parallel=2",
            loaded_as=f"{client}-import --dir --parallel=2",
            needs_option=(dump, "--dir="),
        ),
        *mydumper_cases(work),
        borgmatic_case(
            work,
            f"{server.name}_databases:\n    - name: {DATABASE}\n",
            f"{server.name}_databases/localhost/{DATABASE}",
            f"sed -E '/^(CREATE DATABASE|USE|.*DROP DATABASE)/s/`{DATABASE}`/`{COPY}`/'"
            f" | {client} --default-character-set=utf8mb4",
        ),
        ansible_case(
            work,
            "community.mysql.mysql_db",
            f"name={DATABASE} state=dump single_transaction=true login_unix_socket={server.instance['socket']}",
            f"{client} --default-character-set=utf8mb4 {COPY}",
        ),
    ]


def mydumper_cases(work: Path) -> list[Case]:
    """Return mydumper's cases: its older releases know gzip only, later ones have to be told which."""
    cases = []
    for name, option, needed in (
        ("gzip", "$(mydumper --help | grep -q ZSTD && echo --compress=GZIP || echo --compress)", "--compress"),
        ("zstd", "--compress=ZSTD", "ZSTD"),
    ):
        output = work / f"mydumper-{name}"
        cases.append(
            Case(
                f"mydumper, 2 threads, {name}",
                f"mydumper --threads=2 --database={DATABASE} --outputdir={output} {option}",
                output=output,
                load=f"myloader --threads=2 --database={COPY} --directory={output} --overwrite-tables",
                loaded_as=f"myloader, 2 threads, {name}",
                needs=("mydumper", "myloader"),
                needs_option=("mydumper", needed),
            )
        )
    return cases
