"""An agent of openai-agents whose tools are actions, and can be taken back.

    python -m pip install openai-agents
    python examples/agents/with_openai_agents.py

Its model is a class that answers what `trip.PLAN` says. `function_tool` takes the tools as they
are. Those of one answer run at the same time, the sync ones in threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from agents.items import TResponseInputItem, TResponseStreamEvent
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

import trip
from actionqueues import transaction
from actionqueues.agents import tools


class Scripted(Model):
    def __init__(self) -> None:
        self.plan = enumerate(trip.answers())
        self.seen = 1  # how much of the conversation has been printed

    async def get_response(
        self,
        system_instructions: str | None,  # noqa: ARG002 - these as the framework calls them
        input: str | list[TResponseInputItem],  # noqa: A002 - as the method that it overrides calls it
        *_args: Any,
        **_kwargs: Any,
    ) -> ModelResponse:
        for item in input[self.seen :] if isinstance(input, list) else []:
            if item.get("type") == "function_call_output":
                print(item.get("output"))
        self.seen = len(input) if isinstance(input, list) else 1
        turn, calls = next(self.plan)
        text = ResponseOutputText(text="The trip is booked.", type="output_text", annotations=[])
        end = ResponseOutputMessage(
            id="end", type="message", role="assistant", status="completed", content=[text]
        )
        output = [
            ResponseFunctionToolCall(
                type="function_call",
                call_id=f"{turn}-{place}",
                name=name,
                arguments=json.dumps(arguments),
            )
            for place, (name, arguments) in enumerate(calls)
        ]
        return ModelResponse(output=[*output] or [end], usage=Usage(), response_id=None)

    def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        raise NotImplementedError


async def main() -> None:
    set_tracing_disabled(disabled=True)  # otherwise it sends what it does to a server
    async with transaction("trip") as q:
        belt = tools(q, *trip.ACTIONS, approve=trip.approve, mendable=trip.NotAvailable)
        agent = Agent(
            "travel agent", model=Scripted(), tools=[function_tool(each) for each in belt]
        )
        result = await Runner.run(agent, "Book me a trip to Berlin.", max_turns=20)
        print(f"\n{result.final_output}")
    print(trip.tell(q))


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    asyncio.run(main())
