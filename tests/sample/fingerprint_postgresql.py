"""What a PostgreSQL database holds, read from its catalogues through psql alone.

Every catalogue is read whole: each row becomes a mapping of its columns in which object identifiers (which a restore
changes) are replaced by the identity of what they point to. Thus a column that a new release adds is compared too.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from postgresql_catalogues import CATALOGUES, OWN_SCHEMAS, SPECIAL, Catalogue, described, identity, privileges

_SESSION = """
SET client_min_messages = error;
SET client_encoding = 'UTF8';
SET search_path = '';
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SET bytea_output = 'hex';
SET extra_float_digits = 1;
SET statement_timeout = 0;
SET lock_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
"""
_MARK = "== fingerprint mark =="


def quote(identifier: str) -> str:
    """Quote an identifier for the server."""
    return '"' + identifier.replace('"', '""') + '"'


class Server:
    """Asks the server through psql on the local socket.

    Args:
        client: The client to run with its options, for instance ``["psql"]``.
        database: The database to connect to.
    """

    def __init__(self, client: list[str], database: str) -> None:
        self.client = client
        # As an option, a name with "=" in it would be taken for a connection string.
        self.environment = {**os.environ, "PGDATABASE": database, "PGCLIENTENCODING": "UTF8"}

    def ask(self, statements: list[str]) -> list[list[Any]]:
        """Run statements of one JSON column each in one snapshot, and return the values of each.

        Raises:
            RuntimeError: The client failed; the message is the client's own.
        """
        script = _SESSION + "".join(f"\\echo '{_MARK}'\n{statement};\n" for statement in statements)
        done = subprocess.run(
            [*self.client, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input=script.encode(),
            capture_output=True,
            check=False,
            env=self.environment,
            cwd="/",
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode("utf-8", "replace").strip())
        answers: list[list[Any]] = []
        for line in done.stdout.decode().split("\n"):
            if line == _MARK:
                answers.append([])
            elif line:
                answers[-1].append(json.loads(line))
        return answers


def _catalogue_columns(server: Server) -> dict[str, dict[str, dict[str, Any]]]:
    """By catalogue and column: the type, and the catalogue that the column points to."""
    rows = server.ask(["""
        SELECT jsonb_build_object('table', c.relname, 'column', a.attname, 'type', a.atttypid::regtype::text,
            'array', k.is_array, 'points_to', (SELECT relname FROM pg_catalog.pg_class WHERE oid = k.pktable))
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_catalog.pg_get_catalog_foreign_keys() k
            ON k.fktable = c.oid AND k.fkcols = ARRAY[a.attname::text] AND k.pkcols = '{oid}'
        WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' ORDER BY a.attnum"""])[0]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["table"], {})[row["column"]] = row
    return found


def _value(column: str, facts: dict[str, Any], how: Catalogue) -> str:
    """The expression that shows one column of a catalogue without the numbers that a restore changes."""
    own = f"c.{column}"
    if facts["type"] == "aclitem[]":
        return privileges(own, how.default_acl)
    if facts["type"] == "text[]" and column.endswith("options"):
        # Their order says nothing, and pg_dump sorts some of them.
        return f"(SELECT array_agg(o ORDER BY o) FROM unnest({own}) AS o)"
    if facts["points_to"] and facts["array"]:
        element = identity(facts["points_to"], "o")
        return f"(SELECT array_agg({element} ORDER BY n) FROM unnest({own}) WITH ORDINALITY AS u (o, n))"
    if facts["points_to"]:
        return identity(facts["points_to"], f"{own}::oid")
    return own


def _read(catalogue: str, how: Catalogue, columns: dict[str, dict[str, Any]]) -> str:
    """The statement that reads one catalogue."""
    values = dict(how.extra)
    for column, facts in columns.items():
        if column != "oid" and column not in how.skip:
            values[column] = _value(column, facts, how)
    # Put together one by one, since a function takes no more than a hundred arguments.
    parts = [f"jsonb_build_object('{name}', {expression})" for name, expression in values.items()]
    key = how.key or described(f"'pg_catalog.{catalogue}'::regclass", "c.oid")
    return f"SELECT {key}, {' || '.join(parts)} FROM pg_catalog.{catalogue} c WHERE {how.where}"


def _checksum(source: str, columns: list[str]) -> str:
    """A statement that counts the rows of a table alone and sums their hashes, which no order can change."""
    row = "ROW(" + ", ".join(f"t.{quote(column)}" for column in columns) + ")::text"
    half = "coalesce(sum(('x' || substr(h, {}, 16))::bit(64)::bigint::numeric), 0)"
    return (
        "SELECT jsonb_build_object('rows', count(*), "
        f"'checksum', format('%s:%s', {half.format(1)}, {half.format(17)})) "
        f"FROM (SELECT md5({row}) AS h FROM ONLY {source} AS t) AS hashed"
    )


def _contents(server: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows and checksum of every table and filled materialized view, and the position of every sequence."""
    relations = server.ask([f"""
        SELECT jsonb_build_array(c.relkind, {identity('pg_class', 'c.oid')}, n.nspname, c.relname, (
            SELECT coalesce(jsonb_agg(attname ORDER BY attnum), '[]') FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.oid IN ({OWN_SCHEMAS}) AND (c.relkind IN ('r', 'S') OR c.relkind = 'm' AND c.relispopulated)"""])[0]
    schemas = sorted({schema for _, _, schema, *_ in relations}, key=lambda schema: (schema != "public", schema))
    # Expressions in indexes and checks may call functions that find their tables only by the search path.
    path = ", ".join(quote(schema) for schema in schemas)
    statements = [f"SET search_path = {path}"] if path else []
    for kind, _, schema, relation, columns in relations:
        source = f"{quote(schema)}.{quote(relation)}"
        position = f"SELECT jsonb_build_object('last_value', last_value, 'is_called', is_called) FROM {source}"
        statements.append(position if kind == "S" else _checksum(source, columns))
    contents: dict[str, Any] = {}
    positions: dict[str, Any] = {}
    answers = server.ask(statements)[len(statements) - len(relations) :]
    for (kind, title, *_), values in zip(relations, answers, strict=True):
        (positions if kind == "S" else contents)[title] = values[0]
    return contents, positions


def fingerprint(client: list[str] | None, database: str) -> dict[str, Any]:
    """Describe everything that a database holds.

    Args:
        client: The client to run with its options; by default psql as the operating system's user postgres.
        database: The database to describe.

    Returns:
        Sections, each a mapping by name; made of JSON types only.

    Raises:
        RuntimeError: The client failed, there is no such database, or two objects share a name.
    """
    if client is None:
        client = ["psql"] if os.geteuid() else ["runuser", "-u", "postgres", "--", "psql"]
    server = Server(client, database)
    known = _catalogue_columns(server)
    statements = {name: _read(name, how, known[name]) for name, how in CATALOGUES.items() if name in known}
    statements.update(SPECIAL)
    asked = [f"SELECT jsonb_build_array(k, v) FROM ({statement}) AS s (k, v)" for statement in statements.values()]
    result: dict[str, Any] = {}
    for section, rows in zip(statements, server.ask(asked), strict=True):
        result[section] = dict(rows)
        if len(result[section]) != len(rows):
            raise RuntimeError(f"two rows of {section} have the same name, so one would hide the other")
    result["contents"], result["positions"] = _contents(server)
    return result
