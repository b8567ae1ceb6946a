# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the quickstart does to its hosts: everything goes by the ways that a user has, Ansible, ssh and the clients."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
BUILD = REPOSITORY / ".build"
DIRECTORY = BUILD / "quickstart"
sys.path[:0] = [str(HERE.parent / "fleet"), str(HERE.parent / "sample")]

from display import StepFailedError  # noqa: E402
from vya_fleet import Fleet, FleetError, Interrupted  # noqa: E402

__all__ = ["Demo", "FleetError", "Interrupted", "Victim"]

FLEET = "quickstart"
HOSTS = {"db1": "trixie", "db2": "sid"}
POLICY = "often"
DATABASES_ON_A_HOST = 4
TIMER_SECONDS = 300
SAMPLE = "/opt/quickstart"  # where the hosts see tests/sample
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)", re.MULTILINE)
_ANSWER = re.compile(r"^\S+ \| \w+!? => (\{.*?^\})", re.MULTILINE | re.DOTALL)
# Until every database has an artifact and the service is done; what the journal says if it failed.
_AWAIT_TIMER = """
service=vya-backupdb-backup-$1.service
while :; do
  state=$(systemctl show --property ActiveState --value "$service")
  if [ "$state" = failed ]; then journalctl --no-pager --lines 30 --unit "$service"; exit 1; fi
  found=$(find /var/backups/vya-backupdb -name '*.manifest.json' | wc -l)
  if [ "$found" -ge "$2" ] && [ "$state" = inactive ]; then exit 0; fi
  sleep 1
done
"""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Victim:
    """A database that gets dropped and restored, and what is known of it."""

    host: str
    database_id: str
    dbms: str
    database: str
    before: dict[str, Any] = field(default_factory=dict)
    restore: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def tables(self) -> list[int]:
        """The number of rows of each table before it was dropped."""
        return [int(entry["rows"]) for entry in _with_rows(self.before)]

    @property
    def drop_command(self) -> list[str]:
        """What wrecks it: the server's own client."""
        statement = f"DROP DATABASE {self.database}"
        return self._client(statement)

    @property
    def list_command(self) -> list[str]:
        """What lists the server's databases."""
        return self._client("SELECT datname FROM pg_database" if self.dbms == "postgresql" else "SHOW DATABASES")

    def _client(self, statement: str) -> list[str]:
        if self.dbms == "postgresql":
            shell = [
                "runuser",
                "--user=postgres",
                "--",
                "psql",
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
            ]
            return ["env", "--chdir=/", *shell, "--command", statement]
        return [self.dbms, "--batch", "--skip-column-names", "--execute", statement]


VICTIMS = [
    Victim("db1", "shop-mariadb-01", "mariadb", "shop"),
    Victim("db1", "billing-pg-01", "postgresql", "billing"),
    Victim("db2", "shop-mysql-02", "mysql", "shop"),
    Victim("db2", "billing-pg-02", "postgresql", "billing"),
]


def side_by_side(items: Iterable[Item], work: Callable[[Item], Result]) -> list[Result]:
    """Do the same for several items at the same time."""
    chosen = list(items)
    with ThreadPoolExecutor(len(chosen)) as pool:
        return list(pool.map(work, chosen))


class Demo:
    """The two hosts, and Ansible with a configuration of its own to reach them."""

    def __init__(self) -> None:
        self._said: list[str] = []
        binds = [(HERE.parent / "sample", SAMPLE, False)]
        self.fleet = Fleet(FLEET, HOSTS, binds=binds, say=self._said.append)

    def boot(self) -> None:
        """End the hosts of an earlier quickstart, boot new ones, and write Ansible's configuration beside the logs."""
        self.fleet.down()
        shutil.rmtree(DIRECTORY, ignore_errors=True)
        (DIRECTORY / "inventory").mkdir(parents=True)
        self.fleet.up(owned=False)
        (DIRECTORY / "boot.log").write_text("\n".join(self._said) + "\n", encoding="utf-8")
        for link, target in (
            ("ssh_config", self.fleet.ssh_config),
            ("inventory/hosts.yml", self.fleet.inventory),
            ("inventory/backups.yml", HERE / "backups.yml"),
        ):
            (DIRECTORY / link).symlink_to(target)
        (DIRECTORY / "ansible.cfg").write_text(
            f"[defaults]\ninventory = {DIRECTORY}/inventory\ncollections_path = {DIRECTORY}/collections\n"
            "callback_result_format = yaml\n\n[ssh_connection]\npipelining = true\n",
            encoding="utf-8",
        )

    def install_collection(self) -> str:
        """Build the collection and install the artifact, as one would from a download; returns the artifact's name.

        Raises:
            StepFailedError: ansible-galaxy failed.
        """
        log = DIRECTORY / "collection.log"
        with log.open("w", encoding="utf-8") as output:
            galaxy = [self._program("ansible-galaxy"), "collection"]
            for words in (
                ["build", str(REPOSITORY), "--output-path", str(DIRECTORY)],
                ["install", "--offline", "--collections-path", str(DIRECTORY / "collections"), "{artifact}"],
            ):
                artifact = next(map(str, DIRECTORY.glob("vya-backupdb-*.tar.gz")), "")
                command = galaxy + [word.format(artifact=artifact) for word in words]
                if subprocess.run(command, stdout=output, stderr=output, **self._surroundings()).returncode:
                    raise StepFailedError("The collection cannot be built and installed:", log)
        return Path(artifact).name

    def playbook(self, playbook: str, log_name: str) -> dict[str, tuple[int, int]]:
        """Run a playbook; returns how many tasks were ok and how many changed something, by host.

        Raises:
            StepFailedError: It failed on a host.
        """
        log = DIRECTORY / f"{log_name}.log"
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                [self._program("ansible-playbook"), playbook], stdout=output, stderr=output, **self._surroundings()
            )
        if done.returncode:
            raise StepFailedError(f"ansible-playbook {playbook} failed:", log)
        return {host: (int(ok), int(changed)) for host, ok, changed in _RECAP.findall(log.read_text(encoding="utf-8"))}

    def module(self, host: str, module: str, arguments: str, log_name: str) -> dict[str, Any]:
        """Call a module of the collection ad hoc and return its result.

        Raises:
            StepFailedError: It failed.
        """
        words = [host, "-m", f"vya.backupdb.{module}", "-a", arguments]
        done = subprocess.run(
            [self._program("ansible"), *words],
            capture_output=True,
            text=True,
            **self._surroundings(ANSIBLE_CALLBACK_RESULT_FORMAT="json"),
        )
        log = DIRECTORY / f"{log_name}.log"
        log.write_text(f"$ ansible {' '.join(words)}\n{done.stdout}{done.stderr}", encoding="utf-8")
        answer = _ANSWER.search(done.stdout)
        if done.returncode or not answer:
            raise StepFailedError(f"ansible {' '.join(words)} failed:", log)
        return dict(json.loads(answer[1]))

    def _program(self, name: str) -> str:
        return str(Path(sys.executable).parent / name)

    def _surroundings(self, **variables: str) -> dict[str, Any]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        environment = {**inherited, "ANSIBLE_CONFIG": str(DIRECTORY / "ansible.cfg"), **variables}
        return {"cwd": DIRECTORY, "env": environment, "stdin": subprocess.DEVNULL, "check": False}

    def on_host(self, host: str, *words: str, timeout: float = 120) -> str:
        """Run a command on a host by ssh and return what it wrote.

        Raises:
            StepFailedError: It failed or did not end.
        """
        try:
            done = self.fleet.run(host, words, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise StepFailedError(f"{host}: `{words[0]} …` was not done after {timeout:.0f} s.") from None
        if done.returncode:
            log = DIRECTORY / f"failed-on-{host}.log"
            log.write_text(done.stdout + done.stderr, encoding="utf-8")
            raise StepFailedError(f"{host}: `{' '.join(words)[:70]} …` failed:", log)
        return done.stdout

    def report(self, host: str, command: str) -> dict[str, Any]:
        """The report of a command of ``vya-backupdb`` on a host."""
        return dict(json.loads(self.on_host(host, "vya-backupdb", command, "--json")))

    def await_timer(self, host: str) -> None:
        """Wait until the policy's timer has left an artifact of every database of the host."""
        words = ["sh", "-c", _AWAIT_TIMER, "sh", POLICY, str(DATABASES_ON_A_HOST)]
        self.on_host(host, *words, timeout=TIMER_SECONDS)

    def fingerprint(self, victim: Victim) -> dict[str, Any]:
        """Every object's definition and a checksum of every table's content, taken by the server's own client."""
        words = ["python3", f"{SAMPLE}/fingerprint.py", victim.dbms, victim.database]
        return dict(json.loads(self.on_host(victim.host, *words)))

    def drop(self, victim: Victim) -> None:
        """Drop a database, and see that it is gone."""
        self.on_host(victim.host, *victim.drop_command)
        if victim.database in self.on_host(victim.host, *victim.list_command).split():
            raise StepFailedError(f"{victim.host}: the database {victim.database} is still there after its DROP.")

    def restore(self, victim: Victim) -> dict[str, Any]:
        """Restore a database from its newest artifact by Ansible."""
        arguments = f"database_id={victim.database_id} database={victim.database}"
        return self.module(victim.host, "db_restore", arguments, f"restore-{victim.database_id}")


def _with_rows(value: Any) -> list[dict[str, Any]]:
    """All entries of a fingerprint that count rows."""
    if not isinstance(value, dict):
        return []
    if "checksum" in value and "rows" in value:
        return [value]
    return [entry for item in value.values() for entry in _with_rows(item)]
