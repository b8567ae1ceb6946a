# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's one error tree. Each error is a sentence for a person: what failed, where, and what to do."""

from __future__ import annotations


class BackupDbError(Exception):
    """Base of everything the engine raises on purpose.

    Attributes:
        message: One sentence: what failed and what it means.
        hint: What to do about it; empty when the message already says it.
        exit_code: How the command line ends for this kind of error.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(BackupDbError):
    """The configuration or the arguments cannot be used."""

    exit_code = 2


class CredentialsError(BackupDbError):
    """The credentials or the host key are missing, unreadable or of another host."""

    exit_code = 3


class ServerError(BackupDbError):
    """A database server cannot be reached, refuses the account, or refuses a statement."""

    exit_code = 4


class PrivilegeError(ServerError):
    """The account lacks a privilege; asking again changes nothing."""


class ClientError(BackupDbError):
    """The vendor's client program is missing or does not fit the server.

    Attributes:
        check: The name of the check that says the same.
    """

    exit_code = 4

    def __init__(self, message: str, hint: str = "", *, check: str = "client-present") -> None:
        super().__init__(message, hint)
        self.check = check


class DumpError(BackupDbError):
    """A dump did not end as a whole: a process failed, was killed, stalled, or its end marker is missing."""


class StorageError(BackupDbError):
    """The backup storage cannot be read or written."""

    exit_code = 5


class ArtifactError(BackupDbError):
    """An artifact or its manifest is missing, damaged or not what it claims to be."""

    exit_code = 6


class DamageError(ArtifactError):
    """An artifact was read and is not what its manifest says: bytes were lost, changed or exchanged."""


class RestoreError(BackupDbError):
    """A restore was refused or failed; the message says what state the database is in."""

    exit_code = 7


class DrillError(BackupDbError):
    """What a drill loaded is not what the manifest says: the artifact does not bring back what was backed up."""


class NotPossibleError(BackupDbError):
    """A drill cannot be made on this host, so that nothing is known of the artifact."""


class DatabaseLostError(RestoreError):
    """A restore failed and the old database could not be brought back; its sealed safety backup is named."""


class LockedError(BackupDbError):
    """Another run is at work on the same database (EX_TEMPFAIL of sysexits.h: try again later)."""

    exit_code = 75


class StoppedError(BackupDbError):
    """The engine was told to stop by a signal and has cleaned up. Ends with 128 and the signal's number, as shells do.

    Attributes:
        signal_number: The signal.
    """

    exit_code = 143

    def __init__(self, message: str, hint: str = "", *, signal_number: int = 15) -> None:
        super().__init__(message, hint)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


def with_state(exc: BaseException, state: str) -> BaseException:
    """Add to an expected error in what state it leaves things."""
    if isinstance(exc, BackupDbError):
        return type(exc)(f"{exc.message.rstrip('.')}. {state}", exc.hint)
    return exc
