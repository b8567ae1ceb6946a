# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a restored database has otherwise than the server had it is told, also where no restore fails by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Host, Server

from vya_backupdb.core.manifest import SUFFIX, seal_document

GRANT = {
    "mysql": ("CREATE USER vya_gone@localhost;", "GRANT SELECT ON vya_shop.item TO vya_gone@localhost;"),
    "postgresql": ("CREATE ROLE vya_gone;", "GRANT SELECT ON item TO vya_gone;"),
}


@pytest.fixture
def artifact(server: Server, host: Host, shop: str) -> Path:
    """An artifact of the database."""
    (result,) = host.engine().backup(database_id=server.database_id, databases=[shop]).results
    return Path(str(result.artifact))


@pytest.fixture
def granted(server: Server, shop: str) -> Iterator[None]:
    """An account that may read a table of the database, and that a test may drop."""
    account, grant = GRANT[server.kind]
    server.sql(account)
    server.sql(grant, shop)
    yield
    if server.kind == "mysql":
        server.sql("DROP USER IF EXISTS vya_gone@localhost;")
    else:
        server.drop(shop)
        server.sql("DROP ROLE IF EXISTS vya_gone;")


@pytest.fixture
def change(artifact: Path) -> Callable[[Callable[[Any], None]], None]:
    """Change what the manifest says."""
    path = artifact.with_name(artifact.name + SUFFIX)

    def changed(how: Callable[[Any], None]) -> None:
        document = json.loads(path.read_bytes())
        how(document)
        path.write_bytes(seal_document(document))

    return changed


def differences(host: Host, server: Server, shop: str, **more: Any) -> tuple[str, ...]:
    report = host.engine().restore(database_id=server.database_id, database=shop, **more)
    assert report.outcome == "success"
    return report.differences


def other_digests(document: Any) -> None:
    for kind in ("table", "view"):
        for name in document["figures"]["objects"][kind]:
            document["figures"]["objects"][kind][name] = "0" * 32


def test_all_is_as_it_was(server: Server, host: Host, shop: str, granted: None, artifact: Path) -> None:
    assert differences(host, server, shop, overwrite=True) == ()
    assert differences(host, server, shop, target="vya_shop_too") == ()
    server.drop("vya_shop_too")


def test_other_definitions_are_told(
    server: Server, host: Host, shop: str, change: Callable[[Callable[[Any], None]], None]
) -> None:
    change(other_digests)
    prefix = "" if server.kind == "mysql" else "public."
    expected = (
        f"table {prefix}item is not as it was in the server",
        f"view {prefix}labels is not as it was in the server",
    )
    assert differences(host, server, shop, overwrite=True) == expected
    assert server.sql("SELECT count(*) FROM labels;", shop) == "3"


def test_nothing_is_told_where_another_version_may_write_them_otherwise(
    server: Server, host: Host, shop: str, change: Callable[[Callable[[Any], None]], None]
) -> None:
    def earlier(document: Any) -> None:
        other_digests(document)
        document["dbms"]["version"] = ".".join([*document["dbms"]["version"].split(".")[:1], "0"])

    change(earlier)
    assert differences(host, server, shop, overwrite=True) == ()


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_a_grant_to_an_account_that_is_gone_is_told(
    server: Server, host: Host, shop: str, granted: None, artifact: Path
) -> None:
    server.sql("DROP USER vya_gone@localhost;")
    (told,) = differences(host, server, shop, overwrite=True)
    assert told.startswith("grant vya_gone@localhost on `item`")
    assert told.endswith(" is missing")


def test_where_numbers_go_on_is_told(server: Server, host: Host, make_database: Callable[..., str]) -> None:
    number = "integer AUTO_INCREMENT" if server.kind == "mysql" else "serial"
    name = make_database("vya_numbers", f"CREATE TABLE item (id {number} PRIMARY KEY);")
    server.sql(f"INSERT INTO item {'() VALUES ()' if server.kind == 'mysql' else 'DEFAULT VALUES'};", name)
    (result,) = host.engine().backup(database_id=server.database_id, databases=[name]).results
    path = Path(str(result.artifact) + SUFFIX)
    document = json.loads(path.read_bytes())
    ((counter, span),) = document["figures"]["positions"].items()
    assert span == [2, 2]
    document["figures"]["positions"][counter] = [7, 9]
    path.write_bytes(seal_document(document))
    (told,) = differences(host, server, name, overwrite=True)
    assert told == f"the sequence or automatic number {counter} goes on at 2 instead of 7 to 9"
