"""`@transaction` over functions: a fresh block for each call, and the whole block again where a policy wants it."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import (
    ActionRetryException,
    CommitHookFailed,
    IllegalOperation,
    NestedTransaction,
    NoTransaction,
    Retry,
    RollbackFailed,
    TransactionDoomed,
    action,
    bounded,
    current_step,
    current_transaction,
    transaction,
)

from .inside import CLOCKS, SLEEP
from .world import AT_ONCE, Boom, Stop, World


@pytest.fixture
def w() -> World:
    return World()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(SLEEP, made.append)
    return made


@transaction
def bare(value: int, *, more: int = 2) -> tuple[int, int, str]:
    """A docstring."""
    return value, more, current_transaction().name


@transaction()
def called(value: int, *, more: int = 2) -> tuple[int, int, str]:
    """A docstring."""
    return value, more, current_transaction().name


@transaction("transaction", retry=Retry(on=OSError))
def named(value: int, *, more: int = 2) -> tuple[int, int, str]:
    """A docstring."""
    return value, more, current_transaction().name


@pytest.mark.parametrize("decorated", [bare, called, named])
def test_a_decorated_function_looks_and_returns_like_the_function(decorated: Callable[..., Any]) -> None:
    name = "transaction" if decorated is named else decorated.__name__  # one without a name is called like the function
    assert decorated(1, more=3) == (1, 3, name)
    assert decorated(1) == (1, 2, name)
    assert decorated.__doc__ == "A docstring."
    assert decorated.__name__ in ("bare", "called", "named")
    assert str(inspect.signature(decorated)).startswith("(value: 'int', *, more: 'int' = 2)")
    with pytest.raises(TypeError):
        decorated()


def test_each_call_has_a_block_of_its_own() -> None:
    blocks: list[Any] = []

    @transaction("mine")
    def run() -> None:
        blocks.append(current_transaction())

    run()
    run()
    assert [repr(block) for block in blocks] == ["<Transaction 'mine' committed>"] * 2
    assert blocks[0] is not blocks[1]
    with pytest.raises(NoTransaction):
        current_transaction()


class Shop:
    """Has a decorated method of each kind."""

    trail: list[Any]

    def __init__(self) -> None:
        self.trail = []

    @transaction
    def sell(self, item: str) -> tuple[object, str, str]:
        return self, item, current_transaction().state

    @classmethod
    @transaction("audit")
    def audit(cls, item: str) -> tuple[object, str, str]:
        return cls, item, current_transaction().state

    @staticmethod
    @transaction(retry=AT_ONCE)
    def ring(item: str) -> tuple[object, str, str]:
        return None, item, current_transaction().state


class Branch(Shop):
    """Inherits them."""


def test_methods_of_every_kind_can_be_decorated() -> None:
    branch = Branch()
    assert branch.sell("cup") == (branch, "cup", "open")
    assert Branch.sell(branch, "cup") == (branch, "cup", "open")
    for made in (branch, Branch):
        assert made.audit("cup") == (Branch, "cup", "open")
        assert made.ring("cup") == (None, "cup", "open")


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_the_decorator_may_stand_above_that_of_a_class_method_or_static_method(kind: Any) -> None:
    seen: list[Any] = []

    def method(*args: Any) -> None:
        seen.append((args, current_transaction().state))

    owner: Any = type("Owner", (), {"method": transaction(kind(method))})
    owner.method(1)
    owner().method(2)
    first = [owner] if kind is classmethod else []
    assert seen == [((*first, 1), "open"), ((*first, 2), "open")]


def test_a_decorated_function_can_be_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(named)) is named


def test_an_action_can_be_decorated_and_a_decorated_function_be_an_action(w: World) -> None:
    assert transaction(w.define("a"))() == "A"

    @action
    @transaction("inner")
    def both() -> str:
        w.define("b")()
        return current_step().name

    with pytest.raises(Boom), transaction():
        assert both().endswith("both")
        raise Boom("body")
    assert w.trail == ["+a", "+b", "-b"]


def test_a_block_of_a_call_inside_a_block_is_a_savepoint(w: World) -> None:
    @transaction("inner")
    def inner(name: str, fails: bool) -> None:
        w.define(name)()
        if fails:
            raise Boom(name)

    with pytest.raises(Boom, match="outer"), transaction():
        with w.caught():
            inner("a", True)
        inner("b", False)
        raise Boom("outer")
    assert w.trail == ["+a", "-a", "!Boom", "+b", "-b"]


def test_options_of_the_block_hold_for_each_call(w: World) -> None:
    apart = transaction("apart", independent=True)(w.define("a"))
    only = transaction("only", outermost=True)(w.define("b"))
    with pytest.raises(Boom), transaction("outer"):
        for _ in range(2):
            apart()
            with pytest.raises(NestedTransaction, match="the transaction 'only' is declared outermost=True"):
                only()
        raise Boom("outer")
    assert w.trail == ["+a", "+a"]
    only()
    assert w.trail == ["+a", "+a", "+b"]


@pytest.mark.parametrize("error", [Boom("body"), Stop("body"), StopIteration(1), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("retry", [None, Retry(on=OSError)], ids=["plain", "with a policy"])
def test_what_a_call_raises_is_undone_and_goes_on_unchanged(
    error: BaseException, retry: Retry | None, w: World
) -> None:
    @transaction("mine", retry=retry)
    def run() -> None:
        w.define("a")()
        raise error

    with pytest.raises(type(error)) as caught:
        run()
    assert caught.value is error
    assert (error.__cause__, error.__context__, w.trail) == (None, None, ["+a", "-a"])


# ---------------------------------------------------------------- again


def test_the_whole_block_is_run_again_after_everything_has_been_undone(w: World, waits: list[float]) -> None:
    results = iter([Boom("1"), Boom("2"), None])

    @transaction(retry=Retry(attempts=3, wait_initial=0.5, wait_jitter=0))
    def run(value: int) -> int:
        w.define("a")(value)
        w.define("b")()
        if error := next(results):
            raise error
        return value

    assert run(7) == 7
    assert w.trail == [*["+a(7)", "+b", "-b", "-a"] * 2, "+a(7)", "+b"]
    assert waits == [0.5, 1.0]


def test_a_call_that_gives_up_raises_the_last_error_itself_with_a_note(w: World, waits: list[float]) -> None:
    errors = [Boom("1"), Boom("2")]
    left = iter(errors)

    @transaction(retry=bounded(lambda attempt, error: attempt / 4, attempts=2))
    def run() -> None:
        raise next(left)

    with pytest.raises(Boom) as caught:
        run()
    assert caught.value is errors[1]
    assert caught.value.__context__ is None
    [note] = caught.value.__notes__
    assert note.startswith("actionqueues: gave up after 2 attempts in ")
    assert waits == [0.25]


def test_retrying_a_call_ends_within_its_time(w: World, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCKS[0], lambda: 50.0 + sum(waits))

    @transaction(retry=Retry(attempts=None, timeout=9, wait_initial=4, wait_exp_base=1, wait_jitter=0))
    def run() -> None:
        w.define("a")()
        raise Boom("body")

    with pytest.raises(Boom) as caught:
        run()
    assert caught.value.__notes__ == [
        "actionqueues: gave up after 3 attempts in 8 s: another wait of 4 s would end past timeout=9"
    ]
    assert waits == [4, 4]


def test_the_count_of_attempts_belongs_to_a_call(w: World, waits: list[float]) -> None:
    @transaction(retry=Retry(attempts=2, wait_initial=1, wait_jitter=0))
    def run() -> None:
        w.say("run")
        raise Boom("body")

    for _ in range(3):
        with w.caught():
            run()
    assert w.trail == ["run", "run", "!Boom"] * 3
    assert waits == [1, 1, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), Stop("stop"), KeyError("other")], ids=repr)
def test_what_the_policy_does_not_name_is_not_retried(error: BaseException, w: World) -> None:
    @transaction(retry=Retry(on=Boom))
    def run() -> None:
        w.define("a")()
        raise error

    with pytest.raises(type(error)):
        run()
    assert w.trail == ["+a", "-a"]


def test_the_block_itself_may_ask_for_another_attempt(w: World, waits: list[float]) -> None:
    @transaction(retry=Retry(attempts=5))
    def run() -> None:
        w.define("a")()
        if len(waits) < 2:
            raise ActionRetryException(250)

    run()
    assert (w.trail, waits) == (["+a", "-a", "+a", "-a", "+a"], [0.25, 0.25])


def test_a_commit_whose_hook_failed_is_not_repeated(w: World) -> None:
    def hook() -> None:
        raise Boom("hook")

    @transaction(retry=AT_ONCE)
    def run() -> None:
        w.define("a")()
        current_transaction().on_commit(hook)

    with pytest.raises(CommitHookFailed):
        run()
    assert w.trail == ["+a"]


@pytest.mark.parametrize("how", ["an undo", "a conflict", "an undo of a step", "an undo of a savepoint", "doomed"])
def test_a_block_that_could_not_be_undone_is_not_repeated(how: str, w: World) -> None:
    @transaction(retry=AT_ONCE)
    def run() -> None:
        w.say("run")
        if how in ("an undo", "a conflict"):
            w.define("a", undo_fails=[Boom("stuck")])()
        elif how == "an undo of a savepoint":
            with w.caught(), transaction():
                w.define("a", undo_fails=[Boom("stuck")])()
                raise Boom("inner")
        else:
            with w.caught():
                w.define("a", fails=[Boom("a")], undo_fails=[Boom("stuck")])()
        if how != "doomed":
            raise Boom("body")

    with pytest.raises(TransactionDoomed if how == "doomed" else Boom):
        run()
    assert w.trail.count("run") == 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_block_that_was_rolled_back_by_hand_is_not_repeated(fails: bool, w: World) -> None:
    @transaction(retry=AT_ONCE)
    def run() -> str:
        w.define("a", undo_fails=[Boom("stuck")] if fails else [])()
        current_transaction().rollback()
        return "returned"

    if fails:
        with pytest.raises(RollbackFailed):
            run()
    else:
        assert run() == "returned"
    assert w.trail == ["+a", "-a"]


def test_a_refused_block_is_not_tried_again(w: World, waits: list[float]) -> None:
    @transaction(outermost=True, retry=Retry())
    def run() -> None:
        w.say("never")

    with pytest.raises(NestedTransaction), transaction():
        run()
    assert (w.trail, waits) == ([], [])


# ---------------------------------------------------------------- misuse


def generator() -> Any:
    """Would run after the block."""
    yield


async def async_generator() -> Any:
    """Likewise."""
    yield


@pytest.mark.parametrize("function", [generator, async_generator])
@pytest.mark.parametrize("decorate", [transaction, transaction("named")])
def test_a_generator_function_cannot_be_decorated(function: Any, decorate: Any) -> None:
    with pytest.raises(TypeError) as caught:
        decorate(function)
    assert str(caught.value) == (
        f"{function.__name__} is a generator function: calling it would run nothing; open the block inside it"
    )


@pytest.mark.parametrize("nothing", [5, b"name", ["name"]], ids=repr)
def test_only_a_function_can_be_decorated(nothing: Any) -> None:
    for decorate in (transaction, transaction("named")):
        with pytest.raises(TypeError, match="transaction\\(\\) takes a name, or a function, not "):
            decorate(nothing)


def test_options_go_before_the_function() -> None:
    text = r"transaction\(\): options go before the function: @transaction\(retry=...\) over the def"
    for options in ({"retry": Retry()}, {"independent": True}, {"outermost": True}):
        with pytest.raises(TypeError, match=text):
            transaction(bare, **options)


def test_a_transaction_that_has_been_used_cannot_decorate() -> None:
    used = transaction("used")
    text = "cannot decorate with the transaction 'used': it is open; use a fresh "
    with used, pytest.raises(IllegalOperation, match=text):
        used(bare)


def test_a_transaction_with_a_policy_cannot_be_entered_as_a_block(w: World) -> None:
    with pytest.raises((TypeError, IllegalOperation), match="retry"), transaction("block", retry=Retry()):
        w.say("never")
    assert w.trail == []
