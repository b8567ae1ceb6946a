# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Encryption of artifacts by age, in passing: compressed bytes go in, and what comes out is the artifact.

The host needs only public keys (recipients), so that whoever steals it cannot read its old backups. Who holds an
identity (the private key) decrypts with the standard tool, ``age --decrypt``. The format authenticates every 64 KiB and
its end (https://age-encryption.org/v1), so what was changed or cut off does not decrypt.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Optional, Protocol, Union

from ..db.clients import find_program
from ..errors import ArtifactError, BackupDbError, ClientError, CredentialsError, DamageError, DumpError
from ..security.age_identity import AgeIdentity
from ..utils.memory import PIECE_BYTES
from ..utils.processes import Child, Command, ProcessTable, describe_exit, write_all

METHOD = "age"
EXTENSION = ".age"
UNPACKER = "age --decrypt --identity IDENTITY"  # as in the manifest's restore_by_hand
_STALL = timedelta(minutes=15)


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, ``size`` at most; none at the end."""


@dataclass(frozen=True)
class Decryption:
    """What encrypted artifacts are read with.

    Attributes:
        processes: What starts and ends children.
        identity: Of the host or of whoever restores; None without one, an error where it cannot be used.
    """

    processes: ProcessTable
    identity: Optional[Union[AgeIdentity, BackupDbError]] = None

    def identity_for(self, what: str) -> AgeIdentity:
        """Return the identity.

        Args:
            what: How to name what is to be decrypted in messages.

        Raises:
            CredentialsError: There is none, or it cannot be used.
        """
        if isinstance(self.identity, BackupDbError):
            raise self.identity
        if self.identity is None:
            raise CredentialsError(
                f"{what} is encrypted with age, and there is no identity to decrypt it with.",
                "Name the file that holds it: --identity, identity_file, or age_identity_file in the configuration.",
            )
        return self.identity


def find_age() -> str:
    """Return age's path.

    Raises:
        ClientError: It is not installed.
    """
    found = find_program("age")
    if found is None:
        raise ClientError(
            "The program age, which encrypts and decrypts artifacts, is not installed.",
            "Install the package age.",
            check="encryption",
        )
    return found


def try_recipients(processes: ProcessTable, recipients: Sequence[str]) -> bytes:
    """Encrypt nothing for recipients, to see that age takes them, and return what comes out.

    Raises:
        ClientError: age is not installed, or refuses one of them.
    """
    output = bytearray()
    with Encryptor(processes, recipients, output.extend) as encryptor:
        try:
            encryptor.finish()
        except DumpError as exc:
            raise ClientError(
                f"age cannot encrypt for the recipients of the policy: {exc.message}",
                "Correct encryption.recipients in the configuration.",
                check="encryption",
            ) from None
    return bytes(output)


def refuse_unopenable(recipients: Sequence[str], decryption: Decryption, what: str) -> None:
    """Refuse what is going to be encrypted for recipients if it could not be decrypted here.

    Args:
        recipients: Public keys.
        decryption: What it would be decrypted with.
        what: How to name it in messages.

    Raises:
        CredentialsError: It could not be decrypted.
        ClientError: age is not installed, or refuses a recipient.
    """
    decryption.identity_for(what)
    sample = try_recipients(decryption.processes, recipients)
    reading, writing = os.pipe()  # a header and an empty chunk, of which the pipe holds many
    with open(reading, "rb") as stream:
        with open(writing, "wb") as feeding:
            feeding.write(sample)
        with Decryptor(decryption, HashedFile(stream.fileno()), hashlib.sha256(sample).hexdigest(), what) as opened:
            opened.read(1)


class Encryptor:
    """An age that encrypts what is written to it, and hands on what comes out in a thread of its own."""

    def __init__(
        self,
        processes: ProcessTable,
        recipients: Sequence[str],
        sink: Callable[[bytes], object],
        stall_timeout: timedelta = _STALL,
    ) -> None:
        """Start it.

        Args:
            processes: What starts and ends children.
            recipients: Public keys; the holder of the identity of any of them can decrypt.
            sink: Takes the encrypted bytes; what it raises is raised by the next :meth:`write` or :meth:`finish`.
            stall_timeout: Longest time without age taking a byte, and longest for its end.

        Raises:
            ClientError: age is not installed.
        """
        words = (find_age(), "--encrypt", *(word for each in recipients for word in ("--recipient", each)))
        self._processes = processes
        self._sink = sink
        self._stall_timeout = stall_timeout
        self._error: Optional[BaseException] = None
        self._open = contextlib.ExitStack()
        self._child = self._open.enter_context(processes.start(Command(words), stdin=subprocess.PIPE))
        self._stdin = _unblocked_stdin(self._child)
        self._stdout = _stdout(self._child)
        self._thread = threading.Thread(target=self._hand_on, daemon=True, name="output of age")
        self._thread.start()

    def __enter__(self) -> Encryptor:
        return self

    def __exit__(
        self, _kind: Optional[type[BaseException]], _exc: Optional[BaseException], _where: Optional[TracebackType]
    ) -> None:
        """End age, whatever state it is in."""
        self._child.kill()
        self._thread.join()
        self._open.close()

    def _hand_on(self) -> None:
        try:
            while chunk := os.read(self._stdout, PIECE_BYTES):
                self._sink(chunk)
        except BaseException as exc:  # goes on to the thread that writes
            self._error = exc
            self._child.kill()

    def write(self, data: bytes) -> None:
        """Encrypt some bytes.

        Raises:
            DumpError: age failed.
            StorageError: The disk is full or failing.
        """
        try:
            write_all(self._stdin, data, self._stall_timeout)
        except BrokenPipeError:
            self._conclude()
            raise DumpError("age ended before it had everything.") from None
        except TimeoutError:
            raise DumpError(f"age took nothing for {self._stall_timeout} and has been ended.") from None

    def finish(self) -> str:
        """End the encryption; afterwards the sink has had everything.

        Returns:
            What age wrote to standard error.

        Raises:
            DumpError: age failed.
            StorageError: The disk is full or failing.
        """
        return self._conclude()

    def _conclude(self) -> str:
        _close_stdin(self._child)
        seconds = self._stall_timeout.total_seconds()
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise DumpError(f"age has not ended, or its output is not stored, after {self._stall_timeout}.")
        code = self._child.wait()
        if self._processes.cancelled.is_set():
            raise DumpError("The run was stopped before the dump was whole.")
        if self._error is not None:
            raise self._error
        if code != 0:
            raise DumpError(f"age failed ({describe_exit(code)}): {_reason(self._child)}.")
        return self._child.stderr


class HashedFile:
    """A file that is read once, from where its descriptor stands, and hashed on the way."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return the next bytes, ``size`` at most; none at the end.

        Raises:
            OSError: It cannot be read.
        """
        chunk = os.read(self._descriptor, size)
        self._digest.update(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        """The checksum of what has been read, hexadecimal."""
        return self._digest.hexdigest()


class Decryptor:
    """An age that decrypts an artifact; read from it as from a file."""

    def __init__(self, decryption: Decryption, stored: HashedFile, expected_sha256: str, what: str) -> None:
        """Start it.

        Args:
            decryption: What to decrypt with.
            stored: The encrypted artifact at its beginning; read in a thread of its own.
            expected_sha256: The manifest's checksum, which tells damage from a wrong identity.
            what: How to name the artifact in messages.

        Raises:
            CredentialsError: There is no identity to decrypt it with.
            ClientError: age is not installed.
        """
        self._processes = decryption.processes
        self._identity = decryption.identity_for(what)
        self._stored = stored
        self._expected_sha256 = expected_sha256
        self._what = what
        self._error: Optional[OSError] = None
        self._open = contextlib.ExitStack()
        # The identity may be root's alone and we are not: age reads it from memory that it inherits.
        command = Command((find_age(), "--decrypt", "--identity", "{secret}"), secret_file=self._identity.content)
        self._child = self._open.enter_context(self._processes.start(command, stdin=subprocess.PIPE))
        self._stdin = _unblocked_stdin(self._child)
        self._stdout = _stdout(self._child)
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN)
        self._thread = threading.Thread(target=self._supply, daemon=True, name="input of age")
        self._thread.start()

    def __enter__(self) -> Decryptor:
        return self

    def __exit__(
        self, _kind: Optional[type[BaseException]], _exc: Optional[BaseException], _where: Optional[TracebackType]
    ) -> None:
        """End age, whatever state it is in."""
        self.close()

    def close(self) -> None:
        """End age, whatever state it is in; harmless when repeated."""
        self._child.kill()
        self._thread.join()
        self._open.close()

    def _supply(self) -> None:
        try:
            while chunk := self._stored.read(PIECE_BYTES):
                write_all(self._stdin, chunk, None)  # as long as whoever reads takes
        except BrokenPipeError:
            pass  # it has ended; its exit code and its words say why
        except OSError as exc:
            self._error = exc
            self._child.kill()
        _close_stdin(self._child)

    def read(self, size: int) -> bytes:
        """Return the next decrypted bytes, ``size`` at most; none at the end.

        Raises:
            DamageError: It was changed or is cut off.
            CredentialsError: It cannot be decrypted with this identity.
            ArtifactError: age was ended.
            OSError: The artifact cannot be read.
        """
        if not self._poll.poll(_STALL.total_seconds() * 1000):
            self._child.kill()
            raise ArtifactError(f"{self._what} was not read to its end: age sent nothing for {_STALL}.")
        data = os.read(self._stdout, min(size, PIECE_BYTES))
        if not data:
            self._judge()
        return data

    def _judge(self) -> None:
        self._thread.join()
        code = self._child.wait()
        if self._error is not None:
            raise self._error
        if code == 0:
            return
        if code < 0 or self._processes.cancelled.is_set():
            raise ArtifactError(f"{self._what} was not read to its end: age was {describe_exit(code)}.")
        while self._stored.read(PIECE_BYTES):
            pass
        if self._stored.sha256 != self._expected_sha256:
            raise exchanged(self._what)
        reason = _reason(self._child)
        if "no identity matched" in reason:
            raise CredentialsError(
                f"{self._what} was not encrypted for the identity {self._identity.path}.",
                "Its manifest names the recipients under encryption.",
            )
        if "payload" in reason or "header" in reason:
            raise DamageError(f"{self._what} cannot be decrypted: {reason}.", "Use another artifact.")
        raise CredentialsError(  # age's own words might quote a line of the file
            f"{self._what} cannot be decrypted: age cannot use the identity {self._identity.path}.",
            "It must be a file as age-keygen or ssh-keygen writes it, without a passphrase.",
        )


def exchanged(what: str) -> DamageError:
    """Return the error of an artifact that has another checksum than its manifest says."""
    return DamageError(
        f"{what} is damaged or was exchanged: its SHA-256 is not that of its manifest.", "Use another artifact."
    )


def _unblocked_stdin(child: Child) -> int:
    stream = child.process.stdin
    if stream is None:
        raise DumpError(f"{child.program} was started without a pipe.")
    os.set_blocking(stream.fileno(), False)
    return stream.fileno()


def _stdout(child: Child) -> int:
    stream = child.process.stdout
    if stream is None:
        raise DumpError(f"{child.program} was started without a pipe.")
    return stream.fileno()


def _close_stdin(child: Child) -> None:
    if child.process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            child.process.stdin.close()


def _reason(child: Child) -> str:
    """Return age's first line; those that follow advertise where to report bugs."""
    lines = child.stderr.splitlines()
    return lines[0].removeprefix("age: error: ").rstrip(".") if lines else "it gave no reason"
