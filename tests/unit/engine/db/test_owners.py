# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other accounts in the statements that name accounts, and in no others."""

from __future__ import annotations

import pytest

from vya_backupdb.db.mysql_grants import _statement
from vya_backupdb.db.mysql_owners import with_definer, with_grantees
from vya_backupdb.db.postgresql_owners import with_roles

ROLES = {"app": "new", 'A "b"': "app", "PUBLIC": "none"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE public.item OWNER TO app;", 'ALTER TABLE public.item OWNER TO "new";'),
        (
            '\n--\n-- x OWNER TO app;\n--\n\nALTER TYPE t OWNER TO "A ""b""";',
            '\n--\n-- x OWNER TO app;\n--\n\nALTER TYPE t OWNER TO "app";',
        ),
        (
            'ALTER FUNCTION f("x OWNER TO app;" int) OWNER TO other;',
            'ALTER FUNCTION f("x OWNER TO app;" int) OWNER TO other;',
        ),
        (
            "GRANT SELECT ON TABLE app TO app WITH GRANT OPTION;",
            'GRANT SELECT ON TABLE app TO "new" WITH GRANT OPTION;',
        ),
        ("REVOKE ALL ON SCHEMA app FROM PUBLIC;", "REVOKE ALL ON SCHEMA app FROM PUBLIC;"),
        ("REVOKE ALL ON SCHEMA app FROM app;", 'REVOKE ALL ON SCHEMA app FROM "new";'),
        (
            'ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA s GRANT SELECT ON TABLES TO "A ""b""";',
            'ALTER DEFAULT PRIVILEGES FOR ROLE "new" IN SCHEMA s GRANT SELECT ON TABLES TO "app";',
        ),
        ("SET SESSION AUTHORIZATION app;", 'SET SESSION AUTHORIZATION "new";'),
        ("CREATE USER MAPPING FOR app SERVER app;", 'CREATE USER MAPPING FOR "new" SERVER app;'),
        (
            "CREATE POLICY app ON s.app AS RESTRICTIVE FOR SELECT TO app, other USING ((x TO app));",
            'CREATE POLICY app ON s.app AS RESTRICTIVE FOR SELECT TO "new", other USING ((x TO app));',
        ),
        ("CREATE POLICY app ON app USING (app);", "CREATE POLICY app ON app USING (app);"),
        ("COMMENT ON TABLE t IS 'GRANT x TO app;';", "COMMENT ON TABLE t IS 'GRANT x TO app;';"),
        ("ALTER TABLE t ADD CHECK (x <> ' OWNER TO app;');", "ALTER TABLE t ADD CHECK (x <> ' OWNER TO app;');"),
        (
            "CREATE FUNCTION f() AS $$ALTER TABLE t OWNER TO app;$$;",
            "CREATE FUNCTION f() AS $$ALTER TABLE t OWNER TO app;$$;",
        ),
    ],
)
def test_roles_of_postgresql(statement: str, expected: str) -> None:
    assert with_roles(statement.encode(), ROLES).decode() == expected


ACCOUNTS = {("app", "%"): ("new`x", "10.%"), ("role", ""): ("staff", ""), ("o`d'd", "h"): ("app", "%")}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE DEFINER=`app`@`%` FUNCTION `f`() X ;;", "CREATE DEFINER=`new``x`@`10.%` FUNCTION `f`() X ;;"),
        ("CREATE DEFINER=`role` PROCEDURE `f`() X ;;", "CREATE DEFINER=`staff` PROCEDURE `f`() X ;;"),
        ("CREATE DEFINER=`other`@`%` FUNCTION `f`() X ;;", "CREATE DEFINER=`other`@`%` FUNCTION `f`() X ;;"),
        (
            "-- a\n/*!50001 CREATE ALGORITHM=MERGE */\n/*!50013 DEFINER=`o``d'd`@`h` SQL SECURITY INVOKER */\n VIEW",
            "-- a\n/*!50001 CREATE ALGORITHM=MERGE */\n/*!50013 DEFINER=`app`@`%` SQL SECURITY INVOKER */\n VIEW",
        ),
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`app`@`%`*/ /*!50003 TRIGGER `t` BEFORE",
            "/*!50003 CREATE*/ /*!50017 DEFINER=`new``x`@`10.%`*/ /*!50003 TRIGGER `t` BEFORE",
        ),
        ("CREATE TABLE `CREATE DEFINER=` (`app`)", "CREATE TABLE `CREATE DEFINER=` (`app`)"),
        ("INSERT INTO t VALUES ('CREATE DEFINER=`app`@`%`');", "INSERT INTO t VALUES ('CREATE DEFINER=`app`@`%`');"),
        ("-- CREATE DEFINER=`app`@`%`\nSELECT 1;", "-- CREATE DEFINER=`app`@`%`\nSELECT 1;"),
    ],
)
def test_definers_of_mysql(statement: str, expected: str) -> None:
    assert with_definer(statement.encode(), ACCOUNTS).decode() == expected


def test_grants_of_mysql_are_made_to_others() -> None:
    def grants(*accounts: tuple[str, str]) -> str:
        made = [_statement("shop", account, "*\0shop", "", ["SELECT"], True) for account in accounts]
        return "SET x;\n" + "".join(made) + "SET y;\n"

    before = grants(("app", "%"), ("other", "%"), ("role", ""), ("o`d'd", "h"), ("app", "%"))
    after = grants(("new`x", "10.%"), ("other", "%"), ("staff", ""), ("app", "%"), ("new`x", "10.%"))
    assert with_grantees(before, ACCOUNTS) == after
