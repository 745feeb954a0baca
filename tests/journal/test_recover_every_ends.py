"""Recovery beside a program ends with its block, and two of them never undo the same thing at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trio

from actionqueues import action
from actionqueues.journal import Journal, JournalError
from actionqueues.journal.recovery import Recovery

from . import actions
from .actions import failing, trail
from .leaving import leave, leave_async
from .rounds import FORMS, began, go, held, held_async, in_thread, states, until
from .test_recover_every import in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@pytest.fixture(autouse=True)
def nothing_has_begun() -> None:
    began.clear()
    go.clear()


def once_it_is_to_end(every: Any, then: Callable[[], object]) -> Thread:
    """Let a thread do something as soon as the end of the block waits."""
    thread = Thread(target=lambda: (until(lambda: every._rounds.stopping), then()))
    thread.start()
    return thread


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_what_is_being_undone_at_the_end_is_finished_and_nothing_else_is_begun(
    form: Callable[..., None], path: Path
) -> None:
    async def body(q: object) -> None:
        await held_async("a")
        actions.put("b")

    for _ in range(2):
        leave_async(path, body)
    helpers: list[Thread] = []

    def script(every: Any) -> None:
        assert began.wait(30)
        helpers.append(once_it_is_to_end(every, go.set))

    form(Journal(path), script, 3600)
    helpers[0].join()
    assert trail == ["-b", "-a begun", "-a"]
    assert states(path) == ["rolled back", "open"]
    assert Journal(path).show(2).owner is None
    assert [each.state for each in Journal(path).recover()] == ["waiting"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_the_end_does_not_wait_for_the_next_round(form: Callable[..., None], path: Path) -> None:
    def script(_: object) -> None:
        until(path.exists)

    form(Journal(path), script, 3600)  # it would take an hour


def test_ctrl_c_in_the_block_waits_for_what_is_being_undone(path: Path) -> None:
    leave(path, lambda q: held("a"))
    with pytest.raises(KeyboardInterrupt), Journal(path).recover_every(3600) as every:
        assert began.wait(30)
        helper = once_it_is_to_end(every, go.set)
        signal.raise_signal(signal.SIGINT)
    helper.join()
    assert trail == ["-a begun", "-a"]


def test_ctrl_c_at_the_end_of_the_block_waits_too(path: Path) -> None:
    leave(path, lambda q: held("a"))

    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        go.set()

    def script(every: Any) -> None:
        assert began.wait(30)
        once_it_is_to_end(every, press)

    with pytest.raises(KeyboardInterrupt):
        in_thread(Journal(path), script, 3600)
        until(lambda: False)  # it may come only now
    assert trail == ["-a begun", "-a"]
    assert states(path) == ["rolled back"]


def test_a_task_of_asyncio_that_is_cancelled_finishes_what_is_being_undone(path: Path) -> None:
    leave_async(path, lambda q: held_async("a"))

    async def work() -> None:
        async with Journal(path).recover_every(3600) as every:
            once_it_is_to_end(every, go.set)
            await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.to_thread(began.wait, 30)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert trail == ["-a begun", "-a"]

    asyncio.run(main())


def test_a_scope_of_trio_that_is_cancelled_finishes_what_is_being_undone(path: Path) -> None:
    leave_async(path, lambda q: held_async("a"))

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with Journal(path).recover_every(3600) as every:
                once_it_is_to_end(every, go.set)
                await trio.to_thread.run_sync(began.wait, 30)
                scope.cancel()
                await trio.sleep(3600)
        assert scope.cancelled_caught
        assert trail == ["-a begun", "-a"]

    trio.run(main)


def test_a_task_that_somebody_else_cancels_says_that_nothing_is_recovered_any_more(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "actionqueues")

    async def main() -> None:
        async with Journal(path).recover_every(3600) as every:
            await asyncio.sleep(0)
            every._task.cancel()

            await asyncio.wait([every._task])

    asyncio.run(main())
    told = f"<Journal {str(path)!r}> is not recovered any more: the task that did it was cancelled"
    assert caplog.messages == [told]


def test_ctrl_c_of_a_handler_in_a_task_of_the_main_thread_is_ctrl_c(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    failing["-a"] = KeyboardInterrupt("of the handler")

    async def main() -> None:
        async with Journal(path).recover_every(0.005):
            await asyncio.sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert trail == ["-a"]


# -- never twice at once


@action
def alone(folder: str) -> None: ...


@alone.rollback
def never_beside_itself(folder: str) -> None:
    busy = Path(folder) / "busy"
    with (Path(folder) / "calls").open("a") as calls:
        try:
            busy.mkdir()
        except FileExistsError:
            calls.write("twice\n")
            raise
        calls.write(f"{os.getpid()}\n")
    busy.rmdir()
    raise OSError("so that it stays to be undone")


def calls(folder: Path) -> list[str]:
    file = folder / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_two_in_one_process_never_undo_the_same_transaction_at_once(path: Path) -> None:
    leave(path, lambda q: alone(str(path.parent)))
    journal, other = Journal(path), Journal(path)
    with journal.recover_every(0.0001) as first, other.recover_every(0.0001) as second:
        until(lambda: len(calls(path.parent)) > 30)
        assert first._rounds is not second._rounds
    assert "twice" not in calls(path.parent)
    assert journal.show(1).owner is None


def test_two_processes_never_undo_the_same_transaction_at_once(path: Path) -> None:
    leave(path, lambda q: alone(str(path.parent)))
    Journal(path).close()

    def tried_by_both() -> bool:
        return len({line.split()[0] for line in calls(path.parent)}) > 1 and len(calls(path.parent)) > 20

    pid = os.fork()
    if pid == 0:
        try:
            with Journal(path).recover_every(0.0001):
                until(tried_by_both)
        finally:
            os._exit(0)
    with Journal(path).recover_every(0.0001):
        until(tried_by_both)
    os.waitpid(pid, 0)
    assert "twice" not in calls(path.parent)
    assert Journal(path).show(1).owner is None


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_a_thread_is_giving_back_no_other_one_has_taken_meanwhile(moment: str, path: Path) -> None:
    """Otherwise its owner would be nobody while it is recovered, and another process could take it."""
    leave(path, lambda q: actions.put("a"))
    journal = Journal(path)
    first, second, third = (Recovery(journal, awaits=False) for _ in range(3))
    first.claim(())
    write = journal.store.write_guarded

    def beside(*args: Any, **options: Any) -> None:
        if moment == "after":
            write(*args, **options)
        journal.store.write_guarded = write  # type: ignore[method-assign]
        second.claim(())
        if moment == "before":
            write(*args, **options)

    journal.store.write_guarded = beside  # type: ignore[method-assign]
    first.close()
    third.claim(())
    assert (second.taken, third.taken) == (([1], []) if moment == "after" else ([], [1]))
    owner = journal.show(1).owner
    assert owner == journal.store.owner
    second.close()
    third.close()


def test_what_could_not_be_given_back_one_of_several_threads_takes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: actions.put("a"))
    journal = Journal(path)
    first, second = (Recovery(journal, awaits=False) for _ in range(2))
    first.claim(())
    with monkeypatch.context() as patched, pytest.raises(JournalError):

        def fail(*_: Any, **__: Any) -> None:
            raise JournalError(str(path), "the disk is full")

        patched.setattr(journal.store, "write_guarded", fail)
        first.close()
    seen = journal.store.read("SELECT id, owner FROM transactions")
    assert seen == [(1, journal.store.owner)]
    assert second._take(seen, journal.store.owner) == [1]
    assert Recovery(journal, awaits=False)._take(seen, journal.store.owner) == []
    second.close()


def test_a_child_of_a_program_that_recovers_may_recover_too(path: Path) -> None:
    leave(path, lambda q: held("a"))

    def script(every: Any) -> None:
        assert began.wait(30)

        def work() -> None:
            done: list[object] = []
            with Journal(path).recover_every(0.005) as own:
                until(lambda: own._rounds._said_before is not own._rounds._said)
                done += Journal(path).recover()
            assert done == []

        in_child(work)
        go.set()

    in_thread(Journal(path), script)
    assert trail == ["-a begun", "-a"]
