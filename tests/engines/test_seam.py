"""What every engine needs, on one whose records are a dictionary: control flow, replays, keys, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest

from actionqueues import (
    IllegalOperation,
    Retry,
    Step,
    TransactionClosed,
    action,
    current_step,
    transaction,
)
from actionqueues.engines import NotCarried, RolledBackBefore, WorkflowCancelled

from .memory import Evicted, MemoryEngine

trail: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Generator[None, None, None]:
    trail.clear()
    yield
    failing.clear()


failing: dict[str, BaseException] = {}


@action
def put(name: str, token: object = None) -> str:
    trail.append(f"+{name}")
    if name in failing:
        raise failing[name]
    return name.upper()


@put.rollback
def take(name: str, step: Step[str]) -> None:
    trail.append(f"-{name}")
    if f"-{name}" in failing:
        raise failing[f"-{name}"]


@action
async def aput(name: str) -> str:
    trail.append(f"+{name}")
    await asyncio.sleep(0)
    if name in failing:
        raise failing[name]
    return name.upper()


@aput.rollback
async def atake(name: str) -> None:
    await asyncio.sleep(0)
    trail.append(f"-{name}")


def trip(engine: MemoryEngine, *, fail: bool = False) -> None:
    with transaction("trip", engine=engine) as q:
        put("a")
        put("b")
        if fail:
            raise ValueError("full")
        q.on_commit(trail.append, "hook")


async def async_trip(engine: MemoryEngine) -> None:
    async with transaction("trip", engine=engine) as q:
        await aput("a")
        await aput("b")
        q.on_commit(trail.append, "hook")


# -- control flow

POINTS = ["put", "committing", "on commit list.append"]


@pytest.mark.parametrize("point", POINTS)
def test_control_flow_of_the_engine_undoes_nothing_and_the_next_execution_goes_on(point: str) -> None:
    engine = MemoryEngine(raises={point: Evicted("moved")})
    with pytest.raises(Evicted):
        trip(engine)
    assert not [each for each in trail if each.startswith("-")]
    trip(engine)
    assert sorted(trail) == ["+a", "+b", "hook"]


@pytest.mark.parametrize("point", ["aput", "committing", "on commit list.append"])
def test_so_it_is_in_an_async_block(point: str) -> None:
    engine = MemoryEngine(raises={point: Evicted("moved")})
    with pytest.raises(Evicted):
        asyncio.run(async_trip(engine))
    assert not [each for each in trail if each.startswith("-")]
    asyncio.run(async_trip(engine))
    assert sorted(trail) == ["+a", "+b", "hook"]


@pytest.mark.parametrize("point", ["rolling back", "undo put"])
def test_control_flow_in_a_rollback_ends_it_and_the_next_execution_finishes_it(point: str) -> None:
    engine = MemoryEngine(raises={point: Evicted("moved")})
    with pytest.raises(Evicted) as caught:
        trip(engine, fail=True)
    assert isinstance(caught.value.__context__, ValueError)
    assert trail == ["+a", "+b"]
    with pytest.raises(ValueError, match="full"):
        trip(engine, fail=True)
    assert trail == ["+a", "+b", "-b", "-a"]


def test_control_flow_that_a_body_lets_through_is_none_of_its_failures() -> None:
    engine = MemoryEngine()
    failing["b"] = Evicted("moved")
    with pytest.raises(Evicted):
        trip(engine)
    assert engine.names == ["put"]
    failing.clear()
    trip(engine)
    assert trail == ["+a", "+b", "+b", "hook"]


def test_control_flow_in_the_undo_of_a_failed_step_leaves_it_to_the_next_execution() -> None:
    engine = MemoryEngine(raises={"undo put": Evicted("moved")})
    failing["b"] = ValueError("full")
    with pytest.raises(Evicted):
        trip(engine)
    with pytest.raises(ValueError, match="full"):
        trip(engine)
    assert trail == ["+a", "+b", "-b", "-a"]


def test_control_flow_that_code_in_the_block_swallows_comes_out_at_its_end() -> None:
    engine = MemoryEngine(raises={"put": Evicted("moved")})
    with pytest.raises(Evicted), transaction(engine=engine):
        try:
            put("a")
        except Evicted:
            pass
        with pytest.raises(TransactionClosed, match="was interrupted by its engine, which goes on with it elsewhere"):
            put("b")
    assert trail == []


def test_control_flow_in_a_savepoint_gives_up_what_is_around_it() -> None:
    engine = MemoryEngine(raises={"put": Evicted("moved")})
    with pytest.raises(Evicted), transaction(engine=engine) as q:
        try:
            with q.savepoint():
                put("a")
        except Evicted:
            raise ValueError("something else") from None
    assert engine.records == {}


def test_a_process_that_ends_is_no_failure_of_the_work() -> None:
    engine = MemoryEngine()
    failing["b"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        trip(engine)
    failing.clear()
    trip(engine)
    assert trail == ["+a", "+b", "+b", "hook"]


@pytest.mark.parametrize("point", ["sleep", "asleep"])
def test_control_flow_in_the_wait_for_another_attempt_undoes_nothing(point: str) -> None:
    engine, tried = MemoryEngine(raises={point: Evicted("moved")}), 0

    @action(retry=Retry(attempts=3, wait_initial=7, wait_max=7, wait_jitter=0))
    async def flaky() -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise ConnectionError

    async def main() -> None:
        async with transaction(engine=engine):
            await aput("a")
            await flaky()

    with pytest.raises(Evicted):
        asyncio.run(main())
    asyncio.run(main())
    assert (trail, tried) == (["+a"], 2)
    assert engine.slept[-1] == 7


def test_sync_waits_are_the_engines_too() -> None:
    engine, tried = MemoryEngine(raises={"sleep": Evicted("moved")}), 0

    @action(retry=Retry(attempts=3, wait_initial=7, wait_max=7, wait_jitter=0))
    def flaky() -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise ConnectionError

    def main() -> None:
        with transaction(engine=engine):
            flaky()

    with pytest.raises(Evicted):
        main()
    main()
    assert (engine.slept, tried) == ([7], 2)


# -- executions after the first


def test_an_execution_takes_results_and_what_was_saved_from_the_records() -> None:
    engine = MemoryEngine()

    @action
    def reserve(token: object) -> object:
        current_step().save(token=token)
        trail.append("reserve")
        return token

    @reserve.rollback
    def release(token: object, step: Step[object]) -> None:
        trail.append("release")
        assert token == step.result == step.saved["token"] == first[0]

    first: list[object] = []

    def main(*, fail: bool) -> None:
        with transaction(engine=engine):
            first.append(reserve(uuid4()))
            assert first[-1] == first[0]
            if fail:
                raise ValueError

    engine.raises["committing"] = Evicted("moved")
    with pytest.raises(Evicted):
        main(fail=False)
    with pytest.raises(ValueError, match="^$"):
        main(fail=True)
    assert trail == ["reserve", "release"]


def test_a_block_that_was_being_rolled_back_is_rolled_back_though_it_fails_no_more() -> None:
    engine = MemoryEngine(raises={"undo put": Evicted("moved")})
    with pytest.raises(Evicted):
        trip(engine, fail=True)
    with pytest.raises(RolledBackBefore, match=r"because of ValueError\('full'\)$"):
        trip(engine)
    assert trail == ["+a", "+b", "-b", "-a"]


def test_it_is_so_too_where_another_step_comes_next_which_never_runs() -> None:
    engine = MemoryEngine(raises={"undo put": Evicted("moved")})
    with pytest.raises(Evicted), transaction(engine=engine):
        put("a")
        raise ValueError("full")
    q = transaction(engine=engine)
    with pytest.raises(RolledBackBefore), q:
        put("a")
        with pytest.raises(RolledBackBefore):
            put("b")
        put("c")
    assert trail == ["+a", "-a"]
    assert [step.name for step in q.report.dropped] == ["put", "put"]


def test_each_execution_decides_about_further_attempts_as_the_first() -> None:
    engine, tried = MemoryEngine(), 0

    @action(retry=Retry(attempts=3, wait_initial=1, wait_jitter=5))
    def flaky() -> None:
        nonlocal tried
        tried += 1
        raise ConnectionError(str(tried))

    def main() -> None:
        with transaction(engine=engine):
            flaky()

    for _ in range(3):
        with pytest.raises(ConnectionError, match=r"^3\n"):
            main()
    assert tried == 3
    assert engine.slept[:2] == engine.slept[2:4] == engine.slept[4:]
    assert 1 < engine.slept[0] < 6


def test_keys_are_the_same_in_each_execution_and_those_of_no_other_run() -> None:
    keys: list[str] = []

    @action
    def note() -> None: ...

    @note.rollback
    def forget(step: Step[None]) -> None:
        keys.extend((step.key, step.undo_key))

    for engine in (MemoryEngine(), MemoryEngine(), MemoryEngine(here="workflow-2")):
        with pytest.raises(ValueError, match="x"), transaction(engine=engine):
            note()
            raise ValueError("x")
    assert keys[:2] == keys[2:4] == ["workflow-1-1", "workflow-1-1-undo"]
    assert keys[4:] == ["workflow-2-1", "workflow-2-1-undo"]


# -- cancellation


def cancelling(maybe_done: bool) -> Any:
    def before(unit: Any) -> str | None:
        if unit.kind == "step" and trail == ["+a"]:
            text: str = unit.cancelled("by Ada", maybe_done=maybe_done)
            return text
        return None

    return before


@pytest.mark.parametrize("execution", [1, 2])
def test_a_workflow_that_somebody_cancels_is_undone_and_the_step_at_hand_never_runs(execution: int) -> None:
    engine = MemoryEngine(before=cancelling(maybe_done=False))
    for _ in range(execution):
        with pytest.raises(WorkflowCancelled, match="^the workflow was cancelled: by Ada$"):
            trip(engine)
    assert trail == ["+a", "-a"]


def test_a_step_that_may_have_been_done_is_undone_as_well() -> None:
    engine = MemoryEngine(before=cancelling(maybe_done=True))
    with pytest.raises(WorkflowCancelled):
        trip(engine)
    assert trail == ["+a", "-b", "-a"]


def test_a_time_out_in_the_block_stops_the_work_and_undoes_it_in_each_execution() -> None:
    engine = MemoryEngine()

    @action
    async def long() -> None:
        trail.append("+long")
        await asyncio.sleep(60)

    @long.rollback
    async def short() -> None:
        trail.append("-long")

    async def main() -> None:
        async with transaction(engine=engine):
            await aput("a")
            async with asyncio.timeout(0.01):
                await long()

    for _ in range(3):
        with pytest.raises(TimeoutError):  # which is none of the records: it comes to pass again
            asyncio.run(main())
    assert trail == ["+a", "+long", "-long", "-a"]


def test_a_cancellation_from_outside_that_does_not_come_again_is_taken_from_the_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actionqueues.engines.running._PATIENCE", 0.0)
    engine = MemoryEngine()

    @action
    async def long() -> None:
        trail.append("+long")
        if (block := asyncio.current_task()) is not None:
            block.cancel()
        await asyncio.sleep(60)

    @long.rollback
    async def short() -> None:
        trail.append("-long")

    async def main() -> None:
        async with transaction(engine=engine):
            await long()

    for _ in range(2):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())
    assert trail == ["+long", "-long"]


def test_work_that_ends_as_cancelled_without_being_so_is_taken_from_the_records_at_once() -> None:
    engine = MemoryEngine()

    @action
    async def waits() -> None:
        trail.append("+waits")
        lost = asyncio.ensure_future(asyncio.sleep(60))
        lost.cancel()
        await lost

    async def main() -> None:
        async with transaction(engine=engine):
            try:
                await waits()
            except asyncio.CancelledError:
                trail.append("caught")

    for _ in range(2):
        asyncio.run(main())
    assert trail == ["+waits", "caught", "caught"]


# -- what is no plain data


def test_a_result_that_cannot_be_carried_is_undone_at_once_with_it() -> None:
    engine, undone = MemoryEngine(), list[object]()

    @action
    def connect() -> object:
        return object()

    @connect.rollback
    def disconnect(result: object) -> None:
        undone.append(result)

    q = transaction(engine=engine)
    with (
        pytest.raises(NotCarried, match=r"^cannot record 'result' of .*connect: it is, or contains, a builtins.object"),
        q,
    ):
        put("a")
        connect()
    assert len(undone) == 1
    assert type(undone[0]) is object
    assert q.report.clean
    assert [each.rpartition(".")[2] for each in q.report.undone] == ["connect", "put"]


def test_what_a_step_saves_has_to_be_plain_data_too() -> None:
    engine = MemoryEngine()

    @action
    def save() -> None:
        current_step().save(what=object())

    @save.rollback
    def unsave(step: Step[None]) -> None:
        trail.append(type(step.saved["what"]).__name__)

    with pytest.raises(NotCarried, match="'what' of what .*save saves"), transaction(engine=engine):
        save()
    assert trail == ["object"]


def test_if_that_undo_fails_the_undo_is_tried_as_any() -> None:
    engine = MemoryEngine()

    @action
    def connect() -> object:
        return object()

    @connect.rollback
    def disconnect(step: Step[object]) -> None:
        trail.append("disconnect")
        if len(trail) == 1:
            raise OSError("busy")

    q = transaction(engine=engine)
    with pytest.raises(NotCarried), q:
        connect()
    assert trail == ["disconnect"] * 2
    assert q.report.clean


# -- what is refused


def test_an_action_that_is_called_inside_a_step_is_refused() -> None:
    engine = MemoryEngine()

    @action
    def outer() -> None:
        put("inner")

    with (
        pytest.raises(
            IllegalOperation, match=r"^cannot run the step put: on the memory engine .*outer, which calls it"
        ),
        transaction(engine=engine),
    ):
        put("a")
        outer()
    assert trail == ["+a", "-a"]


def test_what_is_no_engine_and_what_goes_with_none_is_refused(tmp_path: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^transaction\(engine=...\) takes an engine, such as DBOSEngine\(\), not 'dbos'$"
    ):
        transaction(engine="dbos")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"engine=... and journal=... exclude each other"):
        transaction(engine=MemoryEngine(), journal=tmp_path / "x.db")
    with pytest.raises(TypeError, match=r"engine=... and retry=... exclude each other"):
        transaction(engine=MemoryEngine(), retry=Retry())


def test_a_block_inside_is_a_savepoint_if_it_names_the_same_engine_and_refused_otherwise() -> None:
    engine = MemoryEngine()
    with transaction(engine=engine), transaction(engine=engine):
        put("a")
    assert engine.names == ["put", "committing"]
    with (
        pytest.raises(IllegalOperation, match="its journal or engine is not that of the transaction"),
        transaction(engine=MemoryEngine()),
        transaction(engine=MemoryEngine()),
    ):
        pass


def test_an_operator_is_shown_how_far_it_is() -> None:
    engine = MemoryEngine()
    with pytest.raises(ValueError, match="full"):
        trip(engine, fail=True)
    why = "ValueError('full')"
    assert engine.shown == [
        "running",
        *(f"rolling back: {why}; undone {number} of 2" for number in range(3)),
        f"rolled back: {why}",
    ]
    assert engine.names == ["put", "put", "rolling back", "undo put", "undo put"]
    trip(engine := MemoryEngine())
    assert engine.shown == ["running", "committed"]
    assert engine.names == ["put", "put", "committing", "on commit list.append"]
