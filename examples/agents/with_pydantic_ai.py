"""An agent of pydantic-ai whose tools are actions, and can be taken back.

    python -m pip install pydantic-ai-slim
    python examples/agents/with_pydantic_ai.py

Its model is a function that answers what `trip.PLAN` says; nothing else would be another with
a real one. pydantic-ai takes the tools as they are.
"""

from __future__ import annotations

import argparse
import asyncio

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import trip
from actionqueues import transaction
from actionqueues.agents import tools


def scripted() -> FunctionModel:
    plan = trip.answers()

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        for part in messages[-1].parts:
            if isinstance(part, ToolReturnPart):
                print(f"{part.tool_name}: {part.content}")
        parts = [ToolCallPart(name, arguments) for name, arguments in next(plan)]
        return ModelResponse(parts) if parts else ModelResponse([TextPart("The trip is booked.")])

    return FunctionModel(answer)


async def main() -> None:
    async with transaction("trip") as q:
        belt = tools(q, *trip.ACTIONS, approve=trip.approve, mendable=trip.NotAvailable)
        agent = Agent(scripted(), tools=belt)
        result = await agent.run("Book me a trip to Berlin.")
        print(f"\n{result.output}")
    print(trip.tell(q))


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    asyncio.run(main())
