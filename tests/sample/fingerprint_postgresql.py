"""What a PostgreSQL database holds, read from its catalogues through psql alone.

Every catalogue is read whole: each row becomes a mapping of its columns in which object identifiers (which a restore
changes) are replaced by the identity of what they point to. Thus a column that a new release adds is compared too.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import Any

_SESSION = (
    "SET client_min_messages = error; SET search_path = ''; SET timezone = 'UTC'; SET datestyle = 'ISO'; "
    "SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; SET client_encoding = 'UTF8'; "
    "SET statement_timeout = 0; SET lock_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
)
_MARK = "== fingerprint mark =="
_OWN_SCHEMAS = "SELECT oid FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


@dataclass(frozen=True)
class Catalogue:
    """How to read one system catalogue.

    Attributes:
        key: An SQL expression for what names a row; by default the identity of the object.
        where: Which rows belong to the database rather than to the server's own equipment.
        skip: Columns that differ by nature, or that an extra value shows better.
        extra: Further values by name, each an SQL expression.
        default_acl: The object type for acldefault(), as an SQL expression, and the column with the owner.
    """

    key: str = ""
    where: str = "c.oid >= 16384"
    skip: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    default_acl: tuple[str, str] | None = None


def _identity(catalogue: str, expression: str, sub: str = "0") -> str:
    return f"(SELECT identity FROM pg_catalog.pg_identify_object('pg_catalog.{catalogue}'::pg_catalog.regclass, {expression}, {sub}))"


def _acl(column: str, default: tuple[str, str] | None) -> str:
    """Privileges as a sorted list; an ACL that merely spells the default out equals none at all."""
    acl = f"coalesce({column}, pg_catalog.acldefault({default[0]}, {default[1]}))" if default else column
    return (
        "(SELECT array_agg(p ORDER BY p COLLATE pg_catalog.\"C\") FROM (SELECT format('%s: %s%s by %s', "
        "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, "
        "CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END, grantor::regrole) AS p "
        "FROM pg_catalog.aclexplode(" + acl + ")) AS a)"
    )


# What the key of a row is if it has no identity of its own, and what is special about each catalogue.
CATALOGUES = {
    "pg_namespace": Catalogue(where="c.nspname !~ '^pg_(toast|temp)'", default_acl=("'n'", "c.nspowner")),
    "pg_extension": Catalogue(where="true"),
    "pg_class": Catalogue(
        where=f"c.relnamespace IN ({_OWN_SCHEMAS})",
        skip=(
            "relfilenode", "relpages", "reltuples", "relallvisible", "relallfrozen", "reltoastrelid", "relhasindex",
            "relhasrules", "relhastriggers", "relhassubclass", "relnatts", "relrewrite", "relfrozenxid", "relminmxid",
            "relpartbound",
        ),
        extra={
            "view": "CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END",
            "bound": "pg_catalog.pg_get_expr(c.relpartbound, c.oid)",
            "partition key": "CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END",
            "toast options": "(SELECT reloptions FROM pg_catalog.pg_class t WHERE t.oid = c.reltoastrelid)",
        },
        default_acl=("CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"", "c.relowner"),
    ),
    "pg_index": Catalogue(
        key=_identity("pg_class", "c.indexrelid"),
        where=f"(SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = c.indexrelid) IN ({_OWN_SCHEMAS})",
        skip=("indkey", "indexprs", "indpred", "indcheckxmin"),
        extra={"definition": "pg_catalog.pg_get_indexdef(c.indexrelid)"},
    ),
    "pg_inherits": Catalogue(
        key=_identity("pg_class", "c.inhrelid") + " || ' of ' || " + _identity("pg_class", "c.inhparent"), where="true"
    ),
    "pg_partitioned_table": Catalogue(key=_identity("pg_class", "c.partrelid"), where="true", skip=("partattrs", "partexprs")),
    "pg_constraint": Catalogue(
        # A partition's key says connoinherit or not, depending on how it was made; it means nothing there.
        skip=("conbin", "conkey", "confkey", "confdelsetcols", "connoinherit"),
        extra={
            "definition": "pg_catalog.pg_get_constraintdef(c.oid)",
            "no inherit": "c.contype NOT IN ('p', 'u', 'x', 'f') AND c.connoinherit",
        },
    ),
    # The triggers that enforce foreign keys carry a number in their names; a DBA can disable them all the same.
    "pg_trigger": Catalogue(
        where="NOT c.tgisinternal", skip=("tgqual", "tgattr"), extra={"definition": "pg_catalog.pg_get_triggerdef(c.oid)"}
    ),
    "pg_rewrite": Catalogue(skip=("ev_qual", "ev_action"), extra={"definition": "pg_catalog.pg_get_ruledef(c.oid)"}),
    "pg_policy": Catalogue(
        skip=("polroles", "polqual", "polwithcheck"),
        extra={
            "roles": "(SELECT array_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END ORDER BY r) FROM unnest(c.polroles) AS r)",
            "using": "pg_catalog.pg_get_expr(c.polqual, c.polrelid)",
            "check": "pg_catalog.pg_get_expr(c.polwithcheck, c.polrelid)",
        },
    ),
    "pg_statistic_ext": Catalogue(
        skip=("stxkeys", "stxexprs"), extra={"definition": "pg_catalog.pg_get_statisticsobjdef(c.oid)"}
    ),
    "pg_sequence": Catalogue(key=_identity("pg_class", "c.seqrelid"), where="true"),
    "pg_type": Catalogue(
        where=f"c.typnamespace IN ({_OWN_SCHEMAS})",
        skip=("typdefaultbin", "typndims"),
        extra={"labels": "(SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_catalog.pg_enum WHERE enumtypid = c.oid)"},
        default_acl=("'T'", "c.typowner"),
    ),
    "pg_range": Catalogue(key=_identity("pg_type", "c.rngtypid"), where="c.rngtypid >= 16384"),
    "pg_proc": Catalogue(
        where=f"c.pronamespace IN ({_OWN_SCHEMAS})",
        skip=("prosqlbody", "proargdefaults"),
        extra={"definition": "CASE WHEN c.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(c.oid) END"},
        default_acl=("'f'", "c.proowner"),
    ),
    "pg_aggregate": Catalogue(key=_identity("pg_proc", "c.aggfnoid::oid"), where="c.aggfnoid::oid >= 16384"),
    "pg_operator": Catalogue(),
    "pg_opclass": Catalogue(),
    "pg_opfamily": Catalogue(),
    "pg_amop": Catalogue(),
    "pg_amproc": Catalogue(),
    "pg_am": Catalogue(),
    "pg_cast": Catalogue(),
    "pg_transform": Catalogue(),
    "pg_language": Catalogue(where="true", default_acl=("'l'", "c.lanowner")),
    "pg_conversion": Catalogue(),
    "pg_collation": Catalogue(),
    "pg_ts_config": Catalogue(),
    "pg_ts_config_map": Catalogue(
        key=_identity("pg_ts_config", "c.mapcfg") + " || format(' %s %s', c.maptokentype, c.mapseqno)",
        where="c.mapcfg >= 16384",
    ),
    "pg_ts_dict": Catalogue(),
    "pg_ts_parser": Catalogue(),
    "pg_ts_template": Catalogue(),
    "pg_event_trigger": Catalogue(),
    "pg_foreign_data_wrapper": Catalogue(default_acl=("'F'", "c.fdwowner")),
    "pg_foreign_server": Catalogue(default_acl=("'S'", "c.srvowner")),
    "pg_foreign_table": Catalogue(key=_identity("pg_class", "c.ftrelid"), where="true"),
    "pg_user_mapping": Catalogue(),
    "pg_publication": Catalogue(),
    "pg_publication_rel": Catalogue(
        skip=("prqual", "prattrs"),
        extra={
            "rows": "pg_catalog.pg_get_expr(c.prqual, c.prrelid)",
            "columns": "(SELECT array_agg(attname ORDER BY attname) FROM pg_catalog.pg_attribute WHERE attrelid = c.prrelid AND attnum = ANY (c.prattrs))",
        },
    ),
    "pg_publication_namespace": Catalogue(),
    "pg_subscription": Catalogue(
        where="c.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())", skip=("subdbid",)
    ),
    "pg_default_acl": Catalogue(),
    "pg_largeobject_metadata": Catalogue(
        key="c.oid::text", where="true", extra={"content": "md5(pg_catalog.lo_get(c.oid))"}, default_acl=("'L'", "c.lomowner")
    ),
}

_OF_USER = (
    "(d.objoid >= 16384 OR d.classoid = 'pg_catalog.pg_extension'::regclass"
    " OR d.classoid = 'pg_catalog.pg_largeobject'::regclass"
    " OR (d.classoid = 'pg_catalog.pg_namespace'::regclass AND d.objoid = to_regnamespace('public')))"
)
_OBJECT = "(SELECT type || ' ' || identity FROM pg_catalog.pg_identify_object({}, {}, {}))"

# What the catalogues above do not show row by row. Each statement gives a key and a JSON value.
SPECIAL = {
    "database": f"""SELECT 'database', (to_jsonb(c) - '{{oid,datname,datdba,dattablespace,datfrozenxid,datminmxid,datacl}}'::text[])
        || jsonb_build_object('owner', c.datdba::regrole::text, 'privileges', {_acl("c.datacl", ("'d'", "c.datdba"))},
           'tablespace', (SELECT spcname FROM pg_catalog.pg_tablespace WHERE oid = c.dattablespace),
           'comment', pg_catalog.shobj_description(c.oid, 'pg_database'))
        FROM pg_catalog.pg_database c WHERE datname = current_database()""",
    "settings": """SELECT CASE setrole WHEN 0 THEN 'every role' ELSE setrole::regrole::text END, to_jsonb(setconfig)
        FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase WHERE datname = current_database()""",
    "columns": f"""SELECT {_identity("pg_class", "c.attrelid")} || '.' || quote_ident(c.attname),
        (to_jsonb(c) - '{{attrelid,atttypid,attnum,attcacheoff,attndims,atthasmissing,attmissingval,attcollation,attacl}}'::text[])
        || jsonb_build_object('attoptions', (SELECT jsonb_agg(o ORDER BY o) FROM unnest(c.attoptions) o
           WHERE o NOT LIKE 'pg_attver=%'), -- which some releases keep there for themselves, new with each table
           'position', row_number() OVER (PARTITION BY c.attrelid ORDER BY c.attnum),
           'type', pg_catalog.format_type(c.atttypid, c.atttypmod),
           'collation', {_identity("pg_collation", "c.attcollation")},
           'default', (SELECT pg_catalog.pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef WHERE adrelid = c.attrelid AND adnum = c.attnum),
           'privileges', {_acl("c.attacl", None)})
        FROM pg_catalog.pg_attribute c JOIN pg_catalog.pg_class r ON r.oid = c.attrelid
        WHERE c.attnum > 0 AND NOT c.attisdropped AND r.relnamespace IN ({_OWN_SCHEMAS})""",
    "comments": f"""SELECT {_OBJECT.format("d.classoid", "d.objoid", "d.objsubid")}, to_jsonb(d.description)
        FROM pg_catalog.pg_description d WHERE {_OF_USER}""",
    "security labels": f"""SELECT {_OBJECT.format("d.classoid", "d.objoid", "d.objsubid")} || ' ' || d.provider, to_jsonb(d.label)
        FROM pg_catalog.pg_seclabel d WHERE {_OF_USER}""",
    "members of extensions": f"""SELECT {_OBJECT.format("d.refclassid", "d.refobjid", "0")} || ' and ' || {_OBJECT.format("d.classid", "d.objid", "d.objsubid")},
        to_jsonb(d.deptype) FROM pg_catalog.pg_depend d WHERE d.deptype IN ('e', 'x') AND d.objid >= 16384""",
    "owners of sequences": f"""SELECT {_identity("pg_class", "d.objid")}, to_jsonb({_identity("pg_class", "d.refobjid", "d.refobjsubid")})
        FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.deptype IN ('a', 'i')""",
    "disabled foreign keys": f"""SELECT {_identity("pg_constraint", "t.tgconstraint")} || ' ' || t.tgfoid::regproc, to_jsonb(t.tgenabled)
        FROM pg_catalog.pg_trigger t WHERE t.tgisinternal AND t.tgenabled <> 'O'""",
    "privileges on the server's own objects": f"""SELECT * FROM (
        SELECT {_identity("pg_proc", "c.oid")}, to_jsonb({_acl("c.proacl", None)}) FROM pg_catalog.pg_proc c WHERE c.proacl IS NOT NULL AND c.oid < 16384
        UNION ALL
        SELECT {_identity("pg_class", "c.oid")}, to_jsonb({_acl("c.relacl", None)}) FROM pg_catalog.pg_class c WHERE c.relacl IS NOT NULL AND c.oid < 16384) AS a""",
}


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
        script = _SESSION + "".join(f"\n\\echo '{_MARK}'\n{statement};" for statement in statements)
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

    def one(self, statement: str) -> list[Any]:
        """Run one statement and return its values."""
        return self.ask([statement])[0]


def _catalogue_columns(server: Server) -> dict[str, dict[str, dict[str, Any]]]:
    """By catalogue and column: the type, and the catalogue that the column points to."""
    rows = server.one(
        "SELECT jsonb_build_object('table', c.relname, 'column', a.attname, 'type', a.atttypid::regtype::text, 'array', k.is_array,"
        " 'points_to', (SELECT relname FROM pg_catalog.pg_class WHERE oid = k.pktable))"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " LEFT JOIN pg_catalog.pg_get_catalog_foreign_keys() k ON k.fktable = c.oid AND k.fkcols = ARRAY[a.attname::text] AND k.pkcols = '{oid}'"
        " WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' ORDER BY a.attnum"
    )
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["table"], {})[row["column"]] = row
    return found


def _read(catalogue: str, how: Catalogue, columns: dict[str, dict[str, Any]]) -> str:
    """The statement that reads one catalogue."""
    values = dict(how.extra)
    for column, facts in columns.items():
        if column == "oid" or column in how.skip:
            continue
        own = f"c.{column}"
        if facts["type"] == "aclitem[]":
            own = _acl(own, how.default_acl)
        elif facts["type"] == "text[]" and column.endswith("options"):
            # Their order says nothing, and pg_dump sorts some of them.
            own = f"(SELECT array_agg(o ORDER BY o) FROM unnest({own}) AS o)"
        elif facts["points_to"] and facts["array"]:
            own = f"(SELECT array_agg({_identity(facts['points_to'], 'o')} ORDER BY n) FROM unnest({own}) WITH ORDINALITY AS u (o, n))"
        elif facts["points_to"]:
            own = _identity(facts["points_to"], f"{own}::oid")
        values[column] = own
    # A function takes no more than a hundred arguments.
    parts = [f"jsonb_build_object('{name}', {expression})" for name, expression in values.items()]
    key = how.key or _OBJECT.format(f"'pg_catalog.{catalogue}'::regclass", "c.oid", "0")
    return f"SELECT {key}, {' || '.join(parts)} FROM pg_catalog.{catalogue} c WHERE {how.where}"


def _contents(server: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows and checksum of every table and filled materialized view, and the position of every sequence."""
    relations = server.one(
        f"SELECT jsonb_build_array(c.relkind, {_identity('pg_class', 'c.oid')}, n.nspname, c.relname, (SELECT coalesce(jsonb_agg(attname ORDER BY attnum), '[]')"
        " FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE n.oid IN ({_OWN_SCHEMAS}) AND (c.relkind IN ('r', 'S') OR c.relkind = 'm' AND c.relispopulated)"
    )
    schemas = sorted({schema for _, _, schema, *_ in relations}, key=lambda schema: (schema != "public", schema))
    # Expressions in indexes and checks may call functions that find their tables only by the search path.
    path = ", ".join(quote(schema) for schema in schemas)
    statements = [f"SET search_path = {path}"] if path else []
    for kind, _, schema, relation, columns in relations:
        source = f"{quote(schema)}.{quote(relation)}"
        if kind == "S":
            statements.append(f"SELECT jsonb_build_object('last_value', last_value, 'is_called', is_called) FROM {source}")
            continue
        row = "ROW(" + ", ".join(f"t.{quote(column)}" for column in columns) + ")::text"
        half = "coalesce(sum(('x' || substr(h, {}, 16))::bit(64)::bigint::numeric), 0)"
        statements.append(
            f"SELECT jsonb_build_object('rows', count(*), 'checksum', format('%s:%s', {half.format(1)}, {half.format(17)})) "
            f"FROM (SELECT md5({row}) AS h FROM ONLY {source} AS t) AS hashed"
        )
    contents, positions = {}, {}
    for (kind, identity, *_), values in zip(relations, server.ask(statements)[-len(relations) :]):
        (positions if kind == "S" else contents)[identity] = values[0]
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
    for section, rows in zip(statements, server.ask(asked)):
        result[section] = dict(rows)
        if len(result[section]) != len(rows):
            raise RuntimeError(f"two rows of {section} have the same name, so one would hide the other")
    result["contents"], result["positions"] = _contents(server)
    return result
