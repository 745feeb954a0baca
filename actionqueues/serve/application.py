"""The application: the files of the page, what it is told, and what it may do.

Stands on the guard, and on what is told and decided.  Used by what runs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from actionqueues.errors import IllegalOperation
from actionqueues.journal import Journal, JournalError
from actionqueues.journal.reporting import report_data
from actionqueues.views.labels import safe
from actionqueues.views.svg import to_svg

from .deciding import ACTIONS, Action, BadRequest
from .guard import Guard, refused
from .telling import details, overview

__all__ = ["application"]

_FOLDER: Final = Path(__file__).parent / "page"
_FILES: Final = {"/": "page.html"} | {
    f"/{name}": name for name in ("page.css", "page.js", "dom.js", "asking.js", "list.js", "one.js", "icon.svg")
}
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: What the page sends is short.
_MOST: Final = 8192


def application(journal: Journal, *, token: str, hosts: Collection[str], allow_actions: bool = False) -> ASGIApp:
    """What answers the requests of the page.

    Args:
        journal: what it shows.
        token: what each request has to prove that it knows.
        hosts: what the server is called, with its port.
        allow_actions: whether the page may change anything.
    """
    page = {"journal": safe(journal.path), "actions": allow_actions}
    one = "/api/transactions/{id:int}"
    app = Starlette(
        routes=[
            *(Route(path, _file(name), methods=["GET"]) for path, name in _FILES.items()),
            Route("/api/transactions", _telling(lambda _: page | {"transactions": overview(journal)}), methods=["GET"]),
            Route(one, _telling(lambda number: page | details(journal.show(number))), methods=["GET"]),
            Route(f"{one}/drawing", _drawing(journal), methods=["GET"]),
            *(
                Route(f"{one}/{path}", _doing(journal, action, allowed=allow_actions), methods=["POST"])
                for path, action in ACTIONS.items()
            ),
        ]
    )
    app.router.redirect_slashes = False
    return Guard(app, token=token, hosts=hosts, open_paths=_FILES)


def _file(name: str) -> Callable[[Request], Response]:
    content = (_FOLDER / name).read_bytes()
    return lambda _: Response(content, media_type=_TYPES[Path(name).suffix])


def _telling(tell: Callable[[int], Any]) -> Callable[[Request], Response]:
    """Answers with data, or that they are those that the page has."""

    def answer(request: Request) -> Response:
        body = json.dumps(tell(request.path_params.get("id", 0)), separators=(",", ":")).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, media_type="application/json", headers={"ETag": tag})

    return lambda request: _explained(lambda: answer(request))


def _drawing(journal: Journal) -> Callable[[Request], Response]:
    def draw(request: Request) -> Response:
        entry = journal.show(request.path_params["id"])
        return Response(to_svg(report_data(entry)), media_type="image/svg+xml")

    return lambda request: _explained(lambda: draw(request))


def _doing(journal: Journal, action: Action, *, allowed: bool) -> Callable[[Request], Any]:
    """Does something, if that is allowed, and answers with what has become of it."""

    async def answer(request: Request) -> Response:
        if not allowed:
            return refused(403, "this page is read-only: start it with `actionqueues serve FILE --allow-actions`")
        if request.headers.get("content-type") != "application/json":
            return refused(415, "what is sent has to be JSON")
        try:
            return await done(request)
        # By the second Ctrl-C; the thread goes on nevertheless.
        except asyncio.CancelledError:  # pragma: no cover - in a process of its own, where no tracer looks
            return refused(503, "the server was told to end at once; what it has begun is done, or left")

    async def done(request: Request) -> Response:
        sent = bytearray()
        async for piece in request.stream():
            sent += piece
            if len(sent) > _MOST:
                return refused(413, f"more than {_MOST} bytes were sent")
        numbers = request.path_params["id"], request.path_params.get("number", 0)

        def do() -> Response:
            return JSONResponse({"told": safe(action(journal, *numbers, _object(sent)))})

        return await run_in_threadpool(_explained, do)

    return answer


def _object(sent: bytearray) -> dict[str, Any]:
    try:
        data: Any = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"what was sent is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadRequest("what was sent is no JSON object")
    return cast("dict[str, Any]", data)


def _explained(answer: Callable[[], Response]) -> Response:
    """The answer, or what has kept it from being one."""
    try:
        return answer()
    except BadRequest as error:
        return _refused(400, error)
    except LookupError as error:
        return _refused(404, error.args[0])
    except OverflowError:
        return _refused(404, "there is no transaction, step or hook of such a number")
    except IllegalOperation as error:
        return _refused(409, error)
    except JournalError as error:
        return _refused(503, error)


def _refused(status: int, why: object) -> Response:
    return refused(status, safe(why))
