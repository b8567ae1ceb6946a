# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare pipeline, the yardstick for what the engine adds to it: ``pipeline.py OUTPUT PROGRAM ARGUMENT...``.

Runs with the engine's own Python and libraries.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys

from isal import isal_zlib

READ_BYTES = 1024 * 1024
F_SETPIPE_SZ = 1031
GZIP_WINDOW = 31


def main(path: str, *command: str) -> int:
    """Dump, compress, hash, write and sync; returns the dump's exit code."""
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, GZIP_WINDOW)
    digest = hashlib.sha256()
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as child:
        if child.stdout is None:
            return 1
        fcntl.fcntl(child.stdout.fileno(), F_SETPIPE_SZ, READ_BYTES)
        while chunk := os.read(child.stdout.fileno(), READ_BYTES):
            data = compressor.compress(chunk)
            digest.update(data)
            os.write(output, data)
    data = compressor.flush()
    digest.update(data)
    os.write(output, data)
    os.fsync(output)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
