"""What stands between a transaction and its steps: it changes nothing by itself, sees all, and may refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actionqueues import AsyncActionInSyncBlock, IllegalOperation, StepState, Transaction, action, transaction
from actionqueues.core.requests import Await, Call, Request
from actionqueues.core.watch import Watch, observed
from tests import scenarios, scenarios_of_ends, scenarios_of_marks
from tests.world import SCENARIOS, WORLDS, Scenario, World, describe, outcomes

LISTS = {scenarios.__name__, scenarios_of_ends.__name__, scenarios_of_marks.__name__}


class Recording(Watch):
    """Writes down what it is told, and asks for a call that may block each time."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.wrong: dict[str, Callable[[], object]] = {}

    def note(self, *words: object) -> Request:
        text = " ".join(map(str, words))
        self.told.append(text)
        return Call(lambda: self.wrong.get(text, lambda: None)())

    def starting(self, step: Any) -> Request:
        return self.note("starting", step.name, step.state)

    def attempting(self, step: Any) -> Request:
        return self.note("attempting", step.name, step.state)

    def attempted(self, step: Any, result: object, error: BaseException | None) -> Request:
        return self.note("attempted", step.name, *([type(error).__name__] if error is not None else ()))

    def recorded(self, step: Any) -> Request:
        return self.note("recorded", step.name)

    def committing(self, block: Any, hooks: Any) -> Request:
        return self.note("committing", *(hook.name for hook in hooks))

    def committed(self, block: Any) -> None:
        self.note("committed", block.state)

    def rolling_back(self, block: Any, error: BaseException | None) -> Request:
        return self.note("rolling back")

    def undoing(self, step: Any) -> Request:
        return self.note("undoing", step.name)

    def undone(self, step: Any, error: BaseException | None) -> Request:
        return self.note("undone", step.name, *([type(error).__name__] if error is not None else ()))

    def settled(self, step: Any) -> Request:
        return self.note("settled", step.name, step.state)

    def rolled_back(self, block: Any) -> Request:
        return self.note("rolled back")

    def calling_hook(self, hook: Any) -> Request:
        return self.note("calling", hook.name)

    def called_hook(self, hook: Any, error: BaseException | None) -> Request:
        return self.note("called", hook.name)


@pytest.fixture
def watch() -> Iterator[Recording]:
    """What watches every transaction of a test."""
    made = Recording()
    with observed(lambda _block, _before: made):
        yield made


@pytest.mark.parametrize("kind", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda expected: expected.run.__name__)
def test_a_scenario_that_is_watched_leaves_the_same_trail(
    expected: Scenario, kind: type[World], watch: Recording
) -> None:
    world = kind()
    error = world.play(expected.run)
    assert world.trail == expected.trail
    block = world.blocks[0]
    assert outcomes(block.report) == expected.report
    assert block.state == expected.state
    assert describe(error) == expected.error


def test_all_scenarios_are_there() -> None:
    assert {scenario.run.__module__ for scenario in SCENARIOS} == LISTS


trail: list[str] = []


@action
def put(name: str, fails: BaseException | None = None) -> str:
    trail.append(f"+{name}")
    if fails is not None:
        raise fails
    return name


@put.rollback
def take(name: str) -> None:
    trail.append(f"-{name}")


@action
async def put_async(name: str, fails: BaseException | None = None) -> str:
    trail.append(f"+{name}")
    if fails is not None:
        raise fails
    return name


@put_async.rollback
async def take_async(name: str) -> None:
    take(name)


@pytest.fixture(autouse=True)
def empty_trail() -> None:
    trail.clear()


def run(body: Callable[[Transaction], object]) -> Transaction:
    with transaction() as q:
        body(q)
    return q


def run_async(body: Callable[[Any], Any]) -> Any:
    async def main() -> Any:
        async with transaction() as q:
            await body(q)
        return q

    return asyncio.run(main())


async def put_two(q: Any) -> None:
    await put_async("a")
    await put_async("b")


def test_it_is_told_of_everything_in_order(watch: Recording) -> None:
    def body(q: Transaction) -> None:
        q.on_commit(trail.append, "!")
        q.on_rollback(trail.append, "by hand")
        put("a")

    run(body)
    assert watch.told == [
        "recorded list.append",
        "starting put queued",
        "attempting put running",
        "attempted put",
        "committing list.append",
        "committed committed",
        "calling list.append",
        "called list.append",
    ]


def test_it_is_told_of_the_undoing_in_order(watch: Recording) -> None:
    with pytest.raises(LookupError):
        run(lambda q: (put("a"), put("b", LookupError())))
    assert watch.told[3:] == [
        "starting put queued",
        "attempting put running",
        "attempted put LookupError",
        "undoing put",
        "undone put",
        "settled put undone",
        "rolling back",
        "undoing put",
        "undone put",
        "settled put undone",
        "rolled back",
    ]


def refuse() -> None:
    raise PermissionError("refused")


def test_a_step_whose_start_is_refused_never_was_one(watch: Recording) -> None:
    watch.wrong["starting put queued"] = refuse
    with pytest.raises(PermissionError, match="refused"):
        run(lambda q: put("a"))
    assert trail == []


def test_a_queued_step_whose_start_is_refused_is_dropped(watch: Recording) -> None:
    watch.wrong["starting put queued"] = refuse
    with pytest.raises(PermissionError), transaction() as q:
        step = q.add(put, "a")
    assert (step.state, trail, q.report.dropped) == ("dropped", [], [step])


def test_an_async_step_whose_start_is_refused_never_was_one(watch: Recording) -> None:
    watch.wrong["starting put_async queued"] = refuse
    with pytest.raises(PermissionError, match="refused"):
        run_async(put_two)
    assert trail == []


def test_an_attempt_that_is_refused_has_failed_and_is_undone(watch: Recording) -> None:
    watch.wrong["attempting put running"] = refuse
    with pytest.raises(PermissionError):
        run(lambda q: put("a"))
    assert trail == ["-a"]


def test_a_step_that_is_refused_after_its_body_is_undone_with_its_result(watch: Recording) -> None:
    watch.wrong["attempted put"] = refuse
    with pytest.raises(PermissionError), transaction() as q:
        step = q.add(put, "a")
    assert (trail, step.has_result, step.state) == (["+a", "-a"], True, StepState.UNDONE)
    assert isinstance(step.error, PermissionError)


def test_it_is_not_committed_if_something_keeps_it_from_being_undone_at_once(
    watch: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    watch.wrong["attempted put"] = refuse
    with pytest.raises(IllegalOperation, match="the undo of put was interrupted before it had begun"), transaction():
        monkeypatch.setattr("actionqueues.core.calls._undone", interrupted)
        with pytest.raises(KeyboardInterrupt):
            put("a")
        monkeypatch.undo()
    assert trail == ["+a", "-a"]


def test_what_was_done_by_hand_is_undone_though_its_record_is_refused(watch: Recording) -> None:
    watch.wrong["recorded by_hand"] = refuse
    with pytest.raises(PermissionError), transaction() as q:
        put("a")
        q.on_rollback(by_hand)
    assert trail == ["+a", "by hand", "-a"]


def by_hand() -> None:
    trail.append("by hand")


def test_an_async_step_that_is_refused_after_its_body_is_undone(watch: Recording) -> None:
    watch.wrong["attempted put_async"] = refuse
    with pytest.raises(PermissionError):
        run_async(put_two)
    assert trail == ["+a", "-a"]


def test_a_commit_that_is_refused_rolls_back(watch: Recording) -> None:
    watch.wrong["committing"] = refuse
    with pytest.raises(PermissionError):
        run(lambda q: put("a"))
    assert trail == ["+a", "-a"]


def test_an_async_commit_that_is_refused_rolls_back(watch: Recording) -> None:
    watch.wrong["committing"] = refuse
    with pytest.raises(PermissionError):
        run_async(put_two)
    assert trail == ["+a", "+b", "-b", "-a"]


def test_what_it_raises_while_undoing_counts_as_raised_by_the_undo(watch: Recording) -> None:
    watch.wrong["undoing put"] = refuse
    with pytest.raises(LookupError) as caught:
        run(lambda q: put("a", LookupError()))
    assert trail == ["+a"]
    assert "the undo of put failed: PermissionError('refused')" in str(caught.value.__notes__)


def test_nothing_that_it_raises_about_the_end_stops_the_undoing(
    watch: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    for told in ("rolling back", "settled put undone", "rolled back"):
        watch.wrong[told] = refuse
    with pytest.raises(ZeroDivisionError):
        run(lambda q: (put("a"), put("b"), 1 / 0))
    assert trail == ["+a", "+b", "-b", "-a"]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4


def test_a_cancellation_while_it_works_lets_a_finished_step_be_done(watch: Recording) -> None:
    results: list[str] = []

    async def main() -> Any:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        watch.wrong["attempted put_async"] = lambda: loop.call_soon_threadsafe(task.cancel)
        async with transaction() as q:
            try:
                await put_async("a")
            except asyncio.CancelledError:
                task.uncancel()
                results.append("cancelled")
        return q

    q = asyncio.run(main())
    assert (q.state, trail, results) == ("committed", ["+a"], ["cancelled"])


def test_a_cancellation_while_it_commits_comes_out_after_the_commit(watch: Recording) -> None:
    async def main() -> Any:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        watch.wrong["committing"] = lambda: loop.call_soon_threadsafe(task.cancel)
        q: Any = transaction()
        with pytest.raises(asyncio.CancelledError):
            async with q:
                await put_async("a")
        return q

    assert (asyncio.run(main()).state, trail) == ("committed", ["+a"])


def test_no_transaction_has_one_after_the_observation() -> None:
    made = Recording()
    with observed(lambda _block, _before: made):
        pass
    run(lambda q: put("a"))
    assert made.told == []


@pytest.mark.parametrize("suspends", [False, True])
def test_a_sync_block_awaits_what_never_suspends_and_refuses_the_rest(suspends: bool) -> None:
    class Awaiting(Watch):
        def starting(self, step: Any) -> Request:
            return Await(ask(), "the question")

    async def ask() -> None:
        if suspends:
            await asyncio.sleep(0)

    with observed(lambda _block, _before: Awaiting()):
        if suspends:
            with pytest.raises(AsyncActionInSyncBlock), transaction():
                put("a")
        else:
            with transaction():
                put("a")
    assert trail == ([] if suspends else ["+a"])


def test_a_queued_sync_step_with_a_policy_is_watched_in_an_async_block_too(watch: Recording) -> None:
    left: list[BaseException] = [OSError("busy")]

    def never_waits(_attempt: int, _error: BaseException) -> float:
        return 0.0

    @action(retry=never_waits)
    def flaky() -> str:
        if left:
            raise left.pop()
        return "done"

    async def main() -> str:
        async with transaction() as q:
            step = q.add(flaky)
        return step.result

    assert asyncio.run(main()) == "done"
    assert watch.told[:5] == [
        "starting flaky queued",
        "attempting flaky running",
        "attempted flaky OSError",
        "attempting flaky running",
        "attempted flaky",
    ]


def test_what_runs_steps_in_its_own_way_may_run_them_as_ever() -> None:
    class Own(Watch):
        runs = True

    @action
    def double(number: int) -> int:
        return 2 * number

    @action
    async def double_async(number: int) -> int:
        return 2 * number

    async def main() -> int:
        async with transaction():
            return await double_async(4)

    with observed(lambda _, __: Own()):
        with transaction():
            assert double(4) == 8
        assert asyncio.run(main()) == 8
