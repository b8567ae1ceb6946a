# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Restores in which other accounts take the place of those of the artifact: in definitions, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Host, Server
from test_accounts import drop_accounts

from vya_backupdb.core import load_plan, segmentation
from vya_backupdb.errors import RestoreError

# What looks like a statement that names an account, in rows, bodies and comments.
TRAPS = ("ALTER TABLE public.item OWNER TO vya_old;", "GRANT ALL ON TABLE public.item TO vya_old;")
MYSQL_TRAP = "CREATE DEFINER=`vya_old`@`localhost` PROCEDURE `p`() SELECT 1;"
POSTGRESQL = rf"""
CREATE ROLE vya_old; CREATE ROLE vya_new; CREATE ROLE vya_other;
ALTER DATABASE vya_shop OWNER TO vya_old;
GRANT CONNECT ON DATABASE vya_shop TO vya_old;
ALTER ROLE vya_old IN DATABASE vya_shop SET work_mem TO '7MB';
\connect vya_shop
CREATE TABLE item (id integer PRIMARY KEY, label text);
INSERT INTO item SELECT n, E'{TRAPS[0]}\n{TRAPS[1]}' FROM generate_series(1, 300) AS n;
ALTER TABLE item OWNER TO vya_old;
CREATE INDEX ON item (label); CREATE INDEX ON item (id, label);
GRANT SELECT ON item TO vya_other;
GRANT INSERT (label) ON item TO vya_old WITH GRANT OPTION;
COMMENT ON TABLE item IS E'first\n{TRAPS[1]}';
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$
SELECT 'x';
{TRAPS[0]}
{TRAPS[1]}
SELECT 'y';
$$;
ALTER FUNCTION f() OWNER TO vya_other;
CREATE SCHEMA s AUTHORIZATION vya_old;
ALTER DEFAULT PRIVILEGES FOR ROLE vya_old IN SCHEMA s GRANT SELECT ON TABLES TO vya_other;
ALTER DEFAULT PRIVILEGES FOR ROLE vya_other IN SCHEMA s GRANT SELECT ON TABLES TO vya_old;
CREATE POLICY vya_old ON item FOR SELECT TO vya_other, vya_old USING (true);
"""
MYSQL = rf"""
CREATE USER vya_old@localhost, vya_new@localhost, vya_other@localhost;
USE vya_shop;
CREATE TABLE item (id integer PRIMARY KEY, label varchar(200), KEY (label));
INSERT INTO item VALUES (1, '{MYSQL_TRAP}'), (2, 'x\n{MYSQL_TRAP}\n');
CREATE DEFINER=vya_old@localhost SQL SECURITY INVOKER VIEW v AS SELECT id FROM item;
CREATE DEFINER=vya_old@localhost TRIGGER t BEFORE INSERT ON item FOR EACH ROW SET NEW.label = '{MYSQL_TRAP}';
CREATE DEFINER=vya_old@localhost PROCEDURE p() SELECT '{MYSQL_TRAP}' AS x;
CREATE DEFINER=vya_other@localhost PROCEDURE q() SELECT 1;
CREATE DEFINER=vya_old@localhost EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SET @x = '{MYSQL_TRAP}';
GRANT SELECT ON vya_shop.* TO vya_old@localhost WITH GRANT OPTION;
GRANT INSERT ON vya_shop.item TO vya_other@localhost;
GRANT UPDATE (label) ON vya_shop.item TO vya_old@localhost;
"""
# What there is but rows, and all of these. The sums stand for texts in which the old name stays.
STATE = {
    "postgresql": """
SELECT pg_get_userbyid(datdba), datacl FROM pg_database WHERE datname = current_database();
SELECT pg_get_userbyid(setrole), setconfig FROM pg_db_role_setting
 WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database());
SELECT relname, pg_get_userbyid(relowner), relacl FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT attacl FROM pg_attribute WHERE attrelid = 'item'::regclass AND attname = 'label';
SELECT proname, pg_get_userbyid(proowner), md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace;
SELECT nspname, pg_get_userbyid(nspowner), nspacl FROM pg_namespace WHERE nspname = 's';
SELECT pg_get_userbyid(defaclrole), defaclacl FROM pg_default_acl ORDER BY 1;
SELECT polname = 'vya' || '_old', (SELECT array_agg(rolname ORDER BY rolname) FROM pg_roles WHERE oid = ANY (polroles))
 FROM pg_policy;
SELECT md5(obj_description('item'::regclass)), (SELECT md5(string_agg(label, ',' ORDER BY id)) FROM item);
""",
    "mysql": """
SELECT TABLE_NAME, DEFINER, SECURITY_TYPE FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'vya_shop';
SELECT TRIGGER_NAME, DEFINER, SHA2(ACTION_STATEMENT, 256) FROM information_schema.TRIGGERS
 WHERE TRIGGER_SCHEMA = 'vya_shop';
SELECT ROUTINE_NAME, DEFINER, SHA2(ROUTINE_DEFINITION, 256) FROM information_schema.ROUTINES
 WHERE ROUTINE_SCHEMA = 'vya_shop' ORDER BY 1;
SELECT EVENT_NAME, DEFINER, SHA2(EVENT_DEFINITION, 256) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'vya_shop';
SELECT GRANTEE, PRIVILEGE_TYPE, IS_GRANTABLE FROM information_schema.SCHEMA_PRIVILEGES WHERE TABLE_SCHEMA = 'vya_shop';
SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES WHERE TABLE_SCHEMA = 'vya_shop';
SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.COLUMN_PRIVILEGES WHERE TABLE_SCHEMA = 'vya_shop';
SELECT SHA2(GROUP_CONCAT(label ORDER BY id), 256) FROM vya_shop.item;
""",
}


@pytest.fixture
def owned(server: Server) -> Iterator[dict[str, str]]:
    """A database of the old owner, which knows others, and who is to take its place."""
    server.drop("vya_shop")
    drop_accounts(server)
    server.create("vya_shop")
    server.sql(MYSQL if server.kind == "mysql" else POSTGRESQL)
    host = "@localhost" if server.kind == "mysql" else ""
    yield {f"vya_old{host}": f"vya_new{host}"}
    server.drop("vya_shop")
    drop_accounts(server)


def state(server: Server) -> str:
    return server.sql(STATE[server.kind], "vya_shop")


def backup(host: Host, server: Server) -> Path:
    report = host.engine().backup(database_id=server.database_id, databases=["vya_shop"])
    assert report.ok, report.to_dict()
    return Path(str(report.results[0].artifact))


def restore(host: Host, server: Server, owners: dict[str, str], **more: Any) -> dict[str, Any]:
    report = host.engine().restore(database_id=server.database_id, database="vya_shop", owners=owners, **more)
    return dict(report.to_dict())


def lose(server: Server) -> None:
    """Lose the database and its old owner."""
    server.drop("vya_shop")
    drop_accounts(server, "vya_new", "vya_other")


@pytest.mark.parametrize("jobs", [1, 3])
def test_another_takes_the_place_of_the_old_one(
    server: Server, host: Host, owned: dict[str, str], monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(segmentation, "ROWS_BYTES", 2000)
    monkeypatch.setattr(segmentation, "SHARED_BYTES", 200)
    monkeypatch.setattr(load_plan, "PARALLEL_BYTES", 0)
    before = state(server)
    assert before.count("vya_old") > 5
    assert "vya_new" not in before
    backup(host, server)
    lose(server)

    assert restore(host, server, owned, dry_run=True)["owners"] == owned
    assert not server.exists("vya_shop")
    done = restore(host, server, owned, jobs=jobs)

    assert done["owners"] == owned
    assert done["differences"] == []
    found = state(server)
    assert "vya_old" not in found
    assert sorted(found.splitlines()) == sorted(before.replace("vya_old", "vya_new").splitlines())


def test_accounts_that_are_replaced_are_not_made(server: Server, host: Host, owned: dict[str, str]) -> None:
    backup(host, server)
    lose(server)
    done = restore(host, server, owned, accounts="missing")
    assert done["accounts"] == []
    assert "vya_old" not in state(server)


def test_the_old_state_comes_back_with_its_own_owners(
    server: Server, host: Host, owned: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(host, server)
    before = state(server)

    def fail(*_arguments: object) -> None:
        raise RestoreError("It is not as it was.")

    monkeypatch.setattr("vya_backupdb.core.restore.refuse_other_objects", fail)
    with pytest.raises(RestoreError, match=r"untouched|brought back"):
        restore(host, server, owned, overwrite=True)

    # What was granted stays in MySQL when a database is dropped.
    found = [line for line in state(server).splitlines() if server.kind == "postgresql" or "vya_new" not in line]
    assert sorted(found) == sorted(before.splitlines())


@pytest.mark.parametrize(
    ("owners", "message"),
    [
        ({"vya_old": "vya_nobody"}, "to take the place of others do not exist: vya_nobody"),
        ({"vya_strange": "vya_new"}, "names no account vya_strange"),
    ],
)
def test_what_cannot_be_is_refused(
    server: Server, host: Host, owned: dict[str, str], owners: dict[str, str], message: str
) -> None:
    backup(host, server)
    at = "@localhost" if server.kind == "mysql" else ""
    with pytest.raises(RestoreError, match=message):
        restore(host, server, {old + at: new + at for old, new in owners.items()}, overwrite=True)
    assert server.exists("vya_shop")


def test_owners_in_a_directory_cannot_be_replaced(servers: dict[str, Server], host: Host) -> None:
    server = servers["postgresql"]
    host.write(policies=[{"name": "fast", "strategy": "parallel", "instances": [server.database_id]}])
    server.create("vya_shop", "CREATE TABLE item (id integer);")
    try:
        backup(host, server)
        with pytest.raises(RestoreError, match="no single stream of SQL"):
            restore(host, server, {"postgres": "vya_integration"}, target="vya_copy")
        assert not server.exists("vya_copy")
    finally:
        server.drop("vya_shop")
