"""The list of `conformance.py`, continued: what some places cannot give; there a sentence says so, and what to do.

Each says what comes of it in process; `refused_by` says where it is refused, and by which words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from actionqueues import action

from .conformance import BODY
from .doing import Boom, do_now, hook
from .effects import did
from .stage import Program, Stage, scenario


class Thing:
    """No plain data."""

    def __str__(self) -> str:
        return "thing"


class Tool:
    """An action object."""

    def __init__(self, run: str) -> None:
        self.run = run

    def execute(self) -> None:
        did(self.run, "execute")

    def rollback(self) -> None:
        did(self.run, "rollback")


#: By scenario: the words that refuse it where units are recorded, and where they are carried to other processes.
RECORDED: dict[str, str] = {}
CARRIED: dict[str, str] = {}


def refused(*, recorded: str = "", carried: str = "") -> Callable[[Program], Program]:
    """Note by which words a scenario is refused: on every engine, or on one whose units are `carried` elsewhere."""

    def register(run: Program) -> Program:
        for table, words in ((RECORDED, recorded), (CARRIED, carried or recorded)):
            if words:
                table[run.__name__] = words
        return run

    return register


@refused(recorded="outer, which calls it, is run")
@scenario("+a +inner -inner -a", "rolled back", BODY, undone="do outer", varies=True)
async def a_step_may_call_another_one(w: Stage) -> None:
    async with w.block():
        await w.step("a", kind="outer")
        raise Boom("body")


@refused(recorded="cannot record 'result' of do: it is, or contains, a builtins.object")
@scenario("+a -a", "rolled back", BODY, undone="do", varies=True)
async def a_result_may_be_anything(w: Stage) -> None:
    async with w.block():
        await w.step("a", returns="an object")
        raise Boom("body")


@refused(carried="cannot record 'value' of look: it is, or contains, a tests.engines.conformance_of_limits.Thing")
@scenario("+a(thing)", "rolled back", BODY, said="True", varies=True)
async def an_argument_may_be_anything(w: Stage) -> None:
    async with w.block():
        w.say(await w.step("a", Thing(), kind="look") == "A")
        raise Boom("body")


@refused(carried="{engine} runs what is awaited; make it an `async def` and await it, or queue it: q.add(do, ...)")
@scenario("+a -a", "rolled back", BODY, undone="do", is_async=True, varies=True)
async def a_sync_action_may_be_called_in_an_async_block(w: Stage) -> None:
    async with w.block():
        do_now(w.run, "a", {})
        raise Boom("body")


@scenario("+a -a", "rolled back", BODY, undone="do", is_async=True)
async def a_sync_action_may_be_queued_in_an_async_block(w: Stage) -> None:
    async with w.block() as q:
        q.add(do_now, w.run, "a", {})
        await q.execute()
        raise Boom("body")


@refused(carried="the action object Tool cannot be found by another process; write it as a function: @action")
@scenario("execute rollback", "rolled back", BODY, undone="Tool", varies=True)
async def an_object_may_be_an_action(w: Stage) -> None:
    async with w.block() as q:
        q.add(Tool(w.run))
        await q.execute()
        raise Boom("body")


@refused(carried="cannot be found by the process that is to run it: define it at module level")
@scenario("+a hook", "committed", varies=True)
async def a_hook_may_be_any_function(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(lambda: did(w.run, "hook"))
        await w.step("a")


@scenario("+b +a", "committed")
async def an_action_may_wait_for_the_commit(w: Stage) -> None:
    async with w.block():
        await w.step("a", kind="mail")
        await w.step("b")


@refused(carried="cannot be found by the process that is to run it: define it at module level")
@scenario("+a hook", "committed", varies=True)
async def a_hook_may_be_an_object_that_can_be_called(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(partial(hook, w.run, "hook"))
        await w.step("a")


@refused(carried="cannot record 'word' of hook: it is, or contains, a tests.engines.conformance_of_limits.Thing")
@scenario("+a thing", "committed", varies=True)
async def a_hook_may_be_given_anything(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(hook, w.run, Thing())
        await w.step("a")


@refused(carried="local")
@scenario("local", "committed", varies=True)
async def an_action_may_be_defined_anywhere(w: Stage) -> None:
    @action
    def local(run: str) -> None:
        did(run, "local")

    async with w.block() as q:
        q.add(local, w.run)


@refused(recorded="cannot register the commit hook hook:")
@scenario("+a hook", "committed", varies=True)
async def a_step_may_register_a_hook(w: Stage) -> None:
    async with w.block():
        await w.step("a", kind="registering")


@refused(recorded="cannot queue look: on", carried=" ")
@scenario("queues +b", "committed", varies=True)
async def a_step_may_queue_another_one(w: Stage) -> None:
    async with w.block() as q:

        @action(read_only=True)
        def queues() -> None:
            did(w.run, "queues")
            w.add(q, "b", kind="look")

        q.add(queues)
        await q.execute()
