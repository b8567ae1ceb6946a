# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ansible's own modules, and borgmatic."""

from __future__ import annotations

import time
from pathlib import Path

import yaml

from .contestant import ACCOUNT, DATABASE, PASSWORD, SOCKET, Contestant, Ended, Meanwhile

OTHERS = Path("/opt/others/bin")
PASSPHRASE = "a long passphrase"


class AnsibleModules(Contestant):
    """community.mysql.mysql_db and community.postgresql.postgresql_db, with a new file every night.

    They have no retention.
    """

    name = "Ansible"
    more = ""

    def backup(self, database: str = DATABASE, meanwhile: Meanwhile | None = None) -> Ended:
        target = self.store / f"{database}-{time.time_ns()}.sql.gz"
        if self.postgresql:
            return self._module(f"name={database} state=dump target={target}", meanwhile)
        return self._module(f"name={database} state=dump target={target} single_transaction=true{self.more}", meanwhile)

    def restore(self, meanwhile: Meanwhile | None = None) -> Ended:
        newest = self.main_file()
        if self.postgresql:
            for state in ("absent force=true", "present"):
                emptied = self._module(f"name={DATABASE} state={state}")
                if not emptied.ok:
                    return emptied
            return self._module(f"name={DATABASE} state=restore target={newest}", meanwhile)
        return self._module(f"name={DATABASE} state=import target={newest}", meanwhile)

    def check(self) -> None:
        return None

    def _module(self, arguments: str, meanwhile: Meanwhile | None = None) -> Ended:
        if self.postgresql:
            name, login = "community.postgresql.postgresql_db", "login_host=127.0.0.1"
        else:
            name, login = "community.mysql.mysql_db", f"login_unix_socket={SOCKET}"
        login += f" login_user={ACCOUNT} login_password={PASSWORD}"
        interpreter = f"ansible_python_interpreter={OTHERS}/python"
        words = [f"{OTHERS}/ansible", "localhost", "-c", "local", "-e", interpreter, "-m", name]
        return self.call([*words, "-a", f"{arguments} {login}"], meanwhile)


class CarefulAnsibleModules(AnsibleModules):
    """The same by somebody who knows about pipes and about the client's options; postgresql_db has no such options."""

    name = "Ansible, careful"
    kinds = ("mysql",)
    more = " pipefail=true dump_extra_args='--routines --events'"


class Borgmatic(Contestant):
    """borgmatic with its database hooks, into a local repository, with its default checks."""

    name = "borgmatic"

    def prepare(self) -> None:
        super().prepare()
        account = {"name": DATABASE, "username": ACCOUNT, "password": PASSWORD}
        if self.postgresql:
            account["hostname"] = "127.0.0.1"
        document = {
            "source_directories": ["/etc/hostname"],
            "repositories": [{"path": str(self.store / "repository")}],
            "encryption_passphrase": PASSPHRASE,
            "borg_base_directory": str(self.root / "borg"),
            "keep_daily": 1,
            f"{self.server.flavour}_databases": [account],
        }
        self._configuration.write_text(yaml.safe_dump(document))
        self._configuration.chmod(0o600)
        made = self._borgmatic("repo-create", "--encryption", "repokey-blake2")
        if not made.ok:
            raise RuntimeError(made.said)

    @property
    def _configuration(self) -> Path:
        return self.root / "borgmatic.yaml"

    def _borgmatic(self, *words: str, meanwhile: Meanwhile | None = None) -> Ended:
        return self.call([f"{OTHERS}/borgmatic", "--config", str(self._configuration), *words], meanwhile)

    def backup(self, database: str = DATABASE, meanwhile: Meanwhile | None = None) -> Ended:
        text = self._configuration.read_text()
        self._configuration.write_text(text.replace(f"name: {DATABASE}\n", f"name: {database}\n", 1))
        try:
            return self._borgmatic("create", "prune", "compact", meanwhile=meanwhile)
        finally:
            self._configuration.write_text(text)

    def restore(self, meanwhile: Meanwhile | None = None) -> Ended:
        return self._borgmatic("restore", "--archive", "latest", "--database", DATABASE, meanwhile=meanwhile)

    def check(self) -> Ended:
        return self._borgmatic("check", "--force")

    def backups(self) -> list[str]:
        environment = {"BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(self.root / "borg")}
        words = ["borg", "list", "--short", str(self.store / "repository")]
        return self.call(words, environment=environment).said.split()

    def main_file(self) -> Path:
        segments = [path for path in (self.store / "repository" / "data").rglob("*") if path.is_file()]
        return max(segments, key=lambda path: path.stat().st_size)

    def holds_plain_files(self) -> bool:
        return False
