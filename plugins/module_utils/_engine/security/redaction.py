# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking secrets out of text that others wrote: messages of servers, drivers and client programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "********"
# Shorter ones occur in ordinary words; masking those would deface messages and, by the holes, tell the secret.
SHORTEST = 4

_QUOTED = r"""(?:'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")"""
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # IDENTIFIED BY 'x', IDENTIFIED WITH plugin AS 'x', IDENTIFIED VIA plugin USING PASSWORD('x')
        rf"(?P<before>\bidentified\s+(?:(?:with|via)\s+\S+\s+)?(?:by|as|using)\s+(?:password\s*\(?\s*)?){_QUOTED}",
        # SET PASSWORD FOR user = 'x', SET PASSWORD FOR user = PASSWORD('x')
        rf"(?P<before>\bset\s+password\s+for\s+\S+\s*=\s*(?:password\s*\(\s*)?){_QUOTED}",
        # PASSWORD 'x' of PostgreSQL, PASSWORD('x'), password="x", "password": "x"
        rf"(?P<before>(?:password|passwd|pwd|passphrase)[\"']?\s*[(=:]?\s*){_QUOTED}",
        # password=x, PGPASSWORD=x, MYSQL_PWD=x, password: x; but "(using password: YES)" of MySQL is worth reading
        r"(?P<before>(?:password|passwd|pwd|passphrase)\s*[=:]\s*)(?!(?:yes|no)\b)[^\s,;&'\")\]}]+",
        # postgresql://user:x@host
        r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/]+(?=@)",
    )
)


class Redactor:
    """Replaces known secrets, and what looks like one, by a mask of fixed length."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the secrets to look for, of which those of less than four characters are not looked for.

        Args:
            secrets: Passwords and the like; also found in the spellings that URLs, SQL and JSON give them.
        """
        spellings = {spelling for secret in secrets if len(secret) >= SHORTEST for spelling in _spellings(secret)}
        # The longest first: a password that contains another would else leave its rest in clear.
        ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __repr__(self) -> str:
        return "Redactor()"

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<before>{MASK}", text)
        return text


def _spellings(secret: str) -> set[str]:
    """A secret as it is, and as it appears in a URL, a string of SQL, of Python and of JSON."""
    escaped = secret.replace("\\", "\\\\")
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        secret.replace("'", "''"),
        secret.replace('"', '""'),
        escaped,
        escaped.replace("'", "\\'"),
        escaped.replace("'", "''"),
        escaped.replace('"', '\\"'),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
