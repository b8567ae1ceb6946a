# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The database that is backed up, and what of it came back."""

from __future__ import annotations

import re

from servers import Server

from .contestant import ACCOUNT, DATABASE, PASSWORD

ROWS = 48  # of 64 kB: more than all that lies between client and file can hold, so that a client is stopped in mid-dump
OWNER = "vya_owner"
BROKEN = "broken"  # a view that no backup can hold
TABLES = {"a_note": "id, noted", "item": "id, body", "log": "id", "z_last": "id, label"}
# A row whose text, and a trigger or function whose body looks like the last line of a whole dump.
MYSQL = """
    CREATE TABLE a_note (id integer PRIMARY KEY, noted varchar(200));
    CREATE TABLE item (id integer PRIMARY KEY, body longtext);
    CREATE TABLE log (id integer PRIMARY KEY);
    CREATE TABLE z_last (id integer PRIMARY KEY, label varchar(200));
    INSERT INTO a_note VALUES (1, '-- Dump completed'), (2, '\n-- Dump completed on 2026-01-09\n');
    INSERT INTO z_last VALUES (1, 'Bread'), (2, 'Käse 🧀');
    CREATE VIEW labels AS SELECT label FROM z_last;
    CREATE TRIGGER noted AFTER INSERT ON a_note FOR EACH ROW BEGIN SET @note = '
-- Dump completed on 2026-01-09  2:00:00
'; INSERT INTO log VALUES (NEW.id + 1000); END;
    CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO DELETE FROM log;
    CREATE FUNCTION price() RETURNS integer DETERMINISTIC RETURN 1;
    CREATE PROCEDURE tidy() DELETE FROM log;
    """
POSTGRESQL = f"""
    CREATE TABLE a_note (id integer PRIMARY KEY, noted text);
    CREATE TABLE item (id integer PRIMARY KEY, body text);
    CREATE TABLE log (id integer PRIMARY KEY);
    CREATE TABLE z_last (id integer PRIMARY KEY, label text);
    INSERT INTO a_note VALUES (1, '-- PostgreSQL database dump complete');
    INSERT INTO z_last VALUES (1, 'Bread'), (2, 'Käse 🧀');
    CREATE VIEW labels AS SELECT label FROM z_last;
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
--
-- PostgreSQL database dump complete
--

INSERT INTO log VALUES (NEW.id + 1000); RETURN NEW; END $$;
    CREATE TRIGGER noted AFTER INSERT ON a_note FOR EACH ROW EXECUTE FUNCTION noted();
    ALTER TABLE z_last OWNER TO {OWNER};
    """
State = dict[str, str]


class Subject:
    """The database on one server.

    Attributes:
        server: The server.
        unseen: Objects that do not count, since the tool's backups lack them even when nothing is wrong.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.unseen: frozenset[str] = frozenset()

    @property
    def _mysql(self) -> bool:
        return self.server.kind == "mysql"

    def make(self) -> None:
        """Make the database as it was on the first day, and let the account do everything."""
        if self._mysql:
            # The client splits at the delimiter, as there are semicolons in the trigger's body.
            statements = MYSQL.replace("CREATE TRIGGER", "DELIMITER //\nCREATE TRIGGER")
            statements = statements.replace("END;", "END//\nDELIMITER ;")
            hashes = ", ".join(f"SHA2(CONCAT(n, ' {number}'), 256)" for number in range(1000))
            body = f"CONCAT({hashes})"
        else:
            statements = POSTGRESQL
            body = "(SELECT string_agg(md5(n || ' ' || x), '' ORDER BY x) FROM generate_series(1, 2000) x)"
        numbers = f"WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) SELECT n FROM s"
        if not self._mysql:  # what a restore could not remove when the server was down
            beside = f"datname LIKE '{DATABASE}\\_%'"
            query = f"SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE {beside}"
            self.server.sql(f"{query} \\gexec")
        self.empty()
        self.server.sql(f"{statements} INSERT INTO item SELECT n, {body} FROM ({numbers}) s;", DATABASE)

    def change(self) -> None:
        """Do what the second day did."""
        self.server.sql("INSERT INTO z_last VALUES (3, 'Cake'); DELETE FROM item WHERE id = 2;", DATABASE)

    def empty(self) -> None:
        """Lose the database, and make an empty one in its place."""
        force = "" if self._mysql else " WITH (FORCE)"
        self.server.sql(f"{self._account()} DROP DATABASE IF EXISTS {DATABASE}{force}; CREATE DATABASE {DATABASE};")

    def let_the_account_do_everything(self) -> None:
        """Make the account, with all privileges."""
        self.server.sql(self._account())

    def _account(self) -> str:
        if self._mysql:
            return (
                f"CREATE USER IF NOT EXISTS {ACCOUNT}@localhost IDENTIFIED BY '{PASSWORD}';"
                f"GRANT ALL ON *.* TO {ACCOUNT}@localhost WITH GRANT OPTION;"
            )
        made = "DO $$ BEGIN CREATE ROLE {}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        return (
            f"{made.format(OWNER)} {made.format(ACCOUNT)} ALTER ROLE {ACCOUNT} LOGIN SUPERUSER PASSWORD '{PASSWORD}';"
        )

    def state(self) -> State:
        """What the database holds: the rows of each table as a checksum, and the names of everything else."""
        try:
            listed = self.server.sql(self._objects(), DATABASE).splitlines()
        except RuntimeError:
            return {"objects": "no database"}
        found = {"objects": "\n".join(line for line in listed if line not in self.unseen)}
        queries = {}
        for table, columns in TABLES.items():
            if any(re.fullmatch(rf"(table|r)\W{table}", line) for line in listed):
                text = f"CONCAT_WS('|', {columns})"
                text = f"SUM(CRC32({text}))" if self._mysql else f"md5(string_agg({text}, ',' ORDER BY id))"
                queries[table] = f"SELECT '{table}', COUNT(*), {text} FROM {table};"
        try:
            return {**found, "rows": self.server.sql("".join(queries.values()), DATABASE)}
        except RuntimeError as exc:  # a table cannot be read
            return {**found, "rows": str(exc)}

    def _objects(self) -> str:
        if self._mysql:
            parts = [
                f"SELECT '{kind}' AS kind, {name} AS name FROM information_schema.{catalogue} WHERE {of} = '{DATABASE}'"
                for kind, name, catalogue, of in (
                    ("table", "table_name", "tables", "table_schema"),
                    ("view", "table_name", "views", "table_schema"),
                    ("routine", "routine_name", "routines", "routine_schema"),
                    ("trigger", "trigger_name", "triggers", "trigger_schema"),
                    ("event", "event_name", "events", "event_schema"),
                    ("index", "table_name", "table_constraints", "table_schema"),
                )
            ]
        else:
            public = "'public'::regnamespace"
            parts = [
                f"SELECT relkind::text AS kind, relname::text AS name FROM pg_class WHERE relnamespace = {public}",
                f"SELECT 'routine', proname FROM pg_proc WHERE pronamespace = {public}",
                "SELECT 'trigger', tgname FROM pg_trigger",
                "SELECT 'owner', tableowner || tablename FROM pg_tables WHERE schemaname = 'public'",
            ]
        return f"SELECT kind, name FROM ({' UNION ALL '.join(parts)}) s WHERE name <> '{BROKEN}' ORDER BY 1, 2;"
