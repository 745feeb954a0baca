"""Somebody who asks a page, as its own JavaScript does, or otherwise; and what they may find in a journal."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from actionqueues import transaction
from actionqueues.journal import Journal
from actionqueues.serve.running import Page
from tests.journal import actions
from tests.journal.actions import failing, put
from tests.journal.leaving import leave

TRANSACTIONS = "/api/transactions"


class Answer(NamedTuple):
    status: int
    headers: HTTPResponse
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """Asks over a connection for each request, with the address that was printed."""

    def __init__(self, address: str) -> None:
        self.address = address
        split = urlsplit(address)
        self.host = split.netloc
        self.token = split.fragment.removeprefix("token=")

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str | None) -> Answer:
        """The headers are those of the page, and those that are named; None: without it."""
        sent: dict[str, str | None] = {"Host": self.host, "Authorization": f"Bearer {self.token}"}
        if method == "POST":
            sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        host, _, port = self.host.partition(":")
        connection = HTTPConnection(host, int(port), timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            return Answer(answer.status, answer, answer.read())
        finally:
            connection.close()

    def do(self, path: str, **body: Any) -> Answer:
        return self.ask(f"{TRANSACTIONS}/{path}", "POST", body)

    def see(self, number: int) -> Any:
        answer = self.ask(f"{TRANSACTIONS}/{number}")
        assert answer.status == 200, answer.body
        return answer.data


@contextmanager
def serving(journal: Journal, *, allow_actions: bool = False) -> Iterator[Visitor]:
    """A page of a journal, while somebody visits it."""
    with Page(journal, allow_actions=allow_actions) as page:
        thread = threading.Thread(target=page.run)
        thread.start()
        try:
            yield Visitor(page.address)
        finally:
            page.stop()
            thread.join()


def story(path: Path) -> None:
    """Fill a journal: 1 is committed, 2 rolled back, 3 stuck, 4 has a hook that is due, and the process of 5 died."""
    journal = Journal(path)
    with transaction("order 1001", journal=journal):
        put("basket")
        actions.pay("4111", 900)
    with suppress(ConnectionError), transaction("order 1002", journal=journal):
        put("basket")
        actions.stubborn("label")
        raise ConnectionError("gateway")
    failing.update({"-label": OSError("printer on fire"), "!mail True": TimeoutError("no answer")})
    with suppress(ConnectionError), transaction("order 1003", journal=journal):
        put("basket")
        actions.stubborn("label")
        actions.contested("stock")
        raise ConnectionError("gateway")
    with suppress(ExceptionGroup), transaction("order 1004", journal=journal) as q:
        put("basket")
        q.on_commit(actions.tell, "mail")
    journal.close()
    leave(path, lambda q: [put("basket"), put("label")])
