"""However a recovery ends, an interrupt comes out of it, and what it has not come to is left to the next one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actionqueues import AsyncActionInSyncBlock, action, transaction
from actionqueues.journal import Journal, durable

from . import actions
from .actions import failing, note, trail
from .leaving import die, died, leave, leave_async, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@durable
async def by_hand_async(name: str) -> None:
    await asyncio.sleep(0)
    note(f"-{name} by hand")


@action
async def suspends(name: str) -> None:
    await asyncio.sleep(0)
    note(f"+{name} suspended")


@dataclass
class AsyncCopy:
    """An action object."""

    name: str

    async def execute(self) -> None:
        note(f"+{self.name}")

    async def rollback(self) -> None:
        await asyncio.sleep(0)
        note(f"-{self.name}")


async def queued(q: Any) -> None:
    for name in ("a", "b"):
        q.add(AsyncCopy(name))
    await q.execute()


def committed(path: Path, *hooks: Callable[..., object]) -> None:
    """Let a process commit, and die before the first hook."""

    async def main() -> None:
        async with transaction("left", journal=path) as q:
            q.on_commit(die)
            for hook in hooks:
                q.on_commit(hook, "x")

    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(main())
        finally:
            os._exit(1)
    died(pid)


async def by_hand(q: Any) -> None:
    actions.put("a")
    q.on_rollback(by_hand_async, "b")


async def by_action(q: Any) -> None:
    actions.put("a")
    q.on_rollback(suspends, "b")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (queued, ["-b", "-a"]),
        (by_hand, ["-b by hand", "-a"]),
        (by_action, ["+b suspended", "-a"]),
    ],
)
def test_an_undo_that_suspends_waits_for_an_event_loop_of_whatever_kind_it_is(
    body: Callable[[Any], Awaitable[object]], expected: list[str], path: Path
) -> None:
    leave_async(path, body)
    assert (recovered(path).state, trail) == ("waiting", [])
    (one,) = asyncio.run(Journal(path).recover_async())
    assert (one.state, trail) == ("rolled back", expected)


def test_a_durable_hook_that_is_an_async_action_waits_for_an_event_loop(path: Path) -> None:
    committed(path, durable(suspends))
    assert (recovered(path).state, trail) == ("waiting", [])
    (one,) = asyncio.run(Journal(path).recover_async())
    assert (one.state, trail) == ("committed", ["+x suspended"])


def test_an_async_function_that_is_marked_is_refused_where_nothing_awaits_it(path: Path) -> None:
    with transaction(journal=path) as q:
        with pytest.raises(AsyncActionInSyncBlock):
            q.on_rollback(by_hand_async, "a")
        with pytest.raises(AsyncActionInSyncBlock):
            q.on_commit(by_hand_async, "a")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("awaits", [False, True])
def test_an_interrupt_in_a_hook_comes_out_once_all_have_been_called(
    awaits: bool, interrupt: type[BaseException], path: Path
) -> None:
    committed(path, actions.tell, durable(actions.put))
    leave(path, lambda q: actions.put("c"))
    failing["!x True"] = interrupt()
    with pytest.raises(interrupt):
        asyncio.run(Journal(path).recover_async()) if awaits else Journal(path).recover()
    assert trail == ["!x True", "+x"]
    failing.clear()
    assert [one.state for one in Journal(path).recover()] == ["committed", "rolled back"]
    assert trail == ["!x True", "+x", "!x True", "-c"]


def test_ctrl_c_while_a_hook_is_called_comes_once_all_have_been_called(path: Path) -> None:
    committed(path, presses, actions.tell)
    with pytest.raises(KeyboardInterrupt):
        Journal(path).recover()
    assert trail == ["pressed", "!x True"]
    assert [entry.ended is None for entry in Journal(path).transactions()] == [False]


@durable
def presses(_: str) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    note("pressed")


def test_ctrl_c_while_a_recovery_takes_over_keeps_nothing_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    journal = Journal(path)
    assert journal.store.owner == 2
    write = journal.store.write

    def pressed(work: Any, *, sync: bool) -> None:
        monkeypatch.undo()

        def press(db: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            work(db)

        write(press, sync=sync)

    monkeypatch.setattr(journal.store, "write", pressed)
    with pytest.raises(KeyboardInterrupt):
        journal.recover()
    assert [entry.owner for entry in journal.transactions()] == [None]
    assert ([one.state for one in journal.recover()], trail) == (["rolled back"], ["-a"])


@pytest.mark.parametrize("turns", range(6))
def test_a_recovery_that_is_cancelled_keeps_nothing_for_itself(turns: int, path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    committed(path, actions.tell)

    async def main(journal: Journal) -> list[str]:
        task = asyncio.create_task(journal.recover_async())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await journal.recover_async()
        return [entry.state for entry in journal.transactions() if entry.ended is not None]

    assert asyncio.run(main(Journal(path))) == ["rolled back", "committed"]
    assert sorted(trail) == ["!x True", "-a"]


def test_a_resource_that_cannot_be_left_is_told_of_and_keeps_nothing_from_the_next_recovery(path: Path) -> None:
    @contextmanager
    def connect() -> Iterator[str]:
        yield "connected"
        raise OSError("cannot be left")

    async def body(q: Any) -> None:
        await actions.put_async("a")

    leave_async(path, body)
    journal = Journal(path, resources={"db": connect})
    with pytest.raises(OSError, match="cannot be left"):
        journal.recover()  # which leaves it to an event loop
    with pytest.raises(OSError, match="cannot be left"):
        asyncio.run(journal.recover_async())
    assert [entry.state for entry in journal.transactions()] == ["rolled back"]
