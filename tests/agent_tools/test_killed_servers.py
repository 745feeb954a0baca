"""A client of MCP kills a server that does not end in time: what that had not undone, the next one undoes."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import actionqueues

MISSING = "it is not installed; it is in the extra 'frameworks'"

ROOMS = """
import asyncio, os
from actionqueues import action, current_step

@action
async def book(hotel: str) -> str:
    open(current_step().key, "w").close()
    return hotel

@book.rollback
async def cancel(step) -> None:
    if "HANGS" in os.environ:
        await asyncio.sleep(3600)
    os.remove(step.key)
"""
SERVER = """
import asyncio
from mcp.server.mcpserver import MCPServer
from actionqueues import transaction
from actionqueues.agents import tools
from actionqueues.journal import Journal
import rooms

async def serve():
    journal = Journal("sessions.db")
    for each in await journal.recover_async():
        print(each, file=open("recovered", "a"))
    server = MCPServer("rooms", log_level="CRITICAL")
    async with transaction("session", journal=journal) as q:
        for tool in tools(q, rooms.book):
            server.add_tool(tool)
        await server.run_stdio_async()
        raise EOFError

asyncio.run(serve())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a client of MCP ends servers in another way there")
def test_what_a_server_that_was_killed_had_not_undone_the_next_one_undoes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mcp: Any = pytest.importorskip("mcp", reason=MISSING)
    monkeypatch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", 0.5)
    for name, program in (("rooms.py", ROOMS), ("server.py", SERVER)):
        (tmp_path / name).write_text(textwrap.dedent(program), encoding="utf-8")
    there = {"PYTHONPATH": str(Path(actionqueues.__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}

    async def book(*hotels: str, **environment: str) -> None:
        server = mcp.StdioServerParameters(
            command=sys.executable, args=["server.py"], cwd=tmp_path, env={**os.environ, **there, **environment}
        )
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            async with mcp.Client(mcp.stdio_client(server, errlog=nowhere)) as client:
                for hotel in hotels:
                    assert not (await client.call_tool("book", {"hotel": hotel})).is_error

    def left() -> list[str]:
        return sorted(path.name for path in tmp_path.iterdir() if len(path.name) == 32)

    asyncio.run(book("Ritz", "Adlon", HANGS="1"))
    assert len(left()) == 2
    asyncio.run(book())
    assert (left(), (tmp_path / "recovered").read_text(encoding="utf-8")) == ([], "1 session: rolled back, 2 undone\n")
