"""Ctrl-C while something is being undone, with real signals."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actionqueues import (
    Action,
    ActionQueue,
    Step,
    StepState,
    TransactionState,
    action,
    transaction,
)
from tests.inside import SLEEP, left_in_context


def press(times: int = 1) -> None:
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test leaves Python's own handler and a clean context behind."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    yield
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert handler is signal.default_int_handler
    assert left_in_context() == {}


def contexts(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None:
        chain.append(error)
        error = error.__context__
    return chain


class World:
    """Steps whose undo does something first."""

    def __init__(self) -> None:
        self.undone: list[str] = []

    @action
    def put(self, name: str, first: Callable[[], object] | None = None) -> None:
        """Nothing to see."""

    @put.rollback
    def take(self, name: str, first: Callable[[], object] | None) -> None:
        if first is not None:
            first()
        self.undone.append(name)

    @action
    def fail(self, name: str, first: Callable[[], object] | None = None) -> None:
        raise LookupError(name)

    @fail.rollback
    def mend(self, step: Step[None]) -> None:
        if step.args[2] is not None:
            step.args[2]()
        self.undone.append(step.args[1])


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_during_a_rollback_is_raised_once_everything_is_undone(world: World, times: int) -> None:
    original = LookupError("original")
    with pytest.raises(KeyboardInterrupt) as caught, transaction() as q:
        world.put("a")
        world.put("b", lambda: press(times))
        world.put("c")
        raise original
    assert world.undone == ["c", "b", "a"]
    assert original in contexts(caught.value)
    assert q.state is TransactionState.ROLLED_BACK
    assert q.report.clean


def test_the_second_press_may_come_in_another_undo(world: World) -> None:
    with pytest.raises(KeyboardInterrupt), transaction():
        world.put("a", press)
        world.put("b", press)
        raise LookupError
    assert world.undone == ["b", "a"]


def test_a_third_ctrl_c_gets_out_at_once_and_tells_what_was_abandoned(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    original = LookupError("original")
    with pytest.raises(KeyboardInterrupt, match="three times") as caught, transaction() as q:
        world.put("a")
        world.put("b")
        world.put("c", lambda: press(3))
        world.put("d")
        raise original
    assert world.undone == ["d"]
    assert [step.args[1] for step in q.report.abandoned] == ["b", "a"]
    assert [failure.step.args[1] for failure in q.report.failures] == ["c"]
    assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES
    assert original in contexts(caught.value)
    told = "the rollback was cut short by a third Ctrl-C; not undone: World.put, World.put"
    assert f"actionqueues: {told}" in original.__notes__
    assert f"transaction: {told}" in caplog.messages


def test_a_third_ctrl_c_tells_of_the_steps_of_savepoints_too(world: World) -> None:
    with pytest.raises(KeyboardInterrupt), transaction() as q:
        world.put("a")
        with q.savepoint():
            world.put("b")
            with transaction():
                world.put("c")
        world.put("d", lambda: press(3))
        raise LookupError
    assert world.undone == []
    assert {step.args[1] for step in q.report.abandoned} == {"a", "b", "c"}


def test_a_third_ctrl_c_in_a_savepoint_dooms_nothing_twice(world: World) -> None:
    inner = transaction()
    with pytest.raises(KeyboardInterrupt, match="three times"), transaction() as q:
        world.put("a")
        with inner:
            world.put("b")
            world.put("c", lambda: press(3))
            raise LookupError
    assert world.undone == ["a"]
    assert [step.args[1] for step in inner.report.abandoned] == ["b"]
    assert [step.args[1] for step in q.report.abandoned] == ["b"]
    assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES


def test_the_presses_are_counted_for_each_rollback(world: World) -> None:
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), transaction():
            world.put("a")
            world.put("b", press)
            raise LookupError
    assert world.undone == ["b", "a"] * 3


def test_ctrl_c_while_a_failed_step_is_undone_comes_out_of_the_block_once_all_is_undone(world: World) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, transaction():
        world.put("a")
        try:
            world.fail("b", press)
        except LookupError:
            world.put("never")
    assert world.undone == ["b", "a"]
    assert any(isinstance(error, LookupError) for error in contexts(caught.value))


def test_ctrl_c_during_the_rollback_of_a_savepoint_rolls_back_the_outer_block(world: World) -> None:
    with pytest.raises(KeyboardInterrupt), transaction() as q:
        world.put("a")
        try:
            with q.savepoint():
                world.put("b")
                world.put("c", press)
                raise LookupError
        except LookupError:
            world.put("never")
    assert world.undone == ["c", "b", "a"]


def test_ctrl_c_during_an_explicit_rollback_comes_out_of_it(world: World) -> None:
    with transaction() as q:
        world.put("a")
        world.put("b", press)
        with pytest.raises(KeyboardInterrupt):
            q.rollback()
        assert world.undone == ["b", "a"]
    assert q.state is TransactionState.ROLLED_BACK


def test_ctrl_c_in_a_step_goes_on_as_the_same_object(world: World) -> None:
    raised: list[BaseException] = []

    @action
    def pressed() -> None:
        try:
            press()
        except KeyboardInterrupt as error:
            raised.append(error)
            raise

    with pytest.raises(KeyboardInterrupt) as caught, transaction():
        world.put("a")
        pressed()
    assert caught.value is raised[0]
    assert world.undone == ["a"]


def press_instead(seconds: float) -> None:
    press()


def test_ctrl_c_between_two_attempts_of_a_step_undoes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SLEEP, press_instead)
    attempts: list[int] = []

    @action(retry=lambda attempt, error: 1.0)
    def flaky() -> None:
        attempts.append(1)
        world.put("inside")
        raise ConnectionError

    @flaky.rollback
    def undo() -> None:
        world.undone.append("flaky")

    with pytest.raises(KeyboardInterrupt), transaction():
        world.put("a")
        flaky()
    assert attempts == [1]
    assert world.undone == ["inside", "flaky", "a"]


def test_ctrl_c_between_two_attempts_of_an_undo_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SLEEP, press_instead)

    @action
    def do() -> None: ...

    @do.rollback(retry=lambda attempt, error: 1.0)
    def undo(step: Step[None]) -> None:
        step.save(tries=step.saved.get("tries", 0) + 1)
        if step.saved["tries"] < 3:
            raise ConnectionError
        world.undone.append("do")

    with pytest.raises(KeyboardInterrupt), transaction() as q:
        world.put("a")
        do()
        raise LookupError
    assert world.undone == ["do", "a"]
    assert q.report.clean


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_an_undo_raises_to_end_the_program_is_raised_after_the_others(
    world: World, kind: type[BaseException]
) -> None:
    error = kind("of the undo")

    def leave() -> None:
        raise error

    original = LookupError()
    with pytest.raises(kind) as caught, transaction() as q:
        world.put("a")
        world.put("b", leave)
        world.put("c")
        raise original
    assert caught.value is error
    assert original in contexts(error)
    assert world.undone == ["c", "a"]
    assert [failure.error for failure in q.report.failures] == [error]


def test_a_classic_queue_keeps_ctrl_c_until_all_is_rolled_back() -> None:
    undone: list[str] = []

    class Pressed(Action):
        def __init__(self, name: str) -> None:
            self.name = name

        def rollback(self) -> None:
            press()
            undone.append(self.name)

    queue = ActionQueue()
    queue.add(Pressed("a"))
    queue.add(Pressed("b"))
    queue.execute()
    with pytest.raises(KeyboardInterrupt):
        queue.rollback()
    assert undone == ["b", "a"]
    assert queue.state == "rollback complete"


def test_a_classic_queue_tells_what_a_third_ctrl_c_has_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    class Pressed(Action):
        def rollback(self) -> None:
            press(3)

    queue = ActionQueue()
    queue.add(Action())
    queue.add(Pressed())
    queue.execute()
    with pytest.raises(KeyboardInterrupt, match="three times"):
        queue.rollback()
    assert [step.name for step in queue.report.abandoned] == ["Action"]
    assert [step.name for step, _ in queue.report.failures] == ["Pressed"]
    assert caplog.messages[-1] == "action queue: the rollback was cut short by a third Ctrl-C; not undone: Action"


def test_ctrl_c_during_a_commit_hook_lets_the_other_hooks_run(world: World) -> None:
    ran: list[str] = []

    def broken() -> None:
        raise LookupError

    with pytest.raises(KeyboardInterrupt) as caught, transaction() as q:
        world.put("a")
        q.on_commit(press)
        q.on_commit(broken)
        q.on_commit(ran.append, "last")
    assert ran == ["last"]
    assert q.state is TransactionState.COMMITTED
    assert world.undone == []
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("presses", [(3,), (1, 2), (2, 1), (1, 1, 1)])
def test_a_third_ctrl_c_during_the_commit_hooks_gets_out_at_once_and_names_those_left(
    world: World, presses: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    def pressed(times: int) -> None:
        press(times)
        ran.append("pressed")

    def receipt() -> None:
        ran.append("never")

    with pytest.raises(KeyboardInterrupt, match="three times") as caught, transaction("order") as q:
        world.put("a")
        q.on_commit(ran.append, "first")
        for times in presses:
            q.on_commit(pressed, times)
        q.on_commit(receipt)
        with q.savepoint() as inner:
            inner.on_commit(world.undone.append, "never")
    assert ran == ["first"] + ["pressed"] * (len(presses) - 1)
    assert q.state is TransactionState.COMMITTED
    assert world.undone == []
    assert q.report.hooks_not_run == ["receipt", "list.append"]
    told = "the commit hooks were cut short; not called: receipt, list.append"
    assert caught.value.__notes__ == [f"actionqueues: {told}"]
    assert caplog.messages[-1] == f"order: {told}"
    assert q.report.hook_failures == [("pressed", caught.value)]
    assert repr(q).endswith(", commit hook receipt not run, commit hook list.append not run>")


def test_two_ctrl_c_during_the_commit_hooks_leave_none_of_them_out() -> None:
    ran: list[str] = []
    with pytest.raises(KeyboardInterrupt), transaction() as q:
        q.on_commit(press, 2)
        q.on_commit(ran.append, "last")
    assert (ran, q.report.hooks_not_run, q.report.hook_failures) == (["last"], [], [])


def test_the_undo_of_an_interrupted_step_is_told_of_the_interrupt(world: World) -> None:
    steps: list[Step[Any]] = []

    @action
    def do() -> None:
        press()

    @do.rollback
    def undo(step: Step[None]) -> None:
        steps.append(step)
        assert step.state is StepState.FAILED
        assert isinstance(step.error, KeyboardInterrupt)

    with pytest.raises(KeyboardInterrupt), transaction():
        do()
    assert steps[0].state is StepState.UNDONE
