"""A server of MCP over HTTP has one lifespan for all clients: the transaction of each is found by what they send."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from actionqueues.agents import tools

from .belt import Full, done, mail, put, put_async, there

FOLDER = Path(__file__).parents[2] / "examples" / "agents"
MISSING = "it is not installed; it is in the extra 'frameworks'"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_server_over_http_keeps_twenty_sessions_apart(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server_of: Any = pytest.importorskip("mcp.server.mcpserver", reason=MISSING).MCPServer
    mcp: Any = pytest.importorskip("mcp")
    http: Any = pytest.importorskip("mcp.client.streamable_http").streamable_http_client
    httpx: Any = pytest.importorskip("httpx2")
    there.clear()
    done.clear()
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    sessions: Any = __import__("over_http").Sessions()
    server: Any = server_of("test", middleware=[sessions.middleware], log_level="CRITICAL")
    server.add_tool(sessions.finish)
    for tool in tools(sessions.found.get, put, put_async, mail, mendable=Full):
        server.add_tool(tool)
    app = server.streamable_http_app(json_response=True)

    async def client(number: int) -> None:
        transport, headers = httpx.ASGITransport(app), {"authorization": str(number)}
        async with (
            httpx.AsyncClient(transport=transport, headers=headers) as web,
            mcp.Client(http("http://127.0.0.1:8000/mcp", http_client=web), mode=mode) as client,
        ):

            async def call(tool: str, /, **arguments: str) -> str:
                result = await client.call_tool(tool, arguments)
                assert not result.is_error, result.content
                return str(result.content[0].text)

            await call("put", name=f"{number} a")
            await call("checkpoint", name="here")
            await asyncio.gather(call("put_async", name=f"{number} b"), call("mail", to=f"{number}"))
            assert "no room" in await call("put", name="too much")
            assert (await call("changes")).count(f"'{number}") == 3
            if number % 2:
                assert (await call("undo_to", checkpoint="here")).count("- ") == 2
            if number % 5:
                assert await call("finish") == "Everything stays."

    async def main() -> None:
        async with server.session_manager.run():
            await asyncio.gather(*(client(number) for number in range(20)))
            for number in range(0, 20, 5):
                sessions.all[str(number)].patience.reschedule(0)  # nothing has come from them for a while
            ends = await asyncio.gather(*(each.task for each in sessions.all.values()), return_exceptions=True)
            assert sum(isinstance(each, TimeoutError) for each in ends) == 4

    try:
        asyncio.run(main())
    finally:
        for name in ("over_http", "trip"):
            sys.modules.pop(name, None)
    stay = [number for number in range(20) if number % 5]
    assert sorted(there.values()) == sorted([f"{n} a" for n in stay] + [f"{n} b" for n in stay if not n % 2])
    assert sorted(done) == sorted(f"mail to {n}" for n in stay if not n % 2)


def test_a_request_to_finish_that_is_cancelled_does_not_cancel_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mcp.server.mcpserver", reason=MISSING)
    pytest.importorskip("httpx2", reason=MISSING)
    there.clear()
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    module: Any = __import__("over_http")

    async def main() -> None:
        sessions, go = module.Sessions(), asyncio.Event()
        session = module.Session("ada", 600)
        q = await session.transaction()
        await q.run(put_async, "a")
        reached = asyncio.Event()

        async def reach() -> None:
            reached.set()
            await go.wait()

        q.on_commit(reach)
        sessions.current.set(session)
        finish = asyncio.create_task(sessions.finish())
        await reached.wait()
        finish.cancel()
        go.set()
        await asyncio.wait([finish])
        await session.task

    try:
        asyncio.run(main())
    finally:
        for name in ("over_http", "trip"):
            sys.modules.pop(name, None)
    assert list(there.values()) == ["a"]
