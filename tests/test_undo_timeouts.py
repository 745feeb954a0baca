"""`@fn.rollback(undo_timeout=...)`: an undo that takes too long has failed, and its policy is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Retry, Step, action, transaction
from actionqueues.journal import Journal
from tests.async_library import Library, everywhere
from tests.async_stage import Boom

AT_ONCE = Retry(attempts=3, wait_initial=0, wait_jitter=0)


@everywhere
def test_an_undo_that_takes_too_long_has_failed_and_stops_no_other(library: Library) -> None:
    trail: list[str] = []

    @action
    async def slow(name: str) -> None:
        trail.append(f"+{name}")

    @slow.rollback(undo_timeout=0.001)
    async def undo(name: str) -> None:
        trail.append(f"-{name}")
        if name == "b":
            await library.forever()

    async def main() -> None:
        with pytest.raises(Boom) as caught:
            async with transaction() as q:
                await slow("a")
                await slow("b")
                raise Boom
        (failure,) = q.report.failures
        assert (failure.step.arguments["name"], type(failure.error)) == ("b", TimeoutError)
        assert len(caught.value.__notes__) == 1
        assert "the undo of slow failed: TimeoutError('not done within 0.001 s')" in caught.value.__notes__[0]

    library.run(main)
    assert trail == ["+a", "+b", "-b", "-a"]


@everywhere
def test_each_attempt_of_an_undo_has_the_whole_time(library: Library) -> None:
    attempts: list[int] = []

    @action
    async def slow() -> None:
        pass

    @slow.rollback(retry=AT_ONCE, undo_timeout=0.001)
    async def undo(step: Step[None]) -> None:
        attempts.append(step.attempts)
        if len(attempts) < 3:
            await library.forever()

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True) as q:
                await slow()
                raise Boom
        assert q.report.clean

    library.run(main)
    assert len(attempts) == 3


def test_only_what_can_be_stopped_can_have_a_time_out() -> None:
    @action
    async def put() -> None: ...

    def take() -> None: ...

    name = "put"
    with pytest.raises(TypeError) as caught:
        put.rollback(undo_timeout=1)(take)  # type: ignore[type-var]  # pyright: ignore
    assert str(caught.value) == (
        f"{name}.rollback(undo_timeout=...) needs an `async def`: nothing can stop the sync handler take; give a "
        "time-out to what it calls"
    )
    declare: Any = put.rollback
    for wrong in (0, -1, "5", True, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"put.rollback\(undo_timeout=...\) must be a number of seconds above 0"):
            declare(undo_timeout=wrong)(take)

    @put.rollback(undo_timeout=2.5)
    async def take_async() -> None: ...

    assert repr(put).endswith("undone by take_async>")


@everywhere
def test_what_overrides_the_handler_has_its_time_out_if_it_is_async(library: Library) -> None:
    class Shop:
        trail: list[str]

        def __init__(self) -> None:
            self.trail = []

        @action
        async def book(self) -> None: ...

        @book.rollback(undo_timeout=0.001)
        async def cancel(self) -> None: ...

    class Slow(Shop):
        async def cancel(self) -> None:
            self.trail.append("slow")
            await library.forever()

    class Plain(Shop):
        def cancel(self) -> None:  # type: ignore[override]  # pyright: ignore
            self.trail.append("plain")

    async def main() -> None:
        for shop, failures in ((Shop(), 0), (Slow(), 1), (Plain(), 0)):
            async with transaction() as q:
                await shop.book()
                try:
                    await q.rollback()
                except ExceptionGroup:
                    assert shop.trail == ["slow"]
            assert len(q.report.failures) == failures

    library.run(main)


@everywhere
@pytest.mark.parametrize("own", [TimeoutError("the server said so"), TimeoutError()])
def test_a_time_out_of_its_own_comes_out_as_it_is(library: Library, own: TimeoutError) -> None:
    @action
    async def put() -> None: ...

    @put.rollback(undo_timeout=3600)
    async def take() -> None:
        raise own

    async def main() -> None:
        async with transaction() as q:
            await put()
            with pytest.raises(ExceptionGroup) as caught:
                await q.rollback()
            assert caught.value.exceptions == (own,)

    library.run(main)


@pytest.mark.parametrize("together", [False, True])
def test_where_a_coroutine_is_closed_and_nothing_can_be_awaited_what_need_not_wait_is_undone(together: bool) -> None:
    trail: list[str] = []

    @action
    async def put(name: str) -> None: ...

    @put.rollback(undo_timeout=3600)
    async def take(name: str) -> None:
        trail.append(f"-{name}")

    async def main() -> None:
        async with transaction(undo_concurrently=together):
            await put("a")
            await put("b")
            await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    coroutine = main()
    task = loop.create_task(coroutine)
    for _ in range(10):
        loop.run_until_complete(asyncio.sleep(0))
    del task
    loop.close()
    with pytest.raises(GeneratorExit):
        coroutine.throw(GeneratorExit)
    assert trail == ["-b", "-a"]


def test_the_option_of_the_handler_is_no_option_of_the_action() -> None:
    declare: Any = action
    with pytest.raises(TypeError) as caught:
        declare(undo_timeout=5)
    assert str(caught.value) == (
        "@action has no option 'undo_timeout'; give it to the handler: @fn.rollback(undo_timeout=...)"
    )


@action(name="slow-to-undo")
async def charge() -> str:
    return "charged"


@charge.rollback(undo_timeout=0.001)
async def refund(result: str) -> None:
    await asyncio.sleep(3600)


def test_recovery_gives_an_undo_up_after_the_same_time(tmp_path: Path) -> None:
    async def main() -> None:
        with Journal(tmp_path / "actions.db") as journal:
            with pytest.raises(Boom):
                async with transaction(journal=journal):
                    await charge()
                    raise Boom
            (recovered,) = await journal.recover_async()
            assert recovered.state == "stuck"
            assert "TimeoutError" in str(recovered)

    asyncio.run(main())
