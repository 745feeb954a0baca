"""Real frameworks, with models and clients that follow a script, take tools as they are."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

import actionqueues
from actionqueues import AsyncTransaction, action, transaction
from actionqueues.agents import explain, tools

from .belt import Full, always, done, mail, pay, put, put_async, there

FOLDER = Path(__file__).parents[2] / "examples" / "agents"
FRAMEWORKS = {
    "over_mcp": ["mcp"],
    "with_langgraph": ["langchain_core", "langgraph"],
    "with_openai_agents": ["agents"],
    "with_pydantic_ai": ["pydantic_ai"],
}
MISSING = "it is not installed; it is in the extra 'frameworks'"

#: What remains, in each framework: the last lines of its program.
END = """
booked: a room in the Adlon, a small car
mails: ada: See you in the Adlon.
undone on the way: book_room, rent_car
could not be undone: pay (50 euros)
"""
GONE = """
the client went away, so the session was undone
booked: nothing
mails: none
undone on the way: book_room, book_room, rent_car, rent_car
could not be undone: pay (50 euros)
"""
#: What a model is told on the way, in this order.
TOLD = [
    "pay: Irreversible: what it does cannot be undone.",
    "Checkpoint 'nothing booked' is set",
    "book_room(hotel='Ritz') failed: NotAvailable: the Ritz is full. What it had done has been undone",
    "a van",
    "pay was not approved, so it has not run",
    "50 euros are paid",
    "send_mail(to='ada', text='We go by van!') waits",
    "-- checkpoint nothing booked\n2. rent_car(kind='van') - can be undone\n3. pay(euros=50) - cannot be undone",
    "Back at checkpoint 'nothing booked'. Taken back, last first:",
    "Not undone, and still there: pay.",
    "a room in the Adlon",
    "send_mail(to='ada', text='See you in the Adlon.') waits",
]


def test_there_is_a_program_for_each_framework() -> None:
    programs = {path.stem for path in FOLDER.glob("*.py")} - {"trip", "over_http"}
    assert programs == set(FRAMEWORKS)


@pytest.mark.parametrize("name", [*sorted(FRAMEWORKS), "over_http"])
def test_each_program_says_what_has_to_be_installed_for_it(name: str) -> None:
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {re.split(r"[>;]", each)[0] for each in project["optional-dependencies"]["frameworks"]}
    docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    (install,) = re.findall(r"    python -m pip install (.*)", docstring)
    named = {each.strip('"').partition(">")[0] for each in install.split()}
    assert named
    assert named <= known


@pytest.mark.parametrize("name", sorted(FRAMEWORKS))
def test_an_agent_of_a_framework_does_and_undoes(name: str, tmp_path: Path) -> None:
    for each in FRAMEWORKS[name]:
        pytest.importorskip(each, reason=MISSING)
    run = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / f"{name}.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(actionqueues.__file__).parent.parent), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    # A server of MCP logs to stderr, which its client shows with the rest, in a form of its own.
    assert run.stderr == ("" if name == "over_mcp" else "trip: not undone: pay (irreversible)\n")
    said, place = run.stdout, 0
    for text in TOLD:
        place = said.index(text, place)
    end = GONE if name == "over_mcp" else END
    assert said.endswith(end)
    assert END in said
    assert list(tmp_path.iterdir()) == []


def test_agents_over_http_have_a_transaction_each() -> None:
    pytest.importorskip("mcp", reason=MISSING)
    run = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "over_http.py")],
        env={**os.environ, "PYTHONPATH": str(Path(actionqueues.__file__).parent.parent), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert sorted(run.stdout.splitlines()[-3:]) == [
        "booked: a room in the Adlon",
        "the session of ada is committed",
        "the session of bob is undone",
    ]


def test_a_client_of_mcp_is_told_by_annotations_what_cannot_be_undone() -> None:
    mcp: Any = pytest.importorskip("mcp.server.mcpserver", reason=MISSING)
    client_of: Any = pytest.importorskip("mcp").Client
    annotations: Any = pytest.importorskip("mcp_types").ToolAnnotations
    hints: dict[str, tuple[bool | None, ...]] = {}

    async def main() -> None:
        server = mcp.MCPServer("test")
        async with transaction() as q:
            for tool in tools(q, put, pay, mail, approve=always):
                server.add_tool(tool, annotations=annotations.model_validate(explain(tool).mcp))
            async with client_of(server) as client:
                for shown in (await client.list_tools()).tools:
                    note = shown.annotations
                    hints[shown.name] = note.read_only_hint, note.destructive_hint, note.idempotent_hint

    asyncio.run(main())
    assert hints == {
        "put": (False, False, False),
        "pay": (False, True, False),
        "mail": (False, False, False),
        "checkpoint": (True, False, True),
        "changes": (True, False, True),
        "undo_to": (False, True, False),
        "explain": (True, False, True),
    }


def test_mcp_takes_a_tool_whose_result_is_an_object() -> None:
    mcp: Any = pytest.importorskip("mcp.server.mcpserver", reason=MISSING)
    client_of: Any = pytest.importorskip("mcp").Client

    @action(read_only=True)
    def opened() -> Path:
        return FOLDER

    @action(read_only=True)
    def connected() -> Full:
        return Full("an object")

    connected.__annotations__["return"] = type("Connection", (), {})

    async def main() -> list[str]:
        server = mcp.MCPServer("test")
        async with transaction() as q:
            for tool in tools(q, opened, connected, meta=False):
                server.add_tool(tool)
            async with client_of(server) as client:
                return [(await client.call_tool(name, {})).content[0].text for name in ("opened", "connected")]

    path, connection = asyncio.run(main())
    assert (path, connection) == (f'"{FOLDER}"', '"an object"')


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_server_of_mcp_keeps_twenty_sessions_apart(mode: str) -> None:
    mcp: Any = pytest.importorskip("mcp.server.mcpserver", reason=MISSING)
    client_of: Any = pytest.importorskip("mcp").Client
    there.clear()
    done.clear()
    current: ContextVar[AsyncTransaction] = ContextVar("current")

    @asynccontextmanager
    async def session(_server: Any) -> AsyncGenerator[AsyncTransaction, None]:
        async with transaction("session") as q:
            yield q

    async def in_session(context: Any, call_next: Any) -> Any:
        current.set(context.lifespan_context)
        return await call_next(context)

    server: Any = mcp.MCPServer("test", lifespan=session, middleware=[in_session])
    for tool in tools(current.get, put, put_async, mail, mendable=Full):
        server.add_tool(tool)

    async def client(number: int) -> None:
        async with client_of(server, mode=mode) as client:

            async def call(tool: str, /, **arguments: str) -> str:
                result = await client.call_tool(tool, arguments)
                (part,) = result.content
                assert not result.is_error, part.text
                return str(part.text)

            await call("put", name=f"{number} a")
            await call("checkpoint", name="here")
            await asyncio.gather(call("put_async", name=f"{number} b"), call("mail", to=f"{number}"))
            assert "no room" in await call("put", name="too much")
            changes = await call("changes")
            assert set(re.findall(r"'(\d+)(?: \w)?'", changes)) == {str(number)}
            if number % 2:
                assert (await call("undo_to", checkpoint="here")).count("- ") == 2

    async def main() -> None:
        await asyncio.gather(*(client(number) for number in range(20)))

    asyncio.run(main())
    assert sorted(there.values()) == sorted([f"{n} a" for n in range(20)] + [f"{n} b" for n in range(0, 20, 2)])
    assert sorted(done) == sorted(f"mail to {number}" for number in range(0, 20, 2))
