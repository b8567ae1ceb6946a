# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's package sources as this machine has them, turned into sources for another suite."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Debian's own public addresses, for machines whose sources name no Debian mirror (Ubuntu).
PUBLIC_MIRROR = "http://deb.debian.org/debian"
PUBLIC_SECURITY = "http://deb.debian.org/debian-security"
_RELEASES = "buster|bullseye|bookworm|trixie|forky|sid|oldstable|stable|testing|unstable"
_SUITE = re.compile(rf"^(?:{_RELEASES})(?P<kind>|-updates|-security|/updates)$")
_APT_OPTIONS = re.compile(
    r"^Acquire::(?:https?::(?:\S+::)?(?:Proxy|CaInfo|Verify-\w+)|Check-Valid-Until|Check-Date|Retries)\s", re.I
)


@dataclass(frozen=True)
class Source:
    """One binary package source: an address, the suites and components used of it, its options."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


def parse_one_line(text: str) -> list[Source]:
    """Read a ``sources.list`` in the one-line format; lines of other types are left out."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<rest>[^#]+)", line)
        words = match["rest"].split() if match else []
        if match is None or len(words) < 2:
            continue
        pairs = (option.partition("=") for option in (match["options"] or "").split())
        options = {key.lower(): value for key, _, value in pairs}
        found.append(Source(words[0], (words[1],), tuple(words[2:]), options))
    return found


def parse_deb822(text: str) -> list[Source]:
    """Read a ``.sources`` file; disabled stanzas and those of other types are left out."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                key = name.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        options = {k: v for k, v in fields.items() if k in {"signed-by", "trusted", "check-valid-until"}}
        suites, components = tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split())
        found += [Source(uri, suites, components, options) for uri in fields.get("uris", "").split()]
    return found


def machine_sources(etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """All enabled sources of this machine, in apt's order."""
    found = []
    for path in [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]:
        if path.suffix == ".list" and path.is_file():
            found += parse_one_line(path.read_text(encoding="utf-8"))
        elif path.suffix == ".sources" and path.is_file():
            found += parse_deb822(path.read_text(encoding="utf-8"))
    return found


def _address(uri: str) -> str | None:
    """The http address behind a source's URI; Debian's cloud images name a file that lists mirrors."""
    if uri.startswith("mirror+file:"):
        listed = Path("/" + uri.removeprefix("mirror+file:").lstrip("/"))
        uri = next(iter(listed.read_text(encoding="utf-8").split()), "") if listed.is_file() else ""
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else None


def _find(sources: Iterable[Source], kinds: set[str]) -> Source | None:
    """The machine's Debian source of a kind; one signed by Debian comes before, say, a vendor's repository."""
    fitting = []
    for source in sources:
        address = _address(source.uri)
        matches = (_SUITE.match(suite) for suite in source.suites)
        if address and "main" in source.components and any(m and m["kind"] in kinds for m in matches):
            fitting.append(Source(address, source.suites, source.components, source.options))
    fitting.sort(key=lambda s: "debian-archive" not in s.options.get("signed-by", "debian-archive"))
    return fitting[0] if fitting else None


def _line(source: Source, suite: str) -> str:
    key = source.options.get("signed-by", "")
    options = {"signed-by": key if key.startswith("/") and "\n" not in key else DEFAULT_KEYRING}
    options |= {k: v for k, v in source.options.items() if k in {"trusted", "check-valid-until"}}
    return f"deb [{' '.join(f'{k}={v}' for k, v in options.items())}] {source.uri} {suite} main"


def lines_for(suite: str, sources: Iterable[Source], mirror: str | None = None) -> list[str]:
    """The ``sources.list`` of a host of a suite, from the same mirrors that this machine uses.

    Args:
        suite: The codename of the host's release.
        sources: This machine's sources.
        mirror: A Debian mirror to use instead of what the sources name.

    Returns:
        One-line entries: the release, and its updates and security suites where this machine uses them too.
    """
    known = list(sources)
    main = Source(mirror.rstrip("/"), (), ()) if mirror else _find(known, {""})
    if main is None:
        main = Source(PUBLIC_MIRROR, (), ())
        known = [Source(PUBLIC_SECURITY, ("stable-security",), ("main",))]
    lines = [_line(main, suite)]
    if suite == "sid":
        return lines
    updates = None if mirror else _find(known, {"-updates"})
    security = None if mirror else _find(known, {"-security", "/updates"})
    lines += [_line(updates, f"{suite}-updates")] if updates else []
    lines += [_line(security, f"{suite}-security")] if security else []
    return lines


def keyrings(lines: Iterable[str]) -> set[str]:
    """The files of keys that one-line sources name."""
    return {path for line in lines for path in re.findall(r"signed-by=([^] ]+)", line)}


def configured_lines(suite: str) -> list[str]:
    """The sources for a suite on this machine; VYA_FLEET_MIRROR overrides the mirror."""
    return lines_for(suite, machine_sources(), os.environ.get("VYA_FLEET_MIRROR"))


def configured_options(suite: str) -> list[str]:
    """This machine's apt options that say how to reach a mirror (proxies, date checks), as apt.conf lines."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    options = [line for line in dump.splitlines() if _APT_OPTIONS.match(line)]
    if suite == "sid":
        # Frozen copies of sid outlive the week for which its index is declared valid.
        options.append('Acquire::Check-Valid-Until "false";')
    return list(dict.fromkeys(options))
