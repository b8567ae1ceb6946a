# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every character set of MySQL and MariaDB, in data, names, defaults and comments, comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from fingerprint import compare
from servers import Host, Server

from vya_backupdb.core.storage import find_artifact

NAME = "vya_character_sets"
LETTERS = "éäñßЖяαΩあ漢한תعก€Ա"
SEVERAL_BYTES = {
    *("utf8mb4", "utf8mb3", "utf8", "ucs2", "utf16", "utf16le", "utf32", "big5", "gbk", "gb2312", "gb18030"),
    *("sjis", "cp932", "ujis", "eucjpms", "euckr"),
}
ALL_BYTES = "".join(f"{byte:02x}" for byte in range(256))
# Lines that end a dump, quotes, escapes, line ends: what a row may hold to mislead.
HOSTILE = r"-- Dump completed\n\r\n\t\Z\'\"\\;\n-- Dump completed"


def character_sets(server: Server) -> list[tuple[str, str]]:
    listed = server.sql(
        "SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLLATIONS"
        " WHERE CHARACTER_SET_NAME <> 'binary' AND IS_DEFAULT = 'Yes' ORDER BY 1;"
    )
    return [(name, collation) for name, collation in (line.split("\t") for line in listed.splitlines())]


def letters_of(server: Server, name: str) -> str:
    """The letters that a character set has."""
    tried = " UNION ALL ".join(
        f"SELECT IF(HEX(CONVERT(CONVERT('{letter}' USING {name}) USING utf8mb4)) = HEX('{letter}'), '{letter}', '')"
        for letter in LETTERS
    )
    return "".join(server.sql(f"{tried};").split())


def table(flavour: str, name: str, collation: str, letters: str) -> str:
    """A table whose every text is in one character set, with each byte that it may hold."""
    texts = letters[:6] or "u"
    text = f"CHARACTER SET {name} COLLATE {collation}"
    # MySQL shows a text in an expression another way once it has read it from what it showed.
    within = f"'{texts[0]}'" if flavour == "mariadb" else "`cölumn`"
    made = (
        f"CREATE TABLE `t_{name}` (id int AUTO_INCREMENT PRIMARY KEY,"
        f" `cölumn` varchar(50) {text} DEFAULT '{texts} it''s' COMMENT 'cömment é あ', e enum('{texts}','x') {text},"
        f" s set('{texts[0]}','x') {text}, words mediumtext {text}, raw varbinary(300), bits bit(9), place geometry,"
        f" derived varchar(110) {text} GENERATED ALWAYS AS (concat(`cölumn`, {within})) STORED,"
        f" CHECK (`cölumn` <> concat({within}, {within})), KEY (`cölumn`)) COMMENT 'täble あ' DEFAULT CHARSET {name};"
    )
    content = "'Aé\\'\\\\\\nñ€Жあ漢한ü'" if name in SEVERAL_BYTES else f"CONVERT(0x{ALL_BYTES} USING {name})"
    made += (
        f"INSERT IGNORE INTO `t_{name}` (words, raw, bits, e, s, place) VALUES ({content}, 0x{ALL_BYTES}, b'100000001',"
        " 1, 3, ST_GeomFromText('POINT(1 2)')), "
        f"('{HOSTILE}', '{HOSTILE}', b'0', 2, 0, NULL), (NULL, NULL, NULL, NULL, NULL, NULL);"
    )
    return made


PROGRAMS = (
    "CREATE FUNCTION `fünction`() RETURNS varchar(20) CHARACTER SET latin1 DETERMINISTIC COMMENT 'é' RETURN 'é あ';"
    "CREATE VIEW `vïew` AS SELECT 'é' AS `ä`, _latin1 0xe9 AS l, `fünction`() AS f, `cölumn` FROM t_latin1;"
    "CREATE TRIGGER `trïgger` BEFORE INSERT ON t_latin1 FOR EACH ROW SET NEW.words = concat(NEW.words, 'é');"
    "CREATE EVENT `ëvent` ON SCHEDULE EVERY 1 YEAR DO SELECT 'é あ';"
)


@pytest.fixture
def mysql(servers: dict[str, Server]) -> Server:
    return servers["mysql"]


def test_every_character_set_comes_back(mysql: Server, host: Host) -> None:
    known = character_sets(mysql)
    assert len(known) > 30
    tables = "".join(table(mysql.flavour, name, collation, letters_of(mysql, name)) for name, collation in known)
    mysql.create(NAME, f"SET NAMES utf8mb4; SET sql_mode = '';{tables}{PROGRAMS}")
    copy = f"{NAME}_copy"
    try:
        before = mysql.fingerprint(NAME)
        result = host.engine().backup(database_id=mysql.database_id, databases=[NAME]).results[0]
        assert result.outcome == "success", result.error
        assert not [warning for warning in result.warnings if "Unicode" in warning]
        manifest = find_artifact(Path(str(result.artifact))).manifest
        assert manifest.rows == {f"t_{name}": 3 for name, _collation in known}
        assert any("--default-character-set=binary" in call for call in manifest.tool["calls"])
        host.engine().restore(database_id=mysql.database_id, database=NAME, target=copy)
        assert compare(before, mysql.fingerprint(copy)) == []
    finally:
        mysql.drop(copy)
        mysql.drop(NAME)


def test_every_collation_comes_back(mysql: Server, host: Host) -> None:
    full = "FULL_COLLATION_NAME" if mysql.flavour == "mariadb" else "COLLATION_NAME"
    listed = mysql.sql(
        f"SELECT CHARACTER_SET_NAME, {full} FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
        f" WHERE CHARACTER_SET_NAME <> 'binary' ORDER BY 1, 2;"
    )
    known = [line.split("\t") for line in listed.splitlines()]
    assert len(known) > 250
    columns = [
        f"`{collation}` varchar(8) CHARACTER SET {name} COLLATE {collation} DEFAULT 'u\\'{number}'"
        for number, (name, collation) in enumerate(known)
    ]
    tables = [columns[start : start + 200] for start in range(0, len(columns), 200)]
    mysql.create(
        NAME,
        "SET NAMES utf8mb4;"
        + "".join(
            f"CREATE TABLE t{number} ({', '.join(several)}, KEY ({several[0].split()[0]}));"
            f"INSERT INTO t{number} () VALUES (), ();"
            for number, several in enumerate(tables)
        ),
    )
    copy = f"{NAME}_copy"
    try:
        before = mysql.fingerprint(NAME)
        result = host.engine().backup(database_id=mysql.database_id, databases=[NAME]).results[0]
        assert result.outcome == "success", result.error
        host.engine().restore(database_id=mysql.database_id, database=NAME, target=copy)
        assert compare(before, mysql.fingerprint(copy)) == []
    finally:
        mysql.drop(copy)
        mysql.drop(NAME)


def test_rows_that_are_not_taken_as_bytes_are_dumped_as_text(mysql: Server, host: Host) -> None:
    mysql.create(
        NAME,
        "SET NAMES utf8mb4;"
        + (
            "CREATE TABLE u (u uuid, a inet6); INSERT INTO u VALUES (uuid(), '::1');"
            if mysql.flavour == "mariadb"
            else ""
        )
        + "CREATE TABLE p (c varchar(10) CHARACTER SET latin1, j json)"
        " PARTITION BY LIST COLUMNS (c) (PARTITION p1 VALUES IN ('é'), PARTITION p2 VALUES IN ('ü'));"
        """INSERT INTO p VALUES ('é', '{"a": "é あ"}'), ('ü', '[1.50, null]');""",
    )
    try:
        before = mysql.fingerprint(NAME)
        assert host.engine().backup(database_id=mysql.database_id, databases=[NAME]).ok
        mysql.drop(NAME)
        host.engine().restore(database_id=mysql.database_id, database=NAME)
        assert compare(before, mysql.fingerprint(NAME)) == []
    finally:
        mysql.drop(NAME)
