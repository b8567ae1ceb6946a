# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make another artifact of one that exists, and print its path as JSON.

make_artifact.py damage ARTIFACT DIRECTORY   a copy in which one bit in the middle is another
make_artifact.py break ARTIFACT DIRECTORY    a copy that is whole, but holds a statement that no server takes
make_artifact.py slow ARTIFACT DIRECTORY     a copy that is whole, but takes minutes to load
make_artifact.py age ARTIFACT TIME...        for each time a copy that claims to be from then, in its right place
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

SUFFIX, SEAL = ".manifest.json", "manifest_sha256"
ACCOUNT = "vya-backupdb"
INSERTED = {
    ("break", "mysql"): b"\nNO SERVER TAKES THIS;\n",
    ("break", "postgresql"): b"\nNO SERVER TAKES THIS;\n",
    ("slow", "mysql"): b"\nDO sleep(300);\n",
    ("slow", "postgresql"): b"\nSELECT pg_sleep(300);\n",
}


def write(path: Path, content: bytes, manifest: dict[str, Any]) -> str:
    """Write an artifact and its manifest as the engine's own user would have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**manifest, "artifact": path.name}
    for target, data in ((path, content), (Path(f"{path}{SUFFIX}"), sealed(document))):
        target.write_bytes(data)
        target.chmod(0o640)
        shutil.chown(target, ACCOUNT, ACCOUNT)
    for directory in (path.parent, path.parent.parent):
        if directory.owner() != ACCOUNT and directory != Path("/tmp"):
            shutil.chown(directory, ACCOUNT, ACCOUNT)
    return str(path)


def sealed(document: dict[str, Any]) -> bytes:
    """A manifest with a checksum of itself as its last entry."""
    entries = {key: value for key, value in document.items() if key != SEAL}
    body = json.dumps(entries).removesuffix("}").encode()
    return body + f',\n  "{SEAL}": "{hashlib.sha256(body).hexdigest()}"\n}}\n'.encode()


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def with_statement(content: bytes, manifest: dict[str, Any], statement: bytes) -> tuple[bytes, dict[str, Any]]:
    """Put a statement before the end of the dump, and make the manifest fit."""
    made, segments, plain_bytes = b"", [], 0
    last = max(index for index, segment in enumerate(manifest["segments"]) if segment["kind"] != "postamble")
    for index, segment in enumerate(manifest["segments"]):
        plain = gzip.decompress(content[segment["offset"] : segment["offset"] + segment["length"]])
        if index == last:
            cut = plain.rindex(
                b"\n\n", 0, plain.rindex(b"dump complete" if b"PostgreSQL" in plain else b"-- Dump completed")
            )
            plain = plain[:cut] + statement + plain[cut:]
        stored = gzip.compress(plain)
        segments.append({**segment, "offset": len(made), "length": len(stored), "plain_length": len(plain)})
        made += stored
        plain_bytes += len(plain)
    facts = {
        "segments": segments,
        "stored_bytes": len(made),
        "plain_bytes": plain_bytes,
        "sha256": hashlib.sha256(made).hexdigest(),
    }
    return made, {**manifest, **facts}


def main() -> None:
    how, artifact = sys.argv[1], Path(os.fsdecode(sys.argv[2]))
    content = artifact.read_bytes()
    manifest = json.loads(Path(f"{artifact}{SUFFIX}").read_bytes())
    made: list[str] = []
    if how == "age":
        name = artifact.name[: -len("_YYYYMMDD_HHMMSS.sql.gz")]
        for moment in sys.argv[3:]:
            digits = moment.replace("-", "").replace(":", "")
            path = artifact.parent.parent / moment[:10] / f"{name}_{digits[:8]}_{digits[9:15]}.sql.gz"
            made.append(write(path, content, {**manifest, "created_at": moment, "finished_at": moment}))
        json.dump(made, sys.stdout)
        return
    directory = Path(f"{sys.argv[3]}-{manifest['database_id']}")
    if how == "damage":
        content = damaged(content)
    else:
        family = "postgresql" if manifest["dbms"]["flavour"] == "postgresql" else "mysql"
        content, manifest = with_statement(content, manifest, INSERTED[how, family])
    json.dump(write(directory / artifact.name, content, manifest), sys.stdout)


main()
