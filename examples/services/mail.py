"""An SMTP server on loopback that delivers into one Maildir a recipient, and its client.

It speaks the part of RFC 5321 that a sender needs: EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP, QUIT.
Recipients at `greylisted.example` are greylisted, as many real servers do with a sender they have
not seen: the first attempt gets "451 try again later", the next one is taken.
"""

from __future__ import annotations

import mailbox
import smtplib
import socketserver
import threading
from contextlib import suppress
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Self

MAX_LINE = 1000
GREYLISTED = "@greylisted.example"


class _Conversation(socketserver.StreamRequestHandler):
    """One connection: what was said so far is `_sender` and `_recipients`."""

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, _Server)
        self._office = self.server

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client may hang up whenever it likes
            self._converse()

    def _converse(self) -> None:
        self._reset()
        self._say("220 loopback at your service")
        while line := self.rfile.readline(MAX_LINE + 1):
            if not line.endswith(b"\n"):
                self._say("500 line too long")
                return
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if verb.upper() == "QUIT":
                self._say("221 bye")
                return
            self._say(self._answer(verb.upper(), rest))

    def _answer(self, verb: str, rest: str) -> str:
        match verb:
            case "EHLO":
                self._reset()
                return "250-loopback\r\n250 8BITMIME"
            case "HELO" | "RSET":
                self._reset()
                return "250 ok"
            case "NOOP":
                return "250 ok"
            case "MAIL":
                self._reset()
                self._sender = _address(rest, "FROM:")
                return "250 ok" if self._sender else "501 MAIL FROM:<address>"
            case "RCPT":
                return self._recipient(_address(rest, "TO:"))
            case "DATA":
                return self._data()
            case _:
                return "502 not implemented"

    def _recipient(self, address: str) -> str:
        if not self._sender:
            return "503 MAIL first"
        if "@" not in address or "/" in address:
            return "501 RCPT TO:<address>"
        if address.endswith(GREYLISTED) and self._office.first_attempt(self._sender, address):
            return "451 greylisted, try again later"
        self._recipients.append(address)
        return "250 ok"

    def _data(self) -> str:
        if not self._recipients:
            return "503 RCPT first"
        self._say("354 end with a dot on a line of its own")
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            # RFC 5321, 4.5.2: the sender doubled a leading dot; take one off again.
            lines.append(line[1:] if line.startswith(b".") else line)
        if not line:
            raise ConnectionAbortedError("hung up in the middle of a mail: nothing is delivered")
        for address in self._recipients:
            self._office.deliver(address, b"".join(lines))
        self._reset()
        return "250 delivered"

    def _reset(self) -> None:
        self._sender = ""
        self._recipients: list[str] = []

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode("ascii") + b"\r\n")


def _address(rest: str, prefix: str) -> str:
    if not rest.upper().startswith(prefix):
        return ""
    return parseaddr(rest[len(prefix) :].partition(" ")[0])[1]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # so that server_close() joins the open connections

    def __init__(self, spool: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self._spool = spool
        self._lock = threading.Lock()
        self._seen: set[tuple[str, str]] = set()

    def first_attempt(self, sender: str, recipient: str) -> bool:
        with self._lock:
            first = (sender, recipient) not in self._seen
            self._seen.add((sender, recipient))
            return first

    def deliver(self, address: str, message: bytes) -> None:
        with self._lock:
            mailbox.Maildir(self._spool / address).add(message)


class MailService:
    """The server, running from `__enter__` to `__exit__`."""

    def __init__(self, spool: Path) -> None:
        spool.mkdir()
        self._spool = spool
        self._server = _Server(spool)
        # A daemon, since Ctrl-C may come when it has started and `__enter__` has not returned.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def delivered(self) -> dict[str, list[str]]:
        """The subjects that each recipient got."""
        return {
            folder.name: [str(message["Subject"]) for message in mailbox.Maildir(folder)]
            for folder in sorted(self._spool.iterdir())
        }


class Mail:
    """The client."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, recipient: str, subject: str, text: str) -> None:
        """Hand one mail over; raises `smtplib.SMTPException` where the server will not have it."""
        message = EmailMessage()
        message["From"] = "welcome@shop.example"
        message["To"] = recipient
        message["Subject"] = subject
        message.set_content(text)
        with smtplib.SMTP("127.0.0.1", self._port, local_hostname="localhost", timeout=5) as smtp:
            smtp.send_message(message)
