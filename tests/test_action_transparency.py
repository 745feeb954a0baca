"""An action is as transparent as can be: it looks, compares, copies and travels like the function that it decorates."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import typing
import weakref
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from actionqueues import action


def bare(a: int, /, b: str = "b", *rest: float, key: bool = False, **more: bytes) -> list[str]:
    """Text of the docstring."""
    return [str(a), b]


async def async_bare(a: int) -> str:
    """Async text."""
    return str(a)


@action
def module_level(x: int) -> tuple[int, int]:
    return x, os.getpid()


@action
async def async_level(x: int) -> int:
    return x


class Shop:
    def __init__(self, name: str = "shop") -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shop) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @action
    def buy(self, n: int) -> tuple[str, int]:
        """Buy."""
        return self.name, n

    @action
    async def abuy(self, n: int) -> int:
        return n

    @action
    @classmethod
    def open(cls, n: int) -> tuple[str, int]:
        return cls.__name__, n

    @classmethod
    @action
    def open2(cls, n: int) -> tuple[str, int]:
        return cls.__name__, n

    @action
    @staticmethod
    def tax(n: int) -> tuple[str, int]:
        return "tax", n

    @staticmethod
    @action
    def tax2(n: int) -> tuple[str, int]:
        return "tax", n

    class Counter:
        @action
        def count(self) -> int:
            return 1


@pytest.fixture(params=[bare, async_bare], ids=["sync", "async"])
def function(request: pytest.FixtureRequest) -> Any:
    return request.param


# ---- how it looks


ATTRIBUTES = (
    *("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "__type_params__", "__dict__"),
    *("__defaults__", "__kwdefaults__", "__code__", "__globals__", "__closure__"),
)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_the_attributes_of_an_action_are_those_of_its_function(function: Any, attribute: str) -> None:
    missing = object()
    assert getattr(action(function), attribute, missing) == getattr(function, attribute, missing)


def test_a_signature_and_hints_are_those_of_the_function(function: Any) -> None:
    decorated = action(function)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert inspect.get_annotations(decorated) == inspect.get_annotations(function)
    assert typing.get_type_hints(decorated) == typing.get_type_hints(function)
    assert inspect.getdoc(decorated) == inspect.getdoc(function)
    assert inspect.getsource(decorated) == inspect.getsource(function)
    assert inspect.unwrap(decorated) is function


def is_function(fn: object) -> bool:
    return isinstance(fn, FunctionType)


QUESTIONS: list[Any] = [
    callable,
    is_function,
    inspect.isfunction,
    inspect.isroutine,
    inspect.ismethod,
    inspect.isclass,
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_inspect_takes_an_action_for_its_function(function: Any, ask: Callable[[object], bool]) -> None:
    assert ask(action(function)) is ask(function)


@pytest.mark.parametrize("through", [Shop(), Shop], ids=["object", "class"])
def test_a_bound_async_method_is_known_as_a_coroutine_function(through: Any) -> None:
    assert inspect.iscoroutinefunction(through.abuy)
    assert not inspect.iscoroutinefunction(through.buy)


def test_an_async_action_outside_a_block_gives_a_coroutine_like_the_function() -> None:
    coroutine: Any = async_level(3)
    assert inspect.iscoroutine(coroutine)
    assert asyncio.run(coroutine) == 3
    assert asyncio.run(Shop().abuy(4)) == 4


def test_bound_methods_look_like_bound_methods() -> None:
    shop = Shop()
    method: Any = shop.buy
    assert inspect.ismethod(method)
    assert (method.__self__, method.__name__, method.__qualname__) == (shop, "buy", "Shop.buy")
    assert method.__doc__ == "Buy."
    assert str(inspect.signature(method)) == "(n: 'int') -> 'tuple[str, int]'"
    assert str(inspect.signature(Shop.open)) == str(inspect.signature(Shop.open2)) == str(inspect.signature(Shop.tax))
    assert shop.buy == shop.buy
    assert hash(shop.buy) == hash(shop.buy)
    assert shop.buy != Shop("other").buy
    assert Shop.open == Shop.open
    assert weakref.WeakMethod(method)() == method


def test_an_action_is_an_instance_of_the_decorator_too() -> None:
    assert isinstance(module_level, action)
    assert not isinstance(bare, action)


def test_a_representation_tells_that_it_is_an_action_and_how_it_is_undone() -> None:
    @action
    def make(a: int, *, b: int) -> None: ...

    assert repr(make) == str(make) == "<action make(a, *, b), no rollback handler>"

    @make.rollback
    def unmake() -> None: ...

    assert repr(make) == "<action make(a, *, b), undone by unmake>"
    assert repr(Shop.buy) == "<action Shop.buy(self, n), no rollback handler>"
    assert repr(async_level) == "<async action async_level(x), no rollback handler>"
    assert repr(action(irreversible=True)(bare)) == "<action bare(a, /, b, *rest, key, **more), irreversible>"


def test_attributes_are_set_and_deleted_on_the_function() -> None:
    def fn() -> None: ...

    decorated: Any = action(fn)
    decorated.tag = 3
    assert vars(fn) == vars(decorated)
    assert (list(vars(fn)), fn.tag) == (["rollback", "tag"], 3)  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    del decorated.tag
    assert not hasattr(fn, "tag")
    decorated.__doc__ = "new"
    assert fn.__doc__ == "new"
    assert decorated.__doc__ == "new"
    with pytest.raises(AttributeError):
        _ = decorated.tag


# ---- comparison, references


def test_an_action_equals_its_function_and_hashes_like_it(function: Any) -> None:
    decorated: Any = action(function)
    assert decorated == function
    assert function == decorated
    assert (decorated != function) is False
    assert hash(decorated) == hash(function)
    assert {decorated, function, action(function)} == {function}
    assert {function: 1}[decorated] == 1
    assert decorated != action(lambda: None)
    assert decorated != 3
    assert decorated is not None


def test_an_action_can_be_referred_to_weakly() -> None:
    def fn() -> None: ...

    decorated = action(fn)
    reference = weakref.ref(decorated)
    assert reference() is decorated
    assert weakref.WeakKeyDictionary({decorated: 1})[decorated] == 1


# ---- copies and pickles

PICKLABLE: dict[str, Any] = {
    "function": module_level,
    "async function": async_level,
    "method": Shop.buy,
    "class method": Shop.open,
    "class method, outside": Shop.open2,
    "static method": Shop.tax,
    "static method, outside": Shop.tax2,
    "bound method": Shop().buy,
    "bound class method": Shop().open,
    "bound static method": Shop().tax,
    "method of a nested class": Shop.Counter.count,
}


def assert_same(restored: Any, original: Any) -> None:
    if isinstance(original, action):
        assert restored is original
    else:  # a bound method: of an equal object, and no other than one that is bound now
        assert restored.__self__ == original.__self__
        assert restored == getattr(restored.__self__, original.__name__)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", PICKLABLE)
def test_an_action_is_pickled_by_its_qualified_name(kind: str, protocol: int) -> None:
    if protocol < 4 and kind == "method of a nested class":
        protocol = 4  # as for functions: before it, qualified names are not looked up
    original = PICKLABLE[kind]
    assert_same(pickle.loads(pickle.dumps(original, protocol)), original)


@pytest.mark.parametrize("kind", PICKLABLE)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_of_an_action_are_the_action(kind: str, copied: Callable[[Any], Any]) -> None:
    original = PICKLABLE[kind]
    assert_same(copied(original), original)
    assert_same(copied([original])[0], original)
    assert_same(copied({"fn": original})["fn"], original)


def test_what_cannot_be_found_by_its_name_cannot_be_pickled_like_a_function() -> None:
    def local() -> None: ...

    functions: list[Any] = [lambda: None, local, bare]
    for function in functions:
        decorated: Any = action(function)
        with pytest.raises((pickle.PicklingError, AttributeError)) as caught:
            pickle.dumps(decorated)
        assert function.__name__ in str(caught.value)


def test_an_action_that_is_no_function_says_why_it_cannot_be_pickled() -> None:
    decorated: Any = action(functools.partial(bare, 1))
    with pytest.raises(TypeError) as caught:
        pickle.dumps(decorated)
    assert str(caught.value) == f"cannot pickle {decorated!r}: only a function is pickled, by its qualified name"


def test_actions_and_bound_methods_of_actions_run_in_a_pool_of_processes() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        value, pid = pool.submit(module_level, 3).result()
        bound: Any = Shop("far").buy
        assert pool.submit(bound, 4).result() == ("far", 4)
        assert pool.submit(Shop.open, 5).result() == ("Shop", 5)
        assert pool.submit(Shop.tax2, 6).result() == ("tax", 6)
    assert value == 3
    assert pid != os.getpid()


def test_all_of_it_holds_with_the_pure_python_proxy_of_wrapt_too() -> None:
    root = Path(__file__).parent.parent
    files = [f"tests/test_action{name}.py" for name in ("", "_classes", "_methods", "_transparency", "_wrappers")]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        *files,
        "-k",
        "not pure_python",
    ]
    environment = {**os.environ, "WRAPT_DISABLE_EXTENSIONS": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
