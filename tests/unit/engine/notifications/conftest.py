# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""A mail server of our own, which does what a test wants of it."""

from __future__ import annotations

import base64
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest


@dataclass
class Post:
    """What the server has been told, and what it is to answer.

    Attributes:
        port: Where it listens.
        mails: The mails taken, each with its recipients.
        logins: User names and passwords that were offered.
        connections: How often somebody came.
        answers: Answers to give instead of the usual ones, by command; each is used once, in order.
        context: Its certificate; None if it speaks no TLS.
        implicit_tls: Whether TLS begins with the connection.
        encrypted_logins: Whether each login came through TLS.
    """

    port: int = 0
    mails: list[tuple[EmailMessage, list[str]]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0
    answers: dict[str, list[str]] = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    implicit_tls: bool = False
    encrypted_logins: list[bool] = field(default_factory=list)


class _Conversation(socketserver.StreamRequestHandler):
    post: Post

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def encrypt(self) -> None:
        assert self.post.context is not None
        self.request = self.post.context.wrap_socket(self.request, server_side=True)
        self.rfile = self.request.makefile("rb")
        self.wfile = self.request.makefile("wb", buffering=0)

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def handle(self) -> None:
        self.post.connections += 1
        try:
            if self.post.implicit_tls:
                self.encrypt()
            self.say(self.special("GREETING") or "220 test")
            self.converse()
        except (OSError, ssl.SSLError):
            pass

    def special(self, command: str) -> str | None:
        waiting = self.post.answers.get(command)
        return waiting.pop(0) if waiting else None

    def converse(self) -> None:
        recipients: list[str] = []
        while line := self.rfile.readline():
            command, _, rest = line.decode().strip().partition(" ")
            command = command.upper()
            if answer := self.special(command):
                self.say(answer)
            elif command == "EHLO":
                offers = ["test", "AUTH PLAIN"]
                if self.post.context and not isinstance(self.request, ssl.SSLSocket):
                    offers.append("STARTTLS")
                for number, offer in enumerate(offers, start=1):
                    self.say(f"250{' ' if number == len(offers) else '-'}{offer}")
            elif command == "STARTTLS":
                self.say("220 go ahead")
                self.encrypt()
            elif command == "AUTH":
                _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                self.post.logins.append((user, password))
                self.post.encrypted_logins.append(isinstance(self.request, ssl.SSLSocket))
                self.say("235 welcome")
            elif command == "RCPT":
                recipients.append(rest.partition(":")[2].strip("<>"))
                self.say("250 fine")
            elif command == "DATA":
                self.say("354 go on")
                content = b""
                while (line := self.rfile.readline()) != b".\r\n":
                    content += line
                mail = message_from_bytes(content, policy=policy.default)
                assert isinstance(mail, EmailMessage)
                self.post.mails.append((mail, recipients))
                self.say("250 taken")
            elif command == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 fine")


@pytest.fixture
def post() -> Iterator[Post]:
    """A mail server on this machine, for one test."""
    state = Post()

    class Handler(_Conversation):
        post = state

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, signed by itself, and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_post(post: Post, certificate: Path) -> Post:
    """The mail server with a certificate, which nobody trusts yet."""
    post.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    post.context.load_cert_chain(certificate)
    return post


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process trusts the server's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
