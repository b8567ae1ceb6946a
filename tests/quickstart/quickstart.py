#!/usr/bin/env python3
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two database hosts from plain servers to restored databases, before your eyes; ``make quickstart`` calls this."""

from __future__ import annotations

import sys

from demo import DIRECTORY, HERE, HOSTS, VICTIMS, Demo, FleetError, Interrupted, Victim, side_by_side
from display import StepFailedError, console, show_failure, step
from fingerprint import compare
from summary import clock, show

INTERRUPTED = 130


def roll_out(demo: Demo) -> None:
    """Boot, fill the servers, apply the collection, and apply it again."""
    console.print("\n[bold]vya.backupdb[/]: two database hosts, rolled out, backed up, wrecked, and restored\n")
    with step("Boot two Debian hosts", "the first time takes a minute or two") as at:
        demo.boot()
        at.result = ", ".join(f"{host} ({suite})" for host, suite in HOSTS.items())
    with step("Build and install the collection") as at:
        at.result = demo.install_collection()
    with step("Fill their database servers") as at:
        demo.playbook(str(HERE / "prepare.yml"), "prepare")
        at.result = "a shop, its billing, and more"
    with step("ansible-playbook vya.backupdb.site") as at:
        done = demo.playbook("vya.backupdb.site", "site")
        at.result = f"{sum(changed for _ok, changed in done.values())} changes on {len(done)} hosts"
    with step("The same a second time") as at:
        changed = sum(changed for _ok, changed in demo.playbook("vya.backupdb.site", "site-again").values())
        if changed:
            raise StepFailedError(
                f"The second run changed {changed} things, but should change none:", DIRECTORY / "site-again.log"
            )
        at.result = "nothing to change"


def let_timers_fire(demo: Demo) -> None:
    """Wait until the hosts' own timers have backed up everything."""
    planned = [policy["next_run"] for host in HOSTS for policy in demo.report(host, "status")["policies"]]
    following = min((moment for moment in planned if moment), default=None)  # none while a backup is under way
    with step("Wait for the hosts' own timers", f"next at {clock(following)}" if following else "they fire now") as at:
        side_by_side(HOSTS, demo.await_timer)
        artifacts = [entry for host in HOSTS for entry in demo.report(host, "list")["artifacts"]]
        at.result = f"{len(artifacts)} artifacts"


def wreck(demo: Demo, victims: list[Victim]) -> None:
    """Remember what the databases hold, and drop them."""
    with step("Take fingerprints of 4 databases") as at:
        for victim, found in zip(victims, side_by_side(victims, demo.fingerprint), strict=True):
            victim.before = found
        rows = sum(sum(victim.tables) for victim in victims)
        at.result = f"every definition, {rows:,} rows"
    with step("DROP DATABASE") as at:
        side_by_side(victims, demo.drop)
        at.result = f"[red]{', '.join(dict.fromkeys(victim.database for victim in victims))} gone on both hosts[/]"


def bring_back(demo: Demo, victims: list[Victim]) -> None:
    """Restore the databases, and compare them with what they held."""
    with step("ansible -m vya.backupdb.db_restore") as at:
        for victim, restored in zip(victims, side_by_side(victims, demo.restore), strict=True):
            victim.restore = restored
        at.result = f"{len(victims)} databases are back"
    with step("Compare with the fingerprints") as at:
        for victim, after in zip(victims, side_by_side(victims, demo.fingerprint), strict=True):
            victim.differences = compare(victim.before, after)
        different = [f"{victim.database_id}: {text}" for victim in victims for text in victim.differences]
        if different:
            raise StepFailedError("The restored databases differ:\n" + "\n".join(different[:20]))
        at.result = "[green]no difference[/]"


def main() -> int:
    """Run the quickstart; 0 if everything came back as it was."""
    demo = Demo()
    try:
        roll_out(demo)
        let_timers_fire(demo)
        wreck(demo, VICTIMS)
        bring_back(demo, VICTIMS)
        show(demo, VICTIMS)
    except StepFailedError as failure:
        show_failure(failure)
    except FleetError as failure:
        show_failure(StepFailedError(str(failure)))
    except (Interrupted, KeyboardInterrupt):
        console.print(f"\nStopped. Logs are in {DIRECTORY}; `make quickstart-clean` ends what is up.")
        return INTERRUPTED
    else:
        return 0
    console.print("The hosts that are up stay up, to look at them; `make quickstart-clean` ends them.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
