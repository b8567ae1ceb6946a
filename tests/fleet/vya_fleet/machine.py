# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a host takes over from the machine so that name resolution, TLS and pip work in it as they do outside."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from pathlib import Path

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n?", re.S)
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


def added_certificates(ours: str, theirs: str) -> list[str]:
    """The certificates of one PEM bundle that another lacks."""
    known = {"".join(pem.split()) for pem in _PEM.findall(theirs)}
    return [pem for pem in _PEM.findall(ours) if "".join(pem.split()) not in known]


def resolv_conf(text: str, upstream: str = "") -> str:
    """A resolv.conf for a host: a resolver on the machine's loopback is replaced by those behind it."""
    servers = [line for line in text.splitlines() if line.split()[:1] == ["nameserver"]]
    if upstream and all(line.split()[1].startswith("127.") for line in servers):
        text = upstream
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip() and not line.startswith("#"))


def machine_resolv_conf() -> str:
    """The resolv.conf that this machine's hosts get."""
    upstream = Path("/run/systemd/resolve/resolv.conf")
    behind = upstream.read_text(encoding="utf-8") if upstream.exists() else ""
    return resolv_conf(Path("/etc/resolv.conf").read_text(encoding="utf-8"), behind)


def pip_conf(settings: Mapping[str, str]) -> str:
    """A pip configuration for a host: the machine's indexes as far as a host can reach them, and its CA bundle.

    Args:
        settings: The machine's pip options by long name (``index-url``).
    """
    lines = ["[global]", f"cert = {CA_BUNDLE}", "disable-pip-version-check = true"]
    for option in ("index-url", "extra-index-url", "trusted-host", "timeout", "proxy"):
        words = settings.get(option, "").split()
        if option.endswith("index-url"):
            words = [word for word in words if word.startswith(("http://", "https://"))]
        if words:
            lines.append(f"{option} = {' '.join(words)}")
    return "\n".join(lines) + "\n"


def machine_pip_settings(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """This machine's pip options, from its files and the environment, the latter winning as they do for pip."""
    parser = configparser.RawConfigParser()
    files = [os.path.expanduser(path) for path in _PIP_FILES]
    parser.read([*files, environ["PIP_CONFIG_FILE"]] if "PIP_CONFIG_FILE" in environ else files, encoding="utf-8")
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings.update(parser.items(section))
    named = {"default-timeout": "timeout"}
    for key, value in environ.items():
        if key.startswith("PIP_"):
            settings[key[4:].lower().replace("_", "-")] = value
    return {named.get(key, key): value for key, value in settings.items()}
