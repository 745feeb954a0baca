"""A server of MCP whose tools are actions, and an agent that uses it over stdio, twice.

    python -m pip install "mcp>=2"
    python examples/agents/over_mcp.py

A session is one transaction: it commits if the agent says that it has finished, and is undone if
the agent just goes away. A client waits two seconds for its server to end, and kills it then: so
the session has a journal, and what such a server had not undone, the next one undoes first. The
annotations tell a client which tools it may call without asking.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile

from mcp import Client, StdioServerParameters, stdio_client
from mcp.server.mcpserver import MCPServer
from mcp_types import TextContent, ToolAnnotations

import trip
from actionqueues import transaction
from actionqueues.agents import explain, tools
from actionqueues.journal import Journal


class GoneAway(Exception):
    """The client has left without having finished."""


async def serve(path: str) -> None:
    """The server: started by the client, in a process of its own."""
    journal = Journal(path)
    await journal.recover_async()
    server = MCPServer("trip", log_level="WARNING")
    finished: list[str] = []

    def finish() -> str:
        """Say that all is as it should be; without it everything is undone when you go."""
        finished.append("finish")
        return "Everything stays, and what has waited runs when you go."

    block = transaction("session", journal=journal)
    try:
        async with block as q:
            belt = tools(q, *trip.ACTIONS, approve=trip.approve, mendable=trip.NotAvailable)
            for tool in belt:
                hints = ToolAnnotations.model_validate(explain(tool).mcp)
                server.add_tool(tool, annotations=hints)
            server.add_tool(finish)
            await server.run_stdio_async()
            if not finished:
                raise GoneAway
    except GoneAway:
        print("the client went away, so the session was undone", file=sys.stderr)
    print(trip.tell(block), file=sys.stderr)  # stdout is the connection
    journal.close()


async def use(path: str, *, finishes: bool) -> None:
    """The client, in which an agent would run."""
    server = StdioServerParameters(
        command=sys.executable, args=[__file__, "--serve", path], env=dict(os.environ)
    )
    async with Client(stdio_client(server, errlog=sys.stdout)) as client:
        for tool in (await client.list_tools()).tools:
            if tool.annotations and tool.annotations.destructive_hint:
                print(f"to be asked for: {tool.name}")
        for name, arguments in [call for calls in trip.PLAN for call in calls]:
            for part in (await client.call_tool(name, arguments)).content:
                if isinstance(part, TextContent):
                    print(f"{name}: {part.text}")
        if finishes:
            await client.call_tool("finish")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sessions.db")
        print("== an agent that finishes")
        await use(path, finishes=True)
        print("\n== one that goes away")
        await use(path, finishes=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--serve", metavar="JOURNAL", help="be the server, with this file")
    served = parser.parse_args().serve
    asyncio.run(serve(served) if served else main())
