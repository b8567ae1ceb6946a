# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Mail after a command: successes to some people, failures to others."""

from __future__ import annotations

import smtplib
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Optional

from ..config import Mail
from ..core.catalog import SUCCESS, RunRecord
from ..errors import BackupDbError
from ..security.redaction import Redactor

if TYPE_CHECKING:
    from ..core.events import Batch
    from ..security.credentials import Credential

ATTEMPTS = 4
TIMEOUT_SECONDS = 30
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_OPERATIONS = {
    "backup": "Backup",
    "restore": "Restore",
    "verification": "Verification",
    "drill": "Drill",
    "retention": "Retention",
}
_TRIGGERS = {"timer": "by its timer", "command": "by the command", "ansible": "by Ansible"}


class MailObserver:
    """Sends one mail for each command that has run anything."""

    def __init__(
        self,
        mail: Mail,
        credential: Optional[Credential],
        hostname: str,
        connect: Optional[Callable[[], smtplib.SMTP]] = None,
        pause: float = 10.0,
    ) -> None:
        """Take what is needed to send; nothing is connected yet.

        Args:
            mail: The server and the addresses.
            credential: The account at the server; None if it asks for none.
            hostname: This host, for the subject.
            connect: What opens a connection that is ready to send; by default one to the mail server.
            pause: Seconds before the second attempt; each further pause is twice as long.
        """
        self._mail = mail
        self._credential = credential
        self._hostname = hostname
        self._connect = connect or self._connect_to_server
        self._pause = pause

    def run_finished(self, record: RunRecord) -> None:
        """Do nothing: the mail comes once for all runs of a command."""

    def batch_finished(self, batch: Batch) -> None:
        """Tell those who want to know.

        Raises:
            BackupDbError: The mail could not be sent, after several attempts.
        """
        failed = any(record.outcome != SUCCESS for record in batch.records)
        recipients = self._mail.on_failure if failed else self._mail.on_success
        if batch.records and recipients:
            self._send(compose(batch, self._hostname, self._mail.sender, recipients))

    def _send(self, message: EmailMessage) -> None:
        import tenacity

        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(multiplier=self._pause),
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            attempts(self._deliver, message)
        except (OSError, smtplib.SMTPException) as exc:
            raise BackupDbError(
                f"The mail to {message['To']} could not be sent by {self._mail.server}: {self._reason(exc)}.",
                "The runs themselves ended as the catalog says; check notifications.mail in the configuration.",
            ) from None

    def _deliver(self, message: EmailMessage) -> None:
        with self._connect() as server:
            refused = server.send_message(message)
        if refused:  # some of them: the others have got it, so there must be no further attempt
            raise BackupDbError(
                f"The mail server {self._mail.server} took the mail, but not for {', '.join(sorted(refused))}.",
                "Correct the addresses in notifications.mail.",
            )

    def _connect_to_server(self) -> smtplib.SMTP:
        mail = self._mail
        if mail.security == "none" and self._credential is not None and mail.server not in _THIS_MACHINE:
            raise BackupDbError(
                f"No mail was sent: the password for {mail.server} would have crossed the network in clear.",
                "Set notifications.mail.security to starttls or tls.",
            )
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if mail.security == "tls":
            server = smtplib.SMTP_SSL(mail.server, mail.port, timeout=TIMEOUT_SECONDS, context=context)
        else:
            server = smtplib.SMTP(mail.server, mail.port, timeout=TIMEOUT_SECONDS)
        try:
            if mail.security == "starttls":
                server.starttls(context=context)
            if self._credential is not None:
                server.login(self._credential.username, self._credential.password)
        except BaseException:
            server.close()
            raise
        return server

    def _reason(self, exc: Exception) -> str:
        """A failure in words; servers sometimes repeat what they were told."""
        if isinstance(exc, smtplib.SMTPRecipientsRefused):
            text = "it refused " + ", ".join(exc.recipients)
        elif isinstance(exc, smtplib.SMTPResponseException):
            answer = exc.smtp_error
            text = f"{exc.smtp_code} " + (answer.decode(errors="replace") if isinstance(answer, bytes) else answer)
        else:
            text = str(exc) or type(exc).__name__
        secrets = [self._credential.password] if self._credential is not None else []
        return Redactor(secrets).text(" ".join(text.split())).rstrip(".")


def compose(batch: Batch, hostname: str, sender: str, recipients: Iterable[str]) -> EmailMessage:
    """Write the mail about a command's runs as plain text."""
    level = level_of(batch)
    total, good = len(batch.records), sum(record.outcome == SUCCESS for record in batch.records)
    operation = _OPERATIONS.get(batch.kind, batch.kind.capitalize())
    policy = f" (policy {batch.policy})" if batch.policy else ""
    message = EmailMessage()
    message["Subject"] = f"[{level}] {operation} on {hostname}{policy}: {good} of {total} succeeded"
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=hostname)
    message["Auto-Submitted"] = "auto-generated"
    started = f"started {_TRIGGERS.get(batch.trigger, batch.trigger)}"
    lines = [f"{operation} on {hostname}{policy}, {started}: {good} of {total} succeeded.", ""]
    for title, records in (
        ("Failed", [record for record in batch.records if record.outcome != SUCCESS]),
        ("Succeeded", [record for record in batch.records if record.outcome == SUCCESS]),
    ):
        if records:
            lines += [f"{title}:", *(line for record in records for line in _described(record)), ""]
    if good < total:
        lines.append("See on the host: journalctl -t vya-backupdb, and: vya-backupdb status")
    message.set_content("\n".join(lines))
    return message


def level_of(batch: Batch) -> str:
    """Return how serious a command's end is.

    SUCCESS: all runs succeeded. WARNING: some failed, at most half of them. ERROR: more than half of them failed.
    CRITICAL: all of them failed, or any restore did.
    """
    outcomes = Counter(record.outcome == SUCCESS for record in batch.records)
    if not outcomes[False]:
        return "SUCCESS"
    if not outcomes[True] or batch.kind == "restore":
        return "CRITICAL"
    return "WARNING" if outcomes[False] <= outcomes[True] else "ERROR"


def _described(record: RunRecord) -> list[str]:
    facts = [f"{record.started_at:%Y-%m-%d %H:%M:%S} UTC"]
    if record.duration is not None:
        facts.append(f"took {record.duration:.1f} s")
    if record.stored_bytes is not None:
        facts.append(f"{record.stored_bytes:,} bytes")
    lines = [f"  {record.database_id}/{record.database}: {', '.join(facts)}"]
    if record.outcome != SUCCESS:
        lines.append(f"    {record.error or record.outcome}")
    elif record.artifact:
        lines.append(f"    {record.artifact}")
    return lines


def _may_pass(exc: BaseException) -> bool:
    """Whether another attempt makes sense: not after the server's lasting refusal (5xx) or a bad certificate."""
    if isinstance(exc, smtplib.SMTPResponseException):
        return exc.smtp_code < 500
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        return all(code < 500 for code, _text in exc.recipients.values())
    if isinstance(exc, (ssl.SSLCertVerificationError, smtplib.SMTPNotSupportedError)):
        return False
    return isinstance(exc, (OSError, smtplib.SMTPException))
