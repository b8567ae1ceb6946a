# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The accounts that belong to a database come back as they were, or locked, and nothing secret is leaked."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import ACCOUNT, PASSWORD, Host, Server
from test_encryption import Key, make_key, policy, with_key

from vya_backupdb.core.manifest import read_manifest, seal_document
from vya_backupdb.core.storage import find_artifact
from vya_backupdb.engine import Engine
from vya_backupdb.errors import ArtifactError, DamageError, RestoreError, ServerError
from vya_backupdb.security.credentials import open_store

SECRET = "geheim 4f1b'x"
# The backslash, the quotes and the per cent signs are what quoting may get wrong.
MYSQL = r"""
CREATE ROLE vya_readers; CREATE ROLE vya_staff; CREATE ROLE vya_other;
GRANT vya_readers TO vya_staff WITH ADMIN OPTION;
CREATE USER 'vya_a''%`\\'@'%' IDENTIFIED BY 'geheim 4f1b''x' WITH MAX_QUERIES_PER_HOUR 70 PASSWORD EXPIRE NEVER;
CREATE USER vya_b@localhost IDENTIFIED BY 'geheim 4f1b''x' REQUIRE SSL;
CREATE USER vya_definer@localhost IDENTIFIED BY 'geheim 4f1b''x' ACCOUNT LOCK;
CREATE USER vya_stranger@localhost IDENTIFIED BY 'geheim 4f1b''x';
GRANT vya_staff TO 'vya_a''%`\\'@'%'; GRANT vya_other TO 'vya_a''%`\\'@'%';
GRANT vya_other TO vya_stranger@localhost;
GRANT PROCESS ON *.* TO 'vya_a''%`\\'@'%' WITH GRANT OPTION;
GRANT SHOW DATABASES ON *.* TO vya_readers;
GRANT SELECT ON vya_shop.* TO vya_readers;
GRANT INSERT ON vya_shop.item TO vya_b@localhost;
CREATE DEFINER=vya_definer@localhost VIEW vya_shop.labels AS SELECT label FROM vya_shop.item;
"""
MYSQL_DEFAULT = {
    "mariadb": r"SET DEFAULT ROLE vya_staff FOR 'vya_a''%`\\'@'%';",
    "mysql": r"ALTER USER 'vya_a''%`\\'@'%' DEFAULT ROLE vya_staff;",
}
POSTGRESQL = r"""
CREATE ROLE vya_readers; CREATE ROLE vya_other;
CREATE ROLE vya_staff WITH NOINHERIT CREATEDB IN ROLE vya_readers;
CREATE ROLE "vya_a'%"" \" LOGIN PASSWORD 'geheim 4f1b''x' CONNECTION LIMIT 7 VALID UNTIL '2031-02-03 04:05:06+00';
CREATE ROLE vya_b LOGIN PASSWORD 'geheim 4f1b''x';
CREATE ROLE vya_definer;
CREATE ROLE vya_stranger LOGIN PASSWORD 'geheim 4f1b''x';
ALTER ROLE vya_b SET search_path TO "$user", 'öffentlich "x"';
ALTER ROLE vya_b SET work_mem TO '7MB';
COMMENT ON ROLE vya_b IS 'the shop''s %s \own';
GRANT vya_staff TO "vya_a'%"" \" WITH ADMIN OPTION;
GRANT vya_other TO "vya_a'%"" \", vya_stranger;
GRANT pg_read_all_stats TO vya_readers;
\connect vya_shop
GRANT SELECT ON item TO vya_readers;
GRANT INSERT ON item TO vya_b;
CREATE VIEW labels AS SELECT label FROM item;
ALTER VIEW labels OWNER TO vya_definer;
"""
NAMES = {
    "mariadb": ["vya_a'%`\\@%", "vya_b@localhost", "vya_definer@localhost", "vya_readers@", "vya_staff@"],
    "mysql": ["vya_a'%`\\@%", "vya_b@localhost", "vya_definer@localhost", "vya_readers@%", "vya_staff@%"],
    "postgresql": ["vya_a'%\" \\", "vya_b", "vya_definer", "vya_readers", "vya_staff"],
}
STATE = {
    "mysql": """
SELECT User, Host, ssl_type, max_questions, password_lifetime, account_locked, HEX(authentication_string)
 FROM mysql.user WHERE User LIKE 'vya\\_%' AND User <> 'vya_integration' ORDER BY 1;
SELECT * FROM mysql.role_edges ORDER BY 2, 4; SELECT * FROM mysql.default_roles;
SELECT GRANTEE, PRIVILEGE_TYPE, IS_GRANTABLE FROM information_schema.USER_PRIVILEGES
 WHERE GRANTEE LIKE '%vya\\_%' AND GRANTEE NOT LIKE '%integration%' ORDER BY 1, 2;
SELECT Db, User, Select_priv FROM mysql.db WHERE User LIKE 'vya\\_%' ORDER BY 2;
SELECT User, Table_name FROM mysql.tables_priv WHERE Db = 'vya_shop' ORDER BY 1;
""",
    "mariadb": """
SELECT User, Host, JSON_REMOVE(Priv, '$.password_last_changed') FROM mysql.global_priv
 WHERE User LIKE 'vya\\_%' AND User <> 'vya_integration' ORDER BY 1;
SELECT * FROM mysql.roles_mapping WHERE User <> 'root' ORDER BY 2, 3;
SELECT Db, User, Select_priv FROM mysql.db WHERE User LIKE 'vya\\_%' AND User <> 'vya_integration' ORDER BY 2;
SELECT User, Table_name FROM mysql.tables_priv WHERE Db = 'vya_shop' ORDER BY 1;
""",
    "postgresql": """
SELECT to_jsonb(a) - 'oid', shobj_description(oid, 'pg_authid') FROM pg_authid a
 WHERE rolname LIKE 'vya\\_%' AND rolname <> 'vya_integration' ORDER BY rolname;
SELECT roleid::regrole, member::regrole, to_jsonb(m) - 'oid' - 'roleid' - 'member' - 'grantor' FROM pg_auth_members m
 WHERE member::regrole::text LIKE '%vya\\_%' ORDER BY 1, 2;
SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setrole::regrole::text = 'vya_b';
""",
}


INHERITED = r"""
CREATE TABLE `vya_shöp_1`.`itém` (id integer PRIMARY KEY, label varchar(200));
CREATE ROLE `vya_größte`, vya_middle, vya_own;
GRANT SELECT, CREATE TEMPORARY TABLES, EVENT ON `vya\_shöp\_1`.* TO `vya_größte` WITH GRANT OPTION;
GRANT INSERT, CREATE VIEW, SHOW VIEW ON `vya_shöp_1`.`itém` TO `vya_größte` WITH GRANT OPTION;
GRANT UPDATE (id) ON `vya_shöp_1`.`itém` TO `vya_größte`;
GRANT `vya_größte` TO vya_middle; GRANT vya_middle TO vya_own;
GRANT SELECT, DELETE ON `vya\_shöp\_1`.* TO vya_own;
GRANT INSERT ON `vya_shöp_1`.* TO vya_own;
GRANT SELECT ON `vya_shöp_1`.`itém` TO vya_own;
GRANT UPDATE (label), SELECT (id, label) ON `vya_shöp_1`.`itém` TO vya_own;
GRANT SELECT (label) ON `vya_shöp_1`.`itém` TO vya_middle WITH GRANT OPTION;
"""
INHERITED_OF_MARIADB = """
GRANT DELETE HISTORY ON `vya\\_shöp\\_1`.* TO `vya_größte`; GRANT DELETE HISTORY ON `vya_shöp_1`.`itém` TO vya_middle;
"""
# What was really granted, but for who did and when.
OWN_PRIVILEGES = """
SELECT * FROM mysql.db WHERE Db LIKE 'vya%sh%' ORDER BY Db, User;
SELECT Host, Db, User, Table_name, Table_priv, Column_priv FROM mysql.tables_priv WHERE Db = 'vya_shöp_1' ORDER BY User;
SELECT Host, Db, User, Table_name, Column_name, Column_priv FROM mysql.columns_priv WHERE Db = 'vya_shöp_1'
 ORDER BY User, Column_name;
"""


@pytest.fixture
def accounts(server: Server) -> Iterator[list[str]]:
    """A database with accounts that belong to it, and others that do not."""
    drop_all(server)
    server.create("vya_shop", "CREATE TABLE item (id integer PRIMARY KEY, label varchar(200));")
    if server.kind == "mysql":
        server.sql(MYSQL + MYSQL_DEFAULT[server.flavour])
    else:
        server.sql(POSTGRESQL)
    yield NAMES[server.flavour]
    drop_all(server)


def drop_all(server: Server) -> None:
    server.drop("vya_shop")
    drop_accounts(server)


def drop_accounts(server: Server, *kept: str) -> None:
    names = ", ".join(f"'{name}'" for name in (ACCOUNT, *kept))
    if server.kind == "postgresql":
        which = f"rolname LIKE 'vya\\_%' AND rolname NOT IN ({names})"
        found = server.sql(f"SELECT format('DROP ROLE %I;', rolname) FROM pg_roles WHERE {which};")
    else:
        account = "IF(Host = '', CONCAT('ROLE ', QUOTE(User)), CONCAT('USER ', QUOTE(User), '@', QUOTE(Host)))"
        which = f"User LIKE 'vya\\_%' AND User NOT IN ({names})"
        found = server.sql(f"SELECT CONCAT('DROP ', {account}, ';') FROM mysql.user WHERE {which};")
        found = found.replace("\\\\", "\\")  # as the client prints it
    server.sql(found)


def lose(server: Server) -> None:
    """Lose the database and its accounts; those that have nothing to do with it are still there."""
    server.drop("vya_shop")
    drop_accounts(server, "vya_other", "vya_stranger")


def state(server: Server) -> str:
    return server.sql(STATE[server.flavour])


def backup(host: Host, server: Server) -> Path:
    report = host.engine().backup(database_id=server.database_id, databases=["vya_shop"])
    assert report.ok, report.to_dict()
    assert report.results[0].warnings == ()
    return Path(str(report.results[0].artifact))


def restore(engine: Engine, server: Server, **more: Any) -> dict[str, Any]:
    arguments = {"database_id": server.database_id, "database": "vya_shop", "accounts": "missing", **more}
    return dict(engine.restore(**arguments).to_dict())


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return make_key(tmp_path / "identity")


def test_encrypted_accounts_come_back_as_they_were(server: Server, host: Host, key: Key, accounts: list[str]) -> None:
    host.write(policies=[policy(key)])
    before = state(server)
    artifact = backup(host, server)
    manifest = find_artifact(artifact).manifest
    lose(server)
    engine = with_key(host, key)

    assert restore(engine, server, dry_run=True)["accounts"] == accounts
    assert not server.exists("vya_shop")
    done = restore(engine, server)

    assert done["accounts"] == accounts
    assert done["warnings"] == []
    assert without_other(state(server)) == without_other(before)
    assert manifest.accounts is not None
    assert [name for name in manifest.accounts["names"] if name != "postgres"] == accounts
    assert manifest.accounts["passwords"]
    assert manifest.accounts["reason"] is None
    assert "sql" not in str(manifest.accounts["encrypted"])
    by_hand = subprocess.run(
        ["age", "--decrypt", "--identity", key.path],
        input=manifest.accounts["encrypted"].encode(),
        capture_output=True,
        check=True,
    )
    assert b"CREATE " in by_hand.stdout


def test_what_a_role_inherits_is_not_granted_to_it(host: Host, servers: dict[str, Server]) -> None:
    server, name = servers["mysql"], "vya_shöp_1"
    try:
        server.drop(name)
        drop_accounts(server)
        server.create(name, INHERITED + (INHERITED_OF_MARIADB if server.flavour == "mariadb" else ""))
        before = server.sql(OWN_PRIVILEGES)
        assert host.engine().backup(database_id=server.database_id, databases=[name]).ok
        server.drop(name)
        drop_accounts(server)
        assert server.sql(OWN_PRIVILEGES) == ""

        done = restore(host.engine(), server, database=name)

        assert [each.partition("@")[0] for each in done["accounts"]] == ["vya_größte", "vya_middle", "vya_own"]
        assert server.sql(OWN_PRIVILEGES) == before
    finally:
        server.drop(name)
        drop_accounts(server)


def without_other(text: str) -> list[str]:
    """That a member of the database's roles is also a member of another role does not belong to the database."""
    return [line for line in text.splitlines() if "vya_other" not in line]


def test_accounts_come_back_locked_where_nothing_is_encrypted(server: Server, host: Host, accounts: list[str]) -> None:
    before = state(server)
    artifact = backup(host, server)
    lose(server)

    assert restore(host.engine(), server)["accounts"] == accounts

    hashes = re.findall(r"SCRAM-SHA-256[^\"]+|\*[0-9A-F]{40}|2441243[0-9A-F]{100,}", before)
    assert len(hashes) >= 2, "this test looks for nothing"
    records = (path for path in (host.root / "state").iterdir() if path.is_file())
    stored = b"".join([*host.files().values(), *(path.read_bytes() for path in records)])
    for each in hashes:
        raw = bytes.fromhex(each) if each.startswith("2441243") else each.encode()
        assert raw not in stored
        assert each.encode() not in stored
    if server.kind == "postgresql":
        passwords = server.sql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname IN ('vya_b', 'vya_definer');")
        assert passwords == "t\nt"
    else:
        created = server.sql("SHOW CREATE USER vya_b@localhost;")
        assert "ACCOUNT LOCK" in created
        assert "REQUIRE SSL" in created
    manifest = find_artifact(artifact).manifest
    assert manifest.accounts is not None
    assert not manifest.accounts["passwords"]
    assert "encrypted" in manifest.accounts["reason"]


def test_no_account_is_made_unless_asked_for(server: Server, host: Host, accounts: list[str]) -> None:
    backup(host, server)
    lose(server)
    if server.kind == "postgresql":
        with pytest.raises(RestoreError, match=r"vya_b.*--accounts missing"):
            restore(host.engine(), server, accounts="none")
        assert not server.exists("vya_shop")
        return
    done = restore(host.engine(), server, accounts="none")
    assert done["accounts"] == []
    assert "vya_b" not in state(server)
    planned = restore(host.engine(), server, accounts="none", dry_run=True, target="vya_shop2")
    assert any("vya_b@localhost" in warning for warning in planned["warnings"])


def test_accounts_that_exist_are_left_as_they_are(server: Server, host: Host, accounts: list[str]) -> None:
    backup(host, server)
    before = state(server)
    server.drop("vya_shop")

    assert restore(host.engine(), server)["accounts"] == []

    assert state(server) == before


def test_accounts_go_again_when_the_restore_fails(
    server: Server, host: Host, accounts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(host, server)
    lose(server)
    before = state(server)
    engine = host.engine()
    made: list[str] = []

    def fail(*_arguments: object) -> None:
        made.append(state(server))
        raise RestoreError("The load failed.")

    monkeypatch.setattr("vya_backupdb.core.restore.Restorer._run", fail)
    with pytest.raises(RestoreError, match="accounts that were made for it were dropped again") as caught:
        restore(engine, server)

    assert "vya_b" in str(caught.value)
    assert "vya_b" in made[0]
    assert state(server) == before
    assert not server.exists("vya_shop")


def test_accounts_that_cannot_be_made_leave_everything_as_it_was(
    server: Server, host: Host, accounts: list[str]
) -> None:
    artifact = backup(host, server)
    lose(server)
    before = state(server)
    path = artifact.with_name(artifact.name + ".manifest.json")
    document = json.loads(path.read_text())
    last = document["accounts"]["statements"][-1]
    document["accounts"]["sql"] += "CREATE NONSENSE 'of a secret';\n"
    document["accounts"]["statements"].append({**last, "length": len("CREATE NONSENSE 'of a secret';\n")})
    path.write_bytes(seal_document(document))

    with pytest.raises(RestoreError, match=r"could not be made.*[Nn]othing was changed") as caught:
        restore(host.engine(), server)

    assert "of a secret" not in str(caught.value)
    assert state(server) == before
    assert not server.exists("vya_shop")


def test_accounts_that_were_tampered_with_are_noticed(
    server: Server, host: Host, key: Key, accounts: list[str]
) -> None:
    host.write(policies=[policy(key)])
    artifact = backup(host, server)
    path = artifact.with_name(artifact.name + ".manifest.json")
    document = json.loads(path.read_text())
    document["accounts"]["statements"].pop()
    path.write_bytes(seal_document(document))

    results = with_key(host, key).verify(artifact=artifact)

    assert "not as long as its manifest says" in str(results.to_dict())
    lose(server)
    with pytest.raises(DamageError, match="accounts"):
        restore(with_key(host, key), server)
    assert not server.exists("vya_shop")


def test_a_backup_account_that_may_read_no_accounts_makes_backups(
    server: Server, host: Host, key: Key, accounts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write(policies=[policy(key)])
    if server.kind == "postgresql":
        escaped = PASSWORD.replace("'", "''")
        server.sql(
            f"CREATE ROLE vya_weak LOGIN PASSWORD '{escaped}'; GRANT SELECT ON item, labels TO vya_weak;", "vya_shop"
        )
        open_store(host.engine().config).set(server.database_id, "vya_weak", PASSWORD)
    else:  # who may not read the system's tables makes no backups at all

        def refuse(_query: object) -> set[tuple[str, str]]:
            raise ServerError("The account lacks a privilege.")

        monkeypatch.setattr("vya_backupdb.db.mysql_accounts.existing_accounts", refuse)

    report = host.engine().backup(database_id=server.database_id, databases=["vya_shop"])

    assert report.ok, report.to_dict()
    warnings = report.results[0].warnings
    found = read_manifest(Path(str(report.results[0].manifest))).accounts
    assert found is not None
    assert not found["passwords"]
    assert found["reason"] in warnings
    if server.kind == "postgresql":
        assert "pg_authid" in found["reason"]
        assert found["names"] == ["postgres", *accounts, "vya_weak"]
    else:
        assert "The accounts are missing" in found["reason"]
        assert found["names"] == []
        with pytest.raises(ArtifactError, match="has no accounts"):
            restore(with_key(host, key), server, dry_run=True, overwrite=True)


def test_grants_on_what_is_gone_keep_nobody_from_a_restore(servers: dict[str, Server], host: Host) -> None:
    server = servers["mysql"]
    server.create(
        "vya_granted",
        "CREATE TABLE kept (a integer, b integer); CREATE TABLE gone (a integer);"
        "DROP USER IF EXISTS vya_grantee@localhost; CREATE USER vya_grantee@localhost;"
        "GRANT SELECT ON kept TO vya_grantee@localhost; GRANT UPDATE (a), INSERT (b) ON kept TO vya_grantee@localhost;"
        "GRANT DELETE ON gone TO vya_grantee@localhost; GRANT UPDATE (a) ON gone TO vya_grantee@localhost;"
        "DROP TABLE gone; ALTER TABLE kept DROP COLUMN a;",
    )
    try:
        engine = host.engine()
        assert engine.backup(database_id=server.database_id, databases=["vya_granted"]).ok
        server.sql("REVOKE SELECT ON vya_granted.kept FROM vya_grantee@localhost;")
        restored = engine.restore(database_id=server.database_id, database="vya_granted", overwrite=True)
        assert (restored.outcome, restored.differences) == ("success", ())
        grants = server.sql("SHOW GRANTS FOR vya_grantee@localhost;")
        assert re.search(r"GRANT .*SELECT.* ON `vya_granted`.`kept`", grants)
    finally:
        server.drop("vya_granted")
        server.sql("DROP USER vya_grantee@localhost;")
