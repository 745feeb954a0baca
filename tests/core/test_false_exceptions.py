"""Exceptions that are false, as one with a `__len__` is: what is raised counts, and not what `bool` says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from actionqueues import CommitHookFailed, StepState, action, transaction
from actionqueues.core.watch import Watch, observed


class Problems(Exception):
    """Has as many items as there are problems."""

    def __len__(self) -> int:
        return 0


class Stop(BaseException):
    """The same for what is no `Exception`."""

    def __bool__(self) -> bool:
        return False


trail: list[str] = []


@action
def put(name: str, error: BaseException | None = None, undo_error: BaseException | None = None) -> None:
    trail.append(f"+{name}")
    if error is not None:
        raise error


@put.rollback
def take(name: str, undo_error: BaseException | None) -> None:
    trail.append(f"-{name}")
    if undo_error is not None:
        raise undo_error


@pytest.fixture(autouse=True, params=["plain", "watched"])
def watched(request: pytest.FixtureRequest) -> Iterator[None]:
    """With nothing between the block and its steps, and with something."""
    trail.clear()
    watch = Watch()
    with observed(lambda _block, _before: watch) if request.param == "watched" else nullcontext():
        yield


@pytest.mark.parametrize("error", [Problems(), Stop()])
def test_a_body_that_raises_one_has_failed(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, transaction() as q:
        put("a")
        put("b", error)
    assert caught.value is error
    assert trail == ["+a", "+b", "-b", "-a"]
    assert q.state == "rolled back"


def test_an_undo_that_raises_one_has_failed() -> None:
    error = Problems()
    with pytest.raises(LookupError), transaction() as q:
        put("a")
        put("b", undo_error=error)
        raise LookupError
    assert trail == ["+a", "+b", "-b", "-a"]
    assert [(failure.step.state, failure.error) for failure in q.report.failures] == [(StepState.UNDO_FAILED, error)]


def test_what_interrupts_an_undo_comes_out_once_all_others_are_done() -> None:
    error = Stop()
    with pytest.raises(Stop) as caught, transaction():
        put("a")
        put("b", undo_error=error)
        raise LookupError
    assert caught.value is error
    assert isinstance(error.__context__, LookupError)
    assert trail == ["+a", "+b", "-b", "-a"]


def test_a_commit_hook_that_raises_one_has_failed() -> None:
    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(CommitHookFailed) as caught, transaction() as q:
        q.on_commit(fail, Problems())
    assert [type(error) for error in caught.value.exceptions] == [Problems]
    with pytest.raises(Stop), transaction() as q:
        q.on_commit(fail, Stop())
        q.on_commit(trail.append, "next")
    assert trail == ["next"]
    assert [failure.name for failure in q.report.hook_failures] == [fail.__qualname__.rpartition(".")[2]]


def test_in_async_code_likewise() -> None:
    error = Problems()

    async def main() -> None:
        async with transaction() as q:
            q.add(put, "a", undo_error=error)
            await q.execute()
            put("b", Stop())

    with pytest.raises(Stop) as caught:
        asyncio.run(main())
    assert caught.value.__notes__ == ["actionqueues: the undo of put failed: Problems()"]
    assert trail == ["+a", "+b", "-b", "-a"]
