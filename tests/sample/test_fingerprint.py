"""The fingerprint notices what it must, and every sample survives the vendor's own dump.

Runs on a host with database servers, as root, with nothing but Python: ``python3 -m unittest -v test_fingerprint``
in this directory, or pytest. A server that is not installed is skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fingerprint import compare, fingerprint
from fingerprint_changes import MARIADB, MYSQL, MYSQL_FAMILY, POSTGRESQL, Change
from load import client, load, run

ORIGINAL, COPY = "fingerprint_original", "fingerprint_copy"
DUMP = ("--single-transaction", "--routines", "--events", "--triggers", "--hex-blob")


class CompareTest(unittest.TestCase):
    """Comparing needs no server."""

    def test_equal(self) -> None:
        assert compare({"tables": {"a": {"x": 1}}}, {"tables": {"a": {"x": 1}}}) == []

    def test_names_what_differs(self) -> None:
        before = {"tables": {"a": {"x": 1}, "b": {}}, "grants": {"g": "1"}}
        after = {"tables": {"a": {"x": 2}, "c": {}}, "grants": {}}
        expected = [
            'grants / g: missing afterwards, was "1"',
            "tables / a / x: was 1, now 2",
            "tables / b: missing afterwards, was present",
            "tables / c: not there before, now present",
        ]
        assert compare(before, after) == expected
        assert compare(before, after, ignore=("tables", "grants")) == []

    def test_a_missing_section_is_a_difference(self) -> None:
        assert compare({"tables": {"a": {}}}, {}) == ["tables / a: missing afterwards, was present"]


def rounds(changes: tuple[Change, ...]) -> list[list[Change]]:
    """Put changes together that show in different places: a fingerprint takes a while, and none may hide another."""
    found: list[dict[str, Change]] = []
    for change in changes:
        place = " / ".join(change[2].split(" / ")[:2])
        fitting = next((members for members in found if place not in members), None)
        if fitting is None:
            found.append(fitting := {})
        fitting[place] = change
    return [list(members.values()) for members in found]


class ServerTests:
    """The tests that every server has to pass; the classes below say which server."""

    dbms: ClassVar[str]
    dump: ClassVar[tuple[str, ...]]
    changes: ClassVar[tuple[Change, ...]]
    # What a vendor's dump of one database leaves out.
    left_out: ClassVar[tuple[str, ...]]
    before: ClassVar[dict[str, Any]]

    @classmethod
    def create(cls, database: str) -> None:
        """Make an empty database, the same way for original and copy."""
        cls.drop(database)
        postgresql = "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"
        options = postgresql if cls.dbms == "postgresql" else "COLLATE latin1_german1_ci"
        run(cls.dbms, "", f"CREATE DATABASE {database} {options};")

    @classmethod
    def drop(cls, database: str) -> None:
        """Drop a database, if it is there."""
        if cls.dbms == "postgresql" and run(cls.dbms, "", f"SELECT 1 FROM pg_database WHERE datname = '{database}';"):
            # A subscription holds on to its database.
            subscriptions = "pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()"
            drops = run(cls.dbms, database, f"SELECT format('DROP SUBSCRIPTION %I;', subname) FROM {subscriptions};")
            run(cls.dbms, database, drops)
        run(cls.dbms, "", f"DROP DATABASE IF EXISTS {database};")

    @classmethod
    def setUpClass(cls) -> None:
        if not shutil.which(cls.dump[0]):
            raise unittest.SkipTest(f"{cls.dbms} is not installed")
        cls.create(ORIGINAL)
        load(cls.dbms, ORIGINAL)
        cls.before = fingerprint(cls.dbms, ORIGINAL)

    @classmethod
    def tearDownClass(cls) -> None:
        for database in (ORIGINAL, COPY):
            cls.drop(database)

    def dumped(self, database: str, *options: str) -> str:
        """The vendor's plain dump of a database."""
        # What comes before psql in its client also serves for pg_dump.
        become = client("postgresql")[: client("postgresql").index("psql")] if self.dbms == "postgresql" else []
        done = subprocess.run([*become, *self.dump, *options, database], capture_output=True, check=True, cwd="/")
        return done.stdout.decode("utf-8", "surrogateescape")

    def test_1_same_again(self) -> None:
        assert compare(self.before, fingerprint(self.dbms, ORIGINAL)) == []

    def test_2_survives_the_vendors_dump(self) -> None:
        self.create(COPY)
        run(self.dbms, COPY, self.dumped(ORIGINAL))
        assert compare(self.before, fingerprint(self.dbms, COPY), ignore=self.left_out) == []

    def test_4_notices(self) -> None:
        before = self.before
        unseen = []
        for changes in rounds(self.changes):
            for _, sql, _ in changes:
                run(self.dbms, ORIGINAL, sql.replace("{database}", ORIGINAL) + ";")
            after = fingerprint(self.dbms, ORIGINAL)
            found = compare(before, after)
            unseen += [what for what, _, expected in changes if not any(expected in line for line in found)]
            before = after
        assert unseen == []


class MysqlFamilyTests(ServerTests):
    """What MariaDB and MySQL have in common."""

    left_out = ("settings", "grants", "schemata_extensions")

    def test_3_survives_under_its_own_name(self) -> None:
        self.create(COPY)
        load(self.dbms, COPY, own_name=True)
        before = fingerprint(self.dbms, COPY)
        # The lock on a table would keep the load from the sequence that fills a column of it.
        dump = self.dumped(COPY, "--skip-add-locks")
        self.create(COPY)
        run(self.dbms, COPY, dump)
        assert compare(before, fingerprint(self.dbms, COPY), ignore=self.left_out) == []


class MariadbTest(MysqlFamilyTests, unittest.TestCase):
    dbms = "mariadb"
    dump = ("mariadb-dump", "--dump-history", *DUMP)
    changes = (*MYSQL_FAMILY, *MARIADB)


@unittest.skipIf(shutil.which("mariadb"), "here mysql is another name for mariadb")
class MysqlTest(MysqlFamilyTests, unittest.TestCase):
    dbms = "mysql"
    dump = ("mysqldump", "--set-gtid-purged=OFF", *DUMP)
    changes = (*MYSQL_FAMILY, *MYSQL)


class PostgresqlTest(ServerTests, unittest.TestCase):
    dbms = "postgresql"
    dump = ("pg_dump",)
    changes = POSTGRESQL
    left_out = ("database", "settings")


if __name__ == "__main__":
    unittest.main()
