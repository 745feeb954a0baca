"""Tools are plain functions, and their calls, from any task or thread, are steps of one transaction."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, Union, get_type_hints

import pytest

from actionqueues import TransactionClosed, TransactionDoomed, action, current_transaction, transaction
from actionqueues.agents import tools
from actionqueues.journal import Journal

from .belt import Full, answer, block, done, everywhere, forgotten, look, mail, put, put_async, there


def test_a_tool_looks_like_its_action() -> None:
    with transaction() as q:
        tool = tools(q, put)[0]
    assert (tool.__name__, tool.__qualname__, tool.__module__) == ("put", "put", put.__module__)
    assert tool.__doc__ == (
        "Put something there.\n\nReversible: what it does can be undone, by take.\n\nArgs:\n    name: what."
    )
    assert str(inspect.signature(tool)) == "(name: str, size: int = 1) -> Union[int, str]"
    assert get_type_hints(tool) == {"name": str, "size": int, "return": Union[int, str]}  # noqa: UP007 - compared
    assert inspect.isfunction(tool)
    assert not inspect.iscoroutinefunction(tool)


def test_the_tool_of_an_async_action_is_an_async_function() -> None:
    async def main() -> None:
        async with transaction() as q:
            assert [inspect.iscoroutinefunction(tool) for tool in tools(q, put, put_async)] == [
                False,
                True,
                *(True, False, True, False),
            ]

    asyncio.run(main())


def test_what_a_tool_knows_of_an_action_without_texts_is_what_is_there() -> None:
    plain: Any = lambda a, b: a * b  # noqa: E731 # pyright: ignore - without annotations
    plain.__name__, plain.__defaults__, plain.__annotations__ = "plain", (2,), {"b": Annotated[int, "how many"]}
    bare = action(plain, read_only=True)

    with transaction() as q:
        (tool,) = tools(q, bare, meta=False)
        assert tool(a="x") == "xx"
    assert tool.__doc__ == "Read-only: it changes nothing, so there is nothing to undo."
    parameters = inspect.signature(tool).parameters
    assert [(each.name, each.annotation, each.default) for each in parameters.values()] == [
        ("a", inspect.Parameter.empty, inspect.Parameter.empty),
        ("b", Annotated[int, "how many"], 2),
    ]
    assert inspect.signature(tool).return_annotation is inspect.Signature.empty
    assert set(tool.__annotations__) == {"b"}


def test_a_partial_supplies_what_a_model_cannot() -> None:
    with transaction() as q:
        positional, keyword = tools(q, partial(put, "a"), named={"of_two": partial(put, size=2)}, meta=False)
        assert str(inspect.signature(positional)) == "(size: int = 1) -> Union[int, str]"
        assert str(inspect.signature(keyword)) == "(name: str) -> Union[int, str]"
        assert (positional(size=3), keyword(name="b")) == (3, 2)


def test_a_method_is_a_tool() -> None:
    class Desk:
        def __init__(self) -> None:
            self.open: list[str] = []

        @action
        def unlock(self, name: str) -> int:
            self.open.append(name)
            return len(self.open)

        @unlock.rollback
        def lock(self, name: str) -> None:
            self.open.remove(name)

    desk = Desk()
    with transaction() as q:
        unlock, _, changes, undo_to, _ = tools(q, desk.unlock)
        assert unlock(name="a") == 1
        assert changes().splitlines()[-1] == "1. unlock(name='a') - can be undone"
        undo_to(checkpoint="start")
    assert desk.open == []


@everywhere
async def test_a_call_is_a_step(kind: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with block(kind) as q:
            (tool,) = tools(q, put, meta=False)
            assert await answer(tool, name="a") == 1
            assert await answer(tool, "b", size=7) == 7
            assert sorted(there.values()) == ["a", "b"]
            raise ZeroDivisionError
    assert there == {}
    assert q.report.undone == ["put", "put"]


@everywhere
async def test_an_error_that_the_model_can_mend_undoes_that_step_alone_and_is_a_text(kind: str) -> None:
    async with block(kind) as q:
        tool, _, changes, _, _ = tools(q, put, mendable=Full)
        await answer(tool, name="a")
        assert await answer(tool, name="too much") == (
            "put(name='too much', size=1) failed: Full: no room. What it had done has been undone, and nothing else. "
            "Mend the call, or do something else."
        )
        assert list(there.values()) == ["a"]
        assert "too much" not in await answer(changes)
    assert list(there.values()) == ["a"]


@everywhere
async def test_another_error_goes_on_to_the_framework_and_undoes_that_step_alone_as_well(kind: str) -> None:
    async with block(kind) as q:
        tool, _, changes, _, _ = tools(q, put, mendable=(Full, LookupError))
        await answer(tool, name="a")
        with pytest.raises(OSError, match="a bug"):
            await answer(tool, name="broken")
        assert list(there.values()) == ["a"]
        assert (await answer(changes)).splitlines()[1:] == ["1. put(name='a', size=1) - can be undone"]


@everywhere
async def test_the_model_is_told_if_a_failed_step_could_not_be_undone(kind: str) -> None:
    @action
    def half(name: str) -> None:
        raise Full(name)

    @half.rollback
    def rest() -> None:
        raise PermissionError("no")

    with pytest.raises(TransactionDoomed):
        async with block(kind) as q:
            tool, _, changes, _, _ = tools(q, half, mendable=Full)
            assert await answer(tool, name="a") == (
                "half(name='a') failed: Full: a. But the undo of half failed: PermissionError('no'). Mend the call, or "
                "do something else."
            )
            assert (await answer(changes)).splitlines()[-1] == (
                "An undo has failed (half), so all of this is going to be rolled back in the end."
            )


def test_a_call_that_does_not_fit_is_refused_before_anything_has_happened() -> None:
    with transaction() as q:
        tool, _, changes, _, _ = tools(q, put)
        with pytest.raises(TypeError) as caught:
            tool(size=2)
        assert (
            str(caught.value) == "put(name: str, size: int = 1) -> Union[int, str]: missing a required argument: 'name'"
        )
        assert changes().splitlines()[1:] == ["Nothing has been done."]


@everywhere
async def test_a_tool_that_is_called_after_its_block_is_refused(kind: str) -> None:
    async with block(kind) as q:
        tool, checkpoint, changes, _, _ = tools(q, put)
    for call in (partial(tool, name="a"), partial(checkpoint, name="late"), changes):
        with pytest.raises(TransactionClosed, match="came too late: the transaction 'agent' is committed") as caught:
            await answer(call)
        assert call is not changes or "changes" in str(caught.value)
    assert there == {}


def test_tools_of_a_sync_block_join_it_from_threads() -> None:
    there.clear()
    with pytest.raises(ZeroDivisionError), transaction() as q:
        (tool,) = tools(q, put, meta=False)
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(tool, "abcd")) == [1] * 4
        assert len(there) == 4
        raise ZeroDivisionError
    assert there == {}


def test_sync_and_async_tools_of_an_async_block_join_it_from_threads_and_tasks() -> None:
    there.clear()

    async def main() -> None:
        async with transaction() as q:
            sync, awaited, _, _, undo_to, _ = tools(q, put, put_async)
            calls = [awaited(name=f"a{i}") for i in range(5)]
            calls += [asyncio.to_thread(sync, name=f"b{i}") for i in range(5)]
            await asyncio.gather(*calls)
            assert len(there) == 10
            told = await asyncio.create_task(undo_to(checkpoint="start"))
            assert told.count("put") == 10
        assert there == {}
        assert q.report.clean

    asyncio.run(main())


def test_a_server_that_makes_its_tools_once_keeps_twenty_sessions_apart() -> None:
    there.clear()
    gone: list[int] = []

    async def session(number: int, made: list[Any]) -> None:
        sync, awaited, held, checkpoint, changes, undo_to, _ = made
        try:
            async with transaction(f"session {number}"):
                await asyncio.to_thread(sync, name=f"{number} a")  # the first call may come from a thread
                await checkpoint(name="b")
                await asyncio.gather(awaited(name=f"{number} b"), asyncio.to_thread(held, to=f"{number}"))
                assert (await asyncio.to_thread(changes)).count("\n") == 4
                if number % 3 == 0:
                    await undo_to(checkpoint="b")
                if number % 4 == 0:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            gone.append(number)

    async def main() -> None:
        made = tools(current_transaction, put, put_async, mail)
        await asyncio.gather(*(session(number, made) for number in range(20)))

    done.clear()
    asyncio.run(main())
    stays = [number for number in range(20) if number % 4]
    assert sorted(gone) == [0, 4, 8, 12, 16]
    assert sorted(there.values()) == sorted(
        [f"{number} a" for number in stays] + [f"{number} b" for number in stays if number % 3]
    )
    assert sorted(done) == sorted(f"mail to {number}" for number in stays if number % 3)


def test_what_finds_no_transaction_at_a_call_is_named() -> None:
    (tool,) = tools(lambda: 3, look, meta=False)  # type: ignore[arg-type,return-value] # pyright: ignore[reportArgumentType] - no transaction
    with pytest.raises(TypeError, match="was to find the transaction of a call, and has found 3"):
        tool()


def test_a_sync_block_is_not_found_at_a_call() -> None:
    made = tools(current_transaction, look, meta=False)
    with transaction(), pytest.raises(TypeError, match="which has to be entered by `async with`"):
        made[0]()


def test_two_belts_of_one_transaction_share_its_checkpoints() -> None:
    with transaction() as q:
        one, two = tools(q, put), tools(q, look)
        one[1](name="here")
        assert "here" in two[2]()


def test_what_a_journal_keeps_out_of_its_file_is_not_told_either(tmp_path: Any) -> None:
    with transaction(journal=Journal(tmp_path / "actions.db", redact=("name",))) as q:
        tool, checkpoint, changes, undo_to, _ = tools(q, put)
        tool(name="a")
        checkpoint(name="b")
        tool(name="c")
        undo_to(checkpoint="b")
        assert changes() == ("-- checkpoint start\n1. put(name=…, size=1) - can be undone\n-- checkpoint b")


def test_a_step_in_another_task_that_is_cancelled_is_undone_and_told_no_more() -> None:
    there.clear()

    async def main() -> None:
        started = asyncio.Event()

        @action
        async def slow(name: str) -> None:
            there["slow"] = name
            started.set()
            await asyncio.Event().wait()

        @slow.rollback
        def undo() -> None:
            del there["slow"]

        async with transaction() as q:
            tool, _, changes, _, _ = tools(q, slow)
            task = asyncio.create_task(tool(name="a"))
            await started.wait()
            assert changes().endswith("1. slow(name='a') - is running; can be undone")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert changes().endswith("Nothing has been done.")

    asyncio.run(main())
    assert there == {}


# -- what is refused when tools are made


def test_something_else_than_a_transaction_is_refused() -> None:
    with pytest.raises(TypeError, match=r"tools\(\) takes a transaction that has been entered, or what finds it .* 3"):
        tools(3, put)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - no transaction


def test_a_transaction_that_has_not_been_entered_is_refused() -> None:
    with pytest.raises(AssertionError, match="it has not been entered"):
        tools(transaction(), put)


def test_an_async_action_is_refused_in_a_sync_block() -> None:
    with transaction() as q, pytest.raises(Exception, match="put_async is async"):
        tools(q, put_async)


def test_tools_are_not_made_in_a_step() -> None:
    @action
    def inside(q: Any) -> None:
        tools(q, put)

    with transaction() as q, pytest.raises(AssertionError, match="the step .*inside of it is running"):
        inside(q)


@pytest.mark.parametrize("name", ["", "überweisen", "a b", "1a", "a.b", "x" * 65, 3])
def test_a_name_that_frameworks_refuse_is_refused(name: Any) -> None:
    with transaction() as q, pytest.raises(ValueError, match="is no name for a tool") as caught:
        tools(q, named={name: put})
    if name:
        assert str(caught.value).startswith(f"{name!r} is no name for a tool, which takes up to 64 of the letters")


def test_names_that_are_no_mapping_are_refused() -> None:
    with transaction() as q, pytest.raises(TypeError, match=r"tools\(named=...\) takes actions by the names of their"):
        tools(q, named=[put])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - no mapping


def test_two_tools_of_one_name_are_refused() -> None:
    @action(read_only=True)
    def explain() -> None: ...

    with transaction() as q:
        with pytest.raises(ValueError, match="two tools would be called 'put': give one of them another name"):
            tools(q, put, partial(put, "a"))
        with pytest.raises(ValueError, match="the four about tools can be left out, by meta=False"):
            tools(q, explain)
        assert len(tools(q, explain, meta=False)) == 1


def test_an_irreversible_tool_that_nobody_is_asked_about_is_refused() -> None:
    with transaction() as q, pytest.raises(TypeError) as caught:
        tools(q, forgotten)
    assert str(caught.value) == (
        "forgotten cannot be undone, and nobody is asked before it runs: tools(approve=...) says who; or give it a "
        "rollback handler, or let it wait for the commit: @action(irreversible=True, when='commit')"
    )


def test_what_a_model_cannot_call_or_a_framework_cannot_read_is_refused() -> None:
    @action(read_only=True)
    def many(*names: str) -> None: ...

    @action(read_only=True)
    def places(name: str, /) -> None: ...

    @action(read_only=True)
    def unread(name: str) -> None: ...

    unread.__annotations__["name"] = "Nowhere"
    with transaction() as q:
        for each in (many, places):
            with pytest.raises(TypeError, match="a model passes arguments by name, and its parameter .*name"):
                tools(q, each)
        with pytest.raises(TypeError, match="its annotations cannot be read .name 'Nowhere' is not defined."):
            tools(q, unread)


@pytest.mark.parametrize("mendable", [3, Full("x"), (Full, 3), KeyboardInterrupt])
def test_what_is_no_class_of_exceptions_is_not_mendable(mendable: Any) -> None:
    with transaction() as q, pytest.raises(TypeError, match=r"tools\(mendable=...\) takes a class of exceptions"):
        tools(q, put, mendable=mendable)


def test_sessions_are_let_go_with_their_transactions() -> None:
    from actionqueues.agents import session

    before = len(session._sessions)
    with transaction() as q:
        tools(q, put)
        assert len(session._sessions) == before + 1
    del q
    assert len(session._sessions) == before


def test_the_threads_of_a_pool_and_the_block_write_in_their_own_order() -> None:
    there.clear()
    barrier = threading.Barrier(3)

    @action
    def together(name: str) -> None:
        barrier.wait(10)
        there[name] = name

    @together.rollback
    def apart(name: str) -> None:
        there.pop(name, None)

    with transaction() as q:
        tool, checkpoint, _, undo_to, _ = tools(q, together)
        checkpoint(name="before")
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(tool, "abc"))
        assert sorted(there) == ["a", "b", "c"]
        undo_to(checkpoint="before")
        assert there == {}
