"""What comes too late is told what is true: who has ended the transaction, how, and what to do instead."""

from __future__ import annotations

import asyncio
import contextvars
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import Action, ActionQueue, AsyncTransaction, Transaction, TransactionClosed, action, transaction

from .async_library import Library, everywhere
from .world import Boom

OWN = "in a transaction of its own"


@action(read_only=True)
def look() -> None:
    """Look."""


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(TransactionClosed) as caught:
        call()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


def too_late(what: str, how: str, advice: str) -> str:
    return f"{what} came too late: {how}, and nothing was run; call it {advice}"


CALLS: list[tuple[str, Callable[[Transaction], object]]] = [
    ("look", lambda _: look()),
    ("add(look)", lambda q: q.add(look)),
    ("execute()", lambda q: q.execute()),
    ("rollback()", lambda q: q.rollback()),
    ("on_commit(len)", lambda q: q.on_commit(len, "")),
    ("on_rollback(len)", lambda q: q.on_rollback(len, "")),
    ("run(len)", lambda q: q.run(len, "")),
    ("savepoint()", lambda q: q.savepoint()),
]


@pytest.mark.parametrize(("what", "call"), CALLS)
def test_after_a_rollback_by_hand_everything_says_that_this_has_closed_the_block(
    what: str, call: Callable[[Transaction], object]
) -> None:
    with transaction("order") as q:
        q.rollback()
        told = refused(lambda: call(q))
    assert told == too_late(what, "the transaction 'order' was rolled back by q.rollback()", f"before that, or {OWN}")


@everywhere
def test_in_async_code_likewise(library: Library) -> None:
    told: list[str] = []

    @action(read_only=True)
    async def look_later() -> None:
        """Look, and wait."""

    async def main() -> None:
        async with transaction("order") as q:
            await q.rollback()
            told.append(refused(look))
            with pytest.raises(TransactionClosed) as caught:
                await look_later()
            told.append(str(caught.value))

    library.run(main)
    how = "the transaction 'order' was rolled back by q.rollback()"
    assert [text.replace("look_later", "look") for text in told] == [
        too_late("look", how, f"before that, or {OWN}")
    ] * 2


def test_what_is_called_after_the_block_is_told_how_that_ended() -> None:
    with transaction("order") as good:
        pass
    assert refused(lambda: good.add(look)) == too_late(
        "add(look)", "the transaction 'order' is committed", f"before the block ends, or {OWN}"
    )
    with pytest.raises(Boom), transaction("order") as bad:
        raise Boom("body")
    assert refused(lambda: bad.add(look)) == too_late(
        "add(look)", "the transaction 'order' is rolled back", f"before the block ends, or {OWN}"
    )


def test_what_is_called_while_the_block_is_undone_is_told_so() -> None:
    told: list[str] = []
    with pytest.raises(Boom), transaction("order") as q:
        q.on_rollback(lambda: told.append(refused(lambda: q.add(look))))
        raise Boom("body")
    assert told == [
        too_late("add(look)", "the transaction 'order' is rolling back", f"before the block ends, or {OWN}")
    ]


def test_a_savepoint_that_has_succeeded_says_where_its_steps_are() -> None:
    with transaction("order"):
        with transaction("part") as part:
            pass
        told = refused(lambda: part.add(look))
    how = "the savepoint 'part' has been left, and its steps belong to the transaction 'order'"
    assert told == too_late("add(look)", how, f"before the block ends, or {OWN}")


def test_a_savepoint_that_was_undone_with_the_block_around_it_says_with_which() -> None:
    with transaction("order") as q, transaction("part"):
        q.rollback()
        told = refused(look)
    how = "the savepoint 'part' was undone with the transaction 'order' by q.rollback()"
    assert told == too_late("look", how, f"before that, or {OWN}")


@pytest.mark.parametrize("end", ["executed", "rolled back"])
def test_a_classic_queue_says_so_in_words_of_its_own(end: str) -> None:
    contexts: list[contextvars.Context] = []

    class Remember(Action):
        def execute(self) -> None:
            contexts.append(contextvars.copy_context())

    queue = ActionQueue()
    queue.add(Remember())
    queue.execute()
    if end == "rolled back":
        queue.rollback()
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(contexts[0].run(refused, look)))
    thread.start()
    thread.join()
    assert told == [too_late("look", f"this action queue has been {end}", f"while that executes, or {OWN}")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_a_forked_child_is_told_that_the_block_is_its_parents() -> None:
    with transaction("order") as q:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - in a child process
            os.write(write, refused(lambda: q.add(look)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read, "rb") as reading:
            told = reading.read().decode()
    assert told == (
        "add(look) came too late: the transaction 'order' belongs to the process that this one was forked from, and "
        "nothing was run; open another one here"
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_commit_does_not_exist_and_the_error_says_what_commits(is_async: bool) -> None:
    made: list[Transaction | AsyncTransaction] = []

    async def main() -> None:
        async with transaction() as q:
            made.append(q)

    if is_async:
        asyncio.run(main())
    else:
        with transaction() as q:
            made.append(q)
    mine: Any = made[0]
    assert not hasattr(mine, "commit")
    with pytest.raises(AttributeError) as caught:
        mine.commit()
    assert str(caught.value) == (
        f"{type(mine).__name__!r} object has no attribute 'commit': leaving the block commits; on_commit(fn) calls "
        "what has to follow, execute() runs the queue now"
    )
    with pytest.raises(AttributeError, match="has no attribute 'comit'$"):
        mine.comit()
