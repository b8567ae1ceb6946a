# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The playbook ``restore``: what it asks, whom it asks, and that it does nothing without a yes.

It runs as it is, on a terminal of its own, with modules that only write down how they were called.
"""

from __future__ import annotations

import itertools
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STAND_IN = """#!/usr/bin/python
import json
from ansible.module_utils.basic import AnsibleModule

NAMES = {names!r}


def main():
    module = AnsibleModule({{name: {{"type": "raw"}} for name in NAMES}}, supports_check_mode=True)
    with open({calls!r}, "a") as calls:
        calls.write(json.dumps([{name!r}, module.check_mode, module.params]) + "\\n")
    answer = json.loads({answer!r})
    answer.update({{key: value for key, value in module.params.items() if key in answer and value}})
    module.exit_json(changed={name!r} == "db_restore", **answer)


main()
"""
RESTORED = {
    "database_id": "main",
    "database": "shop",
    "target": "shop",
    "artifact": "/b/newest.sql.gz",
    "outcome": "success",
    "created_at": "2026-01-09T02:30:00Z",
    "overwritten": False,
    "differences": [],
    "duration": 1.5,
    "safety_backup": None,
    "tables": [],
    "accounts": [],
    "owners": {},
    "content": "all",
}
OPTIONS = ["database_id", "database", "artifact", "before", "target", "overwrite", "tables", "content", "jobs"]


def artifact(instance: str, database: str, day: int) -> dict[str, Any]:
    made = f"2026-01-{day:02}T02:30:00Z"
    return {
        "database_id": instance,
        "database": database,
        "artifact": f"/b/{instance}/{database}/{day}.sql.gz",
        "created_at": made,
        "proof": "verified",
        "stored_bytes": 5000000,
        "encrypted": False,
        "damage": None,
    }


EXISTING = {
    "instances": [{"database_id": "main", "databases": ["shop", "wiki"]}, {"database_id": "other", "databases": []}],
    "artifacts": [
        *(artifact("main", "shop", day) for day in (8, 9)),
        artifact("main", "it's {{ odd }}", 7),
        artifact("other", "crm", 5),
    ],
}


@dataclass
class Run:
    """How the playbook ended, what it wrote, and how modules were called: name, check mode, options."""

    code: int
    output: str
    calls: list[tuple[str, bool, dict[str, Any]]]

    @property
    def restored(self) -> list[dict[str, Any]]:
        """The options of real restores, without those that are empty."""
        return [
            {key: value for key, value in options.items() if value}
            for name, check, options in self.calls
            if name == "db_restore" and not check
        ]


@pytest.fixture
def play(tmp_path: Path, repository: Path) -> Callable[..., Run]:
    """Run the playbook with variables; prompts are answered in their order."""
    collection = tmp_path / "collections/ansible_collections/vya/backupdb"
    (collection / "plugins/modules").mkdir(parents=True)
    shutil.copytree(repository / "playbooks", collection / "playbooks")
    calls = tmp_path / "calls"
    calls.touch()
    for name, names, answer in (
        ("db_restore", [*OPTIONS, "identity_file", "accounts", "owners"], RESTORED),
        ("backup_info", ["database_id", "database"], EXISTING),
    ):
        text = STAND_IN.format(name=name, names=names, calls=str(calls), answer=json.dumps(answer))
        (collection / f"plugins/modules/{name}.py").write_text(text)
    inventory = tmp_path / "inventory.ini"
    settings = {"ansible_connection": "local", "ansible_become": "false", "ansible_python_interpreter": sys.executable}
    lines = [f"{host} {' '.join(f'{key}={value}' for key, value in settings.items())}" for host in ("db1", "db2")]
    inventory.write_text("\n".join(["[database_hosts]", *lines]) + "\n")
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")

    def run(variables: Mapping[str, Any], answers: Sequence[str] = (), *options: str, terminal: bool = True) -> Run:
        calls.write_text("")
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "vya.backupdb.restore", "-i", str(inventory)]
        given = {"backupdb_hosts": "db1", **variables}
        command += ["--extra-vars", json.dumps(given), *options]
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_NOCOLOR": "1",
        }
        code, output = _on_terminal(command, environment, answers) if terminal else _without(command, environment)
        made = [json.loads(line) for line in calls.read_text().splitlines()]
        return Run(code, output, [(name, check, options) for name, check, options in made])

    return run


def _without(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def _on_terminal(command: list[str], environment: dict[str, str], answers: Sequence[str]) -> tuple[int, str]:
    """Run a command on a terminal; each prompt (it ends in a colon) gets the next answer, and none may be left."""
    number, terminal = pty.fork()
    if number == 0:
        os.execve(command[0], command, environment)
    waiting, output, seen = list(answers), b"", 0
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.3)[0]:
            asked = output[seen:]
            if waiting and b"[Ask" in asked and asked.rstrip().endswith(b":"):
                seen = len(output)
                os.write(terminal, waiting.pop(0).encode() + b"\r")
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    else:
        os.kill(number, signal.SIGKILL)
    os.close(terminal)
    _number, status = os.waitpid(number, 0)
    assert not waiting, output.decode(errors="replace")
    return os.waitstatus_to_exitcode(status), output.decode(errors="replace")


KNOWN = {"backupdb_instance": "main", "backupdb_database": "shop"}


def test_all_that_is_not_given_is_asked_for(play: Callable[..., Run]) -> None:
    ended = play({}, ["1", "shop", "2", "rescue", "yes"])
    assert ended.code == 0, ended.output
    for shown in ("1  main", "2  other", "shop", "2026-01-08T02:30:00Z  verified", "Into: main/rescue (new)"):
        assert shown in ended.output
    assert ended.restored == [
        {
            "database_id": "main",
            "database": "shop",
            "target": "rescue",
            "content": "all",
            # That of the plan.
            "artifact": "/b/main/shop/8.sql.gz",
        }
    ]


def test_a_name_that_looks_like_a_template_and_a_moment(play: Callable[..., Run]) -> None:
    ended = play({"backupdb_instance": "main"}, ["1", "2026-01-08", "", "yes"])
    assert ended.code == 0, ended.output
    plan = ended.calls[1]
    assert plan[:2] == ("db_restore", True)
    assert (plan[2]["database"], plan[2]["before"]) == ("it's {{ odd }}", "2026-01-08")
    assert ended.restored[0]["database"] == "it's {{ odd }}"


@pytest.mark.parametrize(("answer", "replaced"), [("yes", True), ("no", False), ("", False)])
def test_what_is_there_is_replaced_only_after_a_yes_of_its_own(
    play: Callable[..., Run], answer: str, replaced: bool
) -> None:
    ended = play({"backupdb_instance": "main"}, ["shop", "", "", answer, "yes"])
    assert ended.calls[1][2]["overwrite"] is replaced


@pytest.mark.parametrize("answer", ["", "no", "y", "2"])
def test_without_a_yes_nothing_is_restored(play: Callable[..., Run], answer: str) -> None:
    ended = play(KNOWN, [answer])
    assert ended.code != 0
    assert "nobody said yes" in ended.output.replace("\r\n", " ").replace("\n", " ")
    assert [call[:2] for call in ended.calls] == [("db_restore", True)]


@pytest.mark.parametrize(
    ("answers", "words"),
    [(["7"], "Say what to restore"), (["-1"], "Say what to restore"), (["1", "9"], "Say what to restore")],
)
def test_an_answer_that_means_nothing_ends_it(play: Callable[..., Run], answers: list[str], words: str) -> None:
    ended = play({}, answers)
    assert ended.code != 0
    assert words in ended.output
    assert [call for call in ended.calls if call[0] == "db_restore"] == []


def test_a_number_that_no_backup_has_ends_it(play: Callable[..., Run]) -> None:
    ended = play({"backupdb_instance": "main"}, ["shop", "3"])
    assert ended.code != 0
    assert "no backup with the number 3" in ended.output
    assert [call for call in ended.calls if call[0] == "db_restore"] == []


def test_of_several_hosts_one_is_asked_for(play: Callable[..., Run]) -> None:
    ended = play({**KNOWN, "backupdb_hosts": "database_hosts"}, ["db2", "yes"])
    assert ended.code == 0, ended.output
    assert len(ended.calls) == 2
    assert "shop on db2" in ended.output


def test_a_host_that_is_none_ends_it(play: Callable[..., Run]) -> None:
    ended = play({**KNOWN, "backupdb_hosts": "database_hosts"}, ["db3"])
    assert ended.code != 0
    assert ended.calls == []


@pytest.mark.parametrize(
    ("terminal", "variables"),
    [(False, {}), *itertools.product([True, False], [{"awx_job_id": 5}, {"tower_job_id": 5}, {"confirm": True}])],
)
def test_nobody_is_asked_who_cannot_answer(play: Callable[..., Run], variables: dict[str, Any], terminal: bool) -> None:
    for given, words in (
        ({}, "Say what to restore"),
        ({**KNOWN, "backupdb_hosts": "database_hosts"}, "A restore is for one host"),
    ):
        ended = play({**variables, **given}, terminal=terminal)
        assert ended.code != 0
        assert words in ended.output
        assert [call for call in ended.calls if call[0] == "db_restore"] == []
    ended = play({**variables, **KNOWN}, terminal=terminal)
    assert (ended.code == 0) == bool(ended.restored) == ("confirm" in variables)


def test_a_check_shows_the_plan_and_asks_nothing(play: Callable[..., Run]) -> None:
    ended = play(KNOWN, [], "--check")
    assert ended.code == 0, ended.output
    assert "Into: main/shop (new)" in ended.output
    assert ended.restored == []


@pytest.mark.parametrize("tables", [["public.item", "b"], "public.item, b", "public.item,b,"])
def test_parts_by_variables(play: Callable[..., Run], tables: object) -> None:
    more = {"backupdb_tables": tables, "backupdb_content": "schema", "backupdb_target": "rescue", "confirm": "true"}
    ended = play({**KNOWN, **more}, terminal=False)
    assert ended.code == 0, ended.output
    assert "the tables public.item, b, definitions without rows" in ended.output
    assert [call[2]["tables"] for call in ended.calls] == [["public.item", "b"]] * 2
    assert ended.restored[0]["content"] == "schema"
    assert ended.restored[0]["target"] == "rescue"


def test_rows_alone_by_variables(play: Callable[..., Run]) -> None:
    ended = play({**KNOWN, "backupdb_content": "data", "confirm": "true"}, terminal=False)
    assert ended.code == 0, ended.output
    assert "Into: main/shop (whose tables are there and empty)" in ended.output
    assert "the whole database, rows without definitions" in ended.output
    assert ended.restored[0]["content"] == "data"


def test_accounts_and_owners_by_variables(play: Callable[..., Run]) -> None:
    more = {"backupdb_accounts": "missing", "backupdb_owners": {"app": "app_test"}, "confirm": True}
    ended = play({**KNOWN, **more}, terminal=False)
    assert ended.code == 0, ended.output
    assert [(call[2]["accounts"], call[2]["owners"]) for call in ended.calls] == [("missing", {"app": "app_test"})] * 2


def test_empty_variables_count_as_not_given(play: Callable[..., Run]) -> None:
    names = ["artifact", "before", "target", "overwrite", "tables", "content", "jobs", "identity_file"]
    names += ["accounts", "owners"]
    ended = play({**KNOWN, **{f"backupdb_{name}": "" for name in names}, "confirm": True}, terminal=False)
    assert ended.code == 0, ended.output
    assert ended.restored == [
        {"database_id": "main", "database": "shop", "artifact": "/b/newest.sql.gz", "content": "all"}
    ]
