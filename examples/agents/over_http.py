"""A server of MCP over HTTP: many agents at the same time, and a transaction for each.

    python -m pip install "mcp>=2"
    python examples/agents/over_http.py

HTTP has no end of a session that a server would see, and MCP has one lifespan for all clients of
such a server. So a transaction is entered in a task of its own, and found by what a client sends
with each request, which is a token here. It commits if the agent says that it has finished, and
is undone if nothing has come from it for a while.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp_types import TextContent

import trip
from actionqueues import AsyncTransaction, transaction
from actionqueues.agents import tools

Next = Callable[[Any], Awaitable[Any]]


class Session:
    """What one agent does, from its first request on."""

    def __init__(self, token: str, idle: float) -> None:
        self.token, self.idle = token, idle
        self.patience = asyncio.timeout(idle)
        self.entered = asyncio.get_running_loop().create_future()
        self.finished = asyncio.Event()
        self.task = asyncio.create_task(self.live())

    async def live(self) -> None:
        async with transaction(self.token) as q, self.patience:
            self.entered.set_result(q)
            await self.finished.wait()

    async def transaction(self) -> AsyncTransaction:
        q: AsyncTransaction = await self.entered
        self.patience.reschedule(asyncio.get_running_loop().time() + self.idle)
        return q


class Sessions:
    """Those of all agents, by their tokens."""

    def __init__(self, idle: float = 600) -> None:
        self.idle = idle  # in seconds
        self.all: dict[str, Session] = {}
        self.current: ContextVar[Session] = ContextVar("session")
        self.found: ContextVar[AsyncTransaction] = ContextVar("transaction")

    async def middleware(self, ctx: Any, call_next: Next) -> Any:
        token = ctx.request.headers["authorization"]
        if token not in self.all or self.all[token].task.done():
            self.all[token] = Session(token, self.idle)
        self.current.set(self.all[token])
        self.found.set(await self.all[token].transaction())
        return await call_next(ctx)

    async def finish(self) -> str:
        """Say that all is as it should be; without it everything is undone after a while."""
        session = self.current.get()
        session.finished.set()
        await asyncio.shield(session.task)  # from this request, which may be cancelled
        return "Everything stays."


def serve(sessions: Sessions) -> MCPServer:
    server = MCPServer("trips", middleware=[sessions.middleware], log_level="WARNING")
    for tool in tools(
        sessions.found.get, trip.book_room, trip.rent_car, mendable=trip.NotAvailable
    ):
        server.add_tool(tool)
    server.add_tool(sessions.finish)
    return server


async def use(app: Any, token: str, *calls: tuple[str, dict[str, Any]]) -> None:
    """A client, in which an agent would run; without a network here."""
    web = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), headers={"authorization": token})
    mcp = streamable_http_client("http://127.0.0.1:8000/mcp", http_client=web)
    async with web, Client(mcp) as client:
        for name, arguments in calls:
            for part in (await client.call_tool(name, arguments)).content:
                if isinstance(part, TextContent):
                    print(f"{token}: {part.text}")


async def main() -> None:
    sessions = Sessions(idle=2)
    server = serve(sessions)
    app = server.streamable_http_app(json_response=True)  # uvicorn.run(app) serves it
    async with server.session_manager.run():
        ritz, adlon = ({"hotel": name} for name in ("Ritz", "Adlon"))
        await asyncio.gather(
            use(app, "ada", ("book_room", ritz), ("book_room", adlon), ("finish", {})),
            use(app, "bob", ("rent_car", {"kind": "van"})),  # and goes away
        )
        for token, session in sessions.all.items():
            await asyncio.wait([session.task])
            how = "undone" if session.task.exception() else "committed"
            print(f"the session of {token} is {how}")
    print(f"booked: {', '.join(trip.booked.values())}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    asyncio.run(main())
