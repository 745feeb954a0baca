"""The mistakes of somebody who has read no more than the README: each is told, at once, with the way out."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import (
    ActionRetryException,
    AsyncTransaction,
    Retry,
    Transaction,
    action,
    bounded,
    current_transaction,
    transaction,
)
from actionqueues.agents import tools
from actionqueues.errors import NoTransaction
from actionqueues.journal import Journal
from actionqueues.testing import database, fail_at, sweep


@action
def create(name: str) -> str:
    return name


def test_a_rollback_that_is_called_by_hand_says_that_it_declares_one() -> None:
    undo: Any = create.rollback
    with pytest.raises(TypeError) as caught:
        undo()
    assert str(caught.value) == (
        "create.rollback() was given no function: it declares how to undo, as @create.rollback over that; what undoes "
        "is a block that fails, or q.rollback()"
    )


def test_a_class_derived_from_the_decorator_is_told_the_name_of_the_base_class() -> None:
    base: Any = action
    with pytest.raises(TypeError) as caught:
        type("Create", (base,), {"execute": print, "rollback": print})
    assert str(caught.value) == (
        "class Create(action): action is a decorator; the base class of the classic API is action.Action, or "
        "actionqueues.Action"
    )


def test_an_async_transaction_is_not_made_by_calling_its_class() -> None:
    with pytest.raises(TypeError) as caught:
        AsyncTransaction()
    assert str(caught.value) == (
        "an AsyncTransaction is what `async with transaction() as q:` gives; call transaction()"
    )
    with pytest.raises(NoTransaction):
        current_transaction()


def an_async_transaction() -> AsyncTransaction:
    """One that has ended."""

    async def main() -> AsyncTransaction:
        async with transaction("order") as q:
            return q

    return asyncio.run(main())


def test_an_attribute_that_a_transaction_has_not_got_is_missed_under_the_name_that_users_know() -> None:
    with pytest.raises(AttributeError, match="'Transaction' object has no attribute 'commit'"), transaction() as q:
        q.commit()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def test_a_retry_in_so_many_words_is_none_and_its_exception_says_why() -> None:
    words: Any = "soon"

    @action(read_only=True)
    def ask() -> None:
        raise ActionRetryException(words)

    with pytest.raises(ActionRetryException) as caught, transaction():
        ask()
    (note,) = caught.value.__notes__
    assert note == (
        "actionqueues: not retried, because its ms_backoff is no time to wait: "
        """TypeError("ActionRetryException was given ms_backoff='soon': not milliseconds from 0 up")"""
    )


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("make", [transaction, an_async_transaction])
def test_a_transaction_cannot_be_sent_to_another_process_nor_copied(
    duplicate: Callable[[Any], Any], make: Callable[[], Any]
) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied: it belongs to the process and the block"):
        duplicate(make())


def test_a_savepoint_is_given_a_name_or_nothing() -> None:
    name: Any = 5
    with transaction() as q, pytest.raises(TypeError, match=r"savepoint\(\) takes a name, not 5"):
        q.savepoint(name)


def test_the_result_of_a_function_that_is_added_in_place_of_the_function_is_refused() -> None:
    with pytest.raises(TypeError) as caught, transaction() as q:
        q.add(create("a"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert str(caught.value) == (
        "'a' cannot be added: it is neither callable nor an action object; add the function, not its result"
    )


def test_a_handler_with_the_name_of_its_action_as_if_it_were_a_setter_is_refused() -> None:
    def make() -> object:
        @action
        def charge() -> None: ...  # pyright: ignore[reportRedeclaration]  # the mistake

        @charge.rollback  # type: ignore[no-redef]  # the mistake
        def charge() -> None: ...

        return charge

    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == (
        "the rollback handler of charge is called charge too, so that this name would no longer mean the action; give "
        "it a name of its own"
    )


def test_so_is_a_method_and_a_probe() -> None:
    def make() -> object:
        class Shop:
            @action
            def charge(self) -> None: ...  # pyright: ignore[reportRedeclaration]  # the mistake

            @charge.landed  # type: ignore[no-redef]  # the mistake
            def charge(self) -> None: ...

        return Shop

    with pytest.raises(TypeError, match=r"the probe of Shop\.charge is called Shop\.charge too"):
        make()


def test_an_action_that_is_not_called_by_its_name_and_its_handler_may_have_the_same_name() -> None:
    steps: list[action[..., Any]] = []
    register = steps.append
    trail: list[str] = []

    def told(what: str) -> Callable[[], None]:
        def tell() -> None:
            trail.append(what)

        return tell

    made = action(told("do"))
    made.rollback(told("undo"))

    @action
    def _() -> None:
        trail.append("do that")

    register(_)

    @_.rollback
    def _() -> None:
        trail.append("undo that")

    nameless = action(lambda: trail.append("do this"))
    nameless.rollback(lambda: trail.append("undo this"))
    with transaction() as q:
        made()
        steps[0]()
        nameless()
        q.rollback()
    assert trail == ["do", "do that", "do this", "undo this", "undo that", "undo"]


@pytest.mark.parametrize("policy", [Retry(attempts=2), bounded(Retry(), timeout=1)], ids=["Retry", "bounded"])
def test_a_policy_that_is_not_given_by_keyword_is_taken_for_no_function(policy: Any) -> None:
    def charge() -> None: ...

    uses: dict[Callable[[Any], object], str] = {
        action: f"@action takes a function, not {policy!r}; a policy goes by keyword, retry=",
        action(charge).rollback: f"charge.rollback takes a function, not {policy!r}; a policy goes by keyword, retry=",
        transaction: (f"transaction() takes a name, or a function, not {policy!r}; a policy goes by keyword, retry="),
    }
    for use, told in uses.items():
        with pytest.raises(TypeError) as caught:
            use(policy)
        assert str(caught.value) == told


def test_what_is_no_function_cannot_be_a_probe() -> None:
    nothing: Any = 5
    with pytest.raises(TypeError, match=r"^create\.landed takes a function, not 5$"):
        create.landed(nothing)


@pytest.mark.parametrize("policy", [Retry(timeout=0.5), Retry(attempts=1)], ids=["timeout", "attempts"])
def test_a_retry_that_is_asked_for_and_not_granted_says_so_after_one_attempt_too(policy: Retry) -> None:
    @action(retry=policy, read_only=True)
    def ask() -> None:
        raise ActionRetryException(ms_backoff=60_000)

    with pytest.raises(ActionRetryException) as caught, transaction():
        ask()
    (note,) = caught.value.__notes__
    assert note.startswith("actionqueues: gave up after 1 attempt in ")


@pytest.mark.parametrize("made", [property(lambda _self: 1), functools.cached_property(lambda _self: 1)])
def test_a_property_is_told_to_be_put_above(made: Any) -> None:
    with pytest.raises(TypeError, match=r"^@action takes a function, not <.*>; put the decorator below that$"):
        action(made)


# -- a block that is not called, and what is not made by a call of its class


def test_a_transaction_that_is_not_called_is_no_block_and_says_so() -> None:
    block: Any = transaction
    with pytest.raises(TypeError) as caught, block:
        raise AssertionError
    assert str(caught.value) == "`with transaction` enters no block: call it, `with transaction() as q:`"

    async def main() -> None:
        async with block:
            raise AssertionError

    with pytest.raises(TypeError) as caught:
        asyncio.run(main())
    assert str(caught.value) == "`async with transaction` enters no block: call it, `async with transaction() as q:`"


def test_the_function_that_makes_blocks_is_a_function_to_all_others() -> None:
    made: Any = transaction
    assert callable(made)
    assert repr(made).startswith("<function transaction at ")
    assert (made.__name__, made.__module__) == ("transaction", "actionqueues.transaction")
    assert (inspect.getdoc(made) or "").startswith("A block of steps that are undone")
    assert list(inspect.signature(made).parameters) == [
        "name", "independent", "outermost", "retry", "journal", "engine", "trace", "undo_concurrently",
    ]  # fmt: skip
    assert copy.copy(made) is copy.deepcopy(made) is pickle.loads(pickle.dumps(made)) is made
    holder: Any = type("Holder", (), {"transaction": made})
    assert holder().transaction("a").name == "a"


def test_a_transaction_is_not_made_by_calling_its_class() -> None:
    with pytest.raises(TypeError, match=r"^a Transaction is what transaction\(\) makes; call that$"):
        Transaction()


# -- options


def function() -> None: ...


OPTIONS: dict[str, tuple[Callable[..., object], str]] = {
    "@action": (action, "retry, irreversible, read_only, transaction_required, when, timeout, name, aliases, undo"),
    "rollback()": (create.rollback, "retry, undo_timeout"),
    "transaction()": (transaction, "name, independent, outermost, retry, journal, engine, trace, undo_concurrently"),
    "Retry()": (Retry, "attempts, timeout, wait_initial, wait_max, wait_jitter, wait_exp_base, on, on_result"),
    "bounded()": (functools.partial(bounded, Retry()), "policy, attempts, timeout"),
    "sweep()": (sweep, "scenario, state, reset, disturb, recover, faults, ignore, error, only, backend"),
    "Journal()": (
        functools.partial(Journal, "never.db"),
        "path, resources, redact, durability, serializer, recover_on_open, keep, busy_timeout",
    ),
    "tools()": (functools.partial(tools, transaction()), "named, approve, mendable, meta"),
    "fail_at()": (functools.partial(fail_at, "create", OSError), "step, error, when, times"),
    "database()": (functools.partial(database, None), "connection, tables, keys"),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_an_option_that_there_is_not_is_refused_with_those_that_there_are(what: str) -> None:
    call, known = OPTIONS[what]
    with pytest.raises(TypeError) as caught:
        call(nonsense=3)
    assert str(caught.value) == f"{what} has no option 'nonsense'; its options are {known}"


@pytest.mark.parametrize(
    ("what", "wrong", "meant"),
    [
        ("@action", "retries", "retry"),
        ("@action", "readonly", "read_only"),
        ("rollback()", "rety", "retry"),
        ("transaction()", "jornal", "journal"),
        ("transaction()", "independant", "independent"),
        ("Retry()", "max_attempts", "attempts"),
        ("bounded()", "time_out", "timeout"),
        ("Journal()", "serialiser", "serializer"),
        ("sweep()", "fault", "faults"),
        ("tools()", "approval", "approve"),
        ("fail_at()", "time", "times"),
        ("database()", "table", "tables"),
    ],
)
def test_the_one_that_may_have_been_meant_is_named(what: str, wrong: str, meant: str) -> None:
    call, known = OPTIONS[what]
    with pytest.raises(TypeError) as caught:
        call(**{wrong: 3})
    assert str(caught.value) == (f"{what} has no option {wrong!r} (did you mean {meant!r}?); its options are {known}")


def test_a_name_by_place_is_told_to_go_by_keyword() -> None:
    made: Any = action
    for decorate in (made, made(read_only=True)):
        with pytest.raises(TypeError) as caught:
            decorate("charge")
        assert str(caught.value) == (
            "@action takes a function, not 'charge'; a name goes by keyword: @action(name='charge')"
        )


# -- other decorators


def test_an_undo_that_is_declared_on_what_wraps_an_action_is_told_where_it_belongs() -> None:
    @functools.lru_cache
    @action
    def find(word: str) -> str:
        return word

    @functools.wraps(create)
    def wrapper(name: str) -> str:
        return create(name)

    class Shop:
        @action
        def buy(self) -> None: ...

    for thing, name in ((find, "find"), (wrapper, "create"), (create.__wrapped__, "create"), (Shop().buy, "Shop.buy")):
        undone: Any = thing
        with pytest.raises(TypeError) as caught:
            undone.rollback(function)
        assert str(caught.value) == (
            f"this is not the action {name}, but what another decorator has made of it, a bound method, or the plain "
            f"function under it; put @action above that decorator, or say which action: @{name}.__wrapped__.rollback"
        )
    wrapped: Any = find
    assert wrapped.__wrapped__.rollback(function) is function
    assert pickle.loads(pickle.dumps(vars(create.__wrapped__)["rollback"])) == vars(wrapper)["rollback"]


def test_a_function_that_has_a_rollback_of_its_own_keeps_it() -> None:
    def work() -> None: ...

    attributed: Any = work
    attributed.rollback = "mine"
    assert action(work).rollback is not attributed.rollback
    assert attributed.rollback == "mine"


def test_a_handler_of_an_action_over_a_wrapper_that_hides_the_parameters_is_told_of_functools_wraps() -> None:
    def careless(fn: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        return wrapper

    def remove(name: str) -> None: ...

    with pytest.raises(TypeError) as caught:
        action(careless(create)).rollback(remove)
    assert str(caught.value) == (
        "the rollback handler remove of wrapper asks for 'name', which cannot be supplied; name a parameter 'args', "
        "'kwargs', 'result', 'error', 'step' or 'cause', or give it a default; or is the action made by a decorator "
        "that lacks functools.wraps, which shows the parameters?"
    )
