"""Every misuse and its message: what happened, why, and what to do instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from actionqueues import (
    Action,
    AsyncActionInSyncBlock,
    IllegalOperation,
    NestedTransaction,
    NoTransaction,
    Retry,
    Transaction,
    TransactionClosed,
    action,
    current_step,
    current_transaction,
    transaction,
)

from .world import Boom, World


@pytest.fixture
def w() -> World:
    return World()


@action
def charge(card: str, amount: int = 1, *, currency: str = "EUR") -> int:
    return amount


@charge.rollback
def refund(card: str) -> None:
    """Give it back."""


@action(transaction_required=True)
def book(seat: str) -> None:
    """Book it."""


@action
async def fetch(url: str) -> None:
    """Fetch it."""


def fresh() -> Any:
    """An action without a handler."""

    @action
    def pay(card: str, amount: int = 1) -> int:
        return amount

    return pay


class Tool(Action):
    """An action object."""


class Half:
    """Has one of the two methods."""

    def execute(self) -> None:
        """Do it."""


class Nothing:
    """Can neither be called nor executed."""

    def __repr__(self) -> str:
        return "<nothing>"


def generator(card: str) -> Any:
    """Runs nothing when it is called."""
    yield card


async def coroutine(card: str) -> None:
    """An async handler."""


def unknown(card: str, result: int, cart: str, userid: int) -> None:
    """Asks for two things that nobody has."""


def only(card: str, /) -> None:
    """Takes it by position only."""


DECORATION: list[tuple[Callable[[], object], type[Exception], str]] = [
    # Wrong on purpose:
    (lambda: action(5), TypeError, "@action takes a function, not 5; options go by keyword: @action(retry=...)"),  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    # Wrong on purpose:
    (lambda: action()(5), TypeError, "@action takes a function, not 5; options go by keyword: @action(retry=...)"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
    (lambda: action(charge), TypeError, "charge is an action already: decorate it once"),
    (
        lambda: action(generator),
        TypeError,
        (
            "generator is a generator function: calling it would run nothing; make an action of what is done for each "
            "item, or on entering"
        ),
    ),
    (
        lambda: action(retry=3),  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType] - wrong
        TypeError,
        "@action(retry=...) must be a Retry(...) or a callable (attempt, error) -> seconds or None, not 3",
    ),
    (
        lambda: action(retry=Retry),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose
        TypeError,
        (
            "@action(retry=...) must be a Retry(...) or a callable (attempt, error) -> seconds or None, not "
            "<class 'actionqueues.Retry'>; make one: Retry(...)"
        ),
    ),
    (
        lambda: fresh().rollback(unknown),
        TypeError,
        (
            "the rollback handler unknown of pay asks for 'cart' and 'userid', which cannot be supplied; name a "
            "parameter 'card', 'amount', 'result', 'error', 'step' or 'cause', or give it a default"
        ),
    ),
    (
        lambda: fresh().rollback(generator),
        TypeError,
        (
            "the rollback handler generator of pay is a generator function: calling it would run nothing; make it a "
            "plain function"
        ),
    ),
    (
        lambda: fresh().rollback(coroutine),
        TypeError,
        (
            "the rollback handler coroutine is async, but pay is not, and may be called where nothing can be awaited; "
            "make pay an `async def`, or the handler a plain `def`"
        ),
    ),
    (lambda: fresh().rollback(5), TypeError, "pay.rollback takes a function, not 5"),
    (
        lambda: fresh().rollback(retry=0.5)(refund),
        TypeError,
        "pay.rollback(retry=...) must be a Retry(...) or a callable (attempt, error) -> seconds or None, not 0.5",
    ),
    (
        lambda: charge.rollback(refund),
        TypeError,
        (
            "charge already has a rollback handler, refund; an action has one: call several functions from it, or "
            "override it in a subclass, like any method"
        ),
    ),
    (
        lambda: action(irreversible=True)(only).rollback(refund),
        TypeError,
        "only is declared irreversible=True, so it can have no rollback handler",
    ),
    (
        lambda: transaction(independent=True, outermost=True),
        TypeError,
        "transaction(): independent=True and outermost=True exclude each other",
    ),
    (
        lambda: action(irreversible=True, read_only=True),
        TypeError,
        "@action(irreversible=True) and @action(read_only=True) exclude each other",
    ),
    (
        lambda: transaction(retry=5),  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType] - wrong
        TypeError,
        "transaction(retry=...) must be a Retry(...) or a callable (attempt, error) -> seconds or None, not 5",
    ),
]


@pytest.mark.parametrize(("misuse", "kind", "text"), DECORATION)
def test_what_cannot_work_is_refused_when_it_is_declared(
    misuse: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        misuse()
    assert str(caught.value) == text


OUTSIDE: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: book("1A"),
        NoTransaction,
        (
            "book was called outside any transaction; call it inside `with transaction() as q:`, in a thread or a pool "
            "by `q.run(book, ...)`"
        ),
    ),
    (
        current_transaction,
        NoTransaction,
        "current_transaction() was called outside any transaction; call it inside `with transaction():`",
    ),
]


@pytest.mark.parametrize(("misuse", "kind", "text"), OUTSIDE)
def test_what_needs_a_block_says_so_outside(misuse: Callable[[], object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        misuse()
    assert str(caught.value) == text


def test_a_plain_call_has_no_current_step() -> None:
    @action
    def plain() -> None:
        current_step()

    with pytest.raises(NoTransaction, match=r"^current_step\(\) was called outside any step; "):
        plain()


INSIDE: list[tuple[Callable[[Transaction], object], type[Exception], str]] = [
    (
        # Wrong on purpose:
        lambda q: q.add(Nothing()),  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownLambdaType]
        TypeError,
        "<nothing> cannot be added: it is neither callable nor an action object; add the function, not its result",
    ),
    (lambda q: q.add(Tool), TypeError, "Tool is a class; add an object of it: add(Tool(...))"),
    (
        # Wrong on purpose:
        lambda q: q.add(Tool(), 1),  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownLambdaType]
        TypeError,
        "Tool is an action object, whose execute() takes no arguments",
    ),
    (
        # Wrong on purpose:
        lambda q: q.add(refund, 1, 2),  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportUnknownLambdaType]
        TypeError,
        "refund(card: 'str') -> 'None': too many positional arguments",
    ),
    (
        # Wrong on purpose:
        lambda q: q.add(charge),  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportUnknownLambdaType]
        TypeError,
        "charge() missing 1 required positional argument: 'card'",
    ),
    # Wrong on purpose:
    (lambda q: charge(), TypeError, "charge() missing 1 required positional argument: 'card'"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportUnknownLambdaType]
    # Wrong on purpose:
    (lambda q: charge("1", cur="USD"), TypeError, "charge() got an unexpected keyword argument 'cur'"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportUnknownLambdaType]
    (
        # Wrong on purpose:
        lambda q: q.on_rollback(None),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
        TypeError,
        "None is not callable; give the function and its arguments, not the result of calling it",
    ),
    (
        # Wrong on purpose:
        lambda q: q.on_commit(refund, card="1", other=2),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        TypeError,
        "refund(card: 'str') -> 'None': got an unexpected keyword argument 'other'",
    ),
    (
        lambda q: fetch("url"),
        AsyncActionInSyncBlock,
        "fetch is async, and the transaction 'order' cannot await it; use `async with transaction():`",
    ),
    (
        lambda q: q.add(fetch, "url"),
        AsyncActionInSyncBlock,
        "fetch is async, and the transaction 'order' cannot await it; use `async with transaction():`",
    ),
    (
        lambda q: transaction("deep", outermost=True).__enter__(),
        NestedTransaction,
        (
            "the transaction 'deep' is declared outermost=True, but was entered inside the transaction 'order'; enter "
            "it outside, drop outermost=True to make it a savepoint, or use independent=True to share nothing"
        ),
    ),
    (
        lambda q: q.__enter__(),
        IllegalOperation,
        (
            "cannot enter the transaction 'order': it is open; a transaction object serves one block; make another one "
            "for the next"
        ),
    ),
    (
        lambda q: q(refund),
        IllegalOperation,
        "cannot decorate with the transaction 'order': it is open; use a fresh transaction(...)",
    ),
    (
        lambda q: q.add(refund, "1").result,
        IllegalOperation,
        (
            "cannot read the result of refund: it is queued; call q.execute() first, or pass the step itself to a "
            "later q.add(...)"
        ),
    ),
]


@pytest.mark.parametrize(("misuse", "kind", "text"), INSIDE)
def test_a_misuse_in_a_block_has_run_nothing_and_the_block_goes_on(
    misuse: Callable[[Transaction], object], kind: type[Exception], text: str, w: World
) -> None:
    with transaction("order") as q:
        w.define("a")()
        before = repr(q)
        with pytest.raises(kind) as caught:
            misuse(q)
        assert text in str(caught.value)
        assert repr(q) in (before, before.replace(">", ", 1 queued>"))
        assert current_transaction() is q
    assert q.state == "committed"


@pytest.mark.parametrize("make", [Half, type("Other", (), {"rollback": print})])
def test_an_object_with_one_of_the_two_methods_is_told_which_is_missing(make: Callable[[], Any]) -> None:
    made = make()
    missing = "rollback" if make is Half else "execute"
    with transaction() as q, pytest.raises(TypeError, match=f"it has no {missing}\\(\\)$"):
        q.add(made)


# ---------------------------------------------------------------- the states of a block


MISUSES: list[tuple[str, Callable[[Transaction], object]]] = [
    ("add", lambda q: q.add(print)),
    ("on_commit", lambda q: q.on_commit(print)),
    ("on_rollback", lambda q: q.on_rollback(print)),
    ("execute", lambda q: q.execute()),
    ("rollback", lambda q: q.rollback()),
    ("savepoint", lambda q: q.savepoint()),
]


@pytest.mark.parametrize("use", [use for _, use in MISUSES], ids=[name for name, _ in MISUSES])
def test_nothing_can_be_done_in_a_block_before_it_is_entered(use: Callable[[Transaction], object]) -> None:
    q = transaction("later")
    with pytest.raises(IllegalOperation) as caught:
        use(q)
    assert str(caught.value) == (
        "cannot use the transaction 'later': it has not been entered; write `with transaction() as q:`"
    )
    assert q.state == "new"
    with q:  # the refused call has changed nothing
        pass
    assert repr(q) == "<Transaction 'later' committed>"


@pytest.mark.parametrize("use", [use for _, use in MISUSES], ids=[name for name, _ in MISUSES])
@pytest.mark.parametrize("end", ["committed", "rolled back", "rolled back with failures"])
def test_nothing_can_be_done_in_a_block_that_has_ended(
    use: Callable[[Transaction], object], end: str, w: World
) -> None:
    q = transaction("over")
    try:
        with q:
            w.define("a", undo_fails=[Boom("stuck")] if end.endswith("failures") else [])()
            if end != "committed":
                raise Boom("body")
    except Boom:
        pass
    assert q.state == end
    before = q.report.summary
    with pytest.raises(TransactionClosed, match=f"came too late: the transaction 'over' is {end}, and nothing") as c:
        use(q)
    assert (c.value.transaction, c.value.state) == ("the transaction 'over'", end)
    assert q.report.summary == before


@pytest.mark.parametrize("end", ["open", "committed", "rolled back"])
def test_a_transaction_object_cannot_be_entered_twice(end: str, w: World) -> None:
    q = transaction("once")
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(Boom) if end == "rolled back" else ExitStack())
        with q:
            w.define("a")()
            if end == "open":
                with pytest.raises(IllegalOperation, match="cannot enter the transaction 'once': it is open; a trans"):
                    q.__enter__()
                w.define("b")()  # still inside it
                assert repr(q) == "<Transaction 'once' open, 2 steps>"
            if end == "rolled back":
                raise Boom("body")
    with pytest.raises(IllegalOperation, match="a transaction object serves one block; make another one for the next"):
        q.__enter__()
    with pytest.raises(NoTransaction):
        current_transaction()


def test_a_block_that_was_never_entered_cannot_be_left() -> None:
    q = transaction("order")
    with pytest.raises(IllegalOperation) as caught:
        q.__exit__(None, None, None)
    assert str(caught.value) == (
        "cannot leave the transaction 'order': it has not been entered; write `with transaction() as q:`"
    )
    with q:  # an illegal call changes nothing
        pass
    assert q.state == "committed"


def test_a_block_that_has_committed_cannot_be_left_again(w: World) -> None:
    with transaction("order") as q:
        w.define("a")()
    with pytest.raises(IllegalOperation, match=r"^cannot leave the transaction 'order': it is committed; leave the bl"):
        q.__exit__(None, None, None)
    q.__exit__(Boom, Boom("late"), None)  # which goes on, and is told nothing new
    assert (q.state, w.trail) == ("committed", ["+a"])


def test_a_block_that_was_refused_in_one_place_can_be_entered_in_another_in_the_other_way(w: World) -> None:
    q = transaction("order")

    async def refused() -> None:
        await q.__aenter__()

    with transaction("outer"), pytest.raises(AsyncActionInSyncBlock):
        asyncio.run(refused())
    assert q.state == "new"
    with q:
        assert current_transaction() is q
        w.define("a")()
        with pytest.raises(AsyncActionInSyncBlock):
            q.add(fetch, "url")
    assert (repr(q), w.trail) == ("<Transaction 'order' committed>", ["+a"])


@pytest.mark.parametrize("error", [IllegalOperation, NoTransaction, NestedTransaction, TransactionClosed])
def test_misuse_is_told_from_failures_of_the_work_by_its_base_class(error: type[Exception]) -> None:
    assert {base.__name__ for base in error.__mro__} >= {"ActionQueuesError", "Exception"}
    assert error.__module__ == "actionqueues"
