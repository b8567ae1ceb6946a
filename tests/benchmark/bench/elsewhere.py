# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to back up that are the same for both kinds of server."""

from __future__ import annotations

import shlex
from pathlib import Path

from .case import Case

ALTERNATIVES = Path("/opt/alternatives/bin")
NULL, GZIP, LOAD = "vendor's dump > /dev/null", "dump | gzip -6", "gunzip | client"


def stream_cases(work: Path, dump: str, load: str) -> list[Case]:
    """Return the dump alone, and through each compressor.

    Args:
        work: Where outputs go.
        dump: The vendor's client with its default options.
        load: The client that reads SQL into the copy.
    """
    cases = [Case(NULL, dump)]
    for name, compress, expand in (
        ("gzip -6", "gzip -6", "gzip -dc"),
        ("pigz -6 -p2", "pigz -6 -p2", "pigz -dc"),
        ("zstd -3 -T2", "zstd -q -3 -T2", "zstd -q -dc"),
    ):
        output = work / f"stream.sql.{compress.split()[0]}"
        reference = compress == "gzip -6"
        cases.append(
            Case(
                f"dump | {name}",
                f"{dump} | {compress} > {output}",
                output=output,
                load=f"{expand} < {output} | {load}" if reference else "",
                loaded_as=LOAD if reference else "",
                plain="" if reference else f"{expand} < {output}",
                needs=(compress.split()[0],),
            )
        )
    return cases


def borgmatic_case(work: Path, source: str, path: str, load: str) -> Case:
    """Return borgmatic's first backup into an empty, unencrypted repository, with zstd 3.

    Args:
        work: Where the repository goes.
        source: The section of its configuration that names the database.
        path: The end of the dump's path in the archive.
        load: Reads the dump, which makes its own database, into the copy.
    """
    repository, config = work / "borg", work / "borgmatic.yaml"
    text = f"repositories:\n    - path: {repository}\ncompression: zstd,3\n{source}"
    borg = "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes borg"
    return Case(
        "borgmatic (borg, zstd 3), first backup",
        f"borgmatic --config {config} --verbosity -1 create",
        output=repository,
        before=f"printf %s {shlex.quote(text)} > {config}; chmod 600 {config};"
        f" rm -rf ~/.cache/borg ~/.config/borg; borg init --encryption=none {repository}",
        load=f"archive=$({borg} list --short {repository});"
        f' file=$({borg} list --short {repository}::"$archive" | grep -m1 "{path}$");'
        f' {borg} extract --stdout {repository}::"$archive" "$file" | {load}',
        needs=("borgmatic", "borg"),
    )


def ansible_case(work: Path, module: str, arguments: str, load: str) -> Case:
    """Return the dump by one of Ansible's own modules, called ad hoc; Ansible's start is part of it.

    Args:
        work: Where its output goes.
        module: The module's full name.
        arguments: Its arguments but for the target.
        load: The client that reads SQL into the copy.
    """
    output = work / "ansible.sql.gz"
    variables = f"-e ansible_python_interpreter={ALTERNATIVES}/python"
    return Case(
        module,
        f"LC_ALL=C.UTF-8 {ALTERNATIVES}/ansible localhost -c local {variables} -m {module}"
        f" -a {shlex.quote(f'{arguments} target={output}')} >&2",
        output=output,
        load=f"gzip -dc {output} | {load}",
        needs=(str(ALTERNATIVES / "ansible"),),
    )


def small_cases(work: Path, dump: str, names: Path) -> list[Case]:
    """Return the shell's ways to dump many small databases.

    Args:
        work: Where outputs go.
        dump: The vendor's client, to be followed by a name.
        names: A file with a name in each line.
    """
    loop, pairs = work / "loop", work / "pairs"
    one = f'{dump} "$1" | gzip > {pairs}/"$1".sql.gz'
    whole = (
        "for f in {0}/*.gz; do gzip -dc $f | tail -n 8 | grep -q 'ump complete' || {{ echo $f is cut; exit 1; }}; done"
    )
    count = " test $(ls {0} | wc -l) = $(wc -l < " + str(names) + ")"
    return [
        Case(
            "shell loop, dump | gzip",
            f'mkdir {loop}; while read -r name; do {dump} "$name" | gzip > {loop}/"$name".sql.gz; done < {names}',
            output=loop,
            invalid_unless=(whole + ";" + count).format(loop),
        ),
        Case(
            "two at a time, xargs -P2",
            f"mkdir {pairs}; xargs -P2 -I@ bash -o pipefail -c {shlex.quote(one)} - @ < {names}",
            output=pairs,
            invalid_unless=(whole + ";" + count).format(pairs),
        ),
    ]
