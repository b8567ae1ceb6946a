# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The quickstart's closing summary: what there is now, what happened, and where to go from here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from demo import DIRECTORY, HOSTS, POLICY, REPOSITORY, Demo, Victim
from display import console
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

Reports = dict[str, dict[str, Any]]  # by host

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """A number of bytes for people."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:.1f} {UNITS[unit]}"


def clock(moment: str) -> str:
    """A moment as local time of day."""
    return f"{datetime.fromisoformat(moment).astimezone():%H:%M:%S}"


def _table(title: str, *columns: str) -> Table:
    """A table of narrow columns, so that all of them fit into 80; those that begin with > are numbers."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table


def _hosts(info: Reports, status: Reports) -> Table:
    table = _table("Hosts", "Host", "Debian", "Instance", "Server", "Databases", "Next run")
    for host, suite in HOSTS.items():
        following = next(policy["next_run"] for policy in status[host]["policies"] if policy["name"] == POLICY)
        cells = (host, suite, clock(following) if following else "now")
        for instance in info[host]["instances"]:
            names = ", ".join(instance["databases"])
            table.add_row(*cells[:2], instance["database_id"], instance["server"], names, cells[2])
            cells = ("", "", "")
    return table


def _artifacts(info: Reports) -> Table:
    table = _table("Artifacts", "Host", "Instance", "Database", "Made at", ">SQL", ">Stored", ">Took", "Proof")
    for host in HOSTS:
        for entry in sorted(info[host]["artifacts"], key=lambda entry: str(entry["artifact"])):
            sizes = (size(entry["plain_bytes"]), size(entry["stored_bytes"]), f"{entry['duration']:.1f} s")
            names = (host, entry["database_id"], entry["database"])
            table.add_row(*names, clock(entry["created_at"]), *sizes, entry["proof"])
    return table


def _restored(victims: list[Victim]) -> Table:
    columns = ("Host", "Database", ">Tables", ">Rows", "Backup of", ">Back in", "Compared")
    table = _table("Dropped, and brought back", *columns)
    for victim in victims:
        table.add_row(
            victim.host,
            f"{victim.database} ({victim.dbms})",
            str(len(victim.tables)),
            f"{sum(victim.tables):,}",
            clock(victim.restore["created_at"]),
            f"{victim.restore['duration']:.1f} s",
            "[red]differs[/]" if victim.differences else "[green]no difference[/]",
        )
    return table


def show(demo: Demo, victims: list[Victim]) -> None:
    """Print the summary."""
    info = {host: demo.report(host, "list") for host in HOSTS}
    status = {host: demo.report(host, "status") for host in HOSTS}
    console.print()
    console.print(_hosts(info, status))
    console.print(_artifacts(info))
    artifacts = info[victims[0].host]["artifacts"]
    example = next(entry["artifact"] for entry in artifacts if entry["database"] == victims[0].database)
    console.print(f"On the host, an ordinary file with a manifest beside it:\n  [cyan]{example}[/]\n", soft_wrap=True)
    console.print(_restored(victims))
    _say_farewell(victims[0])


def _say_farewell(victim: Victim) -> None:
    here = DIRECTORY.relative_to(REPOSITORY)
    tool = "../../.venv/bin/ansible"
    restore = f"backupdb_instance={victim.database_id} backupdb_database={victim.database}"
    sections = {
        "Look around (the hosts stay up, and back up every two minutes)": [
            (f"ssh -F {here}/ssh_config {victim.host}", "a shell on a host, and there:"),
            ("  vya-backupdb status", "how its databases stand"),
            ("  vya-backupdb --help", "list, check, verify, restore …"),
            ("  systemctl list-timers 'vya-*'", "when it goes on"),
            (f"cd {here}", "inventory and logs, and there:"),
            (f"  {tool} all -m vya.backupdb.backup_info", "what exists"),
            (f"  {tool}-playbook vya.backupdb.restore \\", "a copy beside the original"),
            (f"    --limit {victim.host} -e '{restore} backupdb_target=copy'", ""),
        ],
        "Clean up": [("make quickstart-clean", "ends the hosts and removes what is theirs")],
    }
    for title, lines in sections.items():
        console.print(Text(title, "bold"))
        for command, text in lines:
            console.print(
                Text.assemble((f"  {command:<46}", "cyan"), (f"  {text}" if text else "", "dim")), soft_wrap=True
            )
        console.print()
