"""`Guard`: who may ask, and what a browser may do with the answer.

Stands on starlette.  Used by the application, which it stands around.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "refused"]

#: Nothing but what this server sends is loaded, run or asked; no text becomes markup; nobody frames, keeps or links it.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

#: No path of the page is longer; what is may have a number in it that Python does not read.
_LONGEST: Final = 200


class Guard:
    """Lets a request in if it comes from this page, in the browser of whoever has been given the token.

    Args:
        app: what answers it then.
        token: what proves that.
        hosts: what this server is called, with its port; another name is one that somebody has made point here.
        open_paths: what anybody may have: files of the page, in which nothing is.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str], open_paths: Collection[str]) -> None:
        self.app = app
        self._proof = f"Bearer {token}".encode()
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in hosts)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (self.app if refusal is None else refusal)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        reading = scope["method"] in ("GET", "HEAD")
        origin = headers.get("origin")
        if headers.get("host") not in self._hosts:
            return refused(403, "this server has another name; open the address that `actionqueues serve` has printed")
        if origin not in self._origins and not (reading and origin is None):
            return refused(403, "only the page of this server may ask that")
        if len(scope["path"]) > _LONGEST:
            return refused(404, "the page asks for nothing that has so long a path")
        if scope["path"] in self._open_paths and reading:
            return None
        if not secrets.compare_digest(headers.get("authorization", "").encode("latin-1"), self._proof):
            return refused(401, "the token is missing, or is another server's; open the address that was printed")
        return None


def refused(status: int, why: str) -> Response:
    """An answer that says why there is none."""
    return JSONResponse({"error": why}, status)
