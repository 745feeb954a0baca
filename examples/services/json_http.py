"""JSON over HTTP on loopback, both ends of it: what the payment and the search service stand on."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]


class HTTPStatusError(Exception):
    """The service answered, and the answer was no: `status` and `message` say which."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} (HTTP {self.status})"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Json
    key: str  # the Idempotency-Key header, or ""


class DropConnection(Exception):
    """Raised by a service that closes the connection instead of answering."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() joins the threads of open requests


class JSONService:
    """A small server on a free port of 127.0.0.1, running from `__enter__` to `__exit__`.

    A subclass writes `answer`. It is called for each request, in a thread of its own, returns the
    status and the body, and raises `HTTPStatusError` or `DropConnection` where there is none.
    """

    def __init__(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body: Json = json.loads(self.rfile.read(size)) if size else {}
                key = self.headers.get("Idempotency-Key") or ""
                request = Request(self.command, self.path, body, key)
                try:
                    status, reply = service.answer(request)
                except HTTPStatusError as error:
                    status, reply = error.status, {"error": error.message}
                except DropConnection:
                    return  # the caller sees a connection closed without a single byte
                payload = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - likewise
                """Stay quiet: the example prints its own account."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        # A daemon, since Ctrl-C may come when it has started and `__enter__` has not returned.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self.port: int = self._server.server_address[1]

    def answer(self, request: Request) -> tuple[int, Json]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def call(
    port: int, method: str, path: str, body: Json | None = None, *, idempotency_key: str = ""
) -> Json:
    """Make one request and return the answer's body.

    Raises `HTTPStatusError` for an answer of 400 and above, `ConnectionError` where none came.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        connection.request(method, path, payload, headers)
        response = connection.getresponse()
        reply: Json = json.loads(response.read())
    finally:
        connection.close()
    if response.status >= 400:
        raise HTTPStatusError(response.status, str(reply.get("error", response.reason)))
    return reply
