"""A queued step that fails says where it was queued: the traceback shows only where the queue was executed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import currentframe
from typing import Any

import pytest

from actionqueues import (
    Action,
    ActionQueue,
    CoroutineNotAwaited,
    IllegalOperation,
    Retry,
    action,
    transaction,
)

from .async_library import Library, everywhere
from .inside import left_in_context
from .scripted import Boom

SOON = Retry(attempts=3, wait_initial=0, wait_jitter=0)


def fail() -> None:
    raise Boom("fail")


@action(retry=SOON, read_only=True)
def keep_failing() -> None:
    raise Boom("again")


@action(read_only=True)
def stop() -> None:
    raise KeyboardInterrupt


def here(offset: int = 0) -> str:
    """The file and line of the caller."""
    frame: Any = currentframe()
    return f"{__file__}:{frame.f_back.f_lineno + offset}"


def queued(error: BaseException) -> list[str]:
    notes: list[str] = getattr(error, "__notes__", [])
    return [note.removeprefix("actionqueues: ") for note in notes if " was queued at " in note]


@pytest.mark.parametrize("at", ["execute", "the end"])
def test_the_file_and_line_of_a_queued_step_are_noted_on_what_it_raises(at: str) -> None:
    place = ""
    with pytest.raises(Boom) as caught, transaction() as q:
        q.add(
            fail
        ); place = here(-2)  # fmt: skip # noqa: E702
        if at == "execute":
            q.execute()
    assert queued(caught.value) == [f"fail was queued at {place}"]


def test_it_is_noted_once_however_often_the_step_was_tried() -> None:
    with pytest.raises(Boom) as caught, transaction() as q:
        q.add(keep_failing); place = here()  # fmt: skip # noqa: E702
    assert queued(caught.value) == [f"keep_failing was queued at {place}"]


def test_a_step_that_is_called_and_one_that_is_interrupted_say_nothing() -> None:
    with pytest.raises(Boom) as called, transaction():
        keep_failing()
    with pytest.raises(KeyboardInterrupt) as interrupted, transaction() as q:
        q.add(stop)
    assert queued(called.value) == queued(interrupted.value) == []


def test_each_of_two_queues_in_each_other_says_it() -> None:
    def outer() -> None:
        with transaction() as inner:
            inner.add(fail); places.append(f"fail was queued at {here()}")  # fmt: skip # noqa: E702

    places: list[str] = []
    with pytest.raises(Boom) as caught, transaction() as q:
        q.add(outer); place = f"{outer.__qualname__} was queued at {here()}"  # fmt: skip # noqa: E702
    assert [note.replace(outer.__qualname__, "outer") for note in queued(caught.value)] == [
        *places,
        place.replace(outer.__qualname__, "outer"),
    ]


def test_a_step_whose_argument_is_not_there_yet_says_it() -> None:
    with pytest.raises(IllegalOperation, match="result of") as caught, transaction() as q, q.savepoint() as part:
        later = q.add(len, "")
        part.add(print, later); place = here()  # fmt: skip # noqa: E702
    assert queued(caught.value) == [f"print was queued at {place}"]


def test_a_step_that_turns_out_to_be_async_says_it() -> None:
    async def later() -> None:
        """Never awaited."""

    with pytest.raises(CoroutineNotAwaited) as caught, transaction() as q:
        q.add(lambda: later()); place = here()  # fmt: skip # noqa: E702
    assert queued(caught.value)[0].endswith(f" was queued at {place}")


@everywhere
def test_in_async_code_it_is_noted_likewise(library: Library) -> None:
    @action(read_only=True)
    async def failing() -> None:
        await library.checkpoint()
        raise Boom("later")

    async def main() -> None:
        async with transaction() as q:
            q.add(failing); places.append(here())  # fmt: skip # noqa: E702
            q.add(fail)

    places: list[str] = []
    with pytest.raises(Boom) as caught:
        library.run(main)
    assert queued(caught.value)[0].endswith(f"failing was queued at {places[0]}")


class Failing(Action):
    def execute(self) -> None:
        raise Boom("execute")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("what", [Failing(), fail], ids=["object", "function"])
def test_a_classic_queue_notes_it_too(count: int, what: Any) -> None:
    queue = ActionQueue()
    for _ in range(count - 1):
        queue.add(Action())
    queue.add(what); place = here()  # fmt: skip # noqa: E702
    with pytest.raises(Boom) as caught:
        queue.execute()
    assert queued(caught.value) == [f"{getattr(what, '__name__', 'Failing')} was queued at {place}"]


@pytest.mark.parametrize("classic", [False, True])
def test_where_nothing_in_python_has_called_it_there_is_no_place(classic: bool) -> None:
    greenlets: Any = pytest.importorskip("greenlet")
    with pytest.raises(Boom) as caught, transaction() as q:
        adding = ActionQueue() if classic else q
        greenlets.greenlet(adding.add).switch(fail)
        adding.execute()
    assert queued(caught.value) == []


def test_a_step_that_has_been_queued_holds_no_frame() -> None:
    def body(q: Any) -> Callable[[], object]:
        thing = Boom("held")
        q.add(fail)
        return functools.partial(repr, thing)

    with pytest.raises(Boom), transaction() as q:
        body(q)
        assert q._block.queue is not None
        code, _offset = q._block.queue[0]._queued or (None, 0)
        assert code is body.__code__
    assert left_in_context() == {}
