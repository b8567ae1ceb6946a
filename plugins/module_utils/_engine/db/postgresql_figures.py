# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of one PostgreSQL database: digests of its objects and grants, where its sequences stand, sums of its rows.

They are read in a transaction: while a database is dumped, in that whose snapshot the dump shows. What is read there
stays locked against changes until the dump has ended.
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import ServerError
from .connection import literally
from .figures import Figures, digest_objects, spans
from .postgresql_inventory import NOT_SYSTEM, Query, no_extension
from .postgresql_settings import quote_name

_TOGETHER = 100  # sequences that one statement reads

# Texts that the server has made of a parsed expression. It writes brackets and casts anew when it has parsed them once
# more (varchar lists in CHECK constraints are the usual case), so that these two say nothing.
_CAST = re.compile(
    r"::(?:\"(?:[^\"]|\"\")+\"|\w+)(?:\.(?:\"(?:[^\"]|\"\")+\"|\w+))?"
    r"(?: varying| precision)?(?:\(\d+(?:,\s?\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*"
)
_QUOTED = re.compile(r"('(?:[^']|'')*')")
_BRACKETS = re.compile(r"[()\s]+")

_GRANTS_OF = (
    # kind, name, ACL, its default, catalogue, condition
    (
        "CASE o.relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || n.nspname || '.' || o.relname",
        "coalesce(o.relacl, acldefault(CASE o.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", o.relowner))",
        "pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace",
        f"o.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')}",
    ),
    (
        "'column ' || n.nspname || '.' || o.relname || '.' || a.attname",
        "a.attacl",
        "pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace",
        f"a.attacl IS NOT NULL AND NOT a.attisdropped AND {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')}",
    ),
    (
        "'routine ' || n.nspname || '.' || o.proname || '(' || pg_get_function_identity_arguments(o.oid) || ')'",
        "coalesce(o.proacl, acldefault('f', o.proowner))",
        "pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace",
        f"{NOT_SYSTEM} AND {no_extension('pg_proc', 'o.oid')}",
    ),
    (
        "'schema ' || n.nspname",
        "coalesce(n.nspacl, acldefault('n', n.nspowner))",
        "pg_namespace n",
        f"{NOT_SYSTEM} AND {no_extension('pg_namespace', 'n.oid')}",
    ),
    (
        "'database'",
        "coalesce(o.datacl, acldefault('d', o.datdba))",
        "pg_database o",
        "o.datname = current_database()",
    ),
)
_GRANTS = " UNION ALL ".join(
    f"SELECT 'grant', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END || ' on ' || {name},"
    f" g.privilege_type || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
    f" FROM {tables}, LATERAL aclexplode({acl}) g WHERE {condition}"
    for name, acl, tables, condition in _GRANTS_OF
)
_COLUMNS = (
    "(SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,"
    " a.attgenerated, (SELECT l.collname FROM pg_collation l WHERE l.oid = a.attcollation), pg_get_expr(d.adbin,"
    " d.adrelid)) ORDER BY a.attnum) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid"
    " AND d.adnum = a.attnum WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped)"
)
_CONSTRAINTS = (
    "(SELECT jsonb_agg(jsonb_build_array(k.conname, pg_get_constraintdef(k.oid)) ORDER BY k.conname)"
    " FROM pg_constraint k WHERE k.conrelid = o.oid AND k.contype <> 'n')"
)
# What the server writes as it pleases comes second to last, what is kept letter by letter last.
_DEFINITIONS = (
    (
        "SELECT CASE o.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized_view' WHEN 'f' THEN 'foreign_table'"
        " ELSE 'table' END, n.nspname || '.' || o.relname,"
        f" jsonb_build_array({_COLUMNS}, {_CONSTRAINTS}, CASE WHEN o.relkind IN ('v',"
        " 'm') THEN pg_get_viewdef(o.oid) END,"
        " pg_get_partkeydef(o.oid), pg_get_expr(o.relpartbound, o.oid))::text,"
        " jsonb_build_array(pg_get_userbyid(o.relowner), o.relpersistence, o.relrowsecurity,"
        " o.relforcerowsecurity)::text"
        " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p', 'v', 'm', 'f')"
        f" AND {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')}"
    ),
    (
        "SELECT 'routine', n.nspname || '.' || o.proname || '(' || pg_get_function_identity_arguments(o.oid) || ')',"
        " CASE WHEN o.prokind <> 'a' THEN pg_get_functiondef(o.oid) ELSE (SELECT jsonb_build_array(a.aggtransfn::text,"
        " a.aggfinalfn::text, a.agginitval, format_type(a.aggtranstype, NULL))::text FROM pg_aggregate a"
        " WHERE a.aggfnoid = o.oid) END, jsonb_build_array(pg_get_userbyid(o.proowner), o.prosrc)::text"
        " FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace"
        f" WHERE {NOT_SYSTEM} AND {no_extension('pg_proc', 'o.oid')}"
    ),
    (
        "SELECT 'trigger', n.nspname || '.' || c.relname || '.' || o.tgname, pg_get_triggerdef(o.oid),"
        " o.tgenabled::text"
        " FROM pg_trigger o JOIN pg_class c ON c.oid = o.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE NOT o.tgisinternal AND {NOT_SYSTEM} AND {no_extension('pg_class', 'c.oid')}"
    ),
    (
        "SELECT 'index', n.nspname || '.' || o.relname, pg_get_indexdef(o.oid), ''"
        " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace JOIN pg_index i ON i.indexrelid = o.oid"
        f" WHERE {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')} AND (i.indisvalid OR o.relkind = 'I')"
    ),
    (
        "SELECT 'policy', c.relname || '.' || o.polname, concat_ws(' / ', pg_get_expr(o.polqual, o.polrelid),"
        " pg_get_expr(o.polwithcheck, o.polrelid)), jsonb_build_array(o.polcmd, o.polpermissive, (SELECT"
        " array_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r) END ORDER BY r = 0, pg_get_userbyid(r))"
        " FROM unnest(o.polroles) r))::text FROM pg_policy o JOIN pg_class c ON c.oid = o.polrelid"
    ),
    (
        "SELECT 'event_trigger', o.evtname::text, '', jsonb_build_array(o.evtevent,"
        " o.evtfoid::regproc::text, o.evtenabled,"
        f" o.evttags)::text FROM pg_event_trigger o WHERE {no_extension('pg_event_trigger', 'o.oid')}"
    ),
    (
        "SELECT 'type', n.nspname || '.' || o.typname, coalesce((SELECT string_agg(pg_get_constraintdef(k.oid), ' / '"
        " ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = o.oid AND k.contype <> 'n'), ''),"
        " jsonb_build_array("
        "format_type(nullif(o.typbasetype, 0), o.typtypmod), o.typnotnull, (SELECT array_agg(e.enumlabel ORDER BY"
        " e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = o.oid))::text"
        " FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace"
        f" WHERE o.typtype IN ('d', 'e') AND {NOT_SYSTEM} AND {no_extension('pg_type', 'o.oid')}"
    ),
    (
        "SELECT 'sequence', n.nspname || '.' || o.relname, '', jsonb_build_array(format_type(s.seqtypid,"
        " NULL), s.seqstart,"
        " s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)::text FROM pg_sequence s JOIN pg_class o"
        " ON o.oid = s.seqrelid JOIN pg_namespace n ON n.oid = o.relnamespace"
        f" WHERE {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')}"
    ),
)
_SEQUENCES = (
    "SELECT n.nspname, o.relname, s.seqincrement FROM pg_sequence s JOIN pg_class o ON o.oid = s.seqrelid"
    f" JOIN pg_namespace n ON n.oid = o.relnamespace WHERE {NOT_SYSTEM} AND {no_extension('pg_class', 'o.oid')}"
    " AND CASE o.relkind WHEN 'S' THEN has_sequence_privilege(o.oid, 'SELECT') END ORDER BY 1, 2"
)
_TABLES = (
    "SELECT n.nspname, o.relname, (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a WHERE"
    " a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')"
    " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
    f" WHERE o.relkind = 'r' AND NOT (o.relpersistence = 'u' AND pg_is_in_recovery()) AND {NOT_SYSTEM}"
    f" AND {no_extension('pg_class', 'o.oid')} ORDER BY 1, 2"
)
# Values are summed up as text, which these settings shape.
_SHAPE = (
    "SET LOCAL row_security = off",  # else rows that the account may not see would silently be left out
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL lc_monetary = 'C'",
    "SET LOCAL xmloption = 'content'",
)
_HALF = "coalesce(sum(('x' || substr(h, {}, 16))::bit(64)::bigint::numeric), 0)"


def read_figures(query: Query, contents: bool) -> Figures:
    """Return the figures of the database in whose transaction a query runs; its settings change with that.

    Args:
        query: Runs a statement and returns its rows.
        contents: Whether tables are read to sum up their rows.

    Raises:
        ServerError: The server cannot be asked.
    """
    rows: list[tuple[str, str, Any]] = []
    for statement in _DEFINITIONS:
        rows += [
            (str(kind), str(name), [_canonical(str(written)), str(kept)])
            for kind, name, written, kept in query(statement)
        ]
    rows += [(str(kind), str(name), str(privilege)) for kind, name, privilege in query(_GRANTS)]
    positions = read_positions(query)
    figures = Figures(digest_objects(rows), spans(positions, positions))
    if not contents:
        return figures
    sums, left_out = _read_contents(query)
    return Figures(figures.objects, figures.positions, sums, left_out)


def read_positions(query: Query) -> dict[str, int]:
    """Return which number each sequence gives next."""
    found: dict[str, int] = {}
    sequences = [(str(schema), str(name), int(step)) for schema, name, step in query(_SEQUENCES)]
    for first in range(0, len(sequences), _TOGETHER):
        some = sequences[first : first + _TOGETHER]
        asked = " UNION ALL ".join(
            f"SELECT {number}, last_value, is_called FROM {_quoted(schema, name)}"
            for number, (schema, name, _step) in enumerate(some)
        )
        for number, last, called in query(literally(asked)):
            schema, name, step = some[int(number)]
            found[f"{schema}.{name}"] = int(last) + (step if called else 0)
    return found


def _read_contents(query: Query) -> tuple[dict[str, str], dict[str, str]]:
    for statement in _SHAPE:
        query(statement)
    sums, left_out = {}, {}
    for schema, table, columns in query(_TABLES):
        name = f"{schema}.{table}"
        query("SAVEPOINT vya_table")
        try:
            count, checksum = query(_sum_of(str(schema), str(table), columns or []))[0]
            sums[name] = f"{count}:{checksum}"
            query("RELEASE SAVEPOINT vya_table")
        except ServerError as exc:  # it cannot be read, or not in time
            query("ROLLBACK TO SAVEPOINT vya_table")
            left_out[name] = exc.message
    return sums, left_out


def _sum_of(schema: str, table: str, columns: list[str]) -> str:
    row = ", ".join(f"t.{quote_name(column)}" for column in columns)
    return literally(
        f"SELECT count(*), {_HALF.format(1)} || '-' || {_HALF.format(17)}"
        f" FROM (SELECT md5(ROW({row})::text) AS h FROM ONLY {_quoted(schema, table)} AS t) AS hashed"
    )


def _quoted(schema: str, name: str) -> str:
    return f"{quote_name(schema)}.{quote_name(name)}"


def _canonical(text: str) -> str:
    """Return what the server makes of an expression without what it writes anew each time."""
    parts = _QUOTED.split(text)
    return "".join(part if number % 2 else _BRACKETS.sub("", _CAST.sub("", part)) for number, part in enumerate(parts))
