"""What each error says, carries and is, and that pickling loses none of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest

import actionqueues
from actionqueues import (
    ActionQueuesError,
    ActionRetryException,
    AsyncActionInSyncBlock,
    CommitHookFailed,
    CoroutineNotAwaited,
    IllegalOperation,
    NestedTransaction,
    NotLanded,
    NoTransaction,
    RetryError,
    RollbackConflict,
    RollbackFailed,
    TransactionClosed,
    TransactionDoomed,
    errors,
)

FAILURES = (ValueError("a"), KeyError("b"))

# An error, what it says, its data, and what else it is.
CASES: list[tuple[Exception, str, dict[str, Any], type[Exception]]] = [
    (NotLanded("no charge of that key"), "no charge of that key", {"args": ("no charge of that key",)}, Exception),
    (ActionQueuesError("anything"), "anything", {"args": ("anything",)}, Exception),
    (
        IllegalOperation("execute this queue", "it is empty", "add() first"),
        "cannot execute this queue: it is empty; add() first",
        {"operation": "execute this queue", "state": "it is empty", "advice": "add() first"},
        AssertionError,
    ),
    (
        NoTransaction("charge"),
        "charge was called outside any transaction; call it inside `with transaction():`",
        {"name": "charge", "advice": "call it inside `with transaction():`", "where": "transaction"},
        RuntimeError,
    ),
    (
        NoTransaction("current_step()", "call it in a body", "step"),
        "current_step() was called outside any step; call it in a body",
        {"name": "current_step()", "advice": "call it in a body", "where": "step"},
        RuntimeError,
    ),
    (
        NestedTransaction("the transaction 'inner'", "the transaction 'outer'"),
        (
            "the transaction 'inner' is declared outermost=True, but was entered inside the transaction 'outer'; "
            "enter it outside, drop outermost=True to make it a savepoint, or use independent=True to share nothing"
        ),
        {"name": "the transaction 'inner'", "outer": "the transaction 'outer'"},
        RuntimeError,
    ),
    (
        TransactionClosed("charge", "the transaction", "rolled back"),
        (
            "charge came too late: the transaction is rolled back, and nothing was run; call it before the block "
            "ends, or in a transaction of its own"
        ),
        {"what": "charge", "transaction": "the transaction", "state": "rolled back"},
        RuntimeError,
    ),
    (
        TransactionDoomed("the transaction", FAILURES, ["charge", "ship"]),
        (
            "the transaction was rolled back instead of committed, because an undo inside it had failed: charge, "
            "ship; see q.report.failures, and put right by hand what they left"
        ),
        {"transaction": "the transaction", "failures": FAILURES, "steps": ("charge", "ship")},
        RuntimeError,
    ),
    (
        AsyncActionInSyncBlock("`async with transaction()`", "the order", "enter that by `async with` too"),
        "`async with transaction()` is async, and the order cannot await it; enter that by `async with` too",
        {"name": "`async with transaction()`", "where": "the order", "advice": "enter that by `async with` too"},
        TypeError,
    ),
    (
        AsyncActionInSyncBlock("send", "this action queue"),
        "send is async, and this action queue cannot await it; use `async with transaction():`",
        {"name": "send", "where": "this action queue"},
        TypeError,
    ),
    (
        CoroutineNotAwaited("send (logged.<locals>.wrapper in shop.py, line 3)", "send"),
        (
            "send (logged.<locals>.wrapper in shop.py, line 3) returned a coroutine of send, which nobody awaits: make "
            "it an `async def` that awaits it, or mark it as one, with functools.wraps and "
            "inspect.markcoroutinefunction (Python 3.12)"
        ),
        {"name": "send (logged.<locals>.wrapper in shop.py, line 3)", "coroutine": "send"},
        TypeError,
    ),
    (
        RollbackFailed("the undo of a failed", FAILURES),
        "the undo of a failed (2 sub-exceptions)",
        {"message": "the undo of a failed", "exceptions": FAILURES},
        ExceptionGroup,
    ),
    (
        CommitHookFailed("the hook a failed", FAILURES),
        "the hook a failed (2 sub-exceptions)",
        {"message": "the hook a failed", "exceptions": FAILURES},
        ExceptionGroup,
    ),
    (
        RetryError("poll", {"ready": False}, 1),
        "poll was not done after 1 attempt: the last one returned {'ready': False}",
        {"name": "poll", "result": {"ready": False}, "attempts": 1},
        ActionQueuesError,
    ),
    (
        RetryError("poll", "x" * 300, 3),
        f"poll was not done after 3 attempts: the last one returned '{'x' * 199}...",
        {"result": "x" * 300},
        ActionQueuesError,
    ),
    (RollbackConflict("changed", 3), "('changed', 3)", {"args": ("changed", 3)}, Exception),
    (RollbackConflict(), "", {"args": ()}, Exception),
    (ActionRetryException(), "0", {"ms_backoff": 0}, Exception),
    (ActionRetryException(ms_backoff=250.5), "250.5", {"ms_backoff": 250.5}, Exception),
]
IDS = [f"{type(case[0]).__name__}-{i}" for i, case in enumerate(CASES)]

each_error = pytest.mark.parametrize(("error", "text", "data", "base"), CASES, ids=IDS)


def plain(value: object) -> object:
    """Exceptions compare by identity; here by what they are."""
    if isinstance(value, BaseException):
        return type(value), value.args
    return tuple(map(plain, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else value


@each_error
def test_an_error_says_what_happened_and_what_to_do(
    error: Exception, text: str, data: dict[str, Any], base: type[Exception]
) -> None:
    assert str(error) == text


def test_the_repr_of_an_error_is_what_it_says_since_reports_and_notes_show_that() -> None:
    assert repr(TransactionClosed("charge", "the order", "rolled back")) == (
        "TransactionClosed('charge came too late: the order is rolled back, and nothing was run; call it before the "
        "block ends, or in a transaction of its own')"
    )
    assert repr(RollbackFailed("the order", [OSError("a")])) == "RollbackFailed('the order', [OSError('a')])"
    assert repr(CommitHookFailed("the order", [OSError("a")])) == "CommitHookFailed('the order', [OSError('a')])"


@each_error
def test_an_error_carries_its_data_as_attributes(
    error: Exception, text: str, data: dict[str, Any], base: type[Exception]
) -> None:
    assert {name: getattr(error, name) for name in data} == data


@each_error
def test_an_error_is_of_the_builtin_type_that_callers_may_expect(
    error: Exception, text: str, data: dict[str, Any], base: type[Exception]
) -> None:
    assert isinstance(error, base)


def pickled(protocol: int) -> Callable[[Any], Any]:
    def pickle_and_back(thing: Any) -> Any:
        return pickle.loads(pickle.dumps(thing, protocol))

    return pickle_and_back


COPIES = [copy.copy, *(pickled(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))]


@pytest.mark.parametrize("duplicate", COPIES)
@each_error
def test_pickling_and_copying_lose_nothing(
    error: Exception, text: str, data: dict[str, Any], base: type[Exception], duplicate: Callable[[Any], Any]
) -> None:
    error = copy.copy(error)
    error.add_note("and this")
    twin = duplicate(error)
    assert type(twin) is type(error)
    assert str(twin) == text
    assert {name: plain(getattr(twin, name)) for name in data} == {name: plain(value) for name, value in data.items()}
    assert twin.__notes__ == ["and this"]


class Unshowable:
    def __repr__(self) -> str:
        raise LookupError("half made")


def test_a_result_that_cannot_be_shown_does_not_hide_the_error() -> None:
    text = "poll was not done after 2 attempts: the last one returned <Unshowable, whose repr() fails>"
    assert str(RetryError("poll", Unshowable(), 2)) == text


def test_every_error_is_tested_here() -> None:
    assert {type(case[0]).__name__ for case in CASES} == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_shows_the_public_name_of_its_module(name: str) -> None:
    error: type[BaseException] = getattr(errors, name)
    assert error.__module__ == "actionqueues"
    assert getattr(actionqueues, name) is error


def test_all_but_what_users_raise_are_caught_by_the_base() -> None:
    others = {name for name in errors.__all__ if not issubclass(getattr(errors, name), ActionQueuesError)}
    assert others == {"NotLanded", "RollbackConflict", "ActionRetryException"}


def test_a_retry_exception_of_a_users_own_survives_pickling() -> None:
    twin = pickle.loads(pickle.dumps(Busy()))
    assert (type(twin), twin.ms_backoff) == (Busy, 250)


class Busy(ActionRetryException):
    """A subclass with a constructor of its own, as a program may have it."""

    def __init__(self) -> None:
        super().__init__(ms_backoff=250)


# -- the two groups

groups = pytest.mark.parametrize("kind", [RollbackFailed, CommitHookFailed])
Group = type[RollbackFailed] | type[CommitHookFailed]


@groups
def test_a_group_takes_except_star_and_stays_what_it_is(kind: Group) -> None:
    seen: list[ExceptionGroup[Exception]] = []
    with pytest.raises(kind) as rest:
        try:
            raise kind("two", FAILURES)
        except* KeyError as caught:
            seen.append(caught)
    assert [(type(group), group.exceptions) for group in (seen[0], rest.value)] == [
        (kind, FAILURES[1:]),
        (kind, FAILURES[:1]),
    ]


@groups
def test_a_split_group_keeps_its_kind_message_notes_and_causes(kind: Group) -> None:
    group = kind("two", FAILURES)
    group.add_note("noted")
    group.__cause__ = cause = OSError()
    match, rest = group.split(KeyError)
    assert match is not None
    assert rest is not None
    for part, members in ((match, FAILURES[1:]), (rest, FAILURES[:1])):
        assert type(part) is kind
        assert (part.message, part.exceptions) == ("two", members)
        assert part.__notes__ == ["noted"]
        assert part.__cause__ is cause


@groups
def test_a_subgroup_is_of_the_same_kind_or_none(kind: Group) -> None:
    group = kind("two", FAILURES)
    part = group.subgroup(ValueError)
    assert isinstance(part, kind)
    assert type(part) is kind
    assert part.exceptions == FAILURES[:1]
    assert group.subgroup(OSError) is None


@groups
def test_a_derived_group_is_of_the_same_kind(kind: Group) -> None:
    group = kind("two", FAILURES)
    derived = group.derive([OSError("c")])
    assert type(derived) is kind
    assert derived.message == "two"
    assert [type(error) for error in derived.exceptions] == [OSError]


@groups
def test_a_subgroup_that_was_pickled_is_of_the_same_kind(kind: Group) -> None:
    part = kind("two", FAILURES).subgroup(ValueError)
    twin = pickle.loads(pickle.dumps(part))
    assert type(twin) is kind
    assert plain(twin.exceptions) == plain(FAILURES[:1])
