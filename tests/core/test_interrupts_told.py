"""The first Ctrl-C of a rollback is told in the log: how much is left, and what it takes to get out."""

from __future__ import annotations

import logging
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actionqueues import Action, ActionQueue, Retry, action, transaction
from tests.async_library import Library, everywhere
from tests.async_stage import Boom

LOGGER = logging.getLogger("actionqueues")
SOON = Retry(attempts=2, wait_initial=0, wait_jitter=0)


class Told(logging.Handler):
    """Takes records, from whatever thread, and lets others wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(record)

    def next(self) -> str:
        record = self.records.get(timeout=20)
        assert record.levelno == logging.WARNING
        return record.getMessage()

    def nothing_more(self) -> None:
        wait_for_threads()
        assert self.records.empty()


def wait_for_threads() -> None:
    """Until those have ended that log; they may be about to give a record to the next handler."""
    for thread in threading.enumerate():
        if thread.name == "actionqueues":
            thread.join()


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told()
    LOGGER.addHandler(handler)
    yield handler
    wait_for_threads()
    LOGGER.removeHandler(handler)


def press(times: int = 1) -> None:
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


@action
def put(name: str, undo: Callable[[], object] = str) -> None:
    """Put it there."""


@put.rollback
def take(undo: Callable[[], object]) -> None:
    undo()


@pytest.mark.parametrize("times", [1, 2])
def test_the_first_says_how_many_steps_are_left_while_the_undo_goes_on(times: int, told: Told) -> None:
    seen: list[str] = []

    def long_undo() -> None:
        press()
        seen.append(told.next())  # it does not come when this has ended: that may take long
        press(times - 1)

    with pytest.raises(KeyboardInterrupt), transaction("order") as q:
        for _ in range(3):
            put("a")
        with q.savepoint():
            put("b")
        put("c", long_undo)
        put("d")
        raise Boom
    assert seen == ["order: undoing 5 steps; twice more to abandon them"]
    told.nothing_more()
    assert len(q.report.undone) == 6


def test_one_step_is_one_step(told: Told) -> None:
    with pytest.raises(KeyboardInterrupt), transaction("order"):
        put("a", press)
        put("b")
        raise Boom
    assert told.next() == "order: undoing 1 step; twice more to abandon it"


def test_a_step_that_is_undone_where_it_failed_counts_with_what_it_has_made(told: Told) -> None:
    @action
    def outer() -> None:
        put("a")
        put("b", press)
        raise Boom

    @outer.rollback
    def undo() -> None:
        """Nothing to do."""

    with pytest.raises(KeyboardInterrupt), transaction("order"):
        put("not counted")
        outer()
    assert told.next() == "order: undoing 3 steps; twice more to abandon them"


def test_a_step_that_is_to_be_tried_again_is_not_undone_itself(told: Told) -> None:
    @action(retry=SOON, read_only=True)
    def outer() -> None:
        put("a", press)
        raise Boom

    with pytest.raises(KeyboardInterrupt), transaction("order"):
        outer()
    assert told.next() == "order: undoing 1 step; twice more to abandon it"


def test_a_queue_tells_it_too(told: Told) -> None:
    class Pressing(Action):
        def rollback(self) -> None:
            press()

    actions = ActionQueue()
    for each in (Action(), Pressing()):
        actions.add(each)
    actions.execute()
    with pytest.raises(KeyboardInterrupt):
        actions.rollback()
    assert told.next() == "action queue: undoing 2 steps; twice more to abandon them"


def test_commit_hooks_have_words_of_their_own(told: Told) -> None:
    with pytest.raises(KeyboardInterrupt), transaction("order") as q:
        q.on_commit(press)
        q.on_commit(str)
    assert told.next() == "order: calling commit hooks; twice more to leave out the others"


@everywhere
def test_in_async_code_it_is_told_likewise(library: Library, told: Told) -> None:
    @action
    async def put_later() -> None:
        """Put it there."""

    @put_later.rollback
    async def take_later() -> None:
        await library.checkpoint()
        press()
        seen.append(told.next())
        await library.checkpoint()

    async def main() -> None:
        async with transaction("order"):
            put("a")
            await put_later()
            raise Boom

    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        library.run(main)
    assert seen == ["order: undoing 2 steps; twice more to abandon them"]


def test_a_log_whose_lock_the_interrupted_code_holds_is_waited_for_by_nobody(told: Told) -> None:
    """As the mutex of a `QueueHandler`'s queue, which cannot be taken twice."""
    lock = threading.Lock()
    seen: list[str] = []

    class Locking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with lock:
                seen.append(record.getMessage())

    def undo() -> None:
        with lock:
            press()  # which has to return

    handler = Locking()
    LOGGER.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt), transaction("order"):
            put("a", undo)
            raise Boom
        told.next()
        told.nothing_more()
    finally:
        LOGGER.removeHandler(handler)
    assert seen == ["order: undoing 1 step; twice more to abandon it"]


def test_no_thread_stays_behind(told: Told) -> None:
    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt), transaction("order"):
        put("a", press)
        raise Boom
    told.next()
    told.nothing_more()
    assert threading.enumerate() == before


def test_where_no_thread_can_be_started_the_undoing_goes_on(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("actionqueues.core.interrupts.start_new_thread", refuse)
    with pytest.raises(KeyboardInterrupt), transaction("order") as q:
        put("a", press)
        raise Boom
    assert (q.report.undone, q.report.clean) == (["put"], True)
    told.nothing_more()
