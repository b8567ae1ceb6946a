-- Sample schema for MariaDB 10.11 and later: everything that the server offers and a plain dump can carry.
-- Load with: mariadb --comments DATABASE < mariadb.sql   (after mariadb-accounts.sql, by an administrator)
SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET sql_mode = 'NO_ENGINE_SUBSTITUTION';
SET foreign_key_checks = 0;
ALTER DATABASE CHARACTER SET = latin1 COLLATE = latin1_german1_ci COMMENT = 'the sample: it''s "odd"; -- Dump completed';

-- ---------------------------------------------------------------- column types with their extremes
CREATE TABLE types_number (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  b BOOLEAN, t TINYINT, tu TINYINT UNSIGNED ZEROFILL, s SMALLINT, su SMALLINT UNSIGNED,
  m MEDIUMINT, mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED, big BIGINT, bigu BIGINT UNSIGNED,
  d DECIMAL(65,38), d0 DECIMAL(65,0), du DECIMAL(10,2) UNSIGNED ZEROFILL,
  f FLOAT, fd FLOAT(10,3), dbl DOUBLE, dbld DOUBLE(20,4),
  bit1 BIT, bit7 BIT(7), bit64 BIT(64), y YEAR
) ENGINE=InnoDB AUTO_INCREMENT=4000000000 COMMENT='numbers: "extremes", it''s all \\ here; -- Dump completed';
INSERT INTO types_number (id) VALUES (1);
INSERT INTO types_number VALUES
 (2, 0, -128, 0, -32768, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0,
  -999999999999999999999999999.99999999999999999999999999999999999999,
  -99999999999999999999999999999999999999999999999999999999999999999, 0,
  -1.5, -9999999.5, -1.7976931348623157e308, -9999999999999999.5, b'0', b'0', b'0', 0),
 (3, 1, 127, 255, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 9223372036854775807, 18446744073709551615,
  999999999999999999999999999.99999999999999999999999999999999999999,
  99999999999999999999999999999999999999999999999999999999999999999, 99999999.99,
  1.5, 9999999.5, 1.7976931348623157e308, 9999999999999999.5, b'1', b'1111111', 0xFFFFFFFFFFFFFFFF, 2155),
 (4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1e-38, 1, 0.01,
  0.25, 0.125, 2.2250738585072014e-308, 0.0001, b'1', b'1010101', 0x0A0D5C2722271A00, 1901),
 (5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.1, 0, 0,
  1024, 0.5, 0.1, 3.1416, b'0', b'0100111', 0x8000000000000001, 1999),
 (6, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, 5e-324, NULL, NULL, NULL, NULL, NULL),
 (7, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, 0.30000000000000004, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE types_time (
  id INT NOT NULL PRIMARY KEY,
  d DATE, t TIME, t6 TIME(6), dt DATETIME, dt3 DATETIME(3), dt6 DATETIME(6),
  ts TIMESTAMP NULL DEFAULT NULL, ts6 TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  y YEAR(4), zero_d DATE NOT NULL DEFAULT '0000-00-00', zero_dt DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00',
  zero_ts TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00'
);
INSERT INTO types_time VALUES
 (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00'),
 (2, '0000-01-01', '-838:59:59', '-838:59:59.999999', '0000-01-01 00:00:00', '0000-01-01 00:00:00.001', '0000-01-01 00:00:00.000001',
  '1970-01-01 00:00:01', '1970-01-01 00:00:01.000001', 1901, '2024-00-00', '2024-02-00 00:00:00', '2000-01-01 00:00:00'),
 (3, '9999-12-31', '838:59:59', '838:59:59.999999', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999', '9999-12-31 23:59:59.999999',
  '2038-01-19 03:14:07', '2038-01-19 03:14:07.999999', 2155, '9999-12-31', '9999-12-31 23:59:59', '2038-01-19 03:14:07'),
 (4, '2024-02-29', '00:00:00', '-00:00:00.000001', '2024-03-31 02:30:00', '2024-03-31 02:30:00.5', '2024-10-27 02:30:00.123456',
  '2024-03-31 02:30:00', '2024-10-27 01:30:00.123456', 0, '2024-02-29', '2024-03-31 02:30:00', '2024-10-27 00:30:00');

CREATE TABLE types_text (
  id INT NOT NULL PRIMARY KEY,
  c CHAR(10), c0 CHAR(0), vc VARCHAR(200), tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT,
  e ENUM('one','two','it''s','','日本', 'a,b') DEFAULT 'two', s SET('a','b','c d','it''s','ü') DEFAULT 'a,b',
  j JSON, xml_like TEXT COMPRESSED, vcc VARCHAR(500) COMPRESSED DEFAULT 'squeeze me'
) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='テスト comment';
INSERT INTO types_text VALUES
 (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (2, '', '', '', '', '', '', '', '', '', '{}', '', ''),
 (3, 'padded', NULL, 'trailing spaces   ', 'tab\there', 'line\nfeed\r\nboth', '\0nul\0', 'ctrl-z \Z and \\ and \' and "', 'it''s', 'a,c d,it''s,ü',
  '{"a": [1, 2.50, null, true, "\\u00e9 \\\\ \\" \\n"], "b": {"🐘": "𝔘nicode"}, "a": "twice"}', '<a>&amp;</a>', REPEAT('x', 500)),
 (4, '🐘🦭', NULL, 'naïve façade — “quotes” — Ελληνικά — עברית — 中文 — 😀👩‍👩‍👧‍👦', 'ﬁ ligature', 'combining é vs é', 'RTL ‮override‬',
  'zero​width', '日本', 'ü', '[]', '\\N', 'NULL'),
 (5, 'NULL', NULL, '\\N', 'NULL', '-- Dump completed on 2001-01-01  0:00:00',
  'x\n-- Dump completed on 2001-01-01  0:00:00\n',
  '\n-- PostgreSQL database dump complete\n--\n\\.\nCOPY t FROM stdin;\nDELIMITER ;;\n/*!50003 DROP TABLE types_text */;\nUNLOCK TABLES;\n',
  'a,b', 'a', '"scalar"', '/*M!999999\\- enable the sandbox mode */', '$$ $body$ %s %(x)s {{ x }} {% raw %} ${HOME} `id`'),
 (6, ';', NULL, '''); DROP TABLE types_text; --', '#', '/* not a comment */', '\\', '''', 'one', 'b', 'null', '"', '`');

CREATE TABLE types_binary (
  id INT NOT NULL PRIMARY KEY,
  b BINARY(8), vb VARBINARY(300), tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB, bc BLOB COMPRESSED,
  u UUID DEFAULT uuid(), i4 INET4, i6 INET6
);
INSERT INTO types_binary VALUES
 (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (2, '', '', '', '', '', '', '', '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::'),
 (3, 0x00FF5C27220A0D1A, 0x000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F606162636465666768696A6B6C6D6E6F707172737475767778797A7B7C7D7E7F808182838485868788898A8B8C8D8E8F909192939495969798999A9B9C9D9E9FA0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBFC0C1C2C3C4C5C6C7C8C9CACBCCCDCECFD0D1D2D3D4D5D6D7D8D9DADBDCDDDEDFE0E1E2E3E4E5E6E7E8E9EAEBECEDEEEFF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF,
  0x00, 0x0000, 0xDEADBEEF, 0x1F8B0800, 0xFFFE, 'ffffffff-ffff-4fff-bfff-ffffffffffff', '255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'),
 (4, 'short', 'text', 0x5C, 0x27, 0x1A, 0xC3A9, 0xF09F9098, '123e4567-e89b-12d3-a456-426655440000', '192.0.2.1', '::ffff:192.0.2.1');
UPDATE types_binary SET bl = vb, mb = vb, lb = vb, bc = vb WHERE id = 3;

CREATE TABLE big_values (id INT NOT NULL PRIMARY KEY, txt LONGTEXT CHARACTER SET utf8mb4, bin LONGBLOB);
INSERT INTO big_values VALUES
 (1, REPEAT('very long text with a \'quote\', a \\ and 🐘\n', 100000), NULL),
 (2, NULL, REPEAT(0x000102030405060708090A0B0C0D0E0F5C2722FF, 250000)),
 (3, REPEAT('a', 1048576), REPEAT(UNHEX(SHA2('seed', 512)), 30000));

CREATE TABLE types_spatial (
  id INT NOT NULL PRIMARY KEY, g GEOMETRY NOT NULL, p POINT, l LINESTRING, pg POLYGON, mp MULTIPOINT,
  ml MULTILINESTRING, mpg MULTIPOLYGON, gc GEOMETRYCOLLECTION, pr POINT REF_SYSTEM_ID=101,
  SPATIAL KEY g_idx (g)
) ENGINE=Aria;
INSERT INTO types_spatial VALUES
 (1, ST_GeomFromText('POINT(1 2)', 4326), ST_GeomFromText('POINT(-180.123456789012 90)'), ST_GeomFromText('LINESTRING(0 0,1 1,2 2)'),
  ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0),(2 2,3 2,3 3,2 3,2 2))'), ST_GeomFromText('MULTIPOINT(1 1,2 2)'),
  ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))'),
  ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'), ST_GeomFromText('POINT(0.1 0.2)', 101)),
 (2, ST_GeomFromText('LINESTRING(0 0,1e300 -1e-300)'), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE no_rows LIKE types_text;

-- ---------------------------------------------------------------- character sets
CREATE TABLE charsets (
  id INT NOT NULL PRIMARY KEY,
  l1 VARCHAR(300) CHARACTER SET latin1, l1b VARCHAR(50) CHARACTER SET latin1 COLLATE latin1_bin, l2 VARCHAR(50) CHARACTER SET latin2,
  a VARCHAR(200) CHARACTER SET ascii, u3 VARCHAR(50) CHARACTER SET utf8mb3, u4 VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  u4n VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_nopad_ci, u16 VARCHAR(50) CHARACTER SET utf16,
  u16le VARCHAR(50) CHARACTER SET utf16le, u32 VARCHAR(50) CHARACTER SET utf32, ucs VARCHAR(50) CHARACTER SET ucs2,
  sj VARCHAR(50) CHARACTER SET sjis, gb VARCHAR(50) CHARACTER SET gbk, bg VARCHAR(50) CHARACTER SET big5, kr VARCHAR(50) CHARACTER SET euckr,
  uj VARCHAR(50) CHARACTER SET ujis, cyr VARCHAR(50) CHARACTER SET cp1251, koi TEXT CHARACTER SET koi8r, gr CHAR(20) CHARACTER SET greek,
  he CHAR(20) CHARACTER SET hebrew, bin VARCHAR(50) CHARACTER SET binary,
  en ENUM('é','ü') CHARACTER SET latin1, st SET('д','ж') CHARACTER SET cp1251
) DEFAULT CHARSET=latin1 COLLATE=latin1_german2_ci;
INSERT INTO charsets VALUES
 (1, 'àéîõü ß €', 'É', 'Łódź', 'plain', 'Größe 中', '🐘', 'nopad ', '🐘 中', '🐘 中', '🐘 中', '中 é', '日本語表', '中文', '中文表', '한국어', '日本語',
  'Привет', 'Привет', 'Ελλάδα', 'עברית', 0x00FF, 'é', 'д,ж'),
 (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO charsets (id, l1, a) SELECT 3, CAST(vb AS CHAR CHARACTER SET latin1), CAST(LEFT(vb, 128) AS CHAR CHARACTER SET ascii)
  FROM types_binary WHERE id = 3;
UPDATE charsets c JOIN types_binary b ON b.id = 3 SET c.l1 = CONVERT(b.vb USING latin1) WHERE c.id = 3;

-- ---------------------------------------------------------------- columns that are computed, hidden or defaulted
CREATE TABLE columns_special (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  first_name VARCHAR(50) NOT NULL DEFAULT 'Jane' COMMENT 'has a default; and a ''comment''',
  last_name VARCHAR(50) NOT NULL DEFAULT concat('D', lower('OE')),
  full_name VARCHAR(120) GENERATED ALWAYS AS (concat(first_name, ' ', last_name)) VIRTUAL,
  name_length INT AS (char_length(first_name)) PERSISTENT,
  hidden INT INVISIBLE DEFAULT 7,
  hidden_generated VARCHAR(60) AS (reverse(first_name)) STORED INVISIBLE,
  doc JSON DEFAULT json_object('created', 'now'),
  doc_kind VARCHAR(20) AS (json_unquote(json_extract(doc, '$.kind'))) VIRTUAL,
  amount DECIMAL(10,2) DEFAULT (1 + 2.5) CHECK (amount >= 0),
  body TEXT DEFAULT 'text with ''default''', raw BLOB DEFAULT x'00ff',
  created DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  updated TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  `select` INT DEFAULT NULL, `a b` INT, `a``b` INT, `it's` INT, `say "x"` INT, `100%` INT, `back\slash` INT, `ünï-中` INT,
  `$dollar` INT, `dot.ted` INT, `-- x` INT, `;` INT,
  PRIMARY KEY (id),
  UNIQUE KEY `uniq name` (last_name, first_name(10) DESC) COMMENT 'index comment',
  KEY desc_idx (created DESC, id ASC), KEY ignored_idx (amount) IGNORED, KEY virtual_idx (doc_kind), FULLTEXT KEY ft (body),
  UNIQUE KEY long_unique (body) USING HASH,
  CONSTRAINT `positive length` CHECK (char_length(first_name) > 0 AND first_name <> 'it''s; -- no')
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 STATS_PERSISTENT=0 STATS_AUTO_RECALC=1;
INSERT INTO columns_special (first_name, last_name, hidden, doc, amount, body, created, updated, `select`, `a``b`) VALUES
 ('Ada', 'Lovelace', 1, '{"kind": "person"}', 12.34, 'first body', '2024-01-01 00:00:00.000001', '2024-01-01 00:00:00', 1, 2),
 ('Zoë', 'Ümlaut', NULL, NULL, NULL, NULL, '2024-01-02 00:00:00', '2024-01-02 00:00:00', NULL, NULL);
INSERT INTO columns_special (created, updated, body) VALUES ('2024-01-03', '2024-01-03 00:00:00', 'only defaults');
ALTER TABLE columns_special AUTO_INCREMENT=1000000;

-- ---------------------------------------------------------------- engines and table options
CREATE TABLE engine_aria (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20), KEY(v)) ENGINE=Aria TRANSACTIONAL=1 PAGE_CHECKSUM=1 AUTO_INCREMENT=500;
INSERT INTO engine_aria VALUES (1, 'a'), (2, 'b');
CREATE TABLE engine_aria_plain (id INT, v VARCHAR(20)) ENGINE=Aria TRANSACTIONAL=0 ROW_FORMAT=DYNAMIC;
INSERT INTO engine_aria_plain VALUES (1, 'dup'), (1, 'dup'), (NULL, NULL);
CREATE TABLE engine_myisam (grp INT NOT NULL, id INT NOT NULL AUTO_INCREMENT, v VARCHAR(20), PRIMARY KEY (grp, id), FULLTEXT KEY (v))
  ENGINE=MyISAM PACK_KEYS=1 DELAY_KEY_WRITE=1 MAX_ROWS=1000 MIN_ROWS=1 AVG_ROW_LENGTH=50 CHECKSUM=1;
INSERT INTO engine_myisam (grp, v) VALUES (1, 'x'), (1, 'y'), (2, 'z');
CREATE TABLE merge_a (id INT NOT NULL PRIMARY KEY, v VARCHAR(10)) ENGINE=MyISAM;
CREATE TABLE merge_b LIKE merge_a;
INSERT INTO merge_a VALUES (1, 'a');
INSERT INTO merge_b VALUES (2, 'b');
CREATE TABLE a_merge (id INT NOT NULL, v VARCHAR(10), KEY (id)) ENGINE=MERGE UNION=(merge_a, merge_b) INSERT_METHOD=LAST;
CREATE TABLE engine_memory (id INT NOT NULL, v VARCHAR(20), KEY USING HASH (id), KEY USING BTREE (v)) ENGINE=MEMORY MAX_ROWS=100;
INSERT INTO engine_memory VALUES (1, 'volatile'), (2, 'ünïcode');
CREATE TABLE engine_csv (id INT NOT NULL, v VARCHAR(50) NOT NULL) ENGINE=CSV;
INSERT INTO engine_csv VALUES (1, 'a,"b"'), (2, 'line\nfeed');
CREATE TABLE innodb_compressed (id INT PRIMARY KEY, v TEXT) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;
INSERT INTO innodb_compressed VALUES (1, REPEAT('z', 10000));
CREATE TABLE innodb_redundant (id INT PRIMARY KEY, v VARCHAR(10)) ENGINE=InnoDB ROW_FORMAT=REDUNDANT;
INSERT INTO innodb_redundant VALUES (-1, 'r');
CREATE TABLE innodb_page_compressed (id INT PRIMARY KEY, v TEXT) ENGINE=InnoDB PAGE_COMPRESSED=1 PAGE_COMPRESSION_LEVEL=3;
INSERT INTO innodb_page_compressed VALUES (1, REPEAT('p', 20000));

-- ---------------------------------------------------------------- odd names
CREATE TABLE `select` (`from` INT PRIMARY KEY, `where` INT);
INSERT INTO `select` VALUES (1, 2);
CREATE TABLE `with space` (`col umn` INT); INSERT INTO `with space` VALUES (1);
CREATE TABLE `tick``tock` (`a``` INT); INSERT INTO `tick``tock` VALUES (1);
CREATE TABLE `it's` (`'` INT); INSERT INTO `it's` VALUES (1);
CREATE TABLE `say "hi"` (`"` INT); INSERT INTO `say "hi"` VALUES (1);
CREATE TABLE `--all-databases` (`--help` INT); INSERT INTO `--all-databases` VALUES (1);
CREATE TABLE `-v` (`-` INT); INSERT INTO `-v` VALUES (1);
CREATE TABLE `dot.ted.name` (`.` INT); INSERT INTO `dot.ted.name` VALUES (1);
CREATE TABLE `100%_wild` (`%` INT); INSERT INTO `100%_wild` VALUES (1);
CREATE TABLE `100%Xwild` (`%` INT); INSERT INTO `100%Xwild` VALUES (2);
CREATE TABLE `back\slash` (`\` INT); INSERT INTO `back\slash` VALUES (1);
CREATE TABLE `sla/sh` (`/` INT); INSERT INTO `sla/sh` VALUES (1);
CREATE TABLE `semi;colon` (`;` INT); INSERT INTO `semi;colon` VALUES (1);
CREATE TABLE `hash#tag` (`#` INT, `/*` INT, `*/` INT); INSERT INTO `hash#tag` VALUES (1, 2, 3);
CREATE TABLE `таблица 表 ñ` (`столбец` INT); INSERT INTO `таблица 表 ñ` VALUES (1);
CREATE TABLE `$HOME` (`$(id)` INT); INSERT INTO `$HOME` VALUES (1);
CREATE TABLE `1234` (`5` INT); INSERT INTO `1234` VALUES (1);
CREATE TABLE `1e5` (`0x1` INT); INSERT INTO `1e5` VALUES (1);
CREATE TABLE `CamelCase` (`Id` INT); INSERT INTO `CamelCase` VALUES (1);
CREATE TABLE `camelcase` (`iD` INT); INSERT INTO `camelcase` VALUES (2);
CREATE TABLE `null` (`true` INT); INSERT INTO `null` VALUES (1);
CREATE TABLE `a_name_of_sixty_four_characters_which_is_the_longest_that_there_` (`also_a_column_of_sixty_four_characters_the_longest_that_there_is` INT);
INSERT INTO `a_name_of_sixty_four_characters_which_is_the_longest_that_there_` VALUES (1);
CREATE TABLE `Dump completed` (`-- Dump completed` TEXT COMMENT '-- Dump completed on 2001-01-01  0:00:00');
INSERT INTO `Dump completed` VALUES ('-- Dump completed on 2001-01-01  0:00:00');

-- ---------------------------------------------------------------- foreign keys: cycles, self references, all actions
CREATE TABLE fk_person (
  id INT NOT NULL PRIMARY KEY, boss_id INT, department_id INT, KEY (boss_id), KEY (department_id),
  CONSTRAINT fk_boss FOREIGN KEY (boss_id) REFERENCES fk_person (id) ON DELETE SET NULL ON UPDATE CASCADE,
  CONSTRAINT fk_department FOREIGN KEY (department_id) REFERENCES fk_department (id) ON DELETE RESTRICT
);
CREATE TABLE fk_department (
  id INT NOT NULL PRIMARY KEY, head_id INT, KEY (head_id),
  CONSTRAINT fk_head FOREIGN KEY (head_id) REFERENCES fk_person (id) ON DELETE CASCADE ON UPDATE NO ACTION
);
INSERT INTO fk_person VALUES (1, 3, 1), (2, 1, 1), (3, 2, 2), (4, 4, NULL);
INSERT INTO fk_department VALUES (1, 2), (2, 3), (3, NULL);
CREATE TABLE a_child (pa INT NOT NULL, pb VARCHAR(10) NOT NULL, CONSTRAINT `odd "f.k" -- it's` FOREIGN KEY (pa, pb) REFERENCES z_parent (a, b) ON DELETE CASCADE);
CREATE TABLE z_parent (a INT NOT NULL, b VARCHAR(10) NOT NULL, PRIMARY KEY (a, b));
INSERT INTO z_parent VALUES (1, 'x'), (2, 'y');
INSERT INTO a_child VALUES (1, 'x'), (1, 'x'), (2, 'y');
SET foreign_key_checks = 1;

-- ---------------------------------------------------------------- partitions
CREATE TABLE part_range (id INT NOT NULL, y INT NOT NULL, PRIMARY KEY (id, y)) ENGINE=InnoDB
  PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (2000) COMMENT = 'old', PARTITION p1 VALUES LESS THAN (2020), PARTITION pmax VALUES LESS THAN MAXVALUE);
INSERT INTO part_range VALUES (1, 1999), (2, 2000), (3, 2024), (4, 2147483647);
CREATE TABLE part_range_columns (a INT, b VARCHAR(10), c DATE) PARTITION BY RANGE COLUMNS (a, b, c)
  (PARTITION p0 VALUES LESS THAN (10, 'm', '2020-01-01'), PARTITION p1 VALUES LESS THAN (MAXVALUE, MAXVALUE, MAXVALUE));
INSERT INTO part_range_columns VALUES (NULL, NULL, NULL), (10, 'a', '2019-01-01'), (11, 'it''s', '2024-01-01');
CREATE TABLE part_list (id INT) PARTITION BY LIST (id)
  (PARTITION p_odd VALUES IN (1, 3, 5), PARTITION p_null VALUES IN (NULL), PARTITION p_rest DEFAULT);
INSERT INTO part_list VALUES (1), (3), (NULL), (42);
CREATE TABLE part_list_columns (c VARCHAR(10) CHARACTER SET utf8mb4) PARTITION BY LIST COLUMNS (c)
  (PARTITION `p é` VALUES IN ('é', 'it''s'), PARTITION p2 VALUES IN ('中', NULL));
INSERT INTO part_list_columns VALUES ('é'), ('it''s'), ('中'), (NULL);
CREATE TABLE part_hash (id INT NOT NULL, d DATE NOT NULL) ENGINE=Aria PARTITION BY HASH (YEAR(d)) PARTITIONS 4;
INSERT INTO part_hash VALUES (1, '2021-01-01'), (2, '2022-01-01'), (3, '2023-01-01');
CREATE TABLE part_linear_hash (id INT) PARTITION BY LINEAR HASH (id) PARTITIONS 3;
INSERT INTO part_linear_hash VALUES (1), (2), (3);
CREATE TABLE part_key (id VARCHAR(10) PRIMARY KEY) ENGINE=MyISAM PARTITION BY KEY () PARTITIONS 2;
INSERT INTO part_key VALUES ('a'), ('b');
CREATE TABLE part_linear_key (id INT) PARTITION BY LINEAR KEY ALGORITHM=2 (id) PARTITIONS 2;
INSERT INTO part_linear_key VALUES (1), (2);
CREATE TABLE part_sub (id INT, d DATE) PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (TO_DAYS(d))
  (PARTITION p0 VALUES LESS THAN (2000) (SUBPARTITION s0, SUBPARTITION s1), PARTITION p1 VALUES LESS THAN MAXVALUE (SUBPARTITION s2, SUBPARTITION s3));
INSERT INTO part_sub VALUES (1, '1999-12-31'), (2, '2000-01-01'), (3, '2024-05-05');
CREATE TABLE part_sub_key (id INT, k INT) PARTITION BY LIST (k) SUBPARTITION BY KEY (id) SUBPARTITIONS 2
  (PARTITION a VALUES IN (1, 2), PARTITION b VALUES IN (3));
INSERT INTO part_sub_key VALUES (1, 1), (2, 2), (3, 3);

-- ---------------------------------------------------------------- sequences
CREATE SEQUENCE seq_plain;
SELECT nextval(seq_plain), nextval(seq_plain);
CREATE SEQUENCE seq_down START WITH -10 INCREMENT BY -5 MINVALUE -1000000 MAXVALUE -5 CACHE 7 NOCYCLE;
SELECT nextval(seq_down);
CREATE SEQUENCE `seq odd ``name` START 100 MINVALUE 100 MAXVALUE 200 INCREMENT 10 NOCACHE CYCLE COMMENT='a sequence';
SELECT nextval(`seq odd ``name`);
CREATE SEQUENCE seq_far START 9223372036854775000 INCREMENT 1 NOCACHE ENGINE=Aria;
SELECT setval(seq_far, 9223372036854775500);
CREATE SEQUENCE seq_unused START 77;

-- ---------------------------------------------------------------- temporal tables with history
SET timestamp = UNIX_TIMESTAMP('2020-01-01 00:00:00');
CREATE TABLE versioned (id INT PRIMARY KEY, v VARCHAR(20), unversioned INT WITHOUT SYSTEM VERSIONING) WITH SYSTEM VERSIONING;
CREATE TABLE versioned_visible (
  id INT PRIMARY KEY, v VARCHAR(20),
  since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, until TIMESTAMP(6) GENERATED ALWAYS AS ROW END,
  PERIOD FOR SYSTEM_TIME (since, until)) WITH SYSTEM VERSIONING;
CREATE TABLE versioned_hidden (
  id INT PRIMARY KEY, v VARCHAR(20), g INT AS (id * 2) STORED,
  rs TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE COMMENT 'start', re TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE,
  PERIOD FOR SYSTEM_TIME (rs, re)) WITH SYSTEM VERSIONING;
CREATE TABLE versioned_partitioned (id INT, v VARCHAR(20)) WITH SYSTEM VERSIONING
  PARTITION BY SYSTEM_TIME (PARTITION p_history HISTORY, PARTITION p_current CURRENT);
CREATE TABLE versioned_limit (id INT, v VARCHAR(20)) WITH SYSTEM VERSIONING
  PARTITION BY SYSTEM_TIME LIMIT 1000 (PARTITION p0 HISTORY, PARTITION p1 HISTORY, PARTITION pn CURRENT);
CREATE TABLE versioned_interval (id INT, v VARCHAR(20)) WITH SYSTEM VERSIONING
  PARTITION BY SYSTEM_TIME INTERVAL 1 YEAR STARTS TIMESTAMP'2020-01-01 00:00:00'
  (PARTITION p0 HISTORY, PARTITION p1 HISTORY, PARTITION p2 HISTORY, PARTITION pn CURRENT);
CREATE TABLE bitemporal (
  id INT, price DECIMAL(10,2), valid_from DATE, valid_to DATE, PERIOD FOR validity (valid_from, valid_to),
  UNIQUE KEY (id, validity WITHOUT OVERLAPS)) WITH SYSTEM VERSIONING;
CREATE TABLE period_only (
  id INT NOT NULL, s DATETIME(6) NOT NULL, e DATETIME(6) NOT NULL, PERIOD FOR p (s, e), PRIMARY KEY (id, p WITHOUT OVERLAPS));
INSERT INTO versioned VALUES (1, 'first', 1), (2, 'second', 2), (3, 'third', 3);
INSERT INTO versioned_visible (id, v) VALUES (1, 'first'), (2, 'second');
INSERT INTO versioned_hidden (id, v) VALUES (1, 'first'), (2, 'second');
INSERT INTO versioned_partitioned VALUES (1, 'first'), (2, 'second');
INSERT INTO versioned_limit VALUES (1, 'first'), (2, 'second');
INSERT INTO versioned_interval VALUES (1, 'first'), (2, 'second');
INSERT INTO bitemporal VALUES (1, 9.99, '2020-01-01', '2021-01-01'), (1, 19.99, '2021-01-01', '9999-12-31');
INSERT INTO period_only VALUES (1, '2020-01-01', '2020-02-01'), (1, '2020-02-01', '2020-03-01'), (2, '0000-01-01', '9999-12-31 23:59:59.999999');
SET timestamp = UNIX_TIMESTAMP('2021-06-01 12:34:56.654321');
UPDATE versioned SET v = 'changed', unversioned = 11 WHERE id = 1;
DELETE FROM versioned WHERE id = 2;
UPDATE versioned_visible SET v = 'changed' WHERE id = 1;
UPDATE versioned_hidden SET v = 'changed' WHERE id = 1;
UPDATE versioned_partitioned SET v = 'changed' WHERE id = 1;
UPDATE versioned_limit SET v = 'changed' WHERE id = 1;
UPDATE versioned_interval SET v = 'changed' WHERE id = 1;
UPDATE bitemporal FOR PORTION OF validity FROM '2020-03-01' TO '2020-06-01' SET price = 5 WHERE id = 1;
DELETE FROM period_only FOR PORTION OF p FROM '2020-01-10' TO '2020-01-20' WHERE id = 1;
SET timestamp = UNIX_TIMESTAMP('2022-07-01 01:02:03.000004');
DELETE FROM versioned_visible WHERE id = 2;
DELETE FROM versioned_hidden WHERE id = 2;
DELETE FROM versioned_partitioned;
DELETE FROM versioned_limit WHERE id = 2;
DELETE FROM versioned_interval WHERE id = 2;
UPDATE versioned SET v = 'again' WHERE id = 1;
SET timestamp = DEFAULT;

-- ---------------------------------------------------------------- routines
DELIMITER ;;
CREATE DEFINER='sample_owner'@'localhost' FUNCTION fn_simple (a INT, b VARCHAR(10) CHARACTER SET latin1) RETURNS VARCHAR(50) CHARSET utf8mb4 COLLATE utf8mb4_bin
  DETERMINISTIC NO SQL SQL SECURITY INVOKER COMMENT 'it''s a "comment" with \\ and 🐘'
BEGIN
-- Dump completed on 2001-01-01  0:00:00
  # a hash comment; with a semicolon
  /* a block comment ;; */
  RETURN concat(a, ':', b, '
DELIMITER ;
', '-- Dump completed', "double 'quoted'", '$$', 'it''s', 'ünï 🐘', '\\', '\n');
END;;
CREATE DEFINER=`gone`@`nowhere` PROCEDURE `proc with 'odd' ``name` (IN p_in INT, OUT p_out DECIMAL(20,5), INOUT `in out` JSON)
  MODIFIES SQL DATA
BEGIN
  DECLARE done INT DEFAULT 0;
  DECLARE cur CURSOR FOR SELECT id FROM fk_person;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
  OPEN cur;
  l: LOOP
    FETCH cur INTO p_in;
    IF done THEN LEAVE l; END IF;
  END LOOP;
  CLOSE cur;
  SET p_out = 1.5;
END;;
CREATE AGGREGATE FUNCTION fn_median_ish (x DOUBLE) RETURNS DOUBLE
BEGIN
  DECLARE total DOUBLE DEFAULT 0;
  DECLARE n INT DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN total / n;
  LOOP
    FETCH GROUP NEXT ROW;
    SET total = total + x, n = n + 1;
  END LOOP;
END;;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES';;
CREATE FUNCTION "fn ansi" () RETURNS TEXT DETERMINISTIC
BEGIN
  DECLARE "quoted var" TEXT DEFAULT 'back\slash';
  RETURN "quoted var" || '\';
END;;
SET sql_mode = 'ORACLE';;
CREATE PROCEDURE ora_proc (p1 IN OUT VARCHAR2, p2 NUMBER) AS
  v INT := 1;
BEGIN
  FOR i IN 1..10 LOOP
    v := v + i;
  END LOOP;
  p1 := 'done' || v;
EXCEPTION WHEN OTHERS THEN
  NULL;
END;;
CREATE PACKAGE pkg COMMENT 'a package' AS
  FUNCTION f1 (a INT) RETURN INT;
  PROCEDURE p1;
END;;
CREATE PACKAGE BODY pkg AS
  g_private INT := 10;
  FUNCTION f1 (a INT) RETURN INT AS
  BEGIN
    RETURN a * g_private;
  END;
  PROCEDURE p1 AS
  BEGIN
    g_private := g_private + 1;
  END;
BEGIN
  g_private := 20;
END;;
SET sql_mode = 'NO_ENGINE_SUBSTITUTION';;

-- ---------------------------------------------------------------- triggers
CREATE TABLE trg_log (id INT AUTO_INCREMENT PRIMARY KEY, msg TEXT);;
CREATE TABLE `trg table` (id INT PRIMARY KEY, v VARCHAR(100), n INT DEFAULT 0);;
CREATE TRIGGER trg_bi1 BEFORE INSERT ON `trg table` FOR EACH ROW SET NEW.n = 1;;
CREATE TRIGGER trg_bi2 BEFORE INSERT ON `trg table` FOR EACH ROW FOLLOWS trg_bi1 SET NEW.n = NEW.n * 10;;
CREATE TRIGGER trg_bi0 BEFORE INSERT ON `trg table` FOR EACH ROW PRECEDES trg_bi1 SET NEW.n = 100;;
CREATE TRIGGER trg_bu BEFORE UPDATE ON `trg table` FOR EACH ROW BEGIN IF NEW.v = '' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no empty v'; END IF; END;;
CREATE TRIGGER trg_au AFTER UPDATE ON `trg table` FOR EACH ROW INSERT INTO trg_log (msg) VALUES (concat(OLD.v, '->', NEW.v));;
CREATE TRIGGER trg_bd BEFORE DELETE ON `trg table` FOR EACH ROW SET @deleted = OLD.id;;
CREATE TRIGGER trg_ad AFTER DELETE ON `trg table` FOR EACH ROW INSERT INTO trg_log (msg) VALUES ('deleted');;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';;
CREATE TRIGGER "trg ansi" AFTER DELETE ON "trg table" FOR EACH ROW INSERT INTO trg_log (msg) VALUES ('a' || OLD.v);;
SET sql_mode = 'NO_ENGINE_SUBSTITUTION';;
INSERT INTO `trg table` (id, v) VALUES (1, 'one'), (2, 'two'), (3, 'three');;
UPDATE `trg table` SET v = 'TWO' WHERE id = 2;;
DELETE FROM `trg table` WHERE id = 3;;
CREATE DEFINER=`gone`@`nowhere` TRIGGER `trg 'odd' ``name` AFTER INSERT ON `trg table` FOR EACH ROW
BEGIN
  -- Dump completed on 2001-01-01  0:00:00
  INSERT INTO trg_log (msg) VALUES (concat('insert; ', NEW.v, ' -- "quoted" ''it''s'' 🐘'));
END;;

-- ---------------------------------------------------------------- events
CREATE EVENT ev_disabled ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ENDS '2036-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE
  COMMENT 'it''s disabled' DO DELETE FROM trg_log WHERE msg = 'never; -- Dump completed';;
CREATE EVENT ev_enabled ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2035-05-05 05:05:05' ON COMPLETION NOT PRESERVE ENABLE
  DO BEGIN
    -- Dump completed on 2001-01-01  0:00:00
    INSERT INTO trg_log (msg) VALUES ('tick 🐘');
  END;;
CREATE DEFINER=`gone`@`nowhere` EVENT `ev 'odd' ``name` ON SCHEDULE AT '2037-12-31 23:59:59' ON COMPLETION PRESERVE DISABLE ON SLAVE DO SET @x = 1;;
SET time_zone = '+05:30';;
CREATE EVENT ev_time_zone ON SCHEDULE EVERY 3 WEEK STARTS '2031-01-01 12:00:00' DO SELECT 1;;
SET time_zone = '+00:00';;
DELIMITER ;

-- ---------------------------------------------------------------- views
CREATE VIEW z_view_base AS SELECT id, first_name, full_name, amount FROM columns_special;
CREATE VIEW m_view_on_view AS SELECT id, upper(full_name) AS `upper name`, fn_simple(id, 'v') AS f FROM z_view_base WHERE amount > 1;
CREATE VIEW a_view_on_view_on_view AS SELECT v.`upper name` AS `a``b`, 'it''s; -- Dump completed' AS txt, '🐘' AS `ünï` FROM m_view_on_view v;
CREATE ALGORITHM=MERGE DEFINER='sample_owner'@'localhost' SQL SECURITY INVOKER VIEW view_checked AS
  SELECT id, amount, first_name FROM columns_special WHERE amount >= 0 WITH CASCADED CHECK OPTION;
CREATE ALGORITHM=TEMPTABLE DEFINER=`gone`@`nowhere` SQL SECURITY DEFINER VIEW `view 'odd' ``name` AS SELECT count(*) AS n FROM fk_person;
CREATE VIEW `view_local check` AS SELECT * FROM view_checked WHERE id < 100 WITH LOCAL CHECK OPTION;
CREATE VIEW view_cte AS WITH RECURSIVE r AS (SELECT id, boss_id, 1 AS lvl FROM fk_person WHERE id = 1 UNION ALL SELECT p.id, p.boss_id, r.lvl + 1 FROM fk_person p JOIN r ON p.boss_id = r.id WHERE r.lvl < 5) SELECT * FROM r;
CREATE VIEW view_window AS SELECT id, row_number() OVER (PARTITION BY department_id ORDER BY id) AS rn, sum(id) OVER w AS s FROM fk_person WINDOW w AS (ORDER BY id);
CREATE VIEW view_history AS SELECT id, v FROM versioned FOR SYSTEM_TIME ALL;
CREATE VIEW view_sequence AS SELECT next_not_cached_value FROM seq_plain;
CREATE VIEW `--view` AS SELECT 1 AS `--one`;

-- ---------------------------------------------------------------- definitions written by clients of other character sets
SET NAMES latin1;
CREATE TABLE written_by_trigger (v VARCHAR(10), `é` INT COMMENT 'é');
CREATE VIEW view_latin1 AS SELECT 'é' AS `é`, id FROM fk_person WHERE 'ß' <> 'x';
CREATE PROCEDURE proc_latin1 (a VARCHAR(10)) SELECT 'é', a;
CREATE TRIGGER trg_latin1 BEFORE INSERT ON written_by_trigger FOR EACH ROW SET NEW.v = 'é';
CREATE EVENT ev_latin1 ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DISABLE DO SELECT 'é';
SET NAMES cp1251 COLLATE cp1251_bin;
CREATE VIEW view_cp1251 AS SELECT 'Привет' AS x;
CREATE FUNCTION fn_cp1251 () RETURNS VARCHAR(50) DETERMINISTIC RETURN 'Привет';
SET NAMES utf8mb4;

-- ---------------------------------------------------------------- grants on the database and its objects
GRANT SELECT, INSERT, CREATE TEMPORARY TABLES, EXECUTE ON * TO 'sample_owner'@'localhost' WITH GRANT OPTION;
GRANT SELECT, DELETE HISTORY ON versioned TO sample_role;
GRANT SELECT ON `100%_wild` TO 'sample_reader'@'%';
GRANT SELECT (id, first_name), UPDATE (`a b`, `it's`) ON columns_special TO 'sample_reader'@'%';
GRANT SELECT, SHOW VIEW ON view_checked TO 'sample o''dd`name'@'10.%';
GRANT EXECUTE ON FUNCTION fn_simple TO `sample role two`;
GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE `proc with 'odd' ``name` TO 'sample_reader'@'%' WITH GRANT OPTION;
GRANT SELECT, INSERT ON seq_plain TO 'sample_reader'@'%';
SET sql_mode = 'ORACLE';
GRANT EXECUTE ON PACKAGE pkg TO sample_role;
GRANT EXECUTE ON PACKAGE BODY pkg TO sample_role;
SET sql_mode = 'NO_ENGINE_SUBSTITUTION';
