# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the statements of ``pg_dump`` are about. Names are as they are written there: with their schema, in quotes."""

from __future__ import annotations

import codecs
import re

_NAME = rb'(?:"[^"]*(?:""[^"]*)*"|[^\s"().,;\']+)'
QUALIFIED = _NAME + rb"\." + _NAME
_WORDS = rb'(?:[^"]|"[^"]*")*?'  # anything, but nothing that ends within a name
_LEADING = re.compile(rb"(?:\s+|--[^\n]*\n)*")

# Each with the relation as its first group.
_RELATION = tuple(
    re.compile(pattern)
    for pattern in (
        rb"CREATE (?:UNLOGGED |FOREIGN )?TABLE (" + QUALIFIED + rb")\s",
        rb"ALTER (?:FOREIGN )?TABLE (?:ONLY )?(" + QUALIFIED + rb")\s",
        rb"COPY (" + QUALIFIED + rb")\s",
        rb"CREATE (?:UNIQUE )?INDEX " + _NAME + rb" ON (?:ONLY )?(" + QUALIFIED + rb")\s",
        rb"(?:CREATE|CREATE UNLOGGED|ALTER) SEQUENCE (" + QUALIFIED + rb")\s",
        rb"CREATE (?:CONSTRAINT )?TRIGGER " + _NAME + rb" (?:(?!ON\s)" + _NAME + rb",?\s+)+ON (" + QUALIFIED + rb")\s",
        rb"CREATE (?:OR REPLACE )?RULE " + _NAME + rb" AS\s+ON \w+ TO (" + QUALIFIED + rb")\s",
        rb"CREATE POLICY " + _NAME + rb" ON (" + QUALIFIED + rb")[\s;]",
        rb"CREATE STATISTICS " + _WORDS + rb" FROM (" + QUALIFIED + rb");\s*\Z",
        rb"(?:GRANT|REVOKE) " + _WORDS + rb" ON (?:TABLE|SEQUENCE) (" + QUALIFIED + rb")\s",
        rb"(?:COMMENT|SECURITY LABEL FOR " + _NAME + rb") ON (?:TABLE|SEQUENCE|COLUMN) (" + QUALIFIED + rb")[\s.]",
        rb"COMMENT ON (?:CONSTRAINT|TRIGGER|POLICY|RULE) " + _NAME + rb" ON (" + QUALIFIED + rb")\s",
    )
)
# What must be about a relation that is known, or the statement was not understood.
_IS_OF_RELATION = re.compile(
    rb"CREATE (?:(?:UNLOGGED )?(?:TABLE|SEQUENCE)|UNIQUE INDEX|INDEX|CONSTRAINT TRIGGER|TRIGGER|POLICY|STATISTICS) "
    rb"|CREATE (?:OR REPLACE )?RULE |ALTER (?:TABLE|SEQUENCE) |COPY "
)
_INDEX = re.compile(
    rb"(?:CREATE (?:UNIQUE )?INDEX (" + _NAME + rb") ON"
    rb"|ALTER TABLE (?:ONLY )?" + QUALIFIED + rb"\s+ADD CONSTRAINT (" + _NAME + rb") (?:PRIMARY KEY|UNIQUE|EXCLUDE) )"
)
_OF_INDEX = re.compile(rb"(?:ALTER|COMMENT ON) (?:INDEX|STATISTICS) (" + QUALIFIED + rb")\s")
_STATISTICS = re.compile(rb"CREATE STATISTICS (" + QUALIFIED + rb")\s")
_TRIGGER = re.compile(rb"CREATE (?:CONSTRAINT )?TRIGGER (" + _NAME + rb") ")
_POLICY = re.compile(rb"CREATE POLICY (" + _NAME + rb") ")
_FOREIGN_KEY = re.compile(
    rb"ALTER TABLE (?:ONLY )?" + QUALIFIED + rb"\s+ADD CONSTRAINT (" + _NAME + rb") FOREIGN KEY"
    rb' \((?:[^"()]|"[^"]*")*\) REFERENCES (' + QUALIFIED + rb")\("
)
_ATTACHES = re.compile(
    rb"ALTER (?:TABLE|INDEX) (?:ONLY )?(" + QUALIFIED + rb") ATTACH PARTITION (" + QUALIFIED + rb")[\s;]"
)
_OWNED = re.compile(rb"ALTER SEQUENCE (" + QUALIFIED + rb") OWNED BY (" + QUALIFIED + rb")\.")
_IDENTITY = re.compile(
    rb"ALTER TABLE " + QUALIFIED + rb" ALTER COLUMN " + _NAME + rb" ADD GENERATED \w+(?: DEFAULT)? AS IDENTITY \("
    rb"\s+SEQUENCE NAME (" + QUALIFIED + rb")\s"
)
_POSITION = re.compile(rb"SELECT pg_catalog\.setval\('((?:[^']|'')*)', ")
_NO_DEFINITION = re.compile(
    rb"COPY |SELECT pg_catalog\.(?:setval\(|lo_|lowrite\()|REFRESH MATERIALIZED VIEW "
    rb"|(?:ALTER|COMMENT ON) LARGE OBJECT |(?:GRANT|REVOKE) " + _WORDS + rb" ON LARGE OBJECT "
)
_SUPPORT_KINDS = (
    rb"(?:SCHEMA|EXTENSION|TYPE|DOMAIN|COLLATION|CONVERSION|FUNCTION|PROCEDURE|AGGREGATE|OPERATOR|CAST|TRANSFORM"
    rb"|LANGUAGE|TEXT SEARCH|ACCESS METHOD) "
)
_SUPPORT = re.compile(
    rb"(?:CREATE|ALTER|COMMENT ON) (?:OR REPLACE |DEFAULT |TRUSTED |PROCEDURAL )*"
    + _SUPPORT_KINDS
    + rb"|COMMENT ON CONSTRAINT "
    + _NAME
    + rb" ON DOMAIN |(?:GRANT|REVOKE) "
    + _WORDS
    + rb" ON "
    + _SUPPORT_KINDS
)
_CREATED = re.compile(rb"CREATE (?:OR REPLACE )?((?:[A-Z]+ )+(?:" + QUALIFIED + rb"|" + _NAME + rb")?)")
_CODECS = {"KOI8R": "koi8_r", "KOI8U": "koi8_u"}
# What a definition meets that needs a table, a view or something of theirs that is not there.
_MISSING = "undefined_table OR undefined_object OR undefined_function OR undefined_column OR wrong_object_type"


def bare(text: bytes) -> bytes:
    """Return a statement without the comments and blanks before it."""
    leading = _LEADING.match(text)
    return text[leading.end() :] if leading else text


def relation(statement: bytes) -> bytes | None:
    """Return the table, view or sequence that a statement is about; None where it is about something else."""
    return next((found.group(1) for found in (each.match(statement) for each in _RELATION) if found), None)


def must_have_relation(statement: bytes) -> bool:
    """Whether a statement is about a table, view or sequence for certain."""
    return _IS_OF_RELATION.match(statement) is not None


def makes_sequence(statement: bytes) -> bool:
    """Whether a statement makes a sequence by itself."""
    return statement.startswith((b"CREATE SEQUENCE ", b"CREATE UNLOGGED SEQUENCE "))


def made_index(statement: bytes) -> bytes | None:
    """Return the name, without its schema, of the index that a statement makes, by itself or with a constraint."""
    found = _INDEX.match(statement)
    return (found.group(1) or found.group(2)) if found else None


def of_index(statement: bytes) -> bytes | None:
    """Return the index, or extended statistics, that a statement changes or comments on."""
    found = _OF_INDEX.match(statement)
    return found.group(1) if found else None


def made_statistics(statement: bytes) -> bytes | None:
    """Return the extended statistics that a statement makes."""
    found = _STATISTICS.match(statement)
    return found.group(1) if found else None


def made_object(statement: bytes, codec: str = "utf-8") -> tuple[str, str] | None:
    """Return kind and name, as in the inventory, of what of tables a statement makes.

    Args:
        statement: The statement.
        codec: Of the dump.
    """
    table = relation(statement) or b""
    schema = schema_of(table)
    index = made_index(statement)
    if index is not None:
        return "index", unquoted(schema + b"." + index, codec)
    for kind, pattern, prefix in (("trigger", _TRIGGER, table), ("policy", _POLICY, table[len(schema) + 1 :])):
        found = pattern.match(statement)
        if found:
            return kind, f"{unquoted(prefix, codec)}.{unquoted(found.group(1), codec)}"
    sequence = table if makes_sequence(statement) else identity_sequence(statement)
    if sequence:
        return "sequence", unquoted(sequence, codec)
    makes_table = statement.startswith((b"CREATE TABLE ", b"CREATE UNLOGGED TABLE "))
    return ("table", unquoted(table, codec)) if makes_table else None


def foreign_key(statement: bytes) -> tuple[bytes, bytes] | None:
    """Return the name of the foreign key that a statement makes, and the table that it points to."""
    found = _FOREIGN_KEY.match(statement)
    return (found.group(1), found.group(2)) if found else None


def attached(statement: bytes) -> tuple[bytes, bytes] | None:
    """Return the table or index, and what becomes a partition of it."""
    found = _ATTACHES.match(statement)
    return (found.group(1), found.group(2)) if found else None


def owned_sequence(statement: bytes) -> tuple[bytes, bytes] | None:
    """Return a sequence and the table that one of whose columns owns it."""
    found = _OWNED.match(statement)
    return (found.group(1), found.group(2)) if found else None


def identity_sequence(statement: bytes) -> bytes | None:
    """Return the sequence that a statement makes for an identity column."""
    found = _IDENTITY.match(statement)
    return found.group(1) if found else None


def positioned(statement: bytes) -> bytes | None:
    """Return the sequence whose position a statement sets."""
    found = _POSITION.match(statement)
    return found.group(1).replace(b"''", b"'") if found else None


def is_definition(statement: bytes) -> bool:
    """Whether a statement is of those that ``pg_dump --schema-only`` writes."""
    return _NO_DEFINITION.match(statement) is None


def supports_tables(statement: bytes) -> bool:
    """Whether a statement makes, or changes, what tables may be made of: schemas, types, functions and more."""
    return _SUPPORT.match(statement) is not None


def tolerated(statement: bytes) -> bytes:
    """Return a statement such that it is passed over with a warning where it needs a relation that is not there."""
    created = _CREATED.match(statement)
    handled = b"NULL;"
    if created:
        what = created.group(1).strip().replace(b"'", b"''")
        handled = b"RAISE WARNING USING MESSAGE = '" + what + b" was left out: ' || SQLERRM;"
    inner = _tag(statement, b"$vya$")
    executed = b"EXECUTE " + inner + statement.strip() + inner + b";"
    outer = _tag(executed + handled, b"$vya_part$")
    caught = b"BEGIN " + executed + b" EXCEPTION WHEN " + _MISSING.encode() + b" THEN " + handled + b" END"
    return b"DO " + outer + caught + outer + b";\n"


def unquoted(written: bytes, codec: str = "utf-8") -> str:
    """Return a written name, or two of them with a dot between, as the inventory has it.

    Args:
        written: As it is written.
        codec: Of the dump.
    """
    parts = re.findall(_NAME, written)
    return ".".join(
        (part[1:-1].replace(b'""', b'"') if part.startswith(b'"') else part).decode(codec, errors="replace")
        for part in parts
    )


def schema_of(written: bytes) -> bytes:
    """Return the schema of a written name, as it is written."""
    found = re.match(_NAME, written)
    return found.group() if found else b""


def codec_of(encoding: str) -> str:
    """Return Python's name for an encoding of PostgreSQL (its manual, section 23.3.1); UTF-8 where it has none."""
    try:
        return codecs.lookup(_CODECS.get(encoding, encoding.replace("WIN", "cp"))).name
    except LookupError:
        return "utf-8"


def named_in_comments(name: str, codec: str) -> str:
    """Return a name as the comments of a dump have it: in one line, in the dump's encoding, and read as Latin-1."""
    return re.sub(r"[\r\n]", " ", name).encode(codec, errors="replace").decode("latin-1")


def _tag(text: bytes, tag: bytes) -> bytes:
    while tag in text:
        tag = tag[:-1] + b"_$"
    return tag
