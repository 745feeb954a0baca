"""Code that was written against actionqueues 0.8.2, unchanged; and what was wrong there."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock, call

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionqueues import action, actionqueue, aqstatemachine, exceptionfactory
from actionqueues.action import Action
from actionqueues.exceptionfactory import DoublingBackoffExceptionFactory

from .inside import SLEEP
from .scripted import Boom, Scripted, Trail, queue_of


@pytest.fixture
def trail() -> Trail:
    return []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(SLEEP, waited.append)
    return waited


# -- the programs of the original's documentation


class MyFailingAction(action.Action):
    """The second example of the original's documentation."""

    def __init__(self) -> None:
        self.executed = self.rolled_back = 0
        self._execute_ex_factory = DoublingBackoffExceptionFactory(retries=5, ms_backoff_initial=100)
        self._rollback_ex_factory = DoublingBackoffExceptionFactory(retries=10, ms_backoff_initial=100)

    def execute(self) -> None:
        self.executed += 1
        try:
            _ = 1 / 0
        except ZeroDivisionError as ex:
            self._execute_ex_factory.raise_exception(original_exception=ex)

    def rollback(self) -> None:
        self.rolled_back += 1
        try:
            _ = 1 / 0
        except ZeroDivisionError as ex:
            self._rollback_ex_factory.raise_exception(original_exception=ex)


def test_the_documented_failing_action_is_tried_6_times_and_its_rollback_11_times(waits: list[float]) -> None:
    failing = MyFailingAction()
    q = actionqueue.ActionQueue()
    q.add(failing)
    with pytest.raises(ZeroDivisionError):
        q.execute()
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6]
    del waits[:]
    q.rollback()
    assert waits == [0.1 * 2**n for n in range(10)]
    assert (failing.executed, failing.rolled_back) == (6, 11)


OUTCOMES = {"retry": actionqueue.ActionRetryException, "fail": Boom, "exit": SystemExit}
attempts = st.tuples(st.integers(0, 3), st.sampled_from(["ok", "ok", "fail", "exit"]))


@given(st.lists(st.tuples(attempts, attempts), min_size=1, max_size=6))
def test_any_queue_leaves_the_trail_that_the_documentation_describes(
    actions: list[tuple[tuple[int, str], tuple[int, str]]],
) -> None:
    def script(retries: int, end: str) -> list[BaseException | None]:
        raised = [actionqueue.ActionRetryException() for _ in range(retries)]
        return [*raised, OUTCOMES[end]() if end in OUTCOMES else None]

    trail: Trail = []
    expected: Trail = []
    q = queue_of(*(Scripted(str(i), trail, script(*do), script(*undo)) for i, (do, undo) in enumerate(actions)))
    started: list[int] = []
    for i, ((retries, end), _) in enumerate(actions):
        started.append(i)
        expected += [f"do {i}"] * (retries + 1)
        if end != "ok":
            with pytest.raises(OUTCOMES[end]):
                q.execute()
            break
    else:
        q.execute()
    assert trail == expected
    exits = False
    for i in reversed(started):
        retries, end = actions[i][1]
        expected += [f"undo {i}"] * (retries + 1)
        exits = exits or end == "exit"
    if exits:
        with pytest.raises(SystemExit):
            q.rollback()
    else:
        q.rollback()
    assert trail == expected
    failed = [undo for i in reversed(started) if (undo := actions[i][1][1]) != "ok"]
    assert [type(failure.error) for failure in q.report.failures] == [OUTCOMES[end] for end in failed]


# -- what an action may be


def test_an_action_is_any_object_with_the_two_methods(trail: Trail) -> None:
    plain: Any = SimpleNamespace(execute=lambda: trail.append("do"), rollback=lambda: trail.append("undo"))
    q = actionqueue.ActionQueue()
    q.add(plain)
    q.execute()
    q.rollback()
    assert trail == ["do", "undo"]


def test_a_module_with_the_two_functions_is_an_action(trail: Trail) -> None:
    module: Any = ModuleType("migration")
    module.execute, module.rollback = lambda: trail.append("do"), lambda: trail.append("undo")
    q = actionqueue.ActionQueue()
    q.add(module)
    q.execute()
    q.rollback()
    assert trail == ["do", "undo"]


@pytest.mark.parametrize("mock", [MagicMock(spec=Action), Mock(spec=Action)])
def test_a_mock_of_an_action_is_an_action(mock: MagicMock) -> None:
    mock.reset_mock()
    q = actionqueue.ActionQueue()
    q.add(mock)
    mock.execute.side_effect = [actionqueue.ActionRetryException(), None]
    q.execute()
    q.rollback()
    assert mock.method_calls == [call.execute(), call.execute(), call.rollback()]


@pytest.mark.parametrize("mock", [MagicMock(), Mock(), Mock(spec=["execute", "rollback", "__call__"])])
def test_a_mock_that_answers_to_every_name_is_a_callable(mock: MagicMock) -> None:
    q = actionqueue.ActionQueue()
    q.add(mock)
    q.execute()
    q.rollback()
    mock.assert_called_once_with()


def test_another_object_of_a_class_that_says_nothing_of_the_methods_is_looked_at_for_itself(trail: Trail) -> None:
    q = actionqueue.ActionQueue()
    first: Any = SimpleNamespace(execute=lambda: trail.append("do"), rollback=lambda: trail.append("undo"))
    other: Any = SimpleNamespace()
    q.add(first)
    with pytest.raises(TypeError, match="it is neither callable nor an action object"):
        q.add(other)
    q.execute()
    assert trail == ["do"]


def test_what_an_action_puts_in_place_of_its_methods_while_it_runs_is_called(trail: Trail) -> None:
    class Late(action.Action):
        def execute(self) -> None:
            trail.append("do")
            self.__dict__["rollback"] = lambda: trail.append("undo what was done")

    q = actionqueue.ActionQueue()
    late = Late()
    q.add(late)
    late.__dict__["execute"] = partial(Late.execute, late)
    q.execute()
    q.rollback()
    assert trail == ["do", "undo what was done"]


def test_the_base_class_does_nothing_by_itself() -> None:
    q = actionqueue.ActionQueue()
    q.add(action.Action())
    q.execute()
    q.rollback()
    assert q.report.clean


def test_one_object_may_be_added_twice(trail: Trail) -> None:
    twice = Scripted("a", trail)
    queue = queue_of(twice, twice)
    queue.execute()
    queue.rollback()
    assert trail == ["do a", "do a", "undo a", "undo a"]


def test_objects_that_compare_equal_are_different_actions(trail: Trail) -> None:
    class Equal(Scripted):
        __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - as a class may

        def __eq__(self, other: object) -> bool:
            return True

    queue = queue_of(Equal("a", trail), Equal("b", trail))
    queue.execute()
    queue.rollback()
    assert trail == ["do a", "do b", "undo b", "undo a"]


def test_an_action_class_given_by_mistake_is_refused_with_the_way_out() -> None:
    q = actionqueue.ActionQueue()
    add: Any = q.add
    with pytest.raises(TypeError, match=r"^Scripted is a class; add an object of it: add\(Scripted\(\.\.\.\)\)$"):
        add(Scripted)
    assert q.state == "init"


def test_an_action_object_is_refused_arguments() -> None:
    q = actionqueue.ActionQueue()
    add: Any = q.add
    with pytest.raises(TypeError, match=r"^Scripted is an action object, whose execute\(\) takes no arguments$"):
        add(Scripted("a", []), 1)
    assert q.state == "init"


@pytest.mark.parametrize(
    ("half", "missing"),
    [
        (SimpleNamespace(execute=print), "rollback()"),
        (SimpleNamespace(rollback=print), "execute()"),
        (SimpleNamespace(execute=None, rollback=print), "execute()"),
    ],
)
def test_something_that_is_no_action_is_refused_with_what_it_lacks(half: Any, missing: str) -> None:
    q = actionqueue.ActionQueue()
    with pytest.raises(TypeError) as caught:
        q.add(half)
    message = f"{half!r} cannot be added: it is neither callable nor an action object; it has no {missing}"
    assert str(caught.value) == message
    assert q.state == "init"


def test_an_action_is_called_by_the_name_of_its_class_alone() -> None:
    class Local(action.Action):
        pass

    assert actionqueue.ActionQueue().add(Local()).name == "Local"


# -- how it was called


def test_the_arguments_of_the_original_have_their_names(waits: list[float]) -> None:
    mock = Mock(spec=Action)
    q: Any = actionqueue.ActionQueue()
    q.add(action=mock)
    q.execute()
    q.execute_with_retries(action=mock, f=methodcaller("rollback"))
    assert mock.method_calls == [call.execute(), call.rollback()]


def test_execute_with_retries_calls_with_the_action_until_it_does_not_ask_again(waits: list[float]) -> None:
    answers = iter([actionqueue.ActionRetryException(10), actionqueue.ActionRetryException(ms_backoff=20)])
    given: list[object] = []

    def f(thing: object) -> None:
        given.append(thing)
        for answer in answers:
            raise answer

    thing = object()
    actionqueue.ActionQueue().execute_with_retries(thing, f)
    assert (given, waits) == ([thing] * 3, [0.01, 0.02])


def test_execute_with_retries_lets_other_errors_out_and_needs_no_state() -> None:
    q = actionqueue.ActionQueue()
    error = Boom()

    def f(_thing: object) -> None:
        raise error

    with pytest.raises(Boom) as caught:
        q.execute_with_retries(None, f)
    assert caught.value is error
    assert q.state == "init"


def test_subclasses_of_the_queue_and_the_retry_exception_work(waits: list[float]) -> None:
    class Busy(actionqueue.ActionRetryException):
        def __init__(self) -> None:
            self.ms_backoff = 30

    class Queue(actionqueue.ActionQueue):
        def __init__(self) -> None:
            super().__init__()
            self.started = False

        def execute(self) -> None:
            self.started = True
            super().execute()

    q = Queue()
    q.add(Scripted("a", [], [Busy()]))
    q.execute()
    assert (q.started, waits) == (True, [0.03])


# -- the factory


def test_the_factory_asks_3_times_from_500_ms_by_default() -> None:
    factory = exceptionfactory.DoublingBackoffExceptionFactory()
    asked: list[float] = []
    for _ in range(3):
        with pytest.raises(actionqueue.ActionRetryException) as caught:
            factory.raise_exception(Boom())
        asked.append(caught.value.ms_backoff)
    assert asked == [500, 1000, 2000]
    for _ in range(2):
        with pytest.raises(Boom):
            factory.raise_exception(Boom())


@given(st.integers(0, 12), st.integers(0, 10_000))
def test_the_factory_doubles_every_wait(retries: int, initial: int) -> None:
    factory = DoublingBackoffExceptionFactory(retries, initial)
    for n in range(retries):
        with pytest.raises(actionqueue.ActionRetryException) as caught:
            factory.raise_exception()
        assert caught.value.ms_backoff == initial * 2**n
    with pytest.raises(Exception) as end:  # noqa: PT011 - its exact type is what is asked for
        factory.raise_exception()
    assert (type(end.value), end.value.args) == (Exception, ())


def test_an_original_exception_that_is_falsy_is_raised_all_the_same() -> None:
    class Falsy(Exception):
        def __bool__(self) -> bool:
            return False

    with pytest.raises(Falsy):
        DoublingBackoffExceptionFactory(retries=0).raise_exception(Falsy())


def pickle_and_back(thing: object) -> Any:
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle_and_back])
def test_what_an_action_keeps_can_be_copied_and_pickled(duplicate: Callable[[Any], Any]) -> None:
    factory = DoublingBackoffExceptionFactory(retries=2, ms_backoff_initial=7)
    with pytest.raises(actionqueue.ActionRetryException):
        factory.raise_exception()
    with pytest.raises(actionqueue.ActionRetryException) as caught:
        duplicate(factory).raise_exception()
    assert caught.value.ms_backoff == 14
    machine = aqstatemachine.AQStateMachine()
    machine.transition_to_add()
    assert duplicate(machine).state == aqstatemachine.AQStateMachine_ADD
    assert duplicate(MyFailingAction()).executed == 0
