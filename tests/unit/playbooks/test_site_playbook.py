# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The playbook ``site``: what the roles can be told, it can be told, and its users read how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
PLAYBOOK = REPOSITORY / "playbooks" / "site.yml"
(PLAY,) = yaml.safe_load(PLAYBOOK.read_text(encoding="utf-8"))
# These are for those who apply a role by itself.
OF_ROLES_ALONE = {
    "metrics_textfile_group",
    "runtime_packages",
    "runtime_previous_versions",
    "runtime_user_groups",
    "schedule_state",
}


@pytest.mark.parametrize("role", PLAY["roles"], ids=lambda role: role["role"])
def test_all_that_a_role_can_be_told_goes_through(role: dict[str, Any]) -> None:
    specs = REPOSITORY / "roles" / role["role"].rpartition(".")[2] / "meta" / "argument_specs.yml"
    options = set(yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"])
    assert options
    assert options - OF_ROLES_ALONE == set(role.get("vars", {}))


def test_every_variable_is_in_the_table_of_the_examples() -> None:
    used = set(re.findall(r"backupdb_\w+", PLAYBOOK.read_text(encoding="utf-8")))
    table = (REPOSITORY / "examples" / "README.md").read_text(encoding="utf-8")
    assert used
    assert {name for name in used if f"`{name}`" not in table} == set()
