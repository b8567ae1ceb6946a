# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys of MySQL and MariaDB that a restore makes after the rows: every table is defined as it was, to the byte."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fingerprint import compare
from servers import Host, Server

from vya_backupdb.core import key_plan, load_plan, segment_load, segmentation
from vya_backupdb.core.load_plan import Step
from vya_backupdb.db import mysql_inspection
from vya_backupdb.errors import RestoreError

pytestmark = pytest.mark.parametrize("server", ["mysql"], indirect=True)

TABLES = r"""
CREATE TABLE plain (id int PRIMARY KEY, a int, b varchar(200), c text, u int UNIQUE, KEY k2 (b), KEY k1 (a, b DESC),
 UNIQUE KEY uu (a, u),
 KEY k3 (c(10)) COMMENT 'it''s \\ a "comment" -- with `quotes` # /* ; and \n  KEY `x` (`y`),\n',
 KEY kd (b DESC), KEY `kéy ☃` (a), KEY `ba``ck` (u)) COMMENT ') ENGINE=InnoDB;\n  KEY `x` (`y`)';
CREATE TABLE `fünny ``name;` (`cöl umn` int DEFAULT 3 COMMENT 'KEY `a` (`b`)', Id bigint unsigned PRIMARY KEY,
 e enum('a', 'b,\n  KEY `z` (`z`),\n', 'it''s') DEFAULT 'a', KEY `a b` (`cöl umn`, Id), KEY `by,e` (e));
CREATE TABLE counted (n int NOT NULL AUTO_INCREMENT, a int, KEY ka (a), KEY kn (n), KEY kan (a, n)) AUTO_INCREMENT=770;
CREATE TABLE parent (id int PRIMARY KEY, code int UNIQUE, other int, third int, KEY other (other), KEY third (third),
 KEY code2 (code, third), KEY last (third, other));
CREATE TABLE child (id int PRIMARY KEY, p int, q int, x int, r int, KEY kx (x), KEY kp (p), KEY kxp (x, p),
 CONSTRAINT fp FOREIGN KEY (p) REFERENCES parent (code) ON DELETE CASCADE,
 CONSTRAINT fq FOREIGN KEY (q) REFERENCES parent (id), CONSTRAINT fs FOREIGN KEY (r) REFERENCES child (id),
 CONSTRAINT checked CHECK (x >= 0), KEY kxr (x, r));
CREATE TABLE hinted (id int PRIMARY KEY, a int, b int, KEY ka (a), KEY kb (b), KEY kc (a, b));
CREATE VIEW sees AS SELECT a FROM hinted FORCE INDEX (kb) WHERE b > 1;
CREATE VIEW sees_more AS SELECT a FROM hinted USE INDEX (ka, PRIMARY);
CREATE TABLE words (id int PRIMARY KEY, a int, t text, FULLTEXT KEY f (t), KEY a (a));
CREATE TABLE computed (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a + 1) VIRTUAL,
 s int GENERATED ALWAYS AS (a + 2) STORED, KEY g (g), KEY s (s), KEY a (a));
CREATE TABLE parts (id int PRIMARY KEY, a int, KEY a (a)) PARTITION BY HASH (id) PARTITIONS 3;
CREATE TABLE myisam (id int PRIMARY KEY, a int, KEY a (a)) ENGINE=MyISAM;
CREATE TABLE places (id int PRIMARY KEY, a int, KEY a (a), p point, q point NOT NULL, SPATIAL KEY q (q));
CREATE TABLE packed (id int PRIMARY KEY, a int, KEY a (a)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4;
CREATE TABLE compact (id int PRIMARY KEY, a int, b varchar(150), KEY a (a, b)) ROW_FORMAT=COMPACT STATS_PERSISTENT=1;
CREATE TABLE defaults (id int PRIMARY KEY, a int DEFAULT (1 - -2), b varchar(9) DEFAULT 'a\\',
 d datetime(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), e double DEFAULT (floor(7 / 2 * 3)),
 KEY k (a, b), KEY bt (d) USING BTREE, KEY plain (e));
CREATE TABLE unordered (a int, b int, KEY ab (a, b), KEY b (b), KEY twice (b));
CREATE TABLE empty_ (id int PRIMARY KEY, a int, KEY a (a));
CREATE TABLE latin (id int PRIMARY KEY, a varchar(20) CHARACTER SET latin1 COLLATE latin1_german2_ci, KEY a (a));
INSERT INTO plain (id, a, b, c, u) VALUES {plain};
INSERT INTO `fünny ``name;` (`cöl umn`, Id) VALUES {pairs};
INSERT INTO counted (a, n) VALUES {pairs};
INSERT INTO parent (id, code, other, third) VALUES {fours};
INSERT INTO child (id, p, q, x, r) VALUES {fives};
INSERT INTO hinted VALUES {threes};
INSERT INTO words VALUES {texts};
INSERT INTO computed (id, a) VALUES {pairs};
INSERT INTO parts VALUES {pairs};
INSERT INTO myisam VALUES {pairs};
INSERT INTO places (id, a, q) VALUES {points};
INSERT INTO packed VALUES {pairs};
INSERT INTO compact VALUES {texts};
INSERT INTO defaults (id, a) VALUES {pairs};
INSERT INTO unordered VALUES {pairs};
INSERT INTO latin VALUES {latin};
DELIMITER ;;
CREATE TRIGGER watched BEFORE INSERT ON plain FOR EACH ROW SET NEW.a = NEW.a + (SELECT count(*) FROM hinted) * 0;;
CREATE PROCEDURE alters() BEGIN ALTER TABLE plain ADD z int; SELECT 1 FROM plain USE INDEX (k1); END;;
DELIMITER ;
"""
OF_MARIADB = """
CREATE TABLE versioned (id int PRIMARY KEY, a int, KEY a (a)) WITH SYSTEM VERSIONING;
CREATE TABLE period (id int, a int, s date, e date, PERIOD FOR p (s, e), UNIQUE KEY (id, p WITHOUT OVERLAPS),
 KEY a (a));
CREATE TABLE hashed (id int PRIMARY KEY, a int, b blob, UNIQUE KEY b (b), KEY a (a));
CREATE TABLE ignored (id int PRIMARY KEY, a int, b int, c blob COMPRESSED, i int INVISIBLE, KEY a (a) IGNORED,
 KEY b (b));
CREATE TABLE pages (id int PRIMARY KEY, a int, KEY a (a)) PAGE_COMPRESSED=1;
CREATE TABLE by_hash (id int PRIMARY KEY, a int, KEY a (a) USING HASH, KEY b (a, id));
"""
OF_MYSQL = """
CREATE TABLE functional (id int PRIMARY KEY, a int, KEY f ((a + 1)), KEY a (a));
CREATE TABLE hidden (id int PRIMARY KEY, a int, b int INVISIBLE, c varchar(9) DEFAULT (concat('a', 'b')),
 CONSTRAINT other CHECK (a <> 2) NOT ENFORCED, KEY a (a) INVISIBLE COMMENT 'x', KEY b (b));
CREATE TABLE several (id int PRIMARY KEY, j json, a int, KEY m ((CAST(j->'$.x' AS UNSIGNED ARRAY))), KEY a (a));
SET sql_generate_invisible_primary_key = 1;
CREATE TABLE without_primary (a int, b int, KEY a (a), KEY b (b));
"""
LATER = {
    "plain",
    "fünny `name;",
    "counted",
    "parent",
    "child",
    "hinted",
    "compact",
    "defaults",
    "unordered",
    "empty_",
    "latin",
}
LATER_OF = {"mariadb": {"ignored", "pages"}, "mysql": {"hidden", "without_primary"}}


def rows(form: str, count: int = 120) -> str:
    """Rows for an INSERT."""
    return ",".join(form.replace("N", str(number)) for number in range(1, count + 1))


def tables(flavour: str) -> str:
    """The statements that make the tables and fill them."""
    return TABLES.format(
        plain=rows("(N, N % 7, 'b N', 'c N', N)"),
        pairs=rows("(N, N)"),
        threes=rows("(N, N % 3, N)"),
        fours=rows("(N, N, N % 9, N % 4)"),
        fives=rows("(N, N, N, N % 6, N)"),
        texts=rows("(N, N, 'some words N')"),
        points=rows("(N, N, point(N, N))"),
        latin=rows("(N, 'größer N')"),
    ) + (OF_MARIADB if flavour == "mariadb" else OF_MYSQL)


@pytest.fixture(autouse=True)
def made_later(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Have keys of all tables made later that may be, and return the tables of which that was done."""
    found: set[str] = set()
    build = segment_load.Loader._build

    def noted(loader: segment_load.Loader, step: Step) -> None:
        found.update(each.build.table for each in step.builds)
        build(loader, step)

    monkeypatch.setattr(mysql_inspection, "_SMALL_BYTES", -1)  # as with large databases, definitions come first
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 500)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 200)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(key_plan, "KEYS_ROWS", 0)
    monkeypatch.setattr(segment_load.Loader, "_build", noted)
    return found


@pytest.fixture
def keyed(server: Server, host: Host, make_database: Callable[..., str]) -> str:
    """A backup of a database with all sorts of keys."""
    name = make_database("vya_keyed", tables(server.flavour))
    report = host.engine().backup(database_id=server.database_id, databases=[name])
    assert report.ok, report.to_dict()
    return name


def definitions(server: Server, database: str) -> dict[str, str]:
    """How the server defines each table now."""
    names = server.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE();", database)
    return {each: server.sql(f"SHOW CREATE TABLE {server.quoted(each)};", database) for each in names.splitlines()}


def test_tables_are_defined_as_they_were(server: Server, host: Host, keyed: str, made_later: set[str]) -> None:
    before, printed = definitions(server, keyed), server.fingerprint(keyed)
    server.drop(keyed)

    restored = host.engine().restore(database_id=server.database_id, database=keyed, jobs=3)

    assert restored.outcome == "success"
    assert (restored.warnings, restored.differences) == ((), ())
    assert definitions(server, keyed) == before
    assert compare(printed, server.fingerprint(keyed)) == []
    assert made_later == LATER | LATER_OF[server.flavour]
    checks = ", ".join(server.quoted(each) for each in before if not each.startswith("sees"))
    assert set(server.sql(f"CHECK TABLE {checks};", keyed).split("\n")) == {
        f"{keyed}.{each}\tcheck\tstatus\tOK" for each in before if not each.startswith("sees")
    }


def test_tables_of_a_part_are_defined_as_they_were(
    server: Server, host: Host, keyed: str, made_later: set[str]
) -> None:
    wanted = LATER | LATER_OF[server.flavour]
    before = {name: text for name, text in definitions(server, keyed).items() if name in wanted}

    restored = host.engine().restore(
        database_id=server.database_id, database=keyed, target="vya_keyed_copy", tables=sorted(wanted), jobs=3
    )

    made = definitions(server, "vya_keyed_copy")
    server.drop("vya_keyed_copy")
    assert restored.differences == ()
    assert made == before
    assert made_later == wanted


@pytest.mark.parametrize("how", [{"jobs": 1}, {"jobs": 3, "content": "schema"}])
def test_other_restores_make_keys_with_their_tables(
    server: Server, host: Host, keyed: str, made_later: set[str], how: dict[str, Any]
) -> None:
    before = definitions(server, keyed)
    server.drop(keyed)

    host.engine().restore(database_id=server.database_id, database=keyed, target="vya_keyed_copy", **how)

    made = definitions(server, "vya_keyed_copy")
    server.drop("vya_keyed_copy")
    assert made.keys() == before.keys()
    assert made["plain"] == before["plain"]
    assert made_later == set()


def test_a_drill_finds_no_difference(server: Server, host: Host, keyed: str, made_later: set[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="vya-", dir="/var/tmp") as name:  # short enough for a socket
        Path(name).chmod(0o755)
        host.write(drill={"directory": f"{name}/s", "memory": "64MiB"})

        (result,) = host.engine().drill(database_id=server.database_id, database=keyed).results

    assert result.outcome == "success", result
    assert made_later == LATER | LATER_OF[server.flavour]


def test_a_key_that_cannot_be_made_fails_the_restore_and_the_old_state_comes_back_without_that(
    server: Server, host: Host, keyed: str, made_later: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.sql("INSERT INTO unordered VALUES (7, 7);", keyed)
    before, printed = definitions(server, keyed), server.fingerprint(keyed)
    builds = segment_load.Loader._builds

    def spoilt(loader: segment_load.Loader, step: Step, share: Any) -> Iterator[bytes]:
        yield from builds(loader, step, share)
        yield b"ALTER TABLE unordered ADD KEY cannot_be (no_such_column);\n"

    monkeypatch.setattr(segment_load.Loader, "_builds", spoilt)

    with pytest.raises(RestoreError, match=r"no_such_column.*it was making keys or indexes of .* was brought back"):
        host.engine().restore(database_id=server.database_id, database=keyed, overwrite=True, jobs=2)

    assert definitions(server, keyed) == before
    assert compare(printed, server.fingerprint(keyed)) == []
