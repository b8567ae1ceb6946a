# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""No one needs this collection to get their data back: gunzip and the vendor's own client are enough."""

from __future__ import annotations

import json

from harness.hosts import for_each
from harness.servers import DATABASES, SHOP, Target, assert_same


def test_gunzip_accepts_every_artifact(targets: list[Target]) -> None:
    def check(target: Target) -> None:
        found = target.host.shell(
            f"find {target.storage} -name '*.sql.gz' -print0 | xargs -0 --no-run-if-empty gunzip --test --verbose 2>&1"
        )
        assert found.count("OK") >= len(DATABASES), found

    for_each(targets, check)


def test_the_command_in_the_manifest_restores_everything(targets: list[Target]) -> None:
    """As an administrator with the two files in a directory of his own, and nothing else."""

    def check(target: Target) -> None:
        before = target.fingerprint(SHOP)
        made = target.host.report("backup", "--instance", target.database_id, SHOP)["results"][0]
        assert made["outcome"] == "success", made
        directory = f"/tmp/by-hand-{target.family}"
        administrator = "postgres" if target.family == "postgresql" else "root"
        target.host.shell(
            f"install -d -o {administrator} {directory}"
            f" && install -o {administrator} -t {directory} '{made['artifact']}' '{made['manifest']}'"
        )
        command = json.loads(target.host.read(made["manifest"]))["restore_by_hand"].replace("NEW_DATABASE", SHOP)
        target.drop(SHOP)
        if target.family == "mysql":
            target.create(SHOP)  # as docs/restore-by-hand.md says
        output = target.host.shell(
            # Without the engine's command and environment in reach.
            f"cd {directory} && runuser -u {administrator} -- env PATH=/usr/bin:/bin"
            ' bash -euo pipefail -c "$(cat)" 2>&1',
            text=command,
        )
        assert "ERROR" not in output, output
        assert_same(before, target.fingerprint(SHOP))
        target.host.shell(f"rm -r {directory}")

    for_each(targets, check)
