# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What exists and what is missing, what retention keeps, and what verification finds out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from harness.ansible import Ansible
from harness.calls import answers, results
from harness.hosts import for_each
from harness.servers import NOTES, Target

NEW = "never saved"


def test_information_names_the_databases_without_a_backup(ansible: Ansible, targets: list[Target]) -> None:
    for_each(targets, lambda target: (target.drop(NEW), target.create(NEW)))
    told = results(ansible, "backup_info", targets, lambda target: {"database_id": target.database_id})
    versions = {"mariadb": "MariaDB ", "mysql": "MySQL ", "postgresql": "PostgreSQL "}

    def check(target: Target) -> None:
        instance = told[target]["instances"][0]
        assert instance["database_id"] == target.database_id
        assert instance["reachable"] is True
        assert instance["server"].startswith(versions[target.dbms])
        assert instance["databases_without_backup"] == [NEW]
        assert NEW in target.host.command("list", target.database_id).stdout
        newest = told[target]["artifacts"][0]
        assert newest["proof"] in {"sealed", "verified"}  # what retention was to make room for was read back before
        assert newest["tool"]
        assert newest["stored_bytes"] == int(target.host.run("stat", "--format=%s", newest["artifact"]).stdout)
        target.drop(NEW)

    for_each(targets, check)


def history(now: datetime) -> list[datetime]:
    """Two artifacts on each of the last 9 days, one on each of the 30 before, and one in each of 15 months before."""
    days = [now - timedelta(days=day, hours=hours) for day in range(1, 10) for hours in (0, 3)]
    days += [now - timedelta(days=day) for day in range(10, 40)]
    months = [now - timedelta(days=40 + 30 * month) for month in range(1, 16)]
    return [moment.replace(microsecond=0) for moment in (*days, *months)]


def kept_of(moments: list[datetime]) -> set[datetime]:
    """By the rule's own words: the newest of each of the last 7 days, 4 ISO weeks and 12 months that have one."""
    kept: set[datetime] = set()
    for count, period in (
        (7, lambda m: m.date()),
        (4, lambda m: m.isocalendar()[:2]),
        (12, lambda m: (m.year, m.month)),
    ):
        newest: dict[Any, datetime] = {}
        for moment in sorted(moments):
            newest[period(moment)] = moment
        kept |= set(sorted(newest.values(), reverse=True)[:count])
    return kept


def test_retention_keeps_days_weeks_and_months(ansible: Ansible, targets: list[Target]) -> None:
    def prepare(target: Target) -> dict[datetime, str]:
        made = target.host.report("backup", "--instance", target.database_id, NOTES)["results"][0]
        target.host.shell(f"find {target.storage}/{NOTES} -name '*.sql.gz*' ! -path '{made['artifact']}*' -delete")
        moments = history(datetime.now(timezone.utc))
        stamps = [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in moments]
        paths = target.host.python("make_artifact.py", "age", made["artifact"], *stamps)
        listed = target.host.report("list", target.database_id, NOTES)["artifacts"]
        newest = next(entry for entry in listed if entry["artifact"] == made["artifact"])
        found = dict(zip(moments, paths, strict=True))
        return {**found, datetime.fromisoformat(newest["created_at"]): made["artifact"]}

    existing = for_each(targets, prepare)
    arguments = {"database": NOTES}
    foreseen = answers(
        ansible, "backup_retention", targets, lambda t: {**arguments, "database_id": t.database_id}, "--check"
    )
    done = results(ansible, "backup_retention", targets, lambda t: {**arguments, "database_id": t.database_id})
    again = results(ansible, "backup_retention", targets, lambda t: {**arguments, "database_id": t.database_id})

    def check(target: Target) -> None:
        wanted = {existing[target][moment] for moment in kept_of(list(existing[target]))}
        left = set(target.host.shell(f"find {target.storage}/{NOTES} -name '*.sql.gz'").splitlines())
        assert left == wanted
        manifests = target.host.shell(f"find {target.storage}/{NOTES} -name '*.manifest.json'").splitlines()
        assert {path.removesuffix(".manifest.json") for path in manifests} == wanted
        assert target.host.shell(f"find {target.storage}/{NOTES} -type d -empty") == ""
        removed = {entry["artifact"] for entry in done[target]["removed"]}
        assert removed == set(existing[target].values()) - wanted
        assert {entry["artifact"] for entry in foreseen[target].result["removed"]} == removed
        assert all(entry["reasons"] for entry in done[target]["kept"])
        assert again[target]["changed"] is False
        target.host.shell(f"rm -r {target.storage}/{NOTES}")
        target.host.report("backup", "--instance", target.database_id, NOTES)

    for_each(targets, check)


def test_verification_marks_what_is_whole_and_finds_one_flipped_bit(targets: list[Target]) -> None:
    def check(target: Target) -> None:
        good = target.host.report("backup", "--instance", target.database_id, NOTES)["results"][0]["artifact"]
        verified = target.host.report("verify", target.database_id, NOTES, "--newest")["results"]
        assert [(one["artifact"], one["outcome"], one["proof"]) for one in verified] == [(good, "success", "verified")]
        listed = target.host.report("list", target.database_id, NOTES)["artifacts"][0]
        assert (listed["artifact"], listed["proof"]) == (good, "verified")
        bad = target.host.python("make_artifact.py", "damage", good, "/tmp/flipped")
        done = target.host.command("verify", "--artifact", bad)
        assert done.returncode == 6, done.stdout + done.stderr
        assert "is damaged" in done.stdout, done.stdout
        assert "Use another artifact" in done.stdout, done.stdout
        target.host.shell(f"rm -r /tmp/flipped-{target.database_id}")

    for_each(targets, check)
