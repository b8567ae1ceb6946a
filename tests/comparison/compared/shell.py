# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A dump through a pipe, as it is found in scripts everywhere."""

from __future__ import annotations

from .contestant import DATABASE, Contestant, Ended, Meanwhile


class Shell(Contestant):
    """The pipe as most people write it."""

    name = "script"
    options = ""
    more = ""
    stop = ""

    def backup(self, database: str = DATABASE, meanwhile: Meanwhile | None = None) -> Ended:
        dump = f"pg_dump {database}" if self.postgresql else f"mysqldump --single-transaction {self.more} {database}"
        script = (
            f"{self.options}\ncd {self.store}\n"
            f"{dump} | gzip > {database}-$(date +%Y%m%d-%H%M%S-%N).sql.gz &&\n"
            f"ls -t {database}-*.sql.gz | tail -n +2 | xargs -r rm\n"
        )
        return self.call(["bash", "-c", script], meanwhile)

    def restore(self, meanwhile: Meanwhile | None = None) -> Ended:
        empty = f"dropdb --force --if-exists {DATABASE}\ncreatedb {DATABASE}\n" if self.postgresql else ""
        load = f"psql -q {self.stop} {DATABASE}" if self.postgresql else f"{self._loader} {DATABASE}"
        script = f"{self.options}\ncd {self.store}\nfile=$(ls -t {DATABASE}-*.sql.gz | head -n 1)\n{empty}"
        return self.call(["bash", "-c", f'{script}gunzip < "$file" | {load}\n'], meanwhile)

    def check(self) -> Ended:
        return self.call(["gzip", "-t", str(self.main_file())])

    @property
    def _loader(self) -> str:
        return self.server.flavour


class CarefulShell(Shell):
    """The same by somebody who knows about pipes and about the clients' options."""

    name = "careful script"
    options = "set -eo pipefail"
    more = "--routines --events"
    stop = "-v ON_ERROR_STOP=1"
