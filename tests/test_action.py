"""`@action`: what it accepts, what a call of an action does inside a block and outside one, and what a step knows."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    NoTransaction,
    Retry,
    action,
    transaction,
)


class Boom(Exception):
    """What the blocks of these tests are left by."""


def plain(a: int, b: int = 2) -> tuple[int, int]:
    return a, b


class Adder:
    """A callable object."""

    def __call__(self, a: int, b: int = 2) -> tuple[int, int]:
        return a, b


CALLABLES: dict[str, Callable[..., Any]] = {
    "function": plain,
    "lambda": eval("lambda a, b=2: (a, b)"),
    "partial": functools.partial(plain, b=2),
    "partial of a partial": functools.partial(functools.partial(plain), b=2),
    "callable object": Adder(),
    "bound method": Adder().__call__,
    "built-in function": divmod,
    "partial of a class": functools.partial(dict),
}


@pytest.fixture(params=CALLABLES)
def function(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Every kind of callable, all of which can be called with ``{}`` or with a few integers."""
    return CALLABLES[request.param]


def arguments_for(function: Callable[..., Any]) -> tuple[Any, ...]:
    return ([(1, 2)],) if getattr(function, "func", None) is dict else (7, 2) if function is divmod else (1,)


# ---- outside a block, inside a block


def test_outside_a_block_an_action_is_the_plain_function(function: Callable[..., Any]) -> None:
    args = arguments_for(function)
    assert action(function)(*args) == function(*args)


def test_inside_a_block_an_action_runs_at_once_and_returns_its_value(function: Callable[..., Any]) -> None:
    args = arguments_for(function)
    with transaction():
        assert action(function)(*args) == function(*args)


def test_a_step_is_undone_for_every_kind_of_callable(function: Callable[..., Any]) -> None:
    step = action(function)
    undone: list[object] = []

    @step.rollback
    def unstep(result: object) -> None:
        undone.append(result)

    result: Any = None
    args = arguments_for(function)
    with pytest.raises(Boom), transaction():
        result = step(*args)
        raise Boom
    assert undone == [result]


def test_an_action_that_returns_none_has_a_result() -> None:
    undone: list[object] = []

    @action
    def touch() -> None: ...

    @touch.rollback
    def untouch(result: None) -> None:
        undone.append(result)

    with pytest.raises(Boom), transaction():
        touch()
        raise Boom
    assert undone == [None]


def test_outside_a_block_nothing_is_undone_when_the_function_raises() -> None:
    undone: list[str] = []

    @action
    def fail() -> None:
        raise Boom

    @fail.rollback
    def unfail() -> None:
        undone.append("unfail")

    with pytest.raises(Boom):
        fail()
    assert undone == []


SPELLINGS: list[Any] = [action, action(), action(retry=None)]


@pytest.mark.parametrize("decorate", SPELLINGS, ids=["bare", "parentheses", "default"])
def test_empty_parentheses_change_nothing(decorate: Any) -> None:
    decorated = decorate(plain)
    assert decorated(1) == (1, 2)
    assert repr(decorated) == "<action plain(a, b), no rollback handler>"
    assert isinstance(decorated, action)


def test_the_options_can_be_given_once_for_several_functions() -> None:
    irreversible = action(irreversible=True)
    first: object = irreversible(plain)
    second: object = irreversible(Adder())
    assert repr(action(read_only=True)(plain)) == "<action plain(a, b), read-only>"
    assert repr(first) == "<action plain(a, b), irreversible>"
    assert repr(second) == "<action Adder(a, b), irreversible>"


def test_a_function_can_be_the_body_of_two_actions_with_undos_of_their_own() -> None:
    undone: list[str] = []
    first, second = action(plain), action(plain)

    @first.rollback
    def unfirst() -> None:
        undone.append("first")

    @second.rollback
    def unsecond() -> None:
        undone.append("second")

    with pytest.raises(Boom), transaction():
        first(1)
        second(1)
        raise Boom
    assert undone == ["second", "first"]


def test_an_action_calls_itself_recursively_and_every_call_is_a_step() -> None:
    undone: list[int] = []

    @action
    def count(n: int) -> int:
        return 0 if n == 0 else 1 + count(n - 1)

    @count.rollback
    def uncount(n: int) -> None:
        undone.append(n)

    with pytest.raises(Boom), transaction():
        assert count(3) == 3
        raise Boom
    assert undone == [0, 1, 2, 3]


# ---- transaction_required


def test_an_action_that_requires_a_transaction_does_not_run_outside_one() -> None:
    ran: list[int] = []

    @action(transaction_required=True)
    def charge(amount: int) -> None:
        ran.append(amount)

    with pytest.raises(NoTransaction) as caught:
        charge(900)
    name = "charge"
    assert caught.value.name == name
    assert str(caught.value) == (
        "charge was called outside any transaction; call it inside `with transaction() as q:`, in a thread or a pool "
        "by `q.run(charge, ...)`"
    )
    assert ran == []
    with transaction():
        charge(900)
    assert ran == [900]


def test_an_action_that_requires_a_transaction_refuses_wrong_arguments_first() -> None:
    @action(transaction_required=True)
    def charge(amount: int) -> None: ...

    with pytest.raises(TypeError, match=r"charge\(\) missing 1 required positional argument: 'amount'"):
        charge()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - wrong on purpose


def test_an_async_action_that_requires_a_transaction_says_so_before_a_coroutine_is_made() -> None:
    @action(transaction_required=True)
    async def charge(amount: int) -> None: ...

    with pytest.raises(NoTransaction, match=r"^charge was called outside any transaction"):
        charge(900)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine] - wrong on purpose


def test_a_classic_queue_satisfies_an_action_that_requires_a_transaction() -> None:
    ran: list[int] = []

    @action(transaction_required=True)
    def charge(amount: int) -> None:
        ran.append(amount)

    queue = ActionQueue()
    queue.add(charge, 900)
    queue.execute()
    assert ran == [900]


# ---- what cannot be decorated


def numbers() -> Any:
    yield 1


async def async_numbers() -> Any:
    yield 1


class Numbers:
    def __call__(self) -> Any:
        yield 1


class AsyncNumbers:
    async def __call__(self) -> Any:
        yield 1


GENERATORS: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (numbers, "numbers"),
    "async function": (async_numbers, "async_numbers"),
    "partial": (functools.partial(numbers), "numbers"),
    "callable object": (Numbers(), "Numbers"),
    "async callable object": (AsyncNumbers(), "AsyncNumbers"),
    "bound method": (Numbers().__call__, "Numbers.__call__"),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_function_cannot_be_an_action(kind: str) -> None:
    function, name = GENERATORS[kind]
    with pytest.raises(TypeError) as caught:
        action(function)
    assert str(caught.value) == (
        f"{name} is a generator function: calling it would run nothing; make an action of what is done for each item, "
        "or on entering"
    )


@pytest.mark.parametrize("nonsense", [3, (), Retry(attempts=2).attempts], ids=repr)
@pytest.mark.parametrize("decorate", [action, action(irreversible=True)], ids=["bare", "options"])
def test_what_is_not_callable_cannot_be_an_action(decorate: Any, nonsense: object) -> None:
    with pytest.raises(TypeError) as caught:
        decorate(nonsense)
    assert str(caught.value) == f"@action takes a function, not {nonsense!r}; options go by keyword: @action(retry=...)"


@pytest.mark.parametrize("decorate", [action, action(irreversible=True)], ids=["bare", "options"])
def test_an_action_cannot_be_decorated_twice(decorate: Any) -> None:
    with pytest.raises(TypeError) as caught:
        decorate(action(plain))
    assert str(caught.value) == "plain is an action already: decorate it once"


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_an_action_cannot_be_decorated_twice_through_a_class_or_static_method(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"^plain is an action already: decorate it once$"):
        action(kind(action(plain)))


@pytest.mark.parametrize("options", [{"attempts": 3}, {"irreversible": True, "attempts": 3}], ids=["alone", "with"])
@pytest.mark.parametrize("args", [(), (plain,)], ids=["options", "function and options"])
def test_an_unknown_option_is_refused_by_name(args: Any, options: Any) -> None:
    with pytest.raises(TypeError) as caught:
        action(*args, **options)
    assert str(caught.value) == (
        "@action has no option 'attempts'; its options are retry, irreversible, read_only, "
        "transaction_required, when, timeout, name, aliases, undo"
    )


@pytest.mark.parametrize(
    ("retry", "hint"),
    [(3, ""), ("always", ""), (Retry, "; make one: Retry(...)"), (int, "")],
    ids=["number", "text", "Retry", "class"],
)
def test_a_retry_option_that_is_no_policy_is_refused(retry: Any, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        action(retry=retry)
    wanted = "a Retry(...) or a callable (attempt, error) -> seconds or None"
    assert str(caught.value) == f"@action(retry=...) must be {wanted}, not {retry!r}{hint}"


def test_a_time_out_is_refused_for_what_cannot_be_stopped() -> None:
    with pytest.raises(TypeError) as caught:
        action(timeout=3)(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose
    assert str(caught.value) == (
        "@action(timeout=...) needs an `async def`: nothing can stop the sync function plain; give a time-out to what "
        "it calls"
    )


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "3"], ids=repr)
def test_a_time_out_that_is_no_time_is_refused(timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        action(timeout=timeout)
    assert str(caught.value) == f"@action(timeout=...) must be a number of seconds above 0, not {timeout!r}"


# ---- wrong calls

WRONG_CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "missing": ((), {}),
    "extra": ((1, 2, 3, 4), {}),
    "missing keyword-only": ((1, 2), {}),
    "unknown keyword": ((1,), {"c": 1, "z": 2}),
    "twice": ((1,), {"a": 1, "c": 1}),
    "positional-only by keyword": ((), {"a": 1, "b": 2, "c": 3}),
    "keyword-only by position": ((1, 2, 3), {}),
}


def book(a: int, /, b: int = 2, *, c: int) -> int:
    return a + b + c


@pytest.mark.parametrize("wrong", WRONG_CALLS)
def test_a_wrong_call_raises_what_the_interpreter_raises_and_is_not_recorded(wrong: str) -> None:
    args, kwargs = WRONG_CALLS[wrong]
    with pytest.raises(TypeError) as expected:
        book(*args, **kwargs)
    assert str(expected.value).startswith("book() ")
    booking: action[..., int] = action(book)
    undone: list[str] = []

    @booking.rollback
    def unbook() -> None:
        undone.append("unbook")

    message = f"^{re.escape(str(expected.value))}$"
    with pytest.raises(TypeError, match=message):
        booking(*args, **kwargs)
    with pytest.raises(Boom), transaction() as q:
        with pytest.raises(TypeError, match=message):
            booking(*args, **kwargs)
        with pytest.raises(TypeError, match=message):
            q.add(booking, *args, **kwargs)
        assert repr(q) == "<Transaction 'transaction' open, 0 steps>"
        raise Boom
    assert undone == []


def test_a_type_error_of_the_body_is_no_wrong_call() -> None:
    undone: list[str] = []

    @action
    def fail() -> None:
        raise TypeError("of the body")

    @fail.rollback
    def unfail() -> None:
        undone.append("unfail")

    with pytest.raises(TypeError, match=r"^of the body$"), transaction():
        fail()
    assert undone == ["unfail"]


def test_threads_may_decorate_at_the_same_time() -> None:
    def many(number: int) -> list[Any]:
        return [action(name=f"{number}-{each}")(lambda: None) for each in range(100)]

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(many, range(4)))
    assert len({each.__name__ for several in made for each in several}) == 1
