"""Without its extension module `wrapt` calls other things: everything must work on its pure-Python half too."""

from __future__ import annotations

import os
import subprocess
import sys

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

@action
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
assert q.report.undone == ["Shop.sell"] and len(q.report.not_undone) == 3

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
assert whole(1) == 2 == plain(1) and plain.__wrapped__(1) == 2 and Shop.sell.__doc__ == "Sell."
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
    assert (done.returncode, done.stderr) == (0, "")
