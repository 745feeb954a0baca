"""Rare ways through the seam of engines: probes, results that nothing undoes, and what comes too late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import IllegalOperation, NotLanded, Transaction, action, current_step, transaction
from actionqueues.engines import NotCarried, RolledBackBefore, WorkflowCancelled

from .memory import Evicted, MemoryEngine

trail: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    trail.clear()


def cancelled_at(name: str, **options: Any) -> Any:
    """What an engine does whose operator has asked to cancel before the unit of that name."""

    def before(unit: Any) -> str | None:
        return unit.cancelled("enough", **options) if unit.name == name else None

    return before


# -- a step that nobody knows of is asked about


@pytest.mark.parametrize("landed", [True, False])
def test_the_probe_of_a_step_that_may_have_been_done_is_asked_once_in_all_executions(landed: bool) -> None:
    engine = MemoryEngine(before=cancelled_at(pay.__name__, maybe_done=True))
    if landed:
        trail.append("+pay")  # though it was not recorded
    for _ in range(2):
        with pytest.raises(WorkflowCancelled, match="enough"), transaction(engine=engine):
            pay()
    assert trail == (["+pay", "pay?", "-pay 7"] if landed else ["pay?"])
    assert "look for pay" in engine.names


@action
def pay() -> int:
    raise AssertionError("it is not run")


@pay.landed
def paid() -> int:
    trail.append("pay?")
    if "+pay" not in trail:
        raise NotLanded
    return 7


@pay.rollback
def refund(result: int) -> None:
    trail.append(f"-pay {result}")


def test_an_async_probe_is_awaited() -> None:
    @action
    async def send() -> str:
        raise AssertionError("it is not run")

    @send.landed
    async def sent() -> str:
        await asyncio.sleep(0)
        return "letter 3"

    @send.rollback
    async def recall(result: str) -> None:
        trail.append(f"-{result}")

    async def main() -> None:
        async with transaction(engine=engine):
            await send()

    engine = MemoryEngine()
    engine.before = lambda unit: unit.cancelled("enough", maybe_done=True) if unit.kind == "step" else None
    for _ in range(2):
        with pytest.raises(WorkflowCancelled):
            asyncio.run(main())
    assert trail == ["-letter 3"]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_probe_finds_has_to_be_plain_data_and_is_not_undone_by_that(is_async: bool) -> None:
    @action
    def open_socket() -> object:
        raise AssertionError("it is not run")

    @open_socket.landed
    def opened() -> object:
        return object()

    @open_socket.rollback
    def close(result: object) -> None:
        raise AssertionError("nobody knows the result")

    async def main() -> None:
        async with transaction(engine=engine) as q:
            q.add(open_socket)

    engine = MemoryEngine()
    engine.before = lambda unit: unit.cancelled("enough", maybe_done=True) if unit.kind == "step" else None
    with pytest.raises(WorkflowCancelled) as raised:
        if is_async:
            asyncio.run(main())
        else:
            with transaction(engine=engine) as q:
                q.add(open_socket)
    assert any("open_socket" in note for note in raised.value.__notes__), "it is told as left"


# -- before the commit


@action
def put() -> None:
    trail.append("+put")


@put.rollback
def take() -> None:
    trail.append("-put")


def test_a_cancellation_that_is_noticed_before_the_commit_undoes_all() -> None:
    engine = MemoryEngine(before=cancelled_at("committing"))
    for _ in range(2):
        with pytest.raises(WorkflowCancelled, match="enough"), transaction(engine=engine):
            put()
    assert trail == ["+put", "-put"]


def test_a_task_that_is_cancelled_while_its_commit_is_recorded_is_rolled_back() -> None:
    def before(unit: Any) -> None:
        if unit.kind == "committing":
            unit.late = unit.perform()
            raise asyncio.CancelledError

    async def main() -> None:
        async with transaction(engine=MemoryEngine(before=before)) as q:
            q.add(put)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert trail == ["+put", "-put"]


def test_who_catches_that_the_block_was_being_rolled_back_before_cannot_commit() -> None:
    engine = MemoryEngine(raises={"undo put": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt), transaction(engine=engine):
        put()
        raise ValueError("full")
    with pytest.raises(RolledBackBefore, match="full"), transaction(engine=engine):
        put()
        with contextlib.suppress(RolledBackBefore):
            put()
    assert trail == ["+put", "-put"]


def test_a_cancellation_that_is_the_engine_s_own_undoes_nothing() -> None:
    @action
    async def long() -> None:
        trail.append("+long")
        engine.evicting = True
        raise asyncio.CancelledError

    async def main() -> None:
        async with transaction(engine=engine):
            await long()

    engine = MemoryEngine()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert trail == ["+long"]
    assert engine.names == []


def test_a_unit_says_what_it_is() -> None:
    seen: list[str] = []
    with transaction(engine=MemoryEngine(before=lambda unit: seen.append(f"{unit!r} {unit.is_action}"))) as q:
        put()
        q.add(trail.append, "plain")
    assert seen == ["<unit 1: put> True", "<unit 2: list.append> False", "<unit 3: committing> False"]


# -- what is no plain data


@pytest.mark.parametrize("is_async", [False, True])
def test_a_result_that_cannot_be_carried_and_that_nothing_undoes_is_left_and_told(is_async: bool) -> None:
    @action
    def connect() -> object:
        return object()

    @action(name="connect")
    async def connect_async() -> object:
        return object()

    async def main() -> None:
        async with q:
            await connect_async()

    q = transaction(engine=MemoryEngine())
    with pytest.raises(NotCarried, match="'result' of .*connect"):
        if is_async:
            asyncio.run(main())
        else:
            with q:
                connect()
    assert [step.name for step in q.report.left] == ["connect"]


@pytest.mark.parametrize("fails", [0, 1])
def test_the_async_undo_of_such_a_result_is_awaited_and_tried_again_if_it_fails(fails: int) -> None:
    @action
    async def connect() -> object:
        return object()

    @connect.rollback
    async def close() -> None:
        await asyncio.sleep(0)
        trail.append("close")
        if len(trail) <= fails:
            raise OSError("busy")

    async def main() -> None:
        async with transaction(engine=MemoryEngine()):
            await connect()

    with pytest.raises(NotCarried):
        asyncio.run(main())
    assert trail == ["close"] * (1 + fails)


def test_a_step_that_fails_and_has_saved_what_is_no_plain_data_fails_with_its_own_error() -> None:
    @action
    def half() -> None:
        current_step().save(what=object())
        raise ValueError("half")

    @half.rollback
    def undo(error: Exception) -> None:
        trail.append(repr(error))

    with pytest.raises(ValueError, match="half"), transaction(engine=MemoryEngine()):
        half()
    assert trail == ["ValueError('half')"]


# -- what the work of a unit does to its block


def hooks(q: Transaction) -> None:
    q.on_commit(put)


def undoes(q: Transaction) -> None:
    q.on_rollback(take)


def queues(q: Transaction) -> None:
    q.add(put)


@pytest.mark.parametrize(
    ("does", "refused"),
    [(hooks, "register the commit hook"), (undoes, "record the undo"), (queues, "queue put")],
)
def test_what_an_execution_from_the_records_would_not_do_is_refused_in_the_body_of_a_step(
    does: Callable[[Transaction], None], refused: str
) -> None:
    @action(read_only=True)
    def meddle() -> None:
        does(q)

    words = rf"cannot {refused}.*: on the memory engine .*meddle, which does that, is run and recorded as one; do it in"
    with pytest.raises(IllegalOperation, match=words), transaction(engine=MemoryEngine()) as q:
        meddle()


def test_so_it_is_in_a_commit_hook() -> None:
    def hook() -> None:
        with pytest.raises(IllegalOperation, match="cannot register the commit hook"):
            q.on_commit(put)
        trail.append("refused")

    with transaction(engine=MemoryEngine()) as q:
        q.on_commit(hook)
    assert trail == ["refused"]


def test_an_action_that_waits_for_the_commit_is_called_by_the_execution_that_commits() -> None:
    @action(irreversible=True, when="commit")
    def mail(to: str) -> None:
        trail.append(f"mail {to}")

    engine = MemoryEngine(raises={"committing": KeyboardInterrupt()})
    for _ in range(3):
        try:
            with transaction(engine=engine):
                mail("ada")
                put()
        except KeyboardInterrupt:
            trail.append("killed")
    assert trail == ["+put", "killed", "mail ada"]


def test_a_result_that_cannot_be_carried_is_not_taken_for_undone_by_a_coroutine_that_nobody_awaits() -> None:
    async def close() -> None:
        raise AssertionError("nobody awaits it")

    @action
    def connect() -> object:
        return object()

    @connect.rollback
    def disconnect() -> object:
        return close()

    q = transaction(engine=MemoryEngine())
    with pytest.raises(NotCarried, match="connect"), q:
        connect()
    assert "coroutine" in str(q.report.failures[0].error)


def test_two_steps_that_the_engine_interrupts_at_the_same_time_give_up_their_block_once() -> None:
    @action
    async def step(name: str) -> None:
        trail.append(f"+{name}")
        await asyncio.sleep(0)
        raise Evicted(name)

    @step.rollback
    async def unstep(name: str) -> None:
        raise AssertionError("it goes on elsewhere")

    async def main() -> None:
        async with transaction(engine=MemoryEngine()):
            await asyncio.gather(step("a"), step("b"), return_exceptions=True)

    with pytest.raises(Evicted, match="a"):
        asyncio.run(main())
    assert trail == ["+a", "+b"]
