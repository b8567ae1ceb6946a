# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The results as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BEGIN, END = "<!-- what notices what: begin -->", "<!-- what notices what: end -->"


def as_markdown(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return a table for each server, with the versions of what was compared.

    Args:
        documents: What the test host has written, for each kind of server.
    """
    return "\n".join(line for document in documents for line in _lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    server, *others = (f"{name} {version}" for name, version in document["versions"].items())
    tools = document["tools"]
    yield f"**{server}** ({', '.join(others)})"
    yield ""
    yield f"| | {' | '.join(tools)} |"
    yield f"|-|{'-|' * len(tools)}"
    for group, faults in document["groups"].items():
        yield f"| *{group}* |{' |' * len(tools)}"
        for fault, cells in faults.items():
            yield f"| {fault} | {' | '.join(cells[tool]['words'] if tool in cells else '' for tool in tools)} |"
    yield ""


def into_readme(readme: str, text: str) -> str:
    """Return the README with the tables between its two marks.

    Raises:
        ValueError: The README lacks the marks.
    """
    before, begin, rest = readme.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{text}{END}{after}"
