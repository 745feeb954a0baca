"""An agent of LangGraph whose tools are actions, and can be taken back.

    python -m pip install langgraph langchain-core
    python examples/agents/with_langgraph.py

Its model is a fake one of LangChain that answers what `trip.PLAN` says. A `ToolNode` takes the
tools as they are, and so does `model.bind_tools` of a real one. It runs those of one answer at
the same time, the sync ones in threads.
"""

from __future__ import annotations

import argparse
import asyncio

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

import trip
from actionqueues import transaction
from actionqueues.agents import tools


def scripted() -> GenericFakeChatModel:
    answers = [
        AIMessage(
            "",
            tool_calls=[
                {"name": name, "args": arguments, "id": f"{turn}-{place}", "type": "tool_call"}
                for place, (name, arguments) in enumerate(calls)
            ],
        )
        for turn, calls in enumerate(trip.PLAN)
    ]
    return GenericFakeChatModel(messages=iter([*answers, AIMessage("The trip is booked.")]))


async def main() -> None:
    model = scripted()

    async def ask(state: MessagesState) -> MessagesState:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async with transaction("trip") as q:
        belt = tools(q, *trip.ACTIONS, approve=trip.approve, mendable=trip.NotAvailable)
        graph = StateGraph(MessagesState)
        graph.add_node("model", ask)
        graph.add_node("tools", ToolNode(belt))
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", tools_condition)
        graph.add_edge("tools", "model")
        wish = HumanMessage("Book me a trip to Berlin.")
        end = await graph.compile().ainvoke({"messages": [wish]}, {"recursion_limit": 50})
        for message in end["messages"]:
            if isinstance(message, ToolMessage):
                print(f"{message.name}: {message.content}")
        print(f"\n{end['messages'][-1].content}")
    print(trip.tell(q))


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    asyncio.run(main())
