"""A probe is asked about a step whose outcome is unknown, and the rollback then knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actionqueues import NotLanded, Step, action, transaction

trail: list[str] = []
answer: list[Any] = []


@action(timeout=0.001)
async def charge(card: str) -> str:
    await asyncio.sleep(60)
    return card


@charge.rollback
async def refund(step: Step[str]) -> None:
    trail.append(f"{step.state} {step.result}")


@charge.landed
async def look(card: str, step: Step[str]) -> str:
    trail.append(f"asked about {card}, {step.state}")
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return str(answer[0])


def run(found: Any) -> Any:
    trail.clear()
    answer[:] = [found]

    async def main() -> Any:
        q: Any = transaction()
        try:
            async with q:
                await charge("card-1")
        except TimeoutError:
            pass
        return q

    return asyncio.run(main())


def test_what_a_probe_finds_is_the_result() -> None:
    q = run("charge-7")
    assert trail == ["asked about card-1, unknown", "done charge-7"]
    assert q.report.undone == ["charge"]


def test_what_never_happened_is_not_undone() -> None:
    q = run(NotLanded())
    assert trail == ["asked about card-1, unknown"]
    assert (q.report.undone, q.report.clean) == ([], True)


def test_a_probe_that_fails_leaves_the_step_unknown(caplog: pytest.LogCaptureFixture) -> None:
    run(ConnectionError("no answer"))
    assert trail == ["asked about card-1, unknown", "unknown None"]
    assert "the probe look of charge failed, so it counts as maybe done: ConnectionError('no answer')" in caplog.text


def test_an_interrupt_in_a_probe_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(KeyboardInterrupt())


def test_a_step_whose_outcome_is_known_is_not_asked_about() -> None:
    trail.clear()

    @action
    def put() -> str:
        return "put"

    @put.rollback
    def take(result: str) -> None:
        trail.append(f"-{result}")

    @put.landed
    def never() -> str:
        raise AssertionError

    with pytest.raises(LookupError), transaction():
        put()
        raise LookupError
    assert trail == ["-put"]


def plain(a: int) -> int:
    return a


def asks_for_result(result: int) -> int:
    return result


def asks_for_another(b: int) -> int:
    return b


async def asks_async(a: int) -> int:
    return a


def test_a_probe_that_cannot_work_is_refused_when_it_is_declared() -> None:
    made = action(plain)
    with pytest.raises(TypeError, match="asks for 'result', which is what it is asked to find out"):
        made.landed(asks_for_result)
    with pytest.raises(TypeError, match="asks for 'b'"):
        made.landed(asks_for_another)
    with pytest.raises(TypeError, match="is async, but plain is not"):
        made.landed(asks_async)
    made.landed(plain)
    with pytest.raises(TypeError, match="already has a probe"):
        made.landed(plain)


def test_what_is_wrong_with_a_probe_is_told_of_the_probe() -> None:
    @action
    def create(name: str) -> str:
        return name

    def asks(nope: str) -> str:
        return nope

    async def later() -> str:
        return ""

    def looks(name: str) -> str:
        return name

    with pytest.raises(TypeError, match="^the probe .*asks of create asks for 'nope', which cannot be supplied; "):
        create.landed(asks)
    with pytest.raises(TypeError, match="^the probe .*later is async, but create is not.* or the probe a plain `def`$"):
        create.landed(later)
    create.landed(looks)
    with pytest.raises(
        TypeError, match="already has a probe, looks; an action has one: call several functions from it$"
    ):
        create.landed(looks)
