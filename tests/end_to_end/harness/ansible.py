# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ansible as a user has it: the collection installed from its built tarball, playbooks and ad hoc calls."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_RESULT = re.compile(r"^(\S+) \| (SUCCESS|CHANGED|FAILED|UNREACHABLE)!? => (\{.*?^\})", re.MULTILINE | re.DOTALL)
_RECAP = re.compile(r"^(\S+)\s+: (ok=\d+ .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Play:
    """How a playbook ended.

    Attributes:
        code: Its exit code.
        output: All that it wrote, standard error included.
        recap: For each host its counts by name (``ok``, ``changed``, ``failed`` …).
    """

    code: int
    output: str
    recap: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Answer:
    """What a module answered on one host: its status in Ansible's words, and its result."""

    status: str
    result: dict[str, Any]


class Ansible:
    """Runs Ansible of the test environment with its own configuration and the installed collection only."""

    def __init__(self, directory: Path, collections: Path, inventory: Path) -> None:
        self._directory = directory
        self._inventory = inventory
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
            "ANSIBLE_FORKS": "6",
            "ANSIBLE_HOME": str(directory / "home"),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "cp"),
        }
        (directory / "ansible.cfg").write_text("[defaults]\n", encoding="ascii")

    def playbook(
        self, name: str, *options: str, variables: Mapping[str, Any] | None = None, check: bool = True
    ) -> Play:
        """Run a playbook of the collection on all hosts; a failure fails the test if ``check`` is set."""
        done = self._run("ansible-playbook", f"vya.backupdb.{name}", *self._given(variables), *options)
        output = done.stdout + done.stderr
        recap = {
            host: {key: int(value) for key, value in (pair.split("=") for pair in counts.split())}
            for host, counts in _RECAP.findall(done.stdout)
        }
        if check and done.returncode:
            pytest.fail(f"The playbook {name} ended with {done.returncode}:\n{output[-12000:]}")
        return Play(done.returncode, output, recap)

    def module(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *options: str,
        hosts: str = "database_hosts",
        variables: Mapping[str, Any] | None = None,
    ) -> dict[str, Answer]:
        """Call a module of the collection ad hoc and return each host's answer."""
        answers, _output = self.module_with_output(name, arguments, *options, hosts=hosts, variables=variables)
        return answers

    def module_with_output(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *options: str,
        hosts: str = "database_hosts",
        variables: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Answer], str]:
        """As :meth:`module`, and return all that Ansible wrote too."""
        words = ["-m", f"vya.backupdb.{name}", *(["-a", json.dumps(dict(arguments))] if arguments else []), hosts]
        done = self._run("ansible", *words, *self._given(variables), *options)
        output = done.stdout + done.stderr
        answers = {
            host: Answer(status, json.loads(document)) for host, status, document in _RESULT.findall(done.stdout)
        }
        if not answers or any(answer.status == "UNREACHABLE" for answer in answers.values()):
            pytest.fail(f"No answer of {name}:\n{output[-12000:]}")
        return answers, output

    def succeed(self, name: str, arguments: Mapping[str, Any], *options: str, **more: Any) -> dict[str, dict[str, Any]]:
        """As :meth:`module`, but every host must succeed; return the results alone."""
        answers = self.module(name, arguments, *options, **more)
        failed = {host: answer.result for host, answer in answers.items() if answer.status == "FAILED"}
        assert not failed, json.dumps(failed, indent=2)
        return {host: answer.result for host, answer in answers.items()}

    def _given(self, variables: Mapping[str, Any] | None) -> list[str]:
        return ["--extra-vars", json.dumps(dict(variables))] if variables else []

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / program), "--inventory", str(self._inventory), *words],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )


def install_collection(repository: Path, directory: Path) -> Path:
    """Build the collection, install the tarball, and return the path to look for collections in."""

    def galaxy(*words: str) -> None:
        program = str(Path(sys.executable).parent / "ansible-galaxy")
        done = subprocess.run([program, "collection", *words], cwd=directory, capture_output=True, text=True)
        if done.returncode:
            pytest.fail(f"ansible-galaxy {' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")

    galaxy("build", str(repository), "--output-path", str(directory))
    tarballs = [str(path) for path in directory.glob("vya-backupdb-*.tar.gz")]
    galaxy("install", "--offline", "--collections-path", str(directory / "collections"), *tarballs)
    return directory / "collections"
