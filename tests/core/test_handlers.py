"""Rollback handlers: what they are given, which callables can be one, and what is refused with which message."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import ActionQueue, Retry, Step, StepState, TransactionDoomed, action, current_step, transaction


class Boom(Exception):
    """What the blocks of these tests are left by."""


Trail = list[tuple[object, ...]]


@pytest.fixture
def trail() -> Trail:
    return []


def roll_back(step: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an action in a block that is then rolled back, and return the block."""
    with pytest.raises(Boom), transaction() as q:
        step(*args, **kwargs)
        raise Boom
    return q


def book(hotel: str, /, nights: int = 2, *extras: str, late: bool = False, **wishes: str) -> str:
    if hotel == "full":
        raise Boom(hotel)
    return f"booked {hotel}"


@pytest.fixture
def booking() -> action[..., Any]:
    return action(book)


# ---- what a handler is given


def test_a_handler_is_given_what_its_parameters_name(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook(result: str, nights: int, hotel: str, *, late: bool, extras: Any, wishes: Any, error: object) -> None:
        trail.append((result, nights, hotel, late, extras, wishes, error))

    roll_back(booking, "Ritz", 3, "spa", late=True, view="sea")
    roll_back(booking, "Ritz")
    assert trail == [
        ("booked Ritz", 3, "Ritz", True, ("spa",), {"view": "sea"}, None),
        ("booked Ritz", 2, "Ritz", False, (), {}, None),
    ]


def test_a_handler_without_parameters_is_called_without_arguments(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook() -> None:
        trail.append(())

    roll_back(booking, "Ritz")
    assert trail == [()]


def test_args_and_kwargs_of_a_handler_are_those_of_the_call(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook(*args: Any, **kwargs: Any) -> None:
        trail.append((args, kwargs))

    roll_back(booking, "Ritz", 3, "spa", late=True, view="sea")
    roll_back(booking, "Ritz")
    assert trail == [(("Ritz", 3, "spa"), {"late": True, "view": "sea"}), (("Ritz", 2), {"late": False})]


def test_args_and_kwargs_leave_out_what_named_parameters_have_taken(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook(hotel: str, *args: Any, result: str, late: bool, **kwargs: Any) -> None:
        trail.append((hotel, args, result, late, kwargs))

    roll_back(booking, "Ritz", 3, "spa", view="sea")
    assert trail == [("Ritz", (3, "spa"), "booked Ritz", False, {"view": "sea"})]


def test_parameters_of_the_action_named_args_and_kwargs_reach_a_handler_with_both(trail: Trail) -> None:
    @action
    def run(program: str, args: list[str], kwargs: dict[str, str]) -> None: ...

    @run.rollback
    def kill(*args: Any, **kwargs: Any) -> None:
        trail.append((args, kwargs))

    roll_back(run, "ls", ["-l"], {"cwd": "/"})
    assert trail == [(("ls", ["-l"], {"cwd": "/"}), {})]


def test_keywords_named_args_and_kwargs_reach_a_handler_with_both(trail: Trail) -> None:
    @action
    def run(**options: int) -> None: ...

    @run.rollback
    def kill(*args: Any, **kwargs: Any) -> None:
        trail.append((args, kwargs))

    roll_back(run, args=1, kwargs=2)
    assert trail == [((), {"args": 1, "kwargs": 2})]


def test_the_parameters_of_the_action_win_over_result_error_and_step(trail: Trail) -> None:
    @action
    def judge(result: int, error: str, step: float) -> str:
        if result == 0:
            raise Boom
        return "verdict"

    @judge.rollback
    def pardon(step: float, error: str, result: int) -> None:
        trail.append((step, error, result))

    roll_back(judge, 1, "e", 0.5)
    roll_back(judge, 0, "e", 0.5)
    assert trail == [(0.5, "e", 1), (0.5, "e", 0)]


def test_a_handler_is_given_its_step(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook(step: Step[str]) -> None:
        trail.append((step.name, step.args, step.kwargs, step.result, step.error, step.state))

    roll_back(booking, "Ritz", 3)
    assert trail == [("book", ("Ritz", 3), {"late": False}, "booked Ritz", None, StepState.DONE)]


def test_the_very_objects_of_the_call_reach_the_handler() -> None:
    sentinel, into = object(), list[int]()
    same: list[bool] = []

    def fill(given: object, missing: object = sentinel, into: list[int] = into) -> list[int]:
        into.append(1)
        return into

    step = action(fill)

    @step.rollback
    def empty(given: object, missing: object, into: list[int], result: list[int]) -> None:
        # It has a default:
        same.append(given is argument and missing is sentinel and into is result is fill.__defaults__[1])  # type: ignore[index]  # pyright: ignore[reportOptionalSubscript]

    argument = object()
    roll_back(step, argument)
    roll_back(step, argument)
    assert same == [True, True]
    assert into == [1, 1]


def test_a_parameter_that_cannot_be_supplied_keeps_its_default(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook(hotel: str, mailer: str = "smtp", *, dry: bool = False) -> None:
        trail.append((hotel, mailer, dry))

    roll_back(booking, "Ritz")
    assert trail == [("Ritz", "smtp", False)]


# ---- the outcome


def test_a_handler_that_needs_the_result_is_skipped_for_a_step_that_failed(booking: action[..., Any]) -> None:
    @booking.rollback
    def unbook(result: str) -> None:
        raise AssertionError("called without a result")

    with pytest.raises(Boom), transaction() as q:
        booking("full")
    assert [(step.name, step.state) for step in q.report.skipped] == [("book", "skipped")]
    assert q.report.undone == []
    assert not q.report.clean
    assert not q.report.failed
    assert q.report.summary == "transaction rolled back: skipped: book"


@pytest.mark.parametrize("hotel", ["full", "Ritz"])
def test_a_default_stands_for_the_result_of_a_step_that_failed(
    booking: action[..., Any], trail: Trail, hotel: str
) -> None:
    @booking.rollback
    def unbook(hotel: str, result: str | None = None, error: BaseException | None = None) -> None:
        trail.append((hotel, result, None if error is None else error.args))

    roll_back(booking, hotel)
    assert trail == [("full", None, ("full",)) if hotel == "full" else ("Ritz", "booked Ritz", None)]


def test_a_handler_without_a_required_result_is_called_for_a_step_that_failed(
    booking: action[..., Any], trail: Trail
) -> None:
    @booking.rollback
    def unbook(hotel: str, *, error: Boom) -> None:
        trail.append((hotel, error))

    with pytest.raises(Boom) as caught, transaction():
        booking("full")
    assert trail == [("full", caught.value)]


def test_a_default_of_the_result_is_not_used_where_the_body_returned_none(trail: Trail) -> None:
    @action
    def touch() -> None: ...

    @touch.rollback
    def untouch(result: object = "default") -> None:
        trail.append((result,))

    roll_back(touch)
    assert trail == [(None,)]


def test_a_default_of_a_parameter_of_the_action_is_the_action_s_own(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook(nights: int = 99) -> None:
        trail.append((nights,))

    roll_back(booking, "Ritz")
    assert trail == [(2,)]


def test_a_skipped_step_does_not_keep_the_others_from_being_undone_nor_the_block_from_committing(
    booking: action[..., Any], trail: Trail
) -> None:
    @booking.rollback
    def unbook(result: str) -> None:
        trail.append((result,))

    with transaction() as q:
        booking("Ritz")
        with pytest.raises(Boom):
            booking("full")
    assert q.state == "committed"
    assert trail == []


# ---- why the rollback runs


def test_a_handler_may_ask_why_the_rollback_runs(booking: action[..., Any], trail: Trail) -> None:
    @booking.rollback
    def unbook(hotel: str, cause: BaseException | None, error: BaseException | None) -> None:
        trail.append((hotel, cause, error))

    original = Boom("block")
    with pytest.raises(Boom), transaction():
        booking("Ritz")
        with pytest.raises(Boom) as failed:
            booking("full")
        with pytest.raises(LookupError) as left, transaction():
            booking("Savoy")
            raise LookupError
        with transaction() as q:
            booking("Hilton")
            q.rollback()
        raise original
    assert trail == [
        ("full", failed.value, failed.value),
        ("Savoy", left.value, None),
        ("Hilton", None, None),
        ("Ritz", original, None),
    ]


def test_what_a_step_has_made_is_undone_because_of_what_the_step_raised(trail: Trail) -> None:
    @action
    def inner() -> None: ...

    @inner.rollback
    def undo_inner(cause: BaseException) -> None:
        trail.append((type(cause), cause.args))

    @action(retry=lambda attempt, error: 0 if attempt < 2 else None)
    def outer() -> None:
        inner()
        raise Boom(current_step().attempts)

    with pytest.raises(Boom), transaction():
        outer()
    assert trail == [(Boom, (1,)), (Boom, (2,))]


def test_a_parameter_of_the_action_named_cause_comes_first(trail: Trail) -> None:
    @action
    def fire(cause: str) -> None: ...

    @fire.rollback
    def hire(cause: str) -> None:
        trail.append((cause,))

    roll_back(fire, "smoke")
    assert trail == [("smoke",)]


def test_the_cause_of_what_a_doomed_block_undoes_is_that_it_cannot_commit(
    booking: action[..., Any], trail: Trail
) -> None:
    @booking.rollback
    def unbook(hotel: str, cause: BaseException) -> None:
        trail.append((hotel, cause))
        if hotel == "full":
            raise OSError("stuck")

    with pytest.raises(TransactionDoomed) as caught, transaction():
        booking("Ritz")
        with pytest.raises(Boom) as failed:
            booking("full")
    assert trail == [("full", failed.value), ("Ritz", caught.value)]


def test_handlers_of_classic_queues_and_of_what_is_queued_are_told_as_well(
    booking: action[..., Any], trail: Trail
) -> None:
    @booking.rollback
    def unbook(hotel: str, cause: BaseException | None) -> None:
        trail.append((hotel, cause))

    with pytest.raises(Boom) as failed, transaction() as q:
        q.add(booking, "Ritz")
        q.add(booking, "full")
    queue = ActionQueue()
    queue.add(booking, "Savoy")
    queue.execute()
    queue.rollback()
    assert trail == [("full", failed.value), ("Ritz", failed.value), ("Savoy", None)]


# ---- what can be a handler


class Undo:
    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    def __call__(self, result: str, hotel: str) -> None:
        self.trail.append((result, hotel))

    def method(self, result: str, hotel: str) -> None:
        self(result, hotel)


def tell(trail: Trail, /, result: str, hotel: str, *, extra: int = 0) -> None:
    trail.append((result, hotel))


class Unhashable(Undo):
    """As a dataclass is."""

    def __eq__(self, other: object) -> bool:  # without `__hash__`
        return self is other


class Slotted:
    """Nothing can refer to it weakly."""

    __slots__ = ("trail",)

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    def __call__(self, result: str, hotel: str) -> None:
        self.trail.append((result, hotel))


HANDLERS: dict[str, Callable[[Trail], Any]] = {
    "lambda": lambda trail: eval("lambda result, hotel: trail.append((result, hotel))", {"trail": trail}),
    "partial": lambda trail: functools.partial(tell, trail),
    "partial with a keyword": lambda trail: functools.partial(tell, trail, extra=1),
    "callable object": Undo,
    "unhashable object": Unhashable,
    "object without weak references": Slotted,
    "bound method": lambda trail: Undo(trail).method,
    "static method": lambda trail: staticmethod(Undo(trail).method),
    "action": lambda trail: action(Undo(trail).method),
    "transaction": lambda trail: transaction(Undo(trail).method),
}


@pytest.mark.parametrize("kind", HANDLERS)
@pytest.mark.parametrize("retry", [None, Retry(attempts=1)], ids=["", "retry"])
def test_every_kind_of_callable_can_be_a_handler_and_is_returned_unchanged(
    booking: action[..., Any], trail: Trail, kind: str, retry: Any
) -> None:
    handler = HANDLERS[kind](trail)
    assert booking.rollback(retry=retry)(handler) is handler
    q = roll_back(booking, "Ritz")
    assert trail == [("booked Ritz", "Ritz")]
    assert q.report.undone == ["book"]


def test_a_built_in_function_that_tells_its_parameters_can_be_a_handler() -> None:
    @action
    def push(object: int) -> None:  # noqa: A002 - so that it is called by the built-in method
        stack.append(object)

    stack: list[int] = []
    other: list[int] = []
    push.rollback(other.append)
    roll_back(push, 3)
    assert other == [3]


def test_a_handler_can_undo_several_actions(trail: Trail) -> None:
    first, second = action(book), action(book)

    @first.rollback
    @second.rollback
    def unbook(hotel: str) -> None:
        trail.append((hotel,))

    with pytest.raises(Boom), transaction():
        first("Ritz")
        second("Savoy")
        raise Boom
    assert trail == [("Savoy",), ("Ritz",)]


def test_a_handler_that_is_an_action_makes_no_step_while_it_undoes(trail: Trail) -> None:
    make = action(book)

    @make.rollback
    @action
    def unmake(hotel: str) -> None:
        trail.append((hotel,))

    @unmake.rollback
    def again() -> None:
        trail.append(("undone twice",))

    roll_back(make, "Ritz")
    assert trail == [("Ritz",)]


def test_a_handler_that_raises_dooms_a_transaction_whose_code_goes_on(booking: action[..., Any]) -> None:
    @booking.rollback
    def unbook() -> None:
        raise OSError("no connection")

    with pytest.raises(TransactionDoomed) as doomed, transaction() as q, pytest.raises(Boom):
        booking("full")
    assert [(failure.step.name, str(failure.error)) for failure in q.report.failures] == [("book", "no connection")]
    assert [str(error) for error in doomed.value.failures] == ["no connection"]


def test_a_step_that_its_handler_asks_for_and_keeps_ends_as_undone(booking: action[..., Any]) -> None:
    kept: list[Step] = []

    @booking.rollback
    def unbook() -> None:
        kept.append(current_step())
        assert kept[0].state == "done"

    q = roll_back(booking, "Ritz")
    assert [step.state for step in kept] == [StepState.UNDONE]
    assert q.report.undone == ["book"]
