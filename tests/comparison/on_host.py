# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the comparison that runs on the test host, as root: every fault to every tool, on one kind of server."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from compared.contestant import Contestant
from compared.elsewhere import OTHERS, AnsibleModules, Borgmatic, CarefulAnsibleModules
from compared.faults import FAULTS, NO_FAULT, Before, Night
from compared.judge import Verdict
from compared.ours import Ours
from compared.restores import DAMAGES, RESTORES, damaged
from compared.shell import CarefulShell, Shell
from compared.stage import Stage
from compared.subject import Subject
from servers import Server, prepared_servers

CONTESTANTS: tuple[type[Contestant], ...] = (
    Shell,
    CarefulShell,
    AnsibleModules,
    CarefulAnsibleModules,
    Borgmatic,
    Ours,
)
# Rows by group: what the group is called, and how a row that has two verdicts is named.
BACKUPS, CHECKS, LOADS = "While a backup is made", "Whether the tool's check finds it", "At a restore"


def say(line: str) -> None:
    """Say how far things are."""
    sys.stdout.write(f"{datetime.now(timezone.utc):%H:%M:%S} {line}\n")
    sys.stdout.flush()


def one_after_another(
    subject: Subject, tool: Contestant, stage: Stage, only: str
) -> Iterator[tuple[str, str, Verdict]]:
    """Do every fault to a tool; yields the group, the fault and the verdict."""
    subject.unseen = frozenset()
    subject.make()
    tool.prepare()
    first = subject.state()
    made = tool.backup()
    if not made.ok:
        raise RuntimeError(f"{tool.name} does not work at all: {made.said}")
    good = tool.backups()[-1]
    tool.keep()

    def night() -> Night:
        tool.put_back()
        subject.make()
        subject.change()
        now = subject.state()
        objects = "\n".join(line for line in first["objects"].splitlines() if line not in subject.unseen)
        return Night(tool, subject, stage, Before({**first, "objects": objects}, good), now)

    for fault in FAULTS:
        wanted = fault.name == NO_FAULT or only in fault.name  # the first says what does not count later
        if wanted and fault.kind in ("", subject.server.kind):
            yield BACKUPS, fault.name, guarded(lambda fault=fault: fault.run(night()))
    for name in DAMAGES:
        if only in name:
            found: list[Verdict] = []
            failed = guarded(lambda name=name, found=found: found.extend(damaged(night(), name)))
            yield CHECKS, name, found[0] if found else failed
            yield LOADS, name, found[1] if found else failed
    for name, run in RESTORES.items():
        if only in name:
            yield LOADS, name, guarded(lambda run=run: run(night()))


def spare_the_disk(server: Server) -> None:
    """Let a server not wait for the disk: no fault here is a power cut of the whole host."""
    if server.kind == "mysql":
        server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 0;")
    else:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            server.sql(f"ALTER SYSTEM SET {setting} = off;")
        server.sql("SELECT pg_reload_conf();")


def guarded(judge: Callable[[], Any]) -> Any:
    """Judge; what goes wrong in that is shown in the cell instead of ending the comparison."""
    try:
        return judge()
    except Exception:
        return Verdict("not judged", None, traceback.format_exc())


def versions(server: Server) -> dict[str, str]:
    """The versions of all that was compared."""
    query = "SELECT VERSION();" if server.kind == "mysql" else "SHOW server_version;"
    code = (
        "from importlib.metadata import version;"
        "print(*[f'{n} {version(n)}' for n in ('ansible', 'ansible-core', 'borgmatic')], sep='\\n')"
    )
    listed = subprocess.run([OTHERS / "python", "-c", code], capture_output=True, text=True, check=True).stdout
    listed += subprocess.run(["borg", "--version"], capture_output=True, text=True, check=True).stdout
    collection = "mysql" if server.kind == "mysql" else "postgresql"
    manifest = next(OTHERS.parent.glob(f"lib/*/site-packages/ansible_collections/community/{collection}/MANIFEST.json"))
    listed += f"community.{collection} {json.loads(manifest.read_text())['collection_info']['version']}\n"
    found = dict(line.split(maxsplit=1) for line in listed.splitlines())
    name = {"mariadb": "MariaDB", "mysql": "MySQL", "postgresql": "PostgreSQL"}[server.flavour]
    return {name: server.sql(query).split("-")[0].split()[0], **found}


def main() -> int:
    """Compare and write the results; 0 if every cell could be judged."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", choices=("mysql", "postgresql"), required=True)
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--tool", action="append", help="only this one")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    server = prepared_servers()[args.server]
    subject = Subject(server)
    document: dict[str, Any] = {"versions": versions(server), "tools": [], "groups": {}}
    judged = True
    spare_the_disk(server)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        root = Path(directory)
        root.chmod(0o755)
        for number, kind_of_tool in enumerate(CONTESTANTS):
            if server.kind not in kind_of_tool.kinds or (args.tool and kind_of_tool.name not in args.tool):
                continue
            tool = kind_of_tool(server, root)
            (root / f"stage-{number}").mkdir(mode=0o755)
            stage = Stage(server, root / f"stage-{number}")
            document["tools"].append(tool.name)
            for group, fault, verdict in one_after_another(subject, tool, stage, args.only):
                say(f"{server.kind}, {tool.name}, {fault}: {verdict}")
                cells = document["groups"].setdefault(group, {}).setdefault(fault, {})
                cells[tool.name] = {"words": str(verdict), "good": verdict.good, "detail": verdict.detail}
                judged = judged and verdict.words != "not judged"
            args.output.write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")
    return 0 if judged else 1


if __name__ == "__main__":
    sys.exit(main())
