"""Which of PostgreSQL's catalogues describe a database, and how to read each."""

from __future__ import annotations

from dataclasses import dataclass, field

OWN_SCHEMAS = "SELECT oid FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


def identity(catalogue: str, expression: str, sub: str = "0") -> str:
    """An SQL expression for the name of an object, in place of the number that a restore changes."""
    of = f"'pg_catalog.{catalogue}'::pg_catalog.regclass"
    return f"(SELECT identity FROM pg_catalog.pg_identify_object({of}, {expression}, {sub}))"


def described(catalogue: str, expression: str, sub: str = "0") -> str:
    """An SQL expression for kind and name of an object; the catalogue is an expression too."""
    return f"(SELECT type || ' ' || identity FROM pg_catalog.pg_identify_object({catalogue}, {expression}, {sub}))"


def privileges(column: str, default: tuple[str, str] | None) -> str:
    """An SQL expression for an ACL as a sorted list; one that merely spells the default out equals none at all."""
    acl = f"coalesce({column}, pg_catalog.acldefault({default[0]}, {default[1]}))" if default else column
    return (
        "(SELECT array_agg(p ORDER BY p COLLATE pg_catalog.\"C\") FROM (SELECT format('%s: %s%s by %s', "
        "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, "
        "CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END, grantor::regrole) AS p "
        f"FROM pg_catalog.aclexplode({acl})) AS a)"
    )


@dataclass(frozen=True)
class Catalogue:
    """How to read one system catalogue.

    Attributes:
        key: An SQL expression for what names a row; by default kind and name of the object.
        where: Which rows belong to the database rather than to the server's own equipment.
        skip: Columns that differ by nature, or that an extra value shows better.
        extra: Further values by name, each an SQL expression.
        default_acl: The kind of object for acldefault() as an SQL expression, and the column with the owner.
    """

    key: str = ""
    where: str = "c.oid >= 16384"
    skip: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    default_acl: tuple[str, str] | None = None


CATALOGUES = {
    "pg_namespace": Catalogue(where="c.nspname !~ '^pg_(toast|temp)'", default_acl=("'n'", "c.nspowner")),
    "pg_extension": Catalogue(where="true"),
    "pg_class": Catalogue(
        where=f"c.relnamespace IN ({OWN_SCHEMAS})",
        # Files, statistics, and flags that may be set although there is nothing (any more).
        skip=(
            *("relfilenode", "relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid"),
            *("relhasindex", "relhasrules", "relhastriggers", "relhassubclass", "relnatts", "relrewrite"),
            *("reltoastrelid", "relpartbound"),
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
        key=identity("pg_class", "c.indexrelid"),
        where=f"(SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = c.indexrelid) IN ({OWN_SCHEMAS})",
        skip=("indkey", "indexprs", "indpred", "indcheckxmin"),
        extra={"definition": "pg_catalog.pg_get_indexdef(c.indexrelid)"},
    ),
    "pg_inherits": Catalogue(
        key=identity("pg_class", "c.inhrelid") + " || ' of ' || " + identity("pg_class", "c.inhparent"), where="true"
    ),
    "pg_partitioned_table": Catalogue(
        key=identity("pg_class", "c.partrelid"), where="true", skip=("partattrs", "partexprs")
    ),
    "pg_constraint": Catalogue(
        # A partition's key says connoinherit or not, depending on how it was made; it means nothing there.
        skip=("conbin", "conkey", "confkey", "confdelsetcols", "connoinherit"),
        extra={
            "definition": "pg_catalog.pg_get_constraintdef(c.oid)",
            "no inherit": "c.contype NOT IN ('p', 'u', 'x', 'f') AND c.connoinherit",
        },
    ),
    "pg_trigger": Catalogue(
        where="NOT c.tgisinternal",
        skip=("tgqual", "tgattr"),
        extra={"definition": "pg_catalog.pg_get_triggerdef(c.oid)"},
    ),
    "pg_rewrite": Catalogue(skip=("ev_qual", "ev_action"), extra={"definition": "pg_catalog.pg_get_ruledef(c.oid)"}),
    "pg_policy": Catalogue(
        skip=("polroles", "polqual", "polwithcheck"),
        extra={
            "roles": "(SELECT array_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END"
            " ORDER BY r::regrole::text) FROM unnest(c.polroles) AS r)",
            "using": "pg_catalog.pg_get_expr(c.polqual, c.polrelid)",
            "check": "pg_catalog.pg_get_expr(c.polwithcheck, c.polrelid)",
        },
    ),
    "pg_statistic_ext": Catalogue(
        skip=("stxkeys", "stxexprs"), extra={"definition": "pg_catalog.pg_get_statisticsobjdef(c.oid)"}
    ),
    "pg_sequence": Catalogue(key=identity("pg_class", "c.seqrelid"), where="true"),
    "pg_type": Catalogue(
        where=f"c.typnamespace IN ({OWN_SCHEMAS})",
        skip=("typdefaultbin", "typndims"),
        extra={
            "labels": "(SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_catalog.pg_enum"
            " WHERE enumtypid = c.oid)"
        },
        default_acl=("'T'", "c.typowner"),
    ),
    "pg_range": Catalogue(key=identity("pg_type", "c.rngtypid"), where="c.rngtypid >= 16384"),
    "pg_proc": Catalogue(
        where=f"c.pronamespace IN ({OWN_SCHEMAS})",
        skip=("prosqlbody", "proargdefaults"),
        extra={"definition": "CASE WHEN c.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(c.oid) END"},
        default_acl=("'f'", "c.proowner"),
    ),
    "pg_aggregate": Catalogue(key=identity("pg_proc", "c.aggfnoid::oid"), where="c.aggfnoid::oid >= 16384"),
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
        key=identity("pg_ts_config", "c.mapcfg") + " || format(' %s %s', c.maptokentype, c.mapseqno)",
        where="c.mapcfg >= 16384",
    ),
    "pg_ts_dict": Catalogue(),
    "pg_ts_parser": Catalogue(),
    "pg_ts_template": Catalogue(),
    "pg_event_trigger": Catalogue(),
    "pg_foreign_data_wrapper": Catalogue(default_acl=("'F'", "c.fdwowner")),
    "pg_foreign_server": Catalogue(default_acl=("'S'", "c.srvowner")),
    "pg_foreign_table": Catalogue(key=identity("pg_class", "c.ftrelid"), where="true"),
    "pg_user_mapping": Catalogue(),
    "pg_publication": Catalogue(),
    "pg_publication_rel": Catalogue(
        skip=("prqual", "prattrs"),
        extra={
            "rows": "pg_catalog.pg_get_expr(c.prqual, c.prrelid)",
            "columns": "(SELECT array_agg(attname ORDER BY attname) FROM pg_catalog.pg_attribute"
            " WHERE attrelid = c.prrelid AND attnum = ANY (c.prattrs))",
        },
    ),
    "pg_publication_namespace": Catalogue(),
    "pg_subscription": Catalogue(
        where="c.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())",
        skip=("subdbid",),
    ),
    "pg_default_acl": Catalogue(),
    "pg_largeobject_metadata": Catalogue(
        key="c.oid::text",
        where="true",
        extra={"content": "md5(pg_catalog.lo_get(c.oid))"},
        default_acl=("'L'", "c.lomowner"),
    ),
}

_OF_USER = """(d.objoid >= 16384
    OR d.classoid IN ('pg_catalog.pg_extension'::regclass, 'pg_catalog.pg_largeobject'::regclass)
    OR (d.classoid = 'pg_catalog.pg_namespace'::regclass AND d.objoid = to_regnamespace('public')))"""

# What no catalogue shows row by row. Each statement gives a key and a JSON value.
SPECIAL = {
    "database": f"""
        SELECT 'database',
            (to_jsonb(c) - '{{oid,datname,datdba,dattablespace,datfrozenxid,datminmxid,datacl}}'::text[])
            || jsonb_build_object(
                'owner', c.datdba::regrole::text,
                'privileges', {privileges("c.datacl", ("'d'", "c.datdba"))},
                'tablespace', (SELECT spcname FROM pg_catalog.pg_tablespace WHERE oid = c.dattablespace),
                'comment', pg_catalog.shobj_description(c.oid, 'pg_database'))
        FROM pg_catalog.pg_database c WHERE datname = current_database()""",
    "settings": """
        SELECT CASE setrole WHEN 0 THEN 'every role' ELSE setrole::regrole::text END, to_jsonb(setconfig)
        FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
        WHERE datname = current_database()""",
    # Late minor releases keep a position in the log among a column's options (pg_attver), new with each table.
    # The declared number of an array's dimensions means nothing to the server, and pg_dump drops it.
    "columns": f"""
        SELECT {identity("pg_class", "c.attrelid")} || '.' || quote_ident(c.attname),
            (to_jsonb(c) - ('{{attrelid,atttypid,attnum,attcacheoff,attndims,atthasmissing,attmissingval,'
                || 'attcollation,attacl}}')::text[])
            || jsonb_build_object(
                'position', row_number() OVER (PARTITION BY c.attrelid ORDER BY c.attnum),
                'attoptions', (SELECT array_agg(o ORDER BY o) FROM unnest(c.attoptions) AS o
                    WHERE o NOT LIKE 'pg_attver=%'),
                'type', pg_catalog.format_type(c.atttypid, c.atttypmod),
                'collation', {identity("pg_collation", "c.attcollation")},
                'default', (SELECT pg_catalog.pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef
                    WHERE adrelid = c.attrelid AND adnum = c.attnum),
                'privileges', {privileges("c.attacl", None)})
        FROM pg_catalog.pg_attribute c JOIN pg_catalog.pg_class r ON r.oid = c.attrelid
        WHERE c.attnum > 0 AND NOT c.attisdropped AND r.relnamespace IN ({OWN_SCHEMAS})""",
    "comments": f"""
        SELECT {described("d.classoid", "d.objoid", "d.objsubid")}, to_jsonb(d.description)
        FROM pg_catalog.pg_description d WHERE {_OF_USER}""",
    "security labels": f"""
        SELECT {described("d.classoid", "d.objoid", "d.objsubid")} || ' ' || d.provider, to_jsonb(d.label)
        FROM pg_catalog.pg_seclabel d WHERE {_OF_USER}""",
    "members of extensions": f"""
        SELECT {described("d.refclassid", "d.refobjid")} || ' and '
            || {described("d.classid", "d.objid", "d.objsubid")}, to_jsonb(d.deptype)
        FROM pg_catalog.pg_depend d WHERE d.deptype IN ('e', 'x') AND d.objid >= 16384""",
    "owners of sequences": f"""
        SELECT {identity("pg_class", "d.objid")}, to_jsonb({identity("pg_class", "d.refobjid", "d.refobjsubid")})
        FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.deptype IN ('a', 'i')""",
    # The triggers that enforce foreign keys carry a number in their names; a DBA can disable them all the same.
    "disabled foreign keys": f"""
        SELECT {identity("pg_constraint", "t.tgconstraint")} || ' ' || t.tgfoid::regproc, to_jsonb(t.tgenabled)
        FROM pg_catalog.pg_trigger t WHERE t.tgisinternal AND t.tgenabled <> 'O'""",
    "privileges on the server's own objects": f"""
        SELECT * FROM (
            SELECT {identity("pg_proc", "c.oid")}, to_jsonb({privileges("c.proacl", None)})
            FROM pg_catalog.pg_proc c WHERE c.proacl IS NOT NULL AND c.oid < 16384
            UNION ALL
            SELECT {identity("pg_class", "c.oid")}, to_jsonb({privileges("c.relacl", None)})
            FROM pg_catalog.pg_class c WHERE c.relacl IS NOT NULL AND c.oid < 16384) AS a""",
}
