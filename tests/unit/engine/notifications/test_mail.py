# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Mail: who gets which, how it reads, and what happens when the server does not want it."""

from __future__ import annotations

import dataclasses
import socket
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from vya_backupdb.config import Mail
from vya_backupdb.core.catalog import RunRecord
from vya_backupdb.core.events import Batch
from vya_backupdb.errors import BackupDbError
from vya_backupdb.notifications.mail import ATTEMPTS, MailObserver, compose, level_of
from vya_backupdb.security.credentials import Credential

START = datetime(2026, 1, 9, 2, 0, 0, tzinfo=timezone.utc)
GOOD = RunRecord(
    run_id="1",
    kind="backup",
    database_id="prod",
    database="shop",
    policy="nightly",
    trigger="timer",
    user="vya-backupdb",
    started_at=START,
    ended_at=START + timedelta(seconds=61.5),
    outcome="success",
    artifact="/var/backups/shop_20260109_020000.sql.gz",
    stored_bytes=1234567,
)
BAD = dataclasses.replace(
    GOOD, run_id="2", database="crm", outcome="failed", artifact=None, stored_bytes=None, error="The disk is full. Ünï."
)
LOGIN = Credential("mail", "robot", "s3cr3t-hunter")


def batch_of(*records: RunRecord, kind: str = "backup", policy: str | None = "nightly") -> Batch:
    """A command's end."""
    return Batch(kind, policy, "timer", records)


def observer_for(post: Any, credential: Credential | None = None, **settings: Any) -> MailObserver:
    """An observer that talks to the test's server and does not wait between attempts."""
    given = {
        "server": "127.0.0.1",
        "port": post.port,
        "security": "none",
        "sender": "backup@example.org",
        "on_success": ["good@example.org"],
        "on_failure": ["bad@example.org", "worse@example.org"],
        **settings,
    }
    return MailObserver(Mail(**given), credential, "db1", pause=0)


class TestWhoGetsWhat:
    """Successes go to some, failures to others."""

    def test_success(self, post: Any) -> None:
        observer_for(post).batch_finished(batch_of(GOOD, GOOD))
        [(mail, recipients)] = post.mails
        assert recipients == ["good@example.org"]
        assert mail["To"] == "good@example.org"
        assert mail["From"] == "backup@example.org"
        assert mail["Subject"] == "[SUCCESS] Backup on db1 (policy nightly): 2 of 2 succeeded"

    @pytest.mark.parametrize("outcome", ["failed", "vanished"])
    def test_one_failure_among_successes(self, post: Any, outcome: str) -> None:
        observer_for(post).batch_finished(batch_of(GOOD, dataclasses.replace(BAD, outcome=outcome)))
        [(mail, recipients)] = post.mails
        assert recipients == ["bad@example.org", "worse@example.org"]
        assert mail["Subject"] == "[WARNING] Backup on db1 (policy nightly): 1 of 2 succeeded"

    @pytest.mark.parametrize("records", [(GOOD,), (BAD,)])
    def test_nobody_wants_it(self, post: Any, records: tuple[RunRecord, ...]) -> None:
        observer_for(post, on_success=[], on_failure=[]).batch_finished(batch_of(*records))
        assert post.connections == 0

    def test_nothing_was_done(self, post: Any) -> None:
        observer_for(post).batch_finished(batch_of())
        assert post.connections == 0

    def test_single_runs_send_nothing(self, post: Any) -> None:
        observer_for(post).run_finished(BAD)
        assert post.connections == 0


class TestLevels:
    """How serious it is, in one word."""

    @pytest.mark.parametrize(
        ("records", "kind", "level"),
        [
            ((GOOD,), "backup", "SUCCESS"),
            ((GOOD, BAD), "backup", "WARNING"),
            ((GOOD, GOOD, BAD), "backup", "WARNING"),
            ((GOOD, BAD, BAD), "backup", "ERROR"),
            ((BAD,), "backup", "CRITICAL"),
            ((BAD, BAD), "backup", "CRITICAL"),
            ((BAD,), "restore", "CRITICAL"),
            ((GOOD,), "restore", "SUCCESS"),
        ],
    )
    def test_level(self, records: tuple[RunRecord, ...], kind: str, level: str) -> None:
        batch = batch_of(*records, kind=kind)
        assert level_of(batch) == level
        assert f"[{level}]" in compose(batch, "db1", "a@example.org", ["b@example.org"])["Subject"]


class TestText:
    """A person reads it."""

    def test_failures_come_first_with_their_reason(self, post: Any) -> None:
        observer_for(post).batch_finished(batch_of(GOOD, BAD))
        text = post.mails[0][0].get_content().replace("\r\n", "\n")
        assert text == (
            "Backup on db1 (policy nightly), started by its timer: 1 of 2 succeeded.\n"
            "\n"
            "Failed:\n"
            "  prod/crm: 2026-01-09 02:00:00 UTC, took 61.5 s\n"
            "    The disk is full. Ünï.\n"
            "\n"
            "Succeeded:\n"
            "  prod/shop: 2026-01-09 02:00:00 UTC, took 61.5 s, 1,234,567 bytes\n"
            "    /var/backups/shop_20260109_020000.sql.gz\n"
            "\n"
            "See on the host: journalctl -t vya-backupdb, and: vya-backupdb status\n"
        )

    def test_a_restore_by_hand(self) -> None:
        record = dataclasses.replace(GOOD, kind="restore", policy=None)
        mail = compose(Batch("restore", None, "ansible", (record,)), "db1", "a@example.org", ["b@example.org"])
        assert mail["Subject"] == "[SUCCESS] Restore on db1: 1 of 1 succeeded"
        assert mail.get_content().startswith("Restore on db1, started by Ansible: 1 of 1 succeeded.\n")

    def test_a_run_that_vanished_says_so(self) -> None:
        record = dataclasses.replace(BAD, outcome="vanished", error=None, ended_at=None)
        text = compose(batch_of(record), "db1", "a@example.org", ["b@example.org"]).get_content()
        assert "  prod/crm: 2026-01-09 02:00:00 UTC\n    vanished\n" in text

    def test_it_is_marked_as_automatic(self, post: Any) -> None:
        observer_for(post).batch_finished(batch_of(GOOD))
        mail = post.mails[0][0]
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Date"]
        assert mail["Message-ID"].endswith("@db1>")
        assert mail.get_content_type() == "text/plain"


class TestTransport:
    """TLS with a verified certificate, and no password without it."""

    @pytest.mark.usefixtures("trusted")
    def test_starttls_and_login(self, tls_post: Any) -> None:
        observer_for(tls_post, LOGIN, security="starttls").batch_finished(batch_of(GOOD))
        assert len(tls_post.mails) == 1
        assert tls_post.logins == [("robot", "s3cr3t-hunter")]
        assert tls_post.encrypted_logins == [True]

    @pytest.mark.usefixtures("trusted")
    def test_implicit_tls_and_login(self, tls_post: Any) -> None:
        tls_post.implicit_tls = True
        observer_for(tls_post, LOGIN, security="tls").batch_finished(batch_of(GOOD))
        assert len(tls_post.mails) == 1
        assert tls_post.encrypted_logins == [True]

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    def test_a_certificate_that_nobody_trusts_gets_nothing(self, tls_post: Any, security: str) -> None:
        tls_post.implicit_tls = security == "tls"
        with pytest.raises(BackupDbError, match="certificate verify failed"):
            observer_for(tls_post, LOGIN, security=security).batch_finished(batch_of(GOOD))
        assert (tls_post.mails, tls_post.logins) == ([], [])
        assert tls_post.connections == 1

    def test_a_server_without_tls_gets_nothing(self, post: Any) -> None:
        with pytest.raises(BackupDbError, match="STARTTLS extension not supported"):
            observer_for(post, LOGIN, security="starttls").batch_finished(batch_of(GOOD))
        assert (post.mails, post.logins, post.connections) == ([], [], 1)

    def test_no_password_crosses_the_network_in_clear(self) -> None:
        mail = Mail(server="mail.example.org", security="none", sender="a@example.org", on_success=["b@example.org"])
        with pytest.raises(BackupDbError, match=r"crossed the network in clear.*starttls or tls"):
            MailObserver(mail, LOGIN, "db1", pause=0).batch_finished(batch_of(GOOD))


class TestTrouble:
    """What passes is tried again; what does not is told in one sentence."""

    def test_a_passing_refusal_is_tried_again(self, post: Any) -> None:
        post.answers["MAIL"] = ["451 come back later", "451 come back later"]
        observer_for(post).batch_finished(batch_of(GOOD))
        assert (len(post.mails), post.connections) == (1, 3)

    def test_after_some_attempts_it_is_given_up(self, post: Any) -> None:
        post.answers["MAIL"] = ["451 come back later"] * 99
        with pytest.raises(BackupDbError, match=r"good@example\.org could not be sent by 127\.0\.0\.1: 451 come back"):
            observer_for(post).batch_finished(batch_of(GOOD))
        assert (post.mails, post.connections) == ([], ATTEMPTS)

    def test_a_lasting_refusal_is_not_tried_again(self, post: Any) -> None:
        post.answers["MAIL"] = ["550 never"]
        with pytest.raises(BackupDbError, match="550 never"):
            observer_for(post).batch_finished(batch_of(GOOD))
        assert post.connections == 1

    def test_a_rejected_password_is_not_shown(self, post: Any) -> None:
        post.answers["AUTH"] = ["535 bad password s3cr3t-hunter of robot"]
        with pytest.raises(BackupDbError, match=r"535 bad password \*{8}") as caught:
            observer_for(post, LOGIN).batch_finished(batch_of(GOOD))
        assert "s3cr3t" not in str(caught.value)
        assert post.connections == 1

    def test_recipients_that_are_all_refused(self, post: Any) -> None:
        post.answers["RCPT"] = ["550 unknown", "550 unknown"]
        with pytest.raises(BackupDbError, match=r"it refused bad@example\.org, worse@example\.org"):
            observer_for(post).batch_finished(batch_of(BAD))
        assert post.connections == 1

    def test_recipients_that_are_put_off_are_tried_again(self, post: Any) -> None:
        post.answers["RCPT"] = ["450 greylisted"]
        observer_for(post).batch_finished(batch_of(GOOD))
        assert (len(post.mails), post.connections) == (1, 2)

    def test_one_refused_recipient_does_not_give_the_others_two_mails(self, post: Any) -> None:
        post.answers["RCPT"] = ["450 greylisted"]
        with pytest.raises(BackupDbError, match=r"took the mail, but not for bad@example\.org"):
            observer_for(post).batch_finished(batch_of(BAD))
        assert [recipients for _, recipients in post.mails] == [["worse@example.org"]]

    def test_nobody_is_listening(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            mail = Mail(
                server="127.0.0.1",
                port=unused.getsockname()[1],
                security="none",
                sender="a@example.org",
                on_success=["b@example.org"],
            )
            with pytest.raises(BackupDbError, match=r"Connection refused\. The runs themselves ended"):
                MailObserver(mail, None, "db1", pause=0).batch_finished(batch_of(GOOD))

    def test_a_server_that_hangs_up(self, post: Any) -> None:
        post.answers["GREETING"] = ["421 too busy"]
        observer_for(post).batch_finished(batch_of(GOOD))
        assert (len(post.mails), post.connections) == (1, 2)
