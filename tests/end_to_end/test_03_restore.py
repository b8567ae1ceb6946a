# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The reason for all of it: a database that is gone or wrecked comes back, whole."""

from __future__ import annotations

from typing import Any

import pytest
from harness.ansible import Ansible
from harness.calls import answers, refused_by_module, results
from harness.hosts import for_each
from harness.servers import NOTES, ODD, SHOP, Target, assert_same

PLAIN, COPY = "plain", "plain: a copy"


def back_up(ansible: Ansible, targets: list[Target], *databases: str) -> dict[Target, list[dict[str, Any]]]:
    """Back up databases ad hoc and return the results, in the order of the names."""
    made = results(
        ansible, "db_backup", targets, lambda target: {"database_id": target.database_id, "databases": list(databases)}
    )
    return {target: result["results"] for target, result in made.items()}


def bodies(target: Target, database: str) -> list[str]:
    """What the notes of a database say."""
    return target.sql("SELECT body FROM note ORDER BY id;", database).split()


@pytest.fixture(scope="module")
def notes(ansible: Ansible, targets: list[Target]) -> dict[Target, dict[str, Any]]:
    """A backup of the notes as they were at first; a third note has been written since."""
    made = back_up(ansible, targets, NOTES)
    for_each(targets, lambda target: target.sql("INSERT INTO note VALUES (3, 'later');", NOTES))
    return {target: found[0] for target, found in made.items()}


@pytest.mark.parametrize("database", [SHOP, ODD], ids=["everything", "odd name"])
def test_a_dropped_database_comes_back(ansible: Ansible, targets: list[Target], database: str) -> None:
    made = back_up(ansible, targets, database)
    before = for_each(targets, lambda target: target.fingerprint(database))
    for_each(targets, lambda target: target.drop(database))
    done = results(ansible, "db_restore", targets, lambda t: {"database_id": t.database_id, "database": database})

    def check(target: Target) -> None:
        assert done[target]["changed"] is True
        assert done[target]["artifact"] == made[target][0]["artifact"]
        assert done[target]["differences"] == []
        assert_same(before[target], target.fingerprint(database))

    for_each(targets, check)


def test_everything_comes_back_under_another_name(ansible: Ansible, targets: list[Target]) -> None:
    def prepare(target: Target) -> dict[str, Any]:
        target.drop(PLAIN)
        target.drop(COPY)
        target.create(PLAIN)
        target.load_sample(PLAIN)
        return target.fingerprint(PLAIN)

    before = for_each(targets, prepare)
    back_up(ansible, targets, PLAIN)
    results(
        ansible,
        "db_restore",
        targets,
        lambda target: {"database_id": target.database_id, "database": PLAIN, "target": COPY},
    )

    def check(target: Target) -> None:
        assert {PLAIN, COPY} <= target.databases()
        assert_same(before[target], target.fingerprint(COPY))
        target.drop(PLAIN)
        target.drop(COPY)

    for_each(targets, check)


def test_the_state_before_a_moment(
    ansible: Ansible, targets: list[Target], notes: dict[Target, dict[str, Any]]
) -> None:
    moments = for_each(targets, lambda target: target.host.shell("date --utc --iso-8601=seconds; sleep 1.2").strip())
    back_up(ansible, targets, NOTES)
    arguments = {"database": NOTES, "target": "notes_before"}
    done = results(
        ansible,
        "db_restore",
        targets,
        lambda target: {**arguments, "database_id": target.database_id, "before": moments[target]},
    )

    def check(target: Target) -> None:
        assert done[target]["artifact"] == notes[target]["artifact"]
        assert bodies(target, NOTES) == ["one", "zwölf", "later"]
        assert bodies(target, "notes_before") == ["one", "zwölf"]
        target.drop("notes_before")

    for_each(targets, check)


def test_an_artifact_by_its_path(ansible: Ansible, targets: list[Target], notes: dict[Target, dict[str, Any]]) -> None:
    arguments = {"database": NOTES, "target": "notes_by_path"}
    results(
        ansible,
        "db_restore",
        targets,
        lambda target: {**arguments, "database_id": target.database_id, "artifact": notes[target]["artifact"]},
    )

    def check(target: Target) -> None:
        assert bodies(target, "notes_by_path") == ["one", "zwölf"]
        target.drop("notes_by_path")

    for_each(targets, check)


def test_an_existing_database_is_not_replaced_unasked(
    ansible: Ansible, targets: list[Target], notes: dict[Target, dict[str, Any]]
) -> None:
    done = answers(
        ansible, "db_restore", targets, lambda target: {"database_id": target.database_id, "database": NOTES}
    )

    def check(target: Target) -> None:
        refused_by_module(done[target], "RestoreError", "exists", "nothing was changed")
        assert bodies(target, NOTES) == ["one", "zwölf", "later"]

    for_each(targets, check)


@pytest.mark.parametrize("how", ["damage", "break"])
def test_a_restore_that_fails_leaves_the_old_state(
    ansible: Ansible, targets: list[Target], notes: dict[Target, dict[str, Any]], how: str
) -> None:
    """From an artifact that is damaged, and from one that is whole but whose SQL the server refuses halfway."""
    before = for_each(targets, lambda target: target.fingerprint(NOTES))
    paths = for_each(
        targets,
        lambda target: target.host.python("make_artifact.py", how, notes[target]["artifact"], f"/tmp/{how}"),
    )
    done = answers(
        ansible,
        "db_restore",
        targets,
        lambda target: {
            "database_id": target.database_id,
            "database": NOTES,
            "artifact": paths[target],
            "overwrite": True,
        },
    )

    def check(target: Target) -> None:
        if how == "damage":
            refused_by_module(done[target], "DamageError", "damaged|other parts")
        else:
            refused_by_module(done[target], "RestoreError", "untouched|brought back")
        assert bodies(target, NOTES) == ["one", "zwölf", "later"]
        assert_same(before[target], target.fingerprint(NOTES))
        assert [name for name in target.databases() if name.startswith(NOTES)] == [NOTES]
        target.host.shell(f"rm -r /tmp/{how}-{target.database_id}")

    for_each(targets, check)


def test_an_existing_database_is_replaced_when_asked(
    ansible: Ansible, targets: list[Target], notes: dict[Target, dict[str, Any]]
) -> None:
    done = results(
        ansible,
        "db_restore",
        targets,
        lambda target: {
            "database_id": target.database_id,
            "database": NOTES,
            "artifact": notes[target]["artifact"],
            "overwrite": True,
        },
    )

    def check(target: Target) -> None:
        assert done[target]["overwritten"] is True
        assert bodies(target, NOTES) == ["one", "zwölf"]
        if target.family == "mysql":  # there the old state is kept as an artifact first
            saved = target.host.shell(f"gunzip -c '{done[target]['safety_backup']}'")
            assert "later" in saved
        assert [name for name in target.databases() if name.startswith(NOTES)] == [NOTES]

    for_each(targets, check)


def test_single_tables_by_the_playbook(
    ansible: Ansible, targets: list[Target], notes: dict[Target, dict[str, Any]]
) -> None:
    """Into a database of their own, after a yes that is given beforehand; without one nothing is touched.

    Their rows alone come again once they are gone, and not before.
    """
    for target in [each for each in targets if each.host == targets[0].host]:
        before = target.databases()
        wanted = {
            "backupdb_hosts": target.host.name,
            "backupdb_instance": target.database_id,
            "backupdb_database": NOTES,
            "backupdb_tables": "note" if target.family == "mysql" else "public.note",
            "backupdb_target": "notes_rescue",
            "backupdb_artifact": notes[target]["artifact"],
        }
        unconfirmed = ansible.playbook("restore", variables=wanted, check=False)
        assert unconfirmed.code != 0
        assert "nobody said yes" in " ".join(unconfirmed.output.split())
        assert target.databases() == before

        done = ansible.playbook("restore", variables={**wanted, "confirm": True})

        assert "notes_rescue was restored" in done.output
        assert bodies(target, "notes_rescue") == ["one", "zwölf"]
        rows_alone = {**wanted, "backupdb_content": "data", "confirm": True}
        filled = ansible.playbook("restore", variables=rows_alone, check=False)
        assert filled.code != 0
        assert "note has rows" in " ".join(filled.output.split())
        target.sql("DELETE FROM note;", "notes_rescue")
        ansible.playbook("restore", variables=rows_alone)
        assert bodies(target, "notes_rescue") == ["one", "zwölf"]
        target.drop("notes_rescue")
        assert target.databases() == before
