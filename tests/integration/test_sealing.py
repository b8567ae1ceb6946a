# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a sealed artifact says of itself is true: its objects, its rows, its place in the log, its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Host, Server

from vya_backupdb.core.manifest import Manifest
from vya_backupdb.core.storage import find_artifact


@pytest.fixture(scope="module")
def sampled(servers: dict[str, Server]) -> Iterator[None]:
    """The sample database on each server."""
    for each in servers.values():
        each.load_sample("vya_sample")
    yield
    for each in servers.values():
        each.drop("vya_sample")


def backed_up(host: Host, server: Server, name: str) -> Manifest:
    result = host.engine().backup(database_id=server.database_id, databases=[name]).results[0]
    assert result.outcome == "success", result.error
    return find_artifact(Path(str(result.artifact))).manifest


def true_counts(server: Server, name: str) -> dict[str, int]:
    """Ask the server for the rows of every table that keeps rows of its own."""
    if server.kind == "postgresql":
        tables = server.sql(
            "SELECT json_agg(json_build_array(n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname)))"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
            " AND n.nspname !~ '^(pg_|information_schema)' AND NOT EXISTS"
            " (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e');",
            name,
        )
        return {
            shown: int(server.sql(f"SELECT count(*) FROM ONLY {quoted};", name)) for shown, quoted in json.loads(tables)
        }
    rows = server.sql(
        "SELECT CONCAT('[', GROUP_CONCAT(JSON_ARRAY(TABLE_NAME, TABLE_TYPE)), ']') FROM information_schema.TABLES WHERE"
        f" TABLE_SCHEMA = '{name}' AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND ENGINE <> 'MRG_MyISAM'"
        " AND ENGINE <> 'FEDERATED';".replace("SELECT", "SET group_concat_max_len = 1000000; SELECT", 1)
    )
    counts = {}
    for table, kind in json.loads(rows.replace("\\\\", "\\")):
        history = " FOR SYSTEM_TIME ALL" if kind == "SYSTEM VERSIONED" else ""
        counts[table] = int(server.sql(f"SELECT COUNT(*) FROM {server.quoted(table)}{history};", name))
    return counts


def test_rows_are_counted_exactly(server: Server, host: Host, sampled: None) -> None:
    manifest = backed_up(host, server, "vya_sample")

    assert manifest.rows == true_counts(server, "vya_sample")
    assert manifest.row_counts["approximate"] is False
    accounted = {*manifest.rows, *manifest.row_counts["left_out"]}
    assert accounted >= {*manifest.inventory["table"], *manifest.inventory.get("foreign_table", ())}
