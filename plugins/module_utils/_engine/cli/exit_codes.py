# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the command ends."""

from __future__ import annotations

INTERNAL_ERROR = 70

EXIT_CODES = {
    0: "all was done",
    1: "at least one database or check failed",
    2: "the configuration or the arguments cannot be used",
    3: "the credentials, the host key or the age identity are missing, unreadable or of another host",
    4: "a server or the right client for it cannot be used",
    5: "the backup storage cannot be read or written",
    6: "an artifact or its manifest is missing or damaged",
    7: "a restore was refused, declined or failed",
    INTERNAL_ERROR: "an internal error, which is a defect of this program",
    75: "another run is at work on the same database; try again later",
    130: "stopped by SIGINT (Ctrl-C)",
    143: "stopped by SIGTERM, or because the terminal was closed",
}

# The backspace tells Typer's formatter to keep the lines of a paragraph.
EPILOG = "\b\nExit codes:\n" + "\n".join(f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES.items())
