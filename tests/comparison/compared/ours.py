# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""This collection's engine, called by its command."""

from __future__ import annotations

from pathlib import Path

from servers import configured_host

from vya_backupdb.security.credentials import open_store

from .contestant import ACCOUNT, DATABASE, PASSWORD, Contestant, Ended, Meanwhile

COMMAND = ("env", "PYTHONPATH=/opt/ours", "/opt/tests/bin/python", "-c")
MAIN = "from vya_backupdb.cli import main; raise SystemExit(main())"
MANIFEST = ".manifest.json"


class Ours(Contestant):
    """vya-backupdb with its defaults, but that it gives up what stalls after seconds instead of minutes."""

    name = "vya.backupdb"

    def prepare(self) -> None:
        super().prepare()
        common = {
            "instances": [self.server.database_id],
            "retention": {"daily": 1, "weekly": 0, "monthly": 0},
            "limits": {"stall_timeout": "15s"},
        }
        home = self.root / "host"
        home.mkdir()
        host = configured_host(
            home,
            {self.server.kind: self.server},
            storage={"root": str(self.store), "reserve": "0B"},
            policies=[{**common, "name": name, "include": [name]} for name in (DATABASE, "vya_gone")],
        )
        open_store(host.engine().config).set(self.server.database_id, ACCOUNT, PASSWORD)

    def _command(self, *words: str, meanwhile: Meanwhile | None = None) -> Ended:
        return self.call([*COMMAND, MAIN, "--config", str(self.root / "host" / "config.yml"), *words], meanwhile)

    def backup(self, database: str = DATABASE, meanwhile: Meanwhile | None = None) -> Ended:
        return self._command("backup", "--policy", database, meanwhile=meanwhile)

    def restore(self, meanwhile: Meanwhile | None = None) -> Ended:
        words = ("restore", self.server.database_id, DATABASE, "--overwrite", "--yes")
        return self._command(*words, meanwhile=meanwhile)

    def check(self) -> Ended:
        return self._command("verify", "--artifact", str(self.main_file()))

    def backups(self) -> list[str]:
        manifests = self.store.rglob(f"{DATABASE}*{MANIFEST}")
        found = [str(path).removesuffix(MANIFEST) for path in manifests if not path.name.startswith(".")]
        return sorted(path for path in found if Path(path).exists())
