"""Which exceptions a framework hands to its model, of those that are not mendable: as the package says."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.agents import tools
from actionqueues.agents.gate import is_control_flow

from .belt import done, pay

pytestmark = pytest.mark.slow
MISSING = "it is not installed; it is in the extra 'frameworks'"


def failing_with(error: Exception) -> Any:
    @action
    def fail() -> str:
        raise error

    @fail.rollback
    def undo() -> None: ...

    return fail


def test_mcp_tells_the_text_of_a_tool_error_and_of_another_one_that_there_was_one() -> None:
    mcp: Any = pytest.importorskip("mcp.server.mcpserver", reason=MISSING)
    client_of: Any = pytest.importorskip("mcp").Client
    tool_error: Any = pytest.importorskip("mcp.server.mcpserver.exceptions").ToolError

    async def told(error: Exception) -> tuple[bool, str]:
        server = mcp.MCPServer("test", log_level="CRITICAL")
        async with transaction() as q:
            server.add_tool(tools(q, failing_with(error))[0])
            async with client_of(server) as client:
                result = await client.call_tool("fail", {})
                return result.is_error, result.content[0].text

    assert asyncio.run(told(tool_error("no room"))) == (True, "Error executing tool fail: no room")
    assert asyncio.run(told(OSError("a secret"))) == (True, "Error executing tool fail")


def test_a_tool_node_tells_what_it_was_asked_to_handle() -> None:
    langgraph: Any = pytest.importorskip("langgraph.graph", reason=MISSING)
    prebuilt: Any = pytest.importorskip("langgraph.prebuilt")
    messages: Any = pytest.importorskip("langchain_core.messages")

    async def run(**options: Any) -> Any:
        async with transaction() as q:
            graph = langgraph.StateGraph(langgraph.MessagesState)
            graph.add_node("tools", prebuilt.ToolNode(tools(q, failing_with(LookupError("no room"))), **options))
            graph.add_edge(langgraph.START, "tools")
            call: dict[str, Any] = {"name": "fail", "args": {}, "id": "1", "type": "tool_call"}
            end = await graph.compile().ainvoke({"messages": [messages.AIMessage("", tool_calls=[call])]})
            return end["messages"][-1]

    with pytest.raises(LookupError, match="no room"):
        asyncio.run(run())
    message = asyncio.run(run(handle_tool_errors=(LookupError,)))
    assert (message.status, "no room" in message.content) == ("error", True)


def test_pydantic_ai_tells_of_a_model_retry_alone() -> None:
    ai: Any = pytest.importorskip("pydantic_ai", reason=MISSING)
    parts: Any = pytest.importorskip("pydantic_ai.messages")
    models: Any = pytest.importorskip("pydantic_ai.models.function")

    def model(messages: list[Any], _info: Any) -> Any:
        told = [part.content for part in messages[-1].parts if isinstance(part, parts.ToolReturnPart)]
        return parts.ModelResponse([parts.TextPart(told[0]) if told else parts.ToolCallPart("fail", {})])

    async def run(error: Exception) -> Any:
        async with transaction() as q:
            agent = ai.Agent(models.FunctionModel(model), tools=tools(q, failing_with(error)))
            return (await agent.run("go")).output

    assert asyncio.run(run(ai.ModelRetry("no room"))) == "no room"
    with pytest.raises(LookupError, match="no room"):
        asyncio.run(run(LookupError("no room")))


def test_openai_agents_tells_that_the_tool_has_failed_and_what_it_was_asked_to_tell() -> None:
    agents: Any = pytest.importorskip("agents", reason=MISSING)
    context_of: Any = pytest.importorskip("agents.tool_context").ToolContext

    def text_of(_context: object, error: Exception) -> str:
        return str(error)

    async def told(**options: Any) -> Any:
        async with transaction() as q:
            made = agents.function_tool(**options)(tools(q, failing_with(LookupError("no room")))[0])
            context = context_of(None, tool_name="fail", tool_call_id="1", tool_arguments="{}")
            return await made.on_invoke_tool(context, "{}")

    assert asyncio.run(told()).startswith("An error occurred while running the tool.")
    assert asyncio.run(told(failure_error_function=text_of)) == "no room"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("langgraph.errors", "GraphInterrupt"),
        ("langgraph.errors", "ParentCommand"),
        ("mcp.shared.exceptions", "UrlElicitationRequiredError"),
        ("pydantic_ai.exceptions", "ApprovalRequired"),
        ("pydantic_ai.exceptions", "CallDeferred"),
    ],
)
def test_what_frameworks_raise_to_stop_a_run_is_known(module: str, name: str) -> None:
    pytest.importorskip(module.partition(".")[0], reason=MISSING)
    cls: Any = getattr(import_module(module), name)
    assert is_control_flow(cls.__new__(cls))


def test_a_graph_that_is_interrupted_in_the_gate_goes_on_once_a_person_has_answered_and_repeats_no_other_call() -> None:
    langgraph: Any = pytest.importorskip("langgraph.graph", reason=MISSING)
    prebuilt: Any = pytest.importorskip("langgraph.prebuilt")
    types: Any = pytest.importorskip("langgraph.types")
    saver: Any = pytest.importorskip("langgraph.checkpoint.memory").InMemorySaver()
    message: Any = pytest.importorskip("langchain_core.messages").AIMessage

    def send(state: Any) -> list[Any]:
        return [types.Send("tools", [call]) for call in state["messages"][-1].tool_calls]

    def call(name: str, /, **arguments: Any) -> dict[str, Any]:
        return {"name": name, "args": arguments, "id": name, "type": "tool_call"}

    async def main() -> Any:
        async with transaction() as q:
            graph = langgraph.StateGraph(langgraph.MessagesState)
            belt = tools(q, put, pay, approve=lambda each, _: types.interrupt(str(each)))
            graph.add_node("tools", prebuilt.ToolNode(belt))
            graph.add_conditional_edges(langgraph.START, send, ["tools"])
            run, config = graph.compile(checkpointer=saver), {"configurable": {"thread_id": "1"}}
            answered = message("", tool_calls=[call("put", name="a"), call("pay", euros=5)])
            stopped = await run.ainvoke({"messages": [answered]}, config)
            (asked,) = stopped["__interrupt__"]
            assert (asked.value, there, done) == ("pay: Irreversible: what it does cannot be undone.", ["a"], [])
            return (await run.ainvoke(types.Command(resume=True), config))["messages"][-1].content

    done.clear()
    there.clear()
    assert (asyncio.run(main()), there, done) == ("paid", ["a"], ["paid 5"])
    there.clear()


def test_a_run_of_pydantic_ai_that_defers_in_the_gate_goes_on_once_a_person_has_answered() -> None:
    ai: Any = pytest.importorskip("pydantic_ai", reason=MISSING)
    parts: Any = pytest.importorskip("pydantic_ai.messages")
    models: Any = pytest.importorskip("pydantic_ai.models.function")
    approved: list[str] = []

    def model(messages: list[Any], _info: Any) -> Any:
        told = [part.content for part in messages[-1].parts if isinstance(part, parts.ToolReturnPart)]
        part = parts.TextPart(told[0]) if told else parts.ToolCallPart("pay", {"euros": 5})
        return parts.ModelResponse([part])

    def approve(*_: object) -> bool:
        if not approved:
            raise ai.ApprovalRequired
        return True

    async def main() -> Any:
        async with transaction() as q:
            belt = tools(q, pay, approve=approve)
            agent = ai.Agent(models.FunctionModel(model), tools=belt, output_type=[str, ai.DeferredToolRequests])
            stopped = await agent.run("go")
            assert done == []
            approved.extend(call.tool_call_id for call in stopped.output.approvals)
            results = ai.DeferredToolResults(approvals=dict.fromkeys(approved, True))
            return (await agent.run(message_history=stopped.all_messages(), deferred_tool_results=results)).output

    done.clear()
    assert (asyncio.run(main()), done) == ("paid", ["paid 5"])


there: list[str] = []


@action
def put(name: str) -> str:
    """Put something there."""
    there.append(name)
    return name


@put.rollback
def take(name: str) -> None:
    there.remove(name)


async def by_mcp() -> None:
    server: Any = pytest.importorskip("mcp.server.mcpserver", reason=MISSING).MCPServer("test")
    server.add_tool(put)
    async with pytest.importorskip("mcp").Client(server) as client:
        await client.call_tool("put", {"name": "a"})


async def by_langgraph() -> None:
    langgraph: Any = pytest.importorskip("langgraph.graph", reason=MISSING)
    message: Any = pytest.importorskip("langchain_core.messages").AIMessage
    graph = langgraph.StateGraph(langgraph.MessagesState)
    graph.add_node("tools", pytest.importorskip("langgraph.prebuilt").ToolNode([put]))
    graph.add_edge(langgraph.START, "tools")
    call: dict[str, Any] = {"name": "put", "args": {"name": "a"}, "id": "1", "type": "tool_call"}
    await graph.compile().ainvoke({"messages": [message("", tool_calls=[call])]})


async def by_pydantic_ai() -> None:
    ai: Any = pytest.importorskip("pydantic_ai", reason=MISSING)
    parts: Any = pytest.importorskip("pydantic_ai.messages")

    def model(messages: list[Any], _info: Any) -> Any:
        part = parts.ToolCallPart("put", {"name": "a"}) if len(messages) == 1 else parts.TextPart("done")
        return parts.ModelResponse([part])

    await ai.Agent(pytest.importorskip("pydantic_ai.models.function").FunctionModel(model), tools=[put]).run("go")


async def by_openai_agents() -> None:
    tool: Any = pytest.importorskip("agents", reason=MISSING).function_tool(put)
    context: Any = pytest.importorskip("agents.tool_context").ToolContext
    arguments = '{"name": "a"}'
    await tool.on_invoke_tool(context(None, tool_name="put", tool_call_id="1", tool_arguments=arguments), arguments)


@pytest.mark.parametrize("call", [by_mcp, by_langgraph, by_pydantic_ai, by_openai_agents])
def test_an_action_itself_is_taken_as_a_tool_and_its_call_in_a_block_is_a_step(call: Any) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with transaction() as q:
                await call()
                assert there == ["a"]
                raise ZeroDivisionError
        assert (there, q.report.undone) == ([], ["put"])

    asyncio.run(main())
