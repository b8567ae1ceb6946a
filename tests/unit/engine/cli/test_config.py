# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""``vya-backupdb config``: needs neither an engine nor privileges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VALID = """
schema_version: 1
instances: [{database_id: prod-mysql-01, dbms: mariadb}]
policies: [{name: nightly}, {name: weekly}]
"""


def test_a_valid_file(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(VALID)
    ended = call(None, "config", "validate", str(path))
    assert ended.out == f"{path} is valid: 1 instance, 2 policies.\n"
    assert ended.code == 0


def test_the_hosts_own_file_if_none_is_named(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(VALID)
    assert call(None, "--config", str(path), "config", "validate").code == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("schema_version: 99", "schema version 99"),
        ("polcies: []", "polcies: there is no such setting"),
        ("a: [", "is not valid YAML"),
        ("", "no mapping"),
        (None, "There is no configuration"),
    ],
)
def test_an_invalid_file_ends_with_2(
    call: Callable[..., Any], tmp_path: Path, content: str | None, sentence: str
) -> None:
    path = tmp_path / "config.yml"
    if content is not None:
        path.write_text(content)
    ended = call(None, "config", "validate", str(path))
    assert ended.code == 2
    assert ended.err.startswith("Error: ")
    assert sentence in ended.err
    assert ended.out == ""


def test_the_schema_is_json(call: Callable[..., Any]) -> None:
    ended = call(None, "config", "schema")
    assert "instances" in json.loads(ended.out)["properties"]
    assert ended.code == 0
