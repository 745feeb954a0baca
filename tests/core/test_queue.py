"""Queued steps: what can be queued, and what a step stands for."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actionqueues import (
    ActionRetryException,
    AsyncActionInSyncBlock,
    CoroutineNotAwaited,
    IllegalOperation,
    Retry,
    Step,
    action,
    current_step,
    transaction,
)
from tests.inside import SLEEP
from tests.world import Boom, World, outcomes


@pytest.fixture
def w() -> World:
    return World()


class Shop:
    """Has an action of each kind; each tells what it was called on."""

    def __init__(self, trail: list[str]) -> None:
        self.trail = trail

    @action
    def sell(self, item: str) -> str:
        self.trail.append(f"sell {item}")
        return item.upper()

    @sell.rollback
    def take_back(self, item: str, result: str) -> None:
        self.trail.append(f"take back {item} {result}")

    @action
    @classmethod
    def audit(cls, trail: list[str]) -> str:
        trail.append(f"audit {cls.__name__}")
        return cls.__name__

    @action
    @staticmethod
    def ring(trail: list[str]) -> str:
        trail.append("ring")
        return "ring"


class Branch(Shop):
    """Inherits them."""


class Tool:
    """An action object, which is undone whatever its `execute` has come to."""

    def __init__(self, trail: list[str], error: Exception | None = None) -> None:
        self.trail = trail
        self.error = error

    def execute(self) -> str:
        self.trail.append("execute")
        if self.error is not None:
            raise self.error
        return "made"

    def rollback(self) -> None:
        self.trail.append("rollback")


def test_methods_of_every_kind_can_be_queued(w: World) -> None:
    branch = Branch(w.trail)
    with pytest.raises(Boom), transaction() as q:
        steps: list[Step[str]] = [
            q.add(branch.sell, "cup"),
            q.add(Shop.sell, branch, "can"),
            q.add(Branch.audit, w.trail),
            q.add(branch.ring, w.trail),
        ]
        q.execute()
        assert [step.result for step in steps] == ["CUP", "CAN", "Branch", "ring"]
        assert [step.name for step in steps] == ["Shop.sell", "Shop.sell", "Shop.audit", "Shop.ring"]
        raise Boom("body")
    assert w.trail == ["sell cup", "sell can", "audit Branch", "ring", "take back can CAN", "take back cup CUP"]


def add_up(one: int, two: int) -> int:
    return one + two


CALLABLES: list[tuple[Callable[[], Any], str]] = [
    (functools.partial(operator.add, 1, 2), "add"),
    (lambda: 3, "<lambda>"),
    (functools.partial(add_up, 1, two=2), "add_up"),
    (functools.partial(functools.partial(max, 3), 2), "max"),
]


@pytest.mark.parametrize(("call", "name"), CALLABLES, ids=["partial", "lambda", "keywords", "nested partial"])
def test_any_callable_can_be_queued_and_has_nothing_to_undo(call: Callable[[], Any], name: str) -> None:
    steps: list[Step[Any]] = []
    with pytest.raises(Boom), transaction() as q:
        steps.append(q.add(call))
        q.execute()
        assert steps[0].result == 3
        raise Boom("body")
    assert q.report.not_undone == steps
    [step] = steps
    assert step.state == "not undone"
    assert step.name == name


@pytest.mark.parametrize("fails", [False, True])
def test_an_action_object_is_undone_whatever_its_execute_came_to(fails: bool, w: World) -> None:
    error = Boom("tool")
    steps: list[Step[None]] = []
    with pytest.raises(Boom), transaction() as q:
        steps.append(q.add(Tool(w.trail, error if fails else None)))
        q.execute()
        raise error
    assert w.trail == ["execute", "rollback"]
    [step] = steps
    assert (step.name, step.state, step.error) == ("Tool", "undone", error if fails else None)


def test_an_action_object_may_ask_for_another_attempt(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    tool = Tool(w.trail, ActionRetryException(250))

    def stop(seconds: float) -> None:
        waits.append(seconds)
        tool.error = None

    monkeypatch.setattr(SLEEP, stop)
    with transaction() as q:
        step = q.add(tool)
    assert (w.trail, waits, step.attempts, step.error) == (["execute", "execute"], [0.25], 2, None)


# ---------------------------------------------------------------- placeholders


def test_a_step_stands_for_its_result_wherever_it_is_an_argument() -> None:
    seen: list[Any] = []

    @action
    def collect(one: Any, two: Any = 2, *rest: Any, key: Any = None, **more: Any) -> None:
        seen.append((one, two, rest, key, more))

    def see(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs))

    with transaction() as q:
        three = q.add(operator.add, 1, 2)
        q.add(collect, three, three, 0, three, key=three, other=three)
        q.add(collect, 0, two=three)
        q.add(see, three, kept=three)
    assert seen == [(3, 3, (0, 3), 3, {"other": 3}), (0, 3, (), None, {}), ((3,), {"kept": 3})]


def test_a_step_inside_a_container_stays_a_step() -> None:
    seen: list[Any] = []
    with transaction() as q:
        q.add(seen.append, [step := q.add(operator.add, 1, 2)])
    assert seen == [[step]]


def test_a_handler_and_a_second_attempt_see_the_result_and_not_the_step(w: World) -> None:
    values: list[Any] = []

    @action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
    def use(value: int) -> None:
        values.append(value)
        raise Boom("use")

    @use.rollback
    def undo(value: int, step: Step[Any]) -> None:
        values.append((value, step.args, step.arguments))

    with pytest.raises(Boom), transaction() as q:
        q.add(use, q.add(operator.add, 1, 2))
    assert values == [3, 3, (3, (3,), {"value": 3})]


def test_none_is_a_result() -> None:
    with transaction() as q:
        step = q.add(repr, q.add([].clear))
    assert step.result == "None"


def test_a_step_of_an_ended_transaction_still_stands_for_its_result() -> None:
    seen: list[Any] = []
    with transaction() as first:
        step = first.add(operator.add, 1, 2)
    with transaction() as q:
        q.add(seen.append, step)
    assert seen == [3]


@pytest.mark.parametrize("state", ["failed", "undone", "dropped"])
def test_a_step_without_a_result_cannot_stand_for_it(state: str, w: World) -> None:
    if state == "dropped":
        with transaction() as other:
            step = other.add(w.define("a"))
            other.rollback()
    else:
        a = w.define("a", fails=[Boom("a")], undo=state == "undone")
        with transaction() as other:
            step = other.add(a)
            with pytest.raises(Boom):
                other.execute()
    state = "not undone" if state == "failed" else state
    assert step.state == state
    with pytest.raises(IllegalOperation) as caught, transaction() as q:
        q.add(print, step)
    assert str(caught.value) == (
        f"cannot run print: one of its arguments is the result of a, which is {state}; queue a before it, in the same "
        "transaction, and let it succeed"
    )


def test_a_step_that_has_been_undone_does_not_stand_for_its_result_any_more(w: World) -> None:
    with pytest.raises(IllegalOperation, match="the result of a, which is undone"), transaction() as q:
        with pytest.raises(Boom), q.savepoint() as inner:
            step = inner.add(w.define("a"))
            inner.execute()
            raise Boom
        q.add(print, step)
    assert step.state == "undone"


@pytest.mark.parametrize("dropped", [False, True])
def test_the_result_of_a_step_that_has_not_run_cannot_be_read(dropped: bool, w: World) -> None:
    with transaction() as q:
        step = q.add(w.define("a"))
        if dropped:
            q.rollback()
        with pytest.raises(IllegalOperation) as caught:
            print(step.result)
    assert str(caught.value) == "cannot read the result of a: it is " + (
        "dropped; it never ran"
        if dropped
        else "queued; call q.execute() first, or pass the step itself to a later q.add(...)"
    )


def test_the_result_of_a_failed_step_is_none(w: World) -> None:
    with transaction() as q:
        step = q.add(w.define("a", fails=[Boom("a")]))
        with pytest.raises(Boom):
            q.execute()
    assert (step.result, step.has_result, step.state) == (None, False, "undone")


# ---------------------------------------------------------------- when they run


def test_a_step_added_by_a_queued_step_runs_after_the_others(w: World) -> None:
    with transaction() as q:

        async def add(_: Any) -> None:
            q.add(w.define("c"))

        q.add(w.define("a", body=add))
        q.add(w.define("b"))
    assert w.trail == ["+a", "+b", "+c"]


def test_execute_runs_each_queued_step_once(w: World) -> None:
    with transaction() as q:
        q.add(w.define("a"))
        q.execute()
        q.execute()
        q.add(w.define("b"))
    assert w.trail == ["+a", "+b"]


def test_a_queued_step_tells_how_far_it_has_come(w: World) -> None:
    states: list[str] = []
    step_of_a: list[Step[Any]] = []

    async def note(_: Any) -> None:
        assert current_step() is step_of_a[0]
        states.append(str(current_step().state))

    with pytest.raises(Boom), transaction() as q:
        step_of_a.append(step := q.add(w.define("a", body=note)))
        states += [step.state, str(step.attempts)]
        q.execute()
        states += [step.state, str(step.attempts)]
        raise Boom("body")
    assert [*states, step_of_a[0].state] == ["queued", "0", "running", "done", "1", "undone"]


@pytest.mark.parametrize("independent", [False, True])
def test_the_queue_of_an_outer_block_can_be_run_inside_an_inner_one(independent: bool, w: World) -> None:
    with pytest.raises(Boom), transaction() as outer:
        outer.add(w.define("a", body=lambda _: w.step("b")))
        with transaction(independent=independent):
            outer.execute()
            w.define("c")()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "+c", *([] if independent else ["-c"]), "-b", "-a"]


# ---------------------------------------------------------------- arguments that do not fit


def test_arguments_that_do_not_fit_are_refused_when_they_are_added(w: World) -> None:
    def plain(one: int, *, two: int) -> None:
        """Takes one and two."""

    decorated = action(plain)
    with transaction() as q:
        for fn in (plain, decorated):
            with pytest.raises(TypeError, match=r"plain\(.*'two'|missing.*'two'"):
                q.add(fn, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue] - wrong on purpose
        with pytest.raises(TypeError, match=r"takes 1 positional|positional argument"):
            q.on_rollback(plain, 1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - wrong on purpose
    assert repr(q) == "<Transaction 'transaction' committed>"


def test_an_async_callable_is_refused_before_a_coroutine_is_made() -> None:
    async def fetch() -> None:
        """Must not be called."""

    class Fetch:
        async def __call__(self) -> None:
            """Must not be called."""

    with transaction("sync") as q:
        for fn, name in (
            (fetch, "fetch"),
            (action(fetch), "fetch"),
            (functools.partial(fetch), "fetch"),
            (Fetch(), "Fetch"),
        ):
            text = f"{name} is async, and the transaction 'sync' cannot await it; use `async with transaction\\(\\):`"
            for register in (q.add, q.on_commit, q.on_rollback):
                with pytest.raises(AsyncActionInSyncBlock, match=text):
                    register(fn)
    assert (q.state, outcomes(q.report)) == ("committed", {})


def test_a_plain_callable_that_turns_out_to_be_async_fails_and_leaves_no_coroutine(w: World) -> None:
    made: list[Any] = []

    async def fetch() -> None:
        """Must not be run."""

    def hidden() -> Any:
        made.append(fetch())
        return made[0]

    with pytest.raises(CoroutineNotAwaited, match=r"^hidden \(.*returned a coroutine of .*fetch"), transaction() as q:
        w.define("a")()
        q.add(hidden)
    assert w.trail == ["+a", "-a"]
    assert made[0].cr_frame is None, "it has been closed, and so will not complain"


def test_nothing_at_all_cannot_be_added() -> None:
    with transaction() as q:
        add: Any = q.add
        with pytest.raises(TypeError, match=r"^add\(\) takes a function and its arguments, or an action object$"):
            add()
        with pytest.raises(TypeError, match=r"^add\(\) takes a function and its arguments, or an action object$"):
            add(fn=print)
    assert repr(q) == "<Transaction 'transaction' committed>"


def test_a_generator_function_is_refused_where_calling_it_would_run_nothing() -> None:
    def lines() -> Iterator[str]:
        yield "never"

    with transaction() as q:
        for register in (q.add, q.on_commit, q.on_rollback):
            with pytest.raises(TypeError, match=r"lines is a generator function: calling it would run nothing; use a"):
                register(lines)
    assert repr(q) == "<Transaction 'transaction' committed>"
