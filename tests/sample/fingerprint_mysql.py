"""What a MariaDB or MySQL database holds, read through the vendor's command-line client alone."""

from __future__ import annotations

import re
import subprocess
from typing import Any

# Columns of information_schema that say when or where, not what: they differ after every restore.
VOLATILE = {
    "CREATED",
    "LAST_ALTERED",
    "LAST_EXECUTED",
    "ORIGINATOR",
    "CARDINALITY",
    "TABLE_ROWS",
    "CREATE_TIME",
    "UPDATE_TIME",
    "CHECK_TIME",
    "TABLE_CATALOG",
    "AVG_ROW_LENGTH",
    "DATA_LENGTH",
    "MAX_DATA_LENGTH",
    "INDEX_LENGTH",
    "MAX_INDEX_LENGTH",
    "DATA_FREE",
    "CHECKSUM",
    "VERSION",
    "TEMPORARY",
    "AUTO_INCREMENT",
    # Tells options that were written from options that an engine implies; SHOW CREATE TABLE has what counts.
    "CREATE_OPTIONS",
}
PLACEHOLDER = "{database}"
# The client escapes these in batch mode; a backslash in the data comes doubled.
_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_SESSION = (
    "SET NAMES utf8mb4; SET SESSION time_zone = '+00:00', sql_mode = '', sql_quote_show_create = 1;"
    "/*!80018 SET SESSION information_schema_stats_expiry = 0 */;"
    "/*!80030 SET SESSION show_gipk_in_create_table_and_information_schema = ON */;"
)
Row = dict[str, str]


def name(identifier: str) -> str:
    """Quote an identifier for the server."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Quote a string for the server, whatever it contains."""
    return "CONVERT(0x" + text.encode().hex() + " USING utf8mb4)" if text else "''"


def same(expression: str, text: str) -> str:
    """A condition that holds for exactly this text; the first half lets the server look it up by name."""
    # The catalogues compare regardless of case and accents, by which they would mix databases up.
    return f"{expression} = {literal(text)} AND {expression} = {literal(text)} COLLATE utf8mb4_bin"


def _unescape(field: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), field)


class Server:
    """Asks the server through ``mariadb`` or ``mysql`` on the local socket.

    Args:
        client: The client to run with its options, for instance ``["mariadb"]``.
        database: The database that is current for every statement.
    """

    def __init__(self, client: list[str], database: str) -> None:
        self.client = client
        self.database = database

    def ask(self, statements: list[str]) -> list[list[Row]]:
        """Run the statements in one session and return the rows of each.

        Raises:
            RuntimeError: The client failed; the message is the client's own.
        """
        script = [_SESSION, f"USE {name(self.database)};"]
        for statement in statements:
            script += ["SELECT '-' AS `fingerprint mark`;", statement + ";"]
        done = subprocess.run(
            [*self.client, "--batch", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"],
            input="\n".join(script).encode("utf-8", "surrogateescape"),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode("utf-8", "replace").strip())
        text = done.stdout.decode("utf-8", "surrogateescape")
        answers = []
        for block in text.split("fingerprint mark\n-\n")[1:]:
            lines = [[_unescape(field) for field in line.split("\t")] for line in block.split("\n")[:-1]]
            answers.append([dict(zip(lines[0], line, strict=True)) for line in lines[1:]])
        return answers

    def one(self, statement: str) -> list[Row]:
        """Run one statement and return its rows."""
        return self.ask([statement])[0]

    def first_rows(self, statements: list[str]) -> list[Row]:
        """The first row of each statement; a row with the error for one that fails, as on a broken view."""
        try:
            return [rows[0] for rows in self.ask(statements)]
        except RuntimeError as error:
            if len(statements) == 1:
                # The message without its line number, which depends on what was asked before.
                found = re.search(r"ERROR (\d+ .*?)(?: at line \d+)?(: .*)", str(error))
                return [{"error": "".join(found.groups()) if found else str(error)}]
        middle = len(statements) // 2
        return self.first_rows(statements[:middle]) + self.first_rows(statements[middle:])


def neutral(row: Row, database: str) -> Row:
    """Drop what differs by nature, and put a placeholder where the database's own name stands."""
    kept = {}
    for key, value in row.items():
        if key.upper() in VOLATILE:
            continue
        names_it = value == database and (key.upper().endswith("_SCHEMA") or key == "SCHEMA_NAME")
        kept[key] = PLACEHOLDER if names_it else value.replace(name(database) + ".", name(PLACEHOLDER) + ".")
    return kept


def _exact(column: Row) -> str:
    """An expression that gives a column's exact bytes, or NULL."""
    quoted, kind = name(column["COLUMN_NAME"]), column["DATA_TYPE"].lower()
    if kind == "float":
        # As text the server rounds a FLOAT to six digits.
        return f"CAST(CAST({quoted} AS DOUBLE) AS CHAR)"
    if kind in ("enum", "set"):
        # The value that a wrong input leaves behind looks like an empty string and is none.
        return f"CONCAT({quoted} + 0, ':', HEX({quoted}))"
    if kind == "json":
        return f"CONCAT(JSON_TYPE({quoted}), ':', CAST({quoted} AS CHAR CHARACTER SET utf8mb4))"
    if kind == "bit":
        return f"HEX({quoted})"
    return quoted


def _checksum(table: str, columns: list[Row], history: bool) -> str:
    """A statement that counts the rows and sums their hashes, which no order can change."""
    hashes = ", ".join(f"IFNULL(SHA2(CAST({_exact(column)} AS BINARY), 256), '-')" for column in columns)
    source = name(table) + (" FOR SYSTEM_TIME ALL" if history else "")
    part = "SUM(CAST(CONV(SUBSTR(h, {}, 16), 16, 10) AS DECIMAL(20)))"
    return (
        f"SELECT COUNT(*) AS `rows`, CONCAT_WS(':', {part.format(1)}, {part.format(17)}) AS `checksum` "
        f"FROM (SELECT SHA2(CONCAT_WS(',', {hashes}), 256) AS h FROM {source}) AS hashed"
    )


def _contents(server: Server, tables: list[Row], columns: list[Row]) -> dict[str, Any]:
    statements, names = [], []
    for table in tables:
        title = table["TABLE_NAME"]
        own = [column for column in columns if column["TABLE_NAME"] == title]
        own.sort(key=lambda column: int(column["ORDINAL_POSITION"]))
        history = table["TABLE_TYPE"] == "SYSTEM VERSIONED"
        if history and not any(column["GENERATION_EXPRESSION"] == "ROW START" for column in own):
            # Without a period of its own a versioned table has two columns that no catalogue lists.
            own += [{"COLUMN_NAME": hidden, "DATA_TYPE": "timestamp"} for hidden in ("ROW_START", "ROW_END")]
        statements.append(_checksum(title, own, history))
        names.append(title)
    return dict(zip(names, server.first_rows(statements), strict=True))


def _catalogue(server: Server, view: str, where: str, key: list[str]) -> dict[str, Row]:
    """The rows of one view of information_schema, keyed by the columns that name them."""
    rows = server.one(f"SELECT * FROM information_schema.{view} WHERE {where}")
    found = {}
    for row in rows:
        # A library has a creator, who has no rights over it and cannot be set: it becomes whoever loads the dump.
        upper = {column.upper(): value for column, value in row.items() if column.upper() != "CREATOR"}
        found[" ".join(name(upper[column]) for column in key)] = neutral(upper, server.database)
    if len(found) != len(rows):
        raise RuntimeError(f"two rows of {view} have the same name, so one would hide the other")
    return found


def _definitions(server: Server, kinds: list[tuple[str, str]]) -> dict[str, Row]:
    """SHOW CREATE of every (kind, name)."""
    answers = server.first_rows([f"SHOW CREATE {kind} {name(title)}" for kind, title in kinds])
    found = {}
    for (kind, title), answer in zip(kinds, answers, strict=True):
        row = neutral(answer, server.database)
        if "Create Table" in row:
            definition = re.sub(r"( ENGINE=\S+) AUTO_INCREMENT=\d+", r"\1", row["Create Table"])
            # MySQL spells the character set out or not, by whether the collation was; the collation implies it.
            row["Create Table"] = re.sub(r" CHARACTER SET \w+ COLLATE ", " COLLATE ", definition)
        found[f"{kind} {name(title)}"] = row
    return found


def _grants(server: Server) -> dict[str, Any]:
    """The rows of the grant tables that name this database, with the privileges that are given."""
    twice = "CONVERT(BINARY CONVERT(Db USING latin1) USING utf8mb4)"
    tables = {
        "db": same("REPLACE(REPLACE(Db, '\\\\_', '_'), '\\\\%', '%')", server.database),
        "tables_priv": same("Db", server.database),
        "columns_priv": same("Db", server.database),
        # The servers store names outside ASCII twice encoded in this table.
        "procs_priv": f"({same('Db', server.database)} OR {same(twice, server.database)})",
    }
    found: dict[str, Any] = {}
    for table, where in tables.items():
        for row in server.one(f"SELECT * FROM mysql.{table} WHERE {where}"):
            who = f"{name(row['User'])}@{name(row['Host'])}"
            what = " ".join(
                row[key] for key in ("Routine_type", "Routine_name", "Table_name", "Column_name") if key in row
            )
            skipped = {
                "Timestamp",
                "Grantor",
                "User",
                "Host",
                "Db",
                "Routine_type",
                "Routine_name",
                "Table_name",
                "Column_name",
            }
            given = {key: value for key, value in row.items() if key not in skipped and value not in ("N", "")}
            found[f"{who} on {table}: {what}"] = given
    return found


def fingerprint(client: list[str], database: str) -> dict[str, Any]:
    """Describe everything that a database holds.

    Args:
        client: The client to run with its options, for instance ``["mariadb"]``.
        database: The database to describe.

    Returns:
        Sections (tables, contents, routines, ...), each a mapping by name; made of JSON types only.

    Raises:
        RuntimeError: The client failed, there is no such database, or two objects share a name.
    """
    server = Server(client, database)
    views = {
        row["TABLE_NAME"].upper()
        for row in server.one(
            "SELECT TABLE_NAME AS TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'information_schema'"
        )
    }
    in_schema = same("TABLE_SCHEMA", database)
    tables = _catalogue(server, "TABLES", in_schema, ["TABLE_NAME"])
    columns = _catalogue(server, "COLUMNS", in_schema, ["TABLE_NAME", "COLUMN_NAME"])
    stored = [row for row in tables.values() if row["TABLE_TYPE"] in ("BASE TABLE", "SYSTEM VERSIONED")]
    sequences = [row["TABLE_NAME"] for row in tables.values() if row["TABLE_TYPE"] == "SEQUENCE"]
    triggers = _catalogue(server, "TRIGGERS", same("TRIGGER_SCHEMA", database), ["TRIGGER_NAME"])
    routines = _catalogue(server, "ROUTINES", same("ROUTINE_SCHEMA", database), ["ROUTINE_TYPE", "ROUTINE_NAME"])
    events = _catalogue(server, "EVENTS", same("EVENT_SCHEMA", database), ["EVENT_NAME"])
    positions = server.one(
        "SELECT TABLE_NAME AS t, AUTO_INCREMENT AS p FROM information_schema.TABLES "
        f"WHERE {in_schema} AND AUTO_INCREMENT IS NOT NULL"
    )
    shown = [("VIEW" if row["TABLE_TYPE"] == "VIEW" else "TABLE", row["TABLE_NAME"]) for row in tables.values()]
    shown += [("SEQUENCE", sequence) for sequence in sequences]
    shown += [("TRIGGER", row["TRIGGER_NAME"]) for row in triggers.values()]
    shown += [(row["ROUTINE_TYPE"], row["ROUTINE_NAME"]) for row in routines.values()]
    shown += [("EVENT", row["EVENT_NAME"]) for row in events.values()]
    positions_of = [f"SELECT * FROM {name(sequence)}" for sequence in sequences]
    result: dict[str, Any] = {
        "settings": _catalogue(server, "SCHEMATA", same("SCHEMA_NAME", database), []),
        "tables": tables,
        "columns": columns,
        "indexes": _catalogue(server, "STATISTICS", in_schema, ["TABLE_NAME", "INDEX_NAME", "SEQ_IN_INDEX"]),
        "partitions": _catalogue(
            server,
            "PARTITIONS",
            in_schema + " AND PARTITION_NAME IS NOT NULL",
            ["TABLE_NAME", "PARTITION_NAME", "SUBPARTITION_NAME"],
        ),
        "foreign keys": _catalogue(
            server, "REFERENTIAL_CONSTRAINTS", same("CONSTRAINT_SCHEMA", database), ["TABLE_NAME", "CONSTRAINT_NAME"]
        ),
        "views": _catalogue(server, "VIEWS", in_schema, ["TABLE_NAME"]),
        "triggers": triggers,
        "routines": routines,
        "parameters": _catalogue(
            server,
            "PARAMETERS",
            same("SPECIFIC_SCHEMA", database),
            ["ROUTINE_TYPE", "SPECIFIC_NAME", "ORDINAL_POSITION"],
        ),
        "events": events,
        "definitions": _definitions(server, shown),
        "auto_increment": {row["t"]: row["p"] for row in positions},
        "sequences": dict(zip(sequences, server.first_rows(positions_of), strict=True)),
        "grants": _grants(server),
        "contents": _contents(server, stored, list(columns.values())),
    }
    for view, where, key in (
        ("SCHEMATA_EXTENSIONS", same("SCHEMA_NAME", database), []),
        ("COLUMN_STATISTICS", same("SCHEMA_NAME", database), ["TABLE_NAME", "COLUMN_NAME"]),
        ("LIBRARIES", same("LIBRARY_SCHEMA", database), ["LIBRARY_NAME"]),
        ("ROUTINE_LIBRARIES", same("ROUTINE_SCHEMA", database), ["ROUTINE_NAME", "LIBRARY_NAME"]),
    ):
        if view in views:
            result[view.lower()] = _catalogue(server, view, where, key)
    return result
