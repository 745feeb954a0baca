"""Without its extension module `wrapt` calls other things: everything must work on its pure-Python half too."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import FunctionType
from typing import Any

import pytest
import wrapt

from actionqueues import action, transaction

PROGRAM = """
import asyncio, copy, inspect, pickle
from wrapt import CallableObjectProxy
assert inspect.isfunction(vars(CallableObjectProxy)["__call__"]), "the extension is in use"
from actionqueues import action, current_step, transaction

trail = []

class Shop:
    @action
    def sell(self, thing, *, price=1):
        "Sell."
        trail.append(f"sell {thing} {price} {current_step().attempts}")
        return thing

    @sell.rollback
    def buy_back(self, thing, price, result):
        trail.append(f"buy back {thing} {price} {result}")

    @action
    @classmethod
    def count(cls):
        trail.append(cls.__name__)

    @staticmethod
    @action
    def ring(bell):
        trail.append(bell)

class Corner(Shop):
    def sell(self, thing, **options):
        return super().sell(thing, **options)

@action
async def fetch(url):
    trail.append(f"fetch {url}")

@fetch.rollback
async def forget(url):
    trail.append(f"forget {url}")

@action(read_only=True)
def plain(x):
    return x + 1

@transaction
def whole(x):
    return plain(x)

try:
    with transaction() as q:
        assert Corner().sell("book", price=2) == "book"
        Corner.count()
        Corner().ring("ding")
        q.add(plain, 1)
        q.execute()
        raise LookupError
except LookupError:
    pass
assert trail == ["sell book 2 1", "Corner", "ding", "buy back book 2 book"], trail
assert q.report.undone == ["Shop.sell"] and len(q.report.not_undone) == 2

async def main():
    async with transaction() as q:
        await fetch("u")
        await q.rollback()
trail.clear()
asyncio.run(main())
assert trail == ["fetch u", "forget u"], trail
assert inspect.iscoroutinefunction(fetch) and str(inspect.signature(plain)) == "(x)"
assert pickle.loads(pickle.dumps(plain)) is plain is copy.deepcopy(plain)
assert pickle.loads(pickle.dumps(whole)) is whole is copy.copy(whole) is copy.deepcopy(whole)
assert whole(1) == 2 == plain(1) and plain.__wrapped__(1) == 2 and Shop.sell.__doc__.startswith("Sell.")
try:
    plain()
except TypeError as error:
    assert "plain() missing 1 required positional argument: 'x'" in str(error)
else:
    raise AssertionError
"""


def test_actions_and_blocks_work_on_the_pure_python_half_of_wrapt() -> None:
    environment = {**os.environ, "WRAPT_DISABLE_EXTENSIONS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    told = "transaction: not undone: Shop.ring (no rollback handler), Shop.count (no rollback handler)\n"
    assert (done.returncode, done.stderr) == (0, told)


def copy_of(module: str) -> Any:
    """A second copy of a module."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    spec = importlib.util.spec_from_file_location(f"{module}_copy", found.origin)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def pure(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The decorator on the pure-Python proxy, in this process."""
    monkeypatch.setenv("WRAPT_DISABLE_EXTENSIONS", "1")
    proxy = copy_of("wrapt.wrappers").CallableObjectProxy
    assert isinstance(vars(proxy)["__call__"], FunctionType)
    monkeypatch.setattr(wrapt, "CallableObjectProxy", proxy)
    return copy_of("actionqueues.action").action


def test_an_action_on_the_pure_python_proxy_is_recorded_and_undone(pure: Any) -> None:
    trail: list[str] = []

    def plain(name: str, *, size: int = 1) -> str:
        trail.append(f"+{name}{size}")
        return name

    def take(name: str, size: int) -> None:
        trail.append(f"-{name}{size}")

    put = pure(plain)
    assert put.rollback(take) is take
    assert put("a") == "a"
    with transaction() as q:
        assert put("b", size=2) == "b"
        with pytest.raises(TypeError, match=r"plain\(\) missing 1 required positional argument: 'name'"):
            put()
        q.rollback()
    assert trail == ["+a1", "+b2", "-b2"]


@pytest.mark.parametrize("on", ["pure", "extension"])
def test_what_an_action_wraps_cannot_be_exchanged(on: str, request: pytest.FixtureRequest) -> None:
    decorators: dict[str, Any] = {"extension": action}
    decorate = decorators[on] if on in decorators else request.getfixturevalue(on)

    def plain() -> str:
        return "plain"

    made = decorate(plain)
    made.__wrapped__ = lambda: "other"  # setting an attribute of an action sets that of its function
    assert made() == made.__wrapped__() == "plain"


def test_a_handler_is_not_set_like_an_attribute() -> None:
    def plain() -> None: ...

    made: Any = action(plain)
    with pytest.raises(AttributeError) as caught:
        made.rollback = plain
    assert str(caught.value) == f"{made!r} takes its rollback handler by a call: plain.rollback(handler)"
    assert vars(plain)["rollback"] is not plain
