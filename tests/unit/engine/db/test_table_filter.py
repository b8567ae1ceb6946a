# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving of a dump only one table: all of its rows, and nothing of any other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmented_dumps import TABLES, mysql, mysql_in_calls, postgresql

from vya_backupdb.db.factory import table_filter

FORMS = {"postgresql": postgresql, "mysql": mysql, "mysql in calls": mysql_in_calls}


def filtered(dump: bytes, form: str, table: str, size: int) -> bytes:
    """Return what passes of a dump that comes in pieces."""
    flavour = "postgresql" if form == "postgresql" else "mariadb"
    chosen = table_filter(flavour, f"public.{table}" if form == "postgresql" else table)
    passed = [piece for start in range(0, len(dump), size) for piece in chosen.feed(dump[start : start + size])]
    return b"".join([*passed, *chosen.finish()])


def substance(passed: bytes) -> list[bytes]:
    """Return the lines but for comments and those that change the delimiter back and forth."""
    return [
        line for line in passed.splitlines() if line and not line.startswith((b"-- ", b"DELIMITER")) and line != b"--"
    ]


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(1, 400))
def test_a_table_passes_with_all_its_rows(form: str, tables: dict[str, list[str]], size: int) -> None:
    dump = FORMS[form](tables)
    for table, rows in tables.items():
        passed = filtered(dump, form, table, size)
        alone = filtered(FORMS[form]({table: rows}), form, table, 10_000)
        assert substance(passed) == substance(alone)
        assert b"CREATE TABLE" in passed
        if form == "postgresql":
            content = passed.split(b" FROM stdin;\n")[1].split(b"\\.\n")[0]
            assert content == "".join(f"{row}\n" for row in rows).encode()


@pytest.mark.parametrize("form", FORMS)
@given(tables=TABLES, size=st.integers(1, 400))
def test_nothing_of_other_tables_passes(form: str, tables: dict[str, list[str]], size: int) -> None:
    dump = FORMS[form]({**tables, "other": ["MARK"], "other_too": ["MARK"]})
    for table in tables:
        passed = filtered(dump, form, table, size)
        assert b"MARK" not in passed
        assert b"other" not in b"".join(substance(passed))


def test_triggers_and_settings_of_mysql_pass_and_drops_do_not() -> None:
    dump = mysql_in_calls({"a": ["x"], "b": ["y"]}).replace(
        b"CREATE TABLE `a`", b"DROP TABLE IF EXISTS `a`;\nCREATE TABLE `a`"
    )
    passed = filtered(dump, "mysql", "a", 1000)
    assert b"TRIGGER t_a BEFORE INSERT ON `a`" in passed
    assert b"t_b" not in passed
    assert b"DROP TABLE" not in passed
    assert passed.count(b"SET NAMES") == 3
    assert passed.count(b"DELIMITER ;;\n") == passed.count(b"DELIMITER ;\n")


def test_indexes_and_constraints_of_postgresql_pass_but_for_foreign_keys() -> None:
    more = """
--
-- Name: a a_pkey; Type: CONSTRAINT; Schema: public; Owner: me
--

ALTER TABLE ONLY public.a
    ADD CONSTRAINT a_pkey PRIMARY KEY (c);

--
-- Name: a a_fk; Type: FK CONSTRAINT; Schema: public; Owner: me
--

ALTER TABLE ONLY public.a
    ADD CONSTRAINT a_fk FOREIGN KEY (c) REFERENCES public.b(c);

--
-- Name: on public.a; Type: INDEX; Schema: public; Owner: me
--

CREATE UNIQUE INDEX "on public.a" ON public.b USING btree (c);

"""
    dump = postgresql({"a": ["x"], "b": ["y"]}).replace(
        b"--\n-- PostgreSQL database dump complete", more.encode() + b"--\n-- PostgreSQL database dump complete"
    )
    passed = filtered(dump, "postgresql", "a", 1000)
    assert b"a_pkey" in passed
    assert b"CREATE INDEX i ON public.a (c);" in passed
    assert b"a_fk" not in passed
    assert b"UNIQUE INDEX" not in passed
    unique = filtered(dump, "postgresql", "b", 1000)
    assert b"UNIQUE INDEX" in unique
    assert b"a_pkey" not in unique


@pytest.mark.parametrize("form", FORMS)
def test_a_table_whose_definition_has_not_passed_is_known(form: str) -> None:
    flavour, prefix = ("postgresql", "public.") if form == "postgresql" else ("mariadb", "")
    dump = FORMS[form]({"a": ["x"]})
    for table, there in (("a", True), ("b", False)):
        chosen = table_filter(flavour, prefix + table)
        assert list(chosen.feed(dump))
        assert chosen.defined is there
