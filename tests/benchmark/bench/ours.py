# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's cases: each variant is a policy with a configuration, a storage and a catalog of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .case import COPY, DATABASE, Case
from .data import TENTH
from .servers import ACCOUNT, PASSWORD, Server

ENGINE = Path("/opt/vya-backupdb/bin")
INSTANCE = "bench-01"
# A new variant is one entry: its name and what its policy says beyond the defaults.
VARIANTS: dict[str, dict[str, Any]] = {
    "gzip 1": {"compression": {"algorithm": "gzip", "level": 1}},
    "zstd 3": {"compression": {"algorithm": "zstd", "level": 3}},
    "parallel, zstd 3": {"strategy": "parallel", "compression": {"algorithm": "zstd", "level": 3}},
}
DEFAULT = "gzip 1"
ENCRYPTED = f"{DEFAULT}, age"
# Runs in the engine's Python: what the module backup_credentials does on a host.
_STORE_CREDENTIALS = """
import sys
from vya_backupdb.config_file import load_config
from vya_backupdb.security.credentials import open_store
from vya_backupdb.security.keys import create_host_key
config = load_config(sys.argv[1])
create_host_key(config.key_file)
open_store(config).set(*sys.argv[2:])
"""


class Installation:
    """The engine on this host, configured for one server and one variant."""

    def __init__(self, root: Path, server: Server, policy: Mapping[str, Any], identity: Path | None = None) -> None:
        """Write the configuration and store the account.

        Args:
            root: A directory of its own.
            server: The only instance.
            policy: What the policies say beyond the defaults.
            identity: Decrypts artifacts.
        """
        self.root = root
        self.config = root / "config.yml"
        self.backups = root / "backups"
        for directory in (root, root / "state", root / "metrics"):
            directory.mkdir(parents=True, exist_ok=True)
        document = {
            "schema_version": 1,
            "hostname": "benchmark",
            "storage": {"root": str(self.backups)},
            "state_directory": str(root / "state"),
            "credentials_file": str(root / "credentials.json"),
            "key_file": str(root / "host.key"),
            "metrics": {"textfile_directory": str(root / "metrics")},
            "age_identity_file": str(identity) if identity else None,
            "instances": [{"database_id": INSTANCE, **server.instance}],
            "policies": [
                {"name": "one", "include": [DATABASE], **policy},
                {"name": "small", "include": ["small_*"], **policy},
            ],
        }
        self.config.write_text(json.dumps(document, indent=2), "utf-8")  # JSON is YAML
        words = [str(ENGINE / "python"), "-c", _STORE_CREDENTIALS, str(self.config), INSTANCE, ACCOUNT, PASSWORD]
        subprocess.run(words, check=True)

    def call(self, *arguments: str) -> str:
        """Return the shell's line that calls the engine in the shell's place."""
        return shlex.join(["exec", str(ENGINE / "vya-backupdb"), "--config", str(self.config), *arguments])


def backup_cases(work: Path, server: Server) -> list[Case]:
    """Return a case for each variant, and one for the default with encryption."""
    cases = []
    identity = work / "identity.txt"
    encryption = {"encryption": {"recipients": [_make_identity(identity)]}}
    for name, policy in {**VARIANTS, ENCRYPTED: {**VARIANTS[DEFAULT], **encryption}}.items():
        ours = Installation(_root(work, name), server, policy, identity)
        cases.append(
            Case(
                f"ours, {name}",
                ours.call("backup", "--policy", "one"),
                output=ours.backups,
                load=ours.call("restore", INSTANCE, DATABASE, "--target", COPY, "--yes"),
                loaded_as=f"ours, {name}",
                creates=True,
                ours=True,
            )
        )
    return cases


def table_case(work: Path, server: Server) -> Case:
    """Return the restore of one table of a tenth of the data, out of the default variant's artifact."""
    ours = Installation(_root(work, DEFAULT), server, VARIANTS[DEFAULT])
    return Case(
        f"ours, {DEFAULT}: a table of a tenth",
        ours.call("restore", INSTANCE, DATABASE, "--table", server.inventory_name(TENTH), "--target", COPY, "--yes"),
        creates=True,
        ours=True,
        restores=True,
        table=TENTH,
    )


def _root(work: Path, variant: str) -> Path:
    return work / f"ours-{variant.replace(',', '').replace(' ', '-')}"


def _make_identity(path: Path) -> str:
    """Make what decrypts, and return the recipient that belongs to it."""
    path.unlink(missing_ok=True)
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    return subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True).stdout.strip()


def pipeline_case(work: Path, dump: str) -> Case:
    """Return the least that a Python process can do: the dump through ISA-L and SHA-256 into a file, nothing else."""
    output = work / "pipeline.sql.gz"
    return Case(
        "pipeline alone (dump, ISA-L 1, SHA-256)",
        f"exec {ENGINE}/python {Path(__file__).with_name('pipeline.py')} {output} {dump}",
        output=output,
        plain=f"gzip -dc {output}",
    )
