# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Other roles in the statements in which ``pg_dump`` names roles."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .postgresql_settings import quote_name

_NAME = rb'(?:"(?:[^"]|"")*"|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)'
_BEFORE = re.compile(rb"(?:\s+|--[^\n]*\n)*")
_ROLE = rb"(?P<role>" + _NAME + rb")"
_TO = rb" (?:TO|FROM) " + _ROLE + rb"(?: WITH GRANT OPTION)?;\Z"
_STATEMENTS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rb"ALTER (?!DEFAULT ).* OWNER TO " + _ROLE + rb";\Z",
        rb"(?:GRANT|REVOKE) .*" + _TO,
        rb"ALTER DEFAULT PRIVILEGES FOR ROLE " + _ROLE + rb" ",
        rb"ALTER DEFAULT PRIVILEGES FOR ROLE .*" + _TO,
        rb"SET SESSION AUTHORIZATION " + _ROLE + rb";\Z",
        rb"CREATE USER MAPPING FOR " + _ROLE + rb" SERVER ",
    )
)
_POLICY = re.compile(
    rb"CREATE POLICY " + _NAME + rb" ON (?:" + _NAME + rb"\.)?" + _NAME + rb"(?: AS [A-Z]+)?(?: FOR [A-Z]+)? TO"
    rb"(?P<roles> " + _NAME + rb"(?:, " + _NAME + rb")*)(?: |;)"
)
_LISTED = re.compile(_NAME)


def with_roles(text: bytes, owners: Mapping[str, str]) -> bytes:
    """Return a statement of a dump, with what stands before it, in which roles have other names.

    Args:
        text: The statement, which ends with it.
        owners: By what roles are called in it, what they are to be called.
    """
    before = _BEFORE.match(text)
    start = before.end() if before else 0
    statement = text[start:]
    for pattern in _STATEMENTS:
        found = pattern.match(statement)
        if found is not None:
            begin, end = found.span("role")
            statement = statement[:begin] + _renamed(found.group("role"), owners) + statement[end:]
    policy = _POLICY.match(statement)
    if policy is not None:
        begin, end = policy.span("roles")
        roles = _LISTED.sub(lambda name: _renamed(name.group(), owners), policy.group("roles"))
        statement = statement[:begin] + roles + statement[end:]
    return text[:start] + statement


def _renamed(written: bytes, owners: Mapping[str, str]) -> bytes:
    if written == b"PUBLIC":  # nobody's name, without quotes
        return written
    name = written[1:-1].replace(b'""', b'"') if written.startswith(b'"') else written
    new = owners.get(name.decode("utf-8", "surrogateescape"))
    return written if new is None else quote_name(new).encode("utf-8")
